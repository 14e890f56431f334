"""What the comparison on images prints."""

from collections.abc import Sequence
from typing import Any

from experiments.cifar.arms import ARMS, MAGNITUDE, NO_MASK
from experiments.cifar.outcome import METRICS, PROBES
from experiments.cifar.published import PUBLISHED
from experiments.cifar.verdict import planned_verdict


def table_text(summary: dict[str, Any]) -> str:
    """Return the accuracies of all arms, and the differences, as text; numbers are percent."""
    lines = ["Accuracy on the test images, in percent: mean over seeds, with the range over seeds", ""]
    head = [f"{name:>14}" for name in METRICS.values()]
    for probe, text in PROBES.items():
        lines.append(f"{'probe with ' + text if probe != 'knn' else text:<28}" + "".join(head))
        for arm, found in summary["arms"].items():
            cells = [_cell(found[probe][metric]["values"]) for metric in METRICS]
            lines.append(f"  {arm:<26}" + "".join(f"{cell:>14}" for cell in cells))
        lines.append("")
    lines += [f"{arm}: {ARMS[arm].text}" for arm in summary["arms"] if arm in ARMS] + [""]
    lines += ["Differences between arms with the same seed, in points, with 95 % intervals", ""]
    lines += [difference_text(one) for one in summary["contrasts"]]
    lines += ["", _lead(summary["above_baselines"])]
    answer = answer_lines(summary)
    return "\n".join([*lines, "", *answer] if answer else lines)


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """Return the planned question, its verdict and the differences from the placebos; [] where it is not answered."""
    found = planned_verdict(summary)
    if found is None:
        return []
    asked = f"The planned question: {difference_text(found.difference).strip()}"
    return [asked, f"  verdict: {found.verdict}", *map(difference_text, found.placebos.values())]


def accuracy_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Return a table for a document, heads first: accuracies of each arm in percent, mean and range over seeds."""
    shown = [("linear", "all_classes"), ("linear", "few"), ("few_shot", "all_classes"), ("few_shot", "few")]
    shown.append(("knn", "all_classes"))
    rows = [["arm", *(f"{PROBES[probe]}, {METRICS[metric]}" for probe, metric in shown)]]
    for arm, found in summary["arms"].items():
        words = ARMS[arm].text if arm in ARMS else arm
        rows.append([words, *(_cell(found[probe][metric]["values"]) for probe, metric in shown)])
    return rows


def accuracy_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line per probe: the accuracies of one encoder on the images of several seeds, in percent."""
    lines = [" " * 28 + "".join(f"{name:>14}" for name in METRICS.values())]
    for probe, text in PROBES.items():
        cells = [_cell([one[probe][metric] for one in found]) for metric in METRICS]
        lines.append(f"{text:<28}" + "".join(f"{cell:>14}" for cell in cells))
    return lines


def _cell(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    half = (max(values) - min(values)) / 2
    return f"{100 * mean:.1f}" if len(values) == 1 else f"{100 * mean:.1f} +-{100 * half:.1f}"


def difference_text(one: dict[str, Any]) -> str:
    """Return a difference in points with its interval, and the smallest one that its seeds could detect."""
    what = f"{one['first']} - {one['second']}, {PROBES[one['probe']]}, {METRICS[one['metric']]}"
    text = f"  {what:<62} {100 * one['estimate']:+.1f}"
    if one["low"] is not None:
        text += f" [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
    if one["detectable"] is not None:
        text += f", could see {100 * one['detectable']:.1f}"
    return text


def in_points(numbers: Any) -> Any:
    """Return accuracies and their differences in points: every number of a nested dictionary or list, times 100."""
    if isinstance(numbers, dict):
        return {name: in_points(one) for name, one in numbers.items() if name not in ("p_value", "level")}
    if isinstance(numbers, list):
        return [in_points(one) for one in numbers]
    return 100 * numbers if isinstance(numbers, float) else numbers


def _lead(above: dict[str, dict[str, float]]) -> str:
    """Return by how much the trained encoders lead."""
    parts = [
        f"{arm}: {100 * lead:+.1f} points to the {baseline}"
        for arm, leads in above.items()
        for baseline, lead in leads.items()
    ]
    return "Smallest lead in any seed, linear probe with all labels: " + "; ".join(parts)


def published_table(summaries: Sequence[dict[str, Any]]) -> str:
    """Return the published accuracies with ours beside them; a cell that was not run is empty.

    Args:
        summaries: committed summaries, of any presets; each says what it ran.
    """
    lines = ["Published accuracy, in percent, and what was run here", ""]
    lines.append(f"{'method':<26}{'images':<10}{'factor':>7}  {'probe':<10}{'published':>14}  {'here':<12} protocol")
    for row in PUBLISHED:
        spread = "" if row.spread is None else f" +-{row.spread:g}"
        ours = _ours(row.images, row.imbalance, row.metric, row.method, summaries)
        cell = f"{row.method:<26}{row.images:<10}{row.imbalance:>7}  {row.metric:<10}{row.value:>9.2f}{spread:<7}"
        lines.append(f"{cell}{ours:<12} {row.source}: {row.protocol}")
    for one in summaries:
        lines += ["", "Here: " + one["about"]]
    return "\n".join(lines)


def _ours(images: str, imbalance: int, metric: str, method: str, summaries: Sequence[dict[str, Any]]) -> str:
    """Return our mean for a published cell, empty if it was not run."""
    arm = MAGNITUDE if method in ("SDCLR", "pruning") else NO_MASK
    probe = "few_shot" if metric == "few-shot" else "linear"
    plain = method in ("SimCLR", "SDCLR", "pruning", "no pruning")
    for one in summaries:
        data = one["long_tail"]
        if plain and (data["images"], data["imbalance"]) == (images, imbalance) and arm in one["arms"]:
            return f"{100 * one['arms'][arm][probe]['all_classes']['mean']:.1f} *"
    return ""
