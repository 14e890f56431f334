"""The printed table of the answer: verdicts counted, then each reading and each planned statement with its numbers."""

from typing import Any

from dynsim.engine.linear_probe import FEW
from dynsim.stats.verdicts import READING_VERDICTS, STATEMENT_VERDICTS
from experiments.pruning.comparison_table import count_lines, p_text
from experiments.pruning.plan import title

_LEGEND = f"""
coverage   share of the minority (rare) features that have at least one specialist neuron at the end
probe      share of samples in which a linear probe, fitted to {FEW} labels, reads the sign of a minority feature off
           the embedding
settled    whether training had stopped changing; where it had not, the verdict is "not converged"
placebo    random masks of the same size; or no mask, but a quarter of the weight decay (lambda / 4), half the
           thresholds (kappa / 2), or noise on the tokens that fades early in training (fading noise)
""".strip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def span_text(found: dict[str, Any]) -> str:
    """Return an estimate with its interval and its number of seeds, as columns."""
    interval = f"[{_number(found['low'])}, {_number(found['high'])}]"
    return f"{_number(found['estimate']):>6}  {interval:<16}  {found['n_seeds']:<5}"


def point_name(row: dict[str, Any]) -> str:
    """Return the name of a point: its form of the loss and its shape, if it has any, its noise and frequency ratio."""
    where = "".join(f"{row[name]}, " for name in ("form", "shape") if name in row)
    return f"{where}noise {row['noise']}, r = {row['ratio']:g}"


def points_by_noise(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of a summary, the one with the least noise first."""
    return sorted(numbers["points"], key=lambda point: float(point["false_firing_rate"]))


def in_order_of_noise(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return a summary whose points, verdicts and statements begin with the least noise, as in the figures."""
    points = points_by_noise(numbers)
    places = {point_name(point): place for place, point in enumerate(points)}

    def place(row: dict[str, Any]) -> int:
        return places.get(point_name(row), len(places))

    rows = {name: found for name, found in numbers.items() if name.startswith(("verdicts", "statements"))}
    return numbers | {"points": points} | {name: sorted(found, key=place) for name, found in rows.items()}


def table_text(numbers: dict[str, Any]) -> str:
    """Return the verdicts counted, a legend, and the readings and statements with their numbers.

    Args:
        numbers: of summary.json.
    """
    numbers = in_order_of_noise(numbers)
    margin = numbers["margin"]
    lines = ["Verdicts on the ways to read the algorithm, by point:", ""]
    lines += counted_lines(numbers["verdicts"], READING_VERDICTS)
    if numbers["statements"]:
        lines += ["", "Verdicts on the planned statements, by point:", ""]
        lines += counted_lines(numbers["statements"], STATEMENT_VERDICTS)
    lines += ["", _LEGEND, f'margin     {margin:g}, the largest difference in coverage that still counts as "no more"']
    lines.append(f"plan       {numbers['plan']}, digest of the plan that was committed before the runs")
    for point in numbers["points"]:
        lines += ["", *_point_lines(numbers, point)]
    if numbers["statements"]:
        lines += ["", *statement_lines(numbers["statements"])]
    return "\n".join(line.rstrip() for line in lines)


def counted_lines(rows: list[dict[str, Any]], verdicts: tuple[str, ...]) -> list[str]:
    """Return the counts of the verdicts that occur."""
    found = {row["verdict"] for row in rows}
    return count_lines([(point_name(row), row["verdict"]) for row in rows], [one for one in verdicts if one in found])


def _point_lines(numbers: dict[str, Any], point: dict[str, Any]) -> list[str]:
    here = (point["noise"], point["ratio"])
    arms = [arm for arm in numbers["arms"] if (arm["noise"], arm["ratio"]) == here and arm["kind"] == "no mask"]
    rate = f"false firing: noise alone makes a neuron fire on {point['false_firing_rate']:.3g} of the tokens"
    lines = [f"{point_name(point)} ({rate})", f"  {'without a mask':<42}coverage  probe  settled"]
    lines += [_arm_line(arm) for arm in arms]
    lines.append(f"  {'reading: verdict, coverage minus that of':<42}{'mean':>6}  {'95 % interval':<16}  seeds")
    for row in numbers["verdicts"]:
        if (row["noise"], row["ratio"]) == here:
            lines.append(f"  {row['reading']}: {row['verdict']}")
            lines += [f"    {name:<40}{span_text(found)}" for name, found in row["against"].items()]
    return lines


def _arm_line(arm: dict[str, Any]) -> str:
    ends = arm["ends"]
    values = [ends[name]["estimate"] for name in ("minority coverage", "minority probe, few labels")]
    coverage, probe = ("-" if value is None else f"{value:.2f}" for value in values)
    state = f"{'after' if arm['settled'] else 'not after'} {arm['n_steps']:,} steps"
    return f"    {arm['label']:<40}{coverage:>8}  {probe:>5}  {state}"


def statement_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the planned statements, each with its numbers at every point."""
    lines = ["Planned statements (p after Holm's correction over all of them):"]
    width = max(28, *(len(point_name(row)) + 2 for row in rows))
    lines.append(
        f"    {'point':<{width}}{'verdict':<18}{'mean':>6}  {'95 % interval':<16}  {'seeds':<7}{'p':<8}expected"
    )
    for name in dict.fromkeys(row["name"] for row in rows):
        of = [row for row in rows if row["name"] == name]
        lines += [f"  {title(name)}: {of[0]['claim']}", f"    number: {of[0]['quantity']}, {of[0]['contrast']}"]
        for row in of:
            p_value = p_text(row["p_holm"])
            cells = f"{row['verdict']:<18}{span_text(row['found'])}  {p_value:<8}{row['wanted']}"
            lines.append(f"    {point_name(row):<{width}}{cells}")
    return lines
