"""Names for numbers that documents quote often, and the tables that they show; read from summaries, never computed."""

from typing import Any

from experiments.documents.bench import BENCH_TABLES, measured
from experiments.documents.label_lookups import label_names
from experiments.documents.numbers import Names, Quantity, summaries, written

COVERAGE_ROWS = {
    "no mask": "no mask",
    "one branch": "smallest weights masked for one view",
    "one branch, fixed random": "as many at random, always the same",
    "one branch, redrawn random": "as many at random, anew at each step",
    "literal": "**Algorithm 1 taken literally**",
    "literal, fixed random": "as many at random, taken literally",
    "literal, masked norm": "literal, thresholds from the masked norm",
    "fading noise": "no mask, noise that fades",
    "kappa / 2": "no mask, half the threshold (κ / 2)",
    "lambda / 4": "no mask, a quarter of the decay (λ / 4)",
    "inverse-frequency loss": "no mask, inverse-frequency loss",
}
"""The arms of the table of coverage by their label, and what the table calls them."""
RECIPE_ROWS = {
    "kappa / 2": "half the threshold (κ / 2)",
    "lambda / 4": "a quarter of the decay (λ / 4)",
    "tau / 2": "half the temperature (τ / 2)",
    "learning rate x 2": "twice the learning rate",
}
"""Recipes that the table of recipes calls by other words."""
MEASURED_AS = {
    "masked share of minority specialists": "masked share of rare specialists over that of all neurons, minus 1",
    "amplification gap": "gain of rare features by the mask minus that of frequent ones",
    "log strength ratio": "log strength of rare over frequent features, minus that at r = 1",
    "minority coverage": "difference in coverage of rare features",
}
"""What the table of what the paper says calls the quantities of planned statements; others are not in it."""
PROBE_ROWS = {label: COVERAGE_ROWS[label] for label in ("no mask", "one branch", "literal", "fading noise")}


def names() -> Names:
    """Return everything that a placeholder may begin with: the summaries, and these shorter ways into them.

    stage_ends[group][stage]            the steps at which a stage ended, one per seed; also stage_ends_quick
    arm[label][noise][quantity]         how the runs of an arm of pruning_answer ended
    against[reading][noise][rival]      difference in coverage between a reading and what it is held against
    verdict[reading][noise]             the verdict on a reading
    statement[title][noise]             a statement of the plan, in words: [found], [verdict]
    counts[row of the figure][label]    differences in specialists, from pruning_comparison: [minority], [majority]
    recipe[label][noise][quantity]      how a recipe of pruning_recipe ended after equal steps
    recipe_statement[name][noise]       a statement of its plan, once settled: [found], [verdict]
    bench[steps][shape][candidate]      what `make bench` measured last; see `bench.measured`
    images                              what came out on images, in points: [verdict], [difference], [placebos], [lead]
    times[experiment][preset]           how long a preset takes, as --help says it
    tables[name]                        a whole table
    and those of `label_names`
    """
    from experiments import cifar_lt

    found = summaries()
    answer, tracking = found["pruning_answer"].value, found["stage_tracking"].value
    quick = found["stage_tracking_quick"].value
    images = cifar_lt.quoted(found["cifar_lt"].value)
    labels = label_names(found)
    details, recipes = found["pruning_comparison"].value["details"], found["pruning_recipe"].value
    shorter = {
        "stage_ends": stage_ends(tracking),
        "stage_ends_quick": stage_ends(quick),
        "arm": arms(answer),
        "against": rows_by_noise(answer["verdicts"], "reading", "against"),
        "verdict": rows_by_noise(answer["verdicts"], "reading", "verdict"),
        "statement": statements_by_title(answer),
        "counts": {
            heading: {row["label"]: row for row in rows}
            for part in ("P5", "P6", "P7")
            for heading, rows in details[part]["rows"].items()
        },
        "recipe": recipe_ends(recipes, "equal_steps"),
        "recipe_statement": rows_by_noise(recipes["statements"], "name"),
        "bench": (bench := measured()),
        "times": times(),
        "images": images,
        "tables": whole_tables(found, {"accuracy": images["rows"]} | labels.pop("rows"), bench),
        **labels,
    }
    found.update({name: Quantity(value, name) for name, value in shorter.items()})
    return found


def whole_tables(found: Names, on_images: dict[str, list[list[str]]], bench: Any) -> dict[str, str]:
    """Return the tables of the documents by name, from the summaries and what was measured."""
    ordered = with_least_noise_first(found["pruning_answer"].value)
    return {
        **{name: markdown(rows(bench)) for name, rows in BENCH_TABLES.items()},
        **{name: markdown(rows) for name, rows in on_images.items()},
        "recipes": recipe_table(with_least_noise_first(found["pruning_recipe"].value)),
        "stages": printed_stages(found["stage_tracking_quick"].value),
        "coverage": arms_table(ordered, "minority coverage"),
        "probe": arms_table(ordered, "minority probe, few labels", PROBE_ROWS),
        "verdicts": verdict_table(ordered),
        "paper": paper_rows(ordered),
        "cost": cost_table(found["step_cost"].value),
    }


def rows_by_noise(rows: list[dict[str, Any]], name: str, value: str = "") -> dict[str, dict[str, Any]]:
    """Return {row[name]: {noise: row, or row[value]}}."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row[name], {})[row["noise"]] = row[value] if value else row
    return found


def times() -> dict[str, dict[str, str]]:
    """Return {experiment: {preset: how long it takes}}: the end of what --help says of each preset."""
    from experiments.make_figures import EXPERIMENTS

    return {
        one.name: {preset: words.rpartition("; ")[2] for preset, words in one.about_presets.items()}
        for one in EXPERIMENTS
    }


def statements_by_title(numbers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return {statement in words: {noise: row}} of the plan of pruning_answer."""
    from experiments import pruning_answer

    return rows_by_noise(pruning_answer.shown_statements(numbers), "name")


