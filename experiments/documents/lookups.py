"""Names for numbers that documents quote often, and the tables that they show; read from summaries, never computed."""

from typing import Any

from experiments.documents.numbers import Names, Quantity, summaries

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


def names() -> Names:
    """Return everything that a placeholder may begin with."""
    found = summaries()
    found["stage_ends"] = Quantity(stage_ends(found["stage_tracking"].value), "stage_ends")
    found["stage_ends_quick"] = Quantity(stage_ends(found["stage_tracking_quick"].value), "stage_ends_quick")
    found["tables"] = Quantity(
        {
            "stages": printed_stages(found["stage_tracking_quick"].value),
            "coverage": coverage_table(found["pruning_answer"].value),
            "cost": cost_table(found["step_cost"].value),
        },
        "tables",
    )
    return found


def stage_ends(numbers: dict[str, Any]) -> dict[str, dict[str, list[int]]]:
    """Return {group: {stage: the steps at which it ended, one per seed}} of the summary of stage_tracking."""
    each = list(numbers["stages"].values())
    return {group: {stage: [one[group][stage] for one in each] for stage in ("T1", "T2", "T3")} for group in each[0]}


def printed_stages(numbers: dict[str, Any]) -> str:
    """Return what stage_tracking.py prints for a summary."""
    from experiments import stage_tracking

    return "\n".join(line.rstrip() for line in stage_tracking.table_text(numbers).splitlines())


def coverage_table(numbers: dict[str, Any]) -> str:
    """Return the share of minority features that end with a specialist, a row per arm and a column per noise level.

    A star says that training had not settled.
    """
    points = numbers["points"]
    heads = [f"false firing {point['false_firing_rate']:.0%}, r = {point['ratio']:g}" for point in points]
    rows = [["share of the minority features covered", *heads], ["---"] * (1 + len(points))]
    for label, words in COVERAGE_ROWS.items():
        arms = {arm["noise"]: arm for arm in numbers["arms"] if arm["label"] == label and at_a_point(arm, points)}
        cells = [Quantity(arms[point["noise"]]["ends"]["minority coverage"], label) for point in points]
        stars = ["" if arms[point["noise"]]["settled"] else "*" for point in points]
        rows.append([words, *(f"{cell:.2f}{star}" for cell, star in zip(cells, stars, strict=True))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def at_a_point(arm: dict[str, Any], points: list[dict[str, Any]]) -> bool:
    """Tell whether an arm was run at one of the points; the others are its partners at equal frequencies."""
    return any((arm["noise"], arm["ratio"]) == (point["noise"], point["ratio"]) for point in points)


def cost_table(numbers: dict[str, Any]) -> str:
    """Return the exponent of the time of a step in each size."""
    rows = [["size that is swept", "from", "to", "exponent, all sizes", "exponent, last two sizes"], ["---"] * 5]
    for sweep in numbers["sweeps"].values():
        fitted = Quantity({"estimate": sweep["exponent"], "low": sweep["low"], "high": sweep["high"]}, sweep["label"])
        first, *_, last = sweep["sizes"]
        rows.append([sweep["label"], f"{first:,}", f"{last:,}", f"{fitted:.2f}", f"{sweep['last']:.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
