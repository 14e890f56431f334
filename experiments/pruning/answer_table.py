"""The printed table of the answer: a verdict for each reading at each point, and for each planned statement."""

from typing import Any


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def span_text(found: dict[str, Any]) -> str:
    """Return an estimate with its interval and its number of seeds."""
    return f"{_number(found['estimate'])} [{_number(found['low'])}, {_number(found['high'])}] n={found['n_seeds']}"


def table_text(numbers: dict[str, Any]) -> str:
    """Return the summary in words: points, verdicts, statements.

    Args:
        numbers: of summary.json.
    """
    lines = [f"Primary quantity: minority coverage at the end; margin {numbers['margin']:g}; plan {numbers['plan']}"]
    for point in numbers["points"]:
        here = (point["noise"], point["ratio"])
        rows = [arm for arm in numbers["arms"] if (arm["noise"], arm["ratio"]) == here]
        lines += ["", f"noise {here[0]} (false-firing rate {point['false_firing_rate']:.3g}), r = {here[1]:g}"]
        lines += [_arm_line(arm) for arm in rows if arm["kind"] == "no mask"]
        for row in numbers["verdicts"]:
            if (row["noise"], row["ratio"]) == here:
                lines += _verdict_lines(row)
    if numbers["statements"]:
        lines += ["", "Planned contrasts (p after Holm's correction):"]
    for row in numbers["statements"]:
        at = f"{row['noise']}, r={row['ratio']:g}"
        verdict = f"{row['verdict']:<18}{span_text(row['found'])} p={row['p_holm']:.2g}"
        lines.append(f"  {row['name']:<10}{at:<20}{verdict}  {row['claim']}")
    return "\n".join(lines)


def _arm_line(arm: dict[str, Any]) -> str:
    ends = arm["ends"]
    numbers = [f"{ends[name]['estimate'] or 0:.2f}" for name in ("minority coverage", "minority probe, few labels")]
    state = "settled" if arm["settled"] else "not settled"
    return f"  {arm['label']:<34} coverage {numbers[0]}  probe {numbers[1]}  {state} after {arm['n_steps']:,} steps"


def _verdict_lines(row: dict[str, Any]) -> list[str]:
    lines = [f"  {row['reading']:<34} {row['verdict']}"]
    return lines + [f"      - {name:<40} {span_text(found)}" for name, found in row["against"].items()]
