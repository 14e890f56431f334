"""The printed table of the comparison: how often each verdict was reached, then every statement with its numbers."""

from collections.abc import Iterable, Sequence
from typing import Any

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED, Entry

VERDICTS = (SUPPORTED, NOT_SUPPORTED, UNDECIDED)
TEST_TITLES = {
    "P1": "who is masked",
    "P2": "growth in one step with a mask",
    "P3": "the driver with a mask",
    "P4": "dependence on the frequency ratio r",
    "P5": "pruning against no mask and placebos",
    "P6": "other shares, gradients and moments",
    "P7": "equal frequencies",
    "P8": "masks that are taken away",
}
_LEGEND = """
supported          the 95 % interval over seeds lies inside the range that the statement expects
not supported      it lies outside
undecided          the interval reaches over an end of the range, p is above 0.05, or too few seeds are left
                   because the others grew without bound
p                  of the hypothesis that the number is at the end of the range, after Holm's correction in the test
A                  growth of a feature in one step with a mask, over that without it
driver             part of the gradient that comes from confusing samples
specialist         neuron that has learned one feature, of the minority (rare) or of the majority (frequent)
placebo            training that differs from the unpruned one as much as pruning does, in another way
""".strip()


def count_lines(rows: Sequence[tuple[str, str]], verdicts: Iterable[str]) -> list[str]:
    """Return a table of how often each verdict was reached.

    Args:
        rows: (name of the row, verdict) of everything that was judged.
        verdicts: the verdicts to count, each a column.
    """
    columns = list(verdicts)
    names = list(dict.fromkeys(name for name, _ in rows))
    width = max(len(name) for name in (*names, "together"))
    lines = [" " * width + "".join(f"  {verdict:>{len(verdict)}}" for verdict in columns)]
    for name in (*names, "together"):
        of_name = [verdict for row, verdict in rows if name in (row, "together")]
        lines.append(f"{name:<{width}}" + "".join(f"  {of_name.count(verdict):>{len(verdict)}}" for verdict in columns))
    return lines


def table_text(numbers: dict[str, Any]) -> str:
    """Return the verdicts counted, a legend, and per statement its rows: verdict, number, interval, seeds, quantity.

    Args:
        numbers: of summary.json.
    """
    tests: dict[str, list[Entry]] = numbers["tests"]
    names = {name: f"{name} {TEST_TITLES[name]}" for name in tests}
    lines = ["How often each verdict was reached, by test:", ""]
    lines += count_lines([(names[name], one["verdict"]) for name, of in tests.items() for one in of], VERDICTS)
    lines += ["", _LEGEND, ""]
    lines.append(f"  {'verdict':<18}{'measured':>9}  {'95 % interval':<20}{'seeds':<7}{'p':<8}{'expected':<16}quantity")
    for name, entries in tests.items():
        lines += ["", names[name]]
        for claim in dict.fromkeys(one["claim"] for one in entries):
            lines.append(f"  {claim}")
            lines += [_row(one) for one in entries if one["claim"] == claim]
    return "\n".join(line.rstrip() for line in lines)


def _row(one: Entry) -> str:
    low, high = (_number(end) for end in one["interval"])
    measured = _number(one["measured"]) if "settings" not in one else f"{one['measured']} of {one['settings']}"
    interval, p_value, expected = f"[{low}, {high}]", p_text(one.get("p_holm")), _expected(one.get("wanted"))
    quantity = one["quantity"] + (f"; the interval is the {one['interval_is']}" if "interval_is" in one else "")
    numbers = f"{measured:>9}  {interval:<20}{one['seeds']:<7}{p_value:<8}{expected:<16}"
    return f"    {one['verdict']:<18}{numbers}{quantity}"


def p_text(p_value: float | None) -> str:
    """Return a p-value with two digits, "<0.001" for a smaller one, "" where nothing is tested."""
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _expected(wanted: Sequence[float | None] | None) -> str:
    """Return the expected range in words; without one the statement is about all of several settings."""
    if wanted is None:
        return "all above 0"
    low, high = wanted
    if low is None or high is None:
        return f"below {high:g}" if high is not None else f"above {low:g}"
    return f"{low:g} to {high:g}"
