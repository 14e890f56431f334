"""Shares over seeds as text, in percent, and their paired differences, in points."""

from collections.abc import Mapping, Sequence
from typing import Any


def percent_and_range(values: Sequence[float]) -> str:
    """Return the mean of shares, one per seed, with half their range: "47.6 +-0.3"; of a single one, its value."""
    mean, half = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{100 * mean:.1f}" if len(values) == 1 else f"{100 * mean:.1f} +-{100 * half:.1f}"


def points_text(report: Mapping[str, Any]) -> str:
    """Return a difference of `power.paired_report` as "-2.6 [-7.6, 2.3], could see 6.5"; what is None is left out."""
    text = f"{100 * report['estimate']:+.1f}"
    if report["low"] is not None:
        text += f" [{100 * report['low']:.1f}, {100 * report['high']:.1f}]"
    if report["detectable"] is not None:
        text += f", could see {100 * report['detectable']:.1f}"
    return text


def in_points(numbers: Any) -> Any:
    """Return accuracies and their differences in points: every number of a nested dictionary or list, times 100."""
    if isinstance(numbers, dict):
        return {name: in_points(one) for name, one in numbers.items() if name not in ("p_value", "level")}
    if isinstance(numbers, list):
        return [in_points(one) for one in numbers]
    return 100 * numbers if isinstance(numbers, float) else numbers