def arms(numbers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return {label: {noise: quantities at the end}} of the arms at the points of the plan.

    The partners at equal frequencies (r = 1) are left out: they have the labels of arms.
    """
    points = [(point["noise"], point["ratio"]) for point in numbers["points"]]
    return rows_by_noise([arm for arm in numbers["arms"] if (arm["noise"], arm["ratio"]) in points], "label", "ends")


def stage_ends(numbers: dict[str, Any]) -> dict[str, dict[str, list[int]]]:
    """Return {group: {stage: the steps at which it ended, one per seed}} of the summary of stage_tracking."""
    each = list(numbers["stages"].values())
    return {group: {stage: [one[group][stage] for one in each] for stage in ("T1", "T2", "T3")} for group in each[0]}


def printed_stages(numbers: dict[str, Any]) -> str:
    """Return what stage_tracking.py prints for a summary."""
    from experiments import stage_tracking

    return "\n".join(line.rstrip() for line in stage_tracking.words()[1](numbers).splitlines())


def with_least_noise_first(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return a summary whose points are in the order of the figures."""
    return numbers | {"points": sorted(numbers["points"], key=lambda point: float(point["false_firing_rate"]))}


def heads(numbers: dict[str, Any]) -> list[str]:
    """Return the heads of the columns of a table with a column per noise level."""
    return [
        f"false firing {written(point['false_firing_rate'], '.0%')}, r = {point['ratio']:g}"
        for point in numbers["points"]
    ]


def markdown(rows: list[list[str]]) -> str:
    """Return a table of Markdown; the first row holds the heads."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def arms_table(numbers: dict[str, Any], quantity: str, shown: dict[str, str] = COVERAGE_ROWS) -> str:
    """Return a quantity at the end of training, a row per arm, a column per noise level; stars mark unsettled runs."""
    ends = arms(numbers)
    unsettled = {(arm["label"], arm["noise"], arm["ratio"]) for arm in numbers["arms"] if not arm["settled"]}
    rows = [[quantity, *heads(numbers)]]
    for label, words in shown.items():
        cells = []
        for point in numbers["points"]:
            star = "*" if (label, point["noise"], point["ratio"]) in unsettled else ""
            cells.append(f"{Quantity(ends[label][point['noise']][quantity], label):.2f}{star}")
        rows.append([words, *cells])
    return markdown(rows)


def verdict_table(numbers: dict[str, Any]) -> str:
    """Return the verdict on each reading of the pruning algorithm, a column per noise level."""
    found = rows_by_noise(numbers["verdicts"], "reading", "verdict")
    rows = [[reading, *(cells[point["noise"]] for point in numbers["points"])] for reading, cells in found.items()]
    return markdown([["reading", *heads(numbers)], *rows])


def paper_rows(numbers: dict[str, Any]) -> str:
    """Return rows of a table: what the paper says of pruning, the verdicts, one number and what would refute it."""
    rates = {point["noise"]: written(point["false_firing_rate"], ".0%") for point in numbers["points"]}
    rows = []
    for by_noise in rows_by_noise(numbers["statements"], "name").values():
        one = by_noise["1 percent"]
        if not one["said_by"].startswith(("Theorem", "Algorithm")):
            continue
        at: dict[str, list[str]] = {}
        for noise, rate in rates.items():
            at.setdefault(by_noise[noise]["verdict"], []).append(rate)
        verdicts = "; ".join(f"{verdict} ({', '.join(where)})" for verdict, where in at.items())
        number = f"{MEASURED_AS[one['quantity']]}: {Quantity(one['found'], one['name']):+.2f}"
        said_by = one["said_by"].replace(" (", ", ").rstrip(")")
        rows.append([f"{one['claim'].rstrip('.')} ({said_by})", verdicts, number, one["what_would_refute"]])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def recipe_ends(numbers: dict[str, Any], when: str) -> dict[str, dict[str, Any]]:
    """Return {recipe: {noise: quantities}} of pruning_recipe, "equal_steps" or "settled"."""
    found = rows_by_noise(numbers["recipes"], "method", when)
    return {name: {noise: row["ends"] for noise, row in rows.items()} for name, rows in found.items()}


def recipe_table(numbers: dict[str, Any]) -> str:
    """Return where each recipe ends after equal steps, with its interval; a column per point."""
    ends = recipe_ends(numbers, "equal_steps")
    rows = [["minority coverage", *heads(numbers)]]
    for name, cells in ends.items():
        shown = [cells[point["noise"]]["minority coverage"] for point in numbers["points"]]
        rows.append([RECIPE_ROWS.get(name, name), *(f"{Quantity(one, name):.2f}" for one in shown)])
    return markdown(rows)


def cost_table(numbers: dict[str, Any]) -> str:
    """Return by which power of each size the time of a step grows."""
    rows = [["size", "from", "to", "exponent over all sizes", "exponent over the last two"]]
    for sweep in numbers["sweeps"].values():
        fitted = Quantity({"estimate": sweep["exponent"], "low": sweep["low"], "high": sweep["high"]}, sweep["label"])
        first, *_, last = sweep["sizes"]
        rows.append([sweep["label"], f"{first:,}", f"{last:,}", f"{fitted:.2f}", f"{sweep['last']:.2f}"])
    return markdown(rows)
