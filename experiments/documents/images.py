"""The tables of documents that show the comparison on images."""

from typing import Any

from experiments.cifar.arms import NO_MASK
from experiments.cifar.outcome import METRICS, PROBES

SHOWN = ("all_classes", "few")


def accuracy_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Return heads, and the accuracy of every arm, in percent: the mean over seeds and the range."""
    columns = [(probe, metric) for probe in PROBES for metric in SHOWN]
    head = ["arm", *(f"{PROBES[probe]}: {METRICS[metric]}" for probe, metric in columns)]
    cells = {
        arm: [_range(found[probe][metric]["values"]) for probe, metric in columns]
        for arm, found in numbers["arms"].items()
    }
    return [head, *([arm, *row] for arm, row in cells.items())]


def difference_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Return heads, and the differences of every arm to the run without a mask, in points, with 95 % intervals."""
    columns = [(probe, metric) for probe in PROBES for metric in SHOWN]
    against = [one for one in numbers["contrasts"] if one["second"] == NO_MASK]
    found = {(one["first"], one["probe"], one["metric"]): one for one in against}
    arms = list(dict.fromkeys(first for first, _, _ in found))
    head = ["arm - no mask", *(f"{PROBES[probe]}: {METRICS[metric]}" for probe, metric in columns)]
    return [head, *([arm, *(_points(found[arm, probe, metric]) for probe, metric in columns)] for arm in arms)]


def _range(values: list[float]) -> str:
    mean = sum(values) / len(values)
    return f"{100 * mean:.1f} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def _points(one: dict[str, Any]) -> str:
    text = f"{100 * one['estimate']:+.1f}"
    return text if one["low"] is None else f"{text} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
