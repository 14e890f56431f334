"""The map of regimes in words: how many points help or harm, and by how much where that is confirmed."""

from typing import Any

from dynsim.stats.verdicts import HARMS, HELPS, NOTHING, UNSTABLE, UNTESTED
from experiments.pruning.comparison_table import count_lines
from experiments.pruning.regimes import PRIMARY

_SIDES = {"dense": "dense runs", "random_fixed": "fixed random masks", "random": "random masks drawn anew"}
REGIME_VERDICTS = (HELPS, HARMS, NOTHING, UNSTABLE, UNTESTED)
_LEGEND = f"""
Number: {PRIMARY} at the end, pruned minus dense (unpruned) or minus a placebo with random masks, after as many
steps; mean [95 % interval]. Pruning helps or harms where the intervals against the dense runs and against every placebo
lie on that side of 0. Only what was confirmed, on seeds that the search did not see, is to be quoted.
""".strip()


def table_text(numbers: dict[str, Any]) -> str:
    """Return the verdicts counted, then per reading its noise level and its confirmed points with their intervals.

    Args:
        numbers: of summary.json.
    """
    judged = [
        (reading, one["name"], one["readings"][reading]) for reading in numbers["readings"] for one in numbers["points"]
    ]
    lines = []
    for seeds, title in (("confirmation", "Confirmed on fresh seeds:"), ("search", "Search only, not confirmed:")):
        rows = [(reading, found["verdict"]) for reading, _, found in judged if found["seeds"] == seeds]
        if rows:
            lines += [f"{title} number of points by verdict", "", *count_lines(rows, REGIME_VERDICTS), ""]
    lines += [_LEGEND, ""]
    for reading in numbers["readings"]:
        lines.append(reading)
        if noise := numbers["noise_level"].get(reading):
            words = "at r = 1, where no difference is expected, minority - majority specialists change by"
            lines.append("  {} {:+.1f} [{:+.1f}, {:+.1f}]".format(words, *noise))
        for name, found in ((name, found) for of, name, found in judged if of == reading):
            if found["seeds"] == "confirmation":
                spans = found["confirmation"]["contrasts"]
                texts = [_span_text(side, one) for side, one in spans.items() if "equal steps" in one]
                lines.append(f"  {found['verdict']:<9} {name}: {'; '.join(texts) or 'too few seeds are left'}")
    return "\n".join(lines)


def _span_text(side: str, one: dict[str, Any]) -> str:
    estimate, low, high = one["equal steps"][PRIMARY]
    return f"{estimate:+.1f} [{low:+.1f}, {high:+.1f}] against {_SIDES.get(side, side)}"
