"""What the comparison of losses prints."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dynsim.bridge.data.groups import groups_by_size
from dynsim.bridge.options.labels import VIEWS_BY_SIZE
from dynsim.stats.texts import in_points, percent_and_range, points_text
from experiments.long_tail.outcome import ACCURACY_GROUPS, mask_verdicts, part_verdicts
from experiments.long_tail.published import PUBLISHED_ACCURACIES
from experiments.long_tail.variants import KNOWN_METHODS


def table_text(summary: dict[str, Any]) -> str:
    """Return the accuracies of all methods, the differences and what was measured, as text; accuracies are percent."""
    lines = ["Accuracy on the test images, in percent: mean over seeds, with half the range over seeds", ""]
    width = _width(summary["methods"])
    lines.append(" " * (width + 2) + "".join(f"{name:>14}" for name in ACCURACY_GROUPS.values()))
    for name, found in summary["methods"].items():
        cells = [percent_and_range(found[metric]["values"]) for metric in ACCURACY_GROUPS]
        lines.append(f"  {name:<{width}}" + "".join(f"{cell:>14}" for cell in cells))
    lines += ["", *(f"{name}: {KNOWN_METHODS[name].text}" for name in summary["methods"]), ""]
    lines += ["Differences between methods with the same seed, in points, with 95 % intervals", ""]
    lines += [_contrast_line(one) for one in summary["contrasts"]]
    if summary["verdict"]:
        lines += ["", f"By the plan's rules, ACL: {summary['verdict']}"]
    for loss, words in mask_verdicts(summary["contrasts"]).items():
        lines += ["", f"By the rules for masks, {loss}, smallest against random: {words['all_classes']}"]
        lines[-1] += f" (Few: {words['few']})" if "few" in words else ""
    for loss, by_method in part_verdicts(summary["contrasts"]).items():
        lines += ["", f"By the rules for parts, what the parts that are left out do for {loss}:"]
        for name, words in by_method.items():
            lines.append(f"  {name}: {words['all_classes']}" + (f" (Few: {words['few']})" if "few" in words else ""))
    return "\n".join([*lines, "", *_claim_lines(summary["claims"])])


def _width(methods: Iterable[str]) -> int:
    """Return the width of the column of names."""
    return max(26, *(len(name) for name in methods))


def _contrast_line(one: dict[str, Any]) -> str:
    what = f"{one['first']} - {one['second']}, {ACCURACY_GROUPS[one['metric']]}"
    return f"  {what:<52} {points_text(one)}"


def _claim_lines(claims: dict[str, Any]) -> list[str]:
    """Return what was measured at the end: conflicts in the most frequent and the rarest class, and geometry."""
    lines = [
        "At the end of training, mean over seeds: share of positive pairs that repel each other under each loss, in"
    ]
    lines += ["the most frequent / the rarest class that has pairs; compactness; angle to the nearest class", ""]
    some, width = next(iter(claims.values())), _width(claims)
    lines.append(
        f"  {'trained with':<{width}}" + "".join(f"{name:>16}" for name in (*some["losses"], "compact", "angle"))
    )
    for name, found in claims.items():
        cells = []
        for place in range(len(found["losses"])):
            ends = end_ratios(found, place)
            cells.append(f"{100 * ends[0]:.0f} % / {100 * ends[1]:.0f} %" if ends else "")
        cells += [f"{found['mean_compactness']:.2f}", f"{found['mean_margin']:.0f}"]
        lines.append(f"  {name:<{width}}" + "".join(f"{cell:>16}" for cell in cells))
    return lines


def quoted_losses(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what documents quote of a summary, accuracies in percent and differences in points.

    Keys: `verdict`; `difference`, {first: {second: {metric: report}}}; `rows`, the table of accuracies, heads first;
    `published`, that of published accuracies with ours beside them; `conflicts`, {trained with: {measured under:
    [largest ratio, images of the class that has it, ratio of the rarest class]}} at the end; `about`, what was run;
    `views`, how many views classes have; `masks` and `parts`, the verdicts on them (`outcome.mask_verdicts`,
    `outcome.part_verdicts`); `compactness`, the mean over classes at the end by method.
    """
    difference: dict[str, Any] = {}
    for one in summary["contrasts"]:
        difference.setdefault(one["first"], {}).setdefault(one["second"], {})[one["metric"]] = in_points(one)
    rows = [["trained with", *ACCURACY_GROUPS.values(), "what it is"]]
    for name, found in summary["methods"].items():
        cells = [percent_and_range(found[metric]["values"]) for metric in ACCURACY_GROUPS]
        rows.append([name, *cells, KNOWN_METHODS[name].text])
    conflicts = {
        name: {loss: _most_conflicts(found, place) for place, loss in enumerate(found["losses"])}
        for name, found in summary["claims"].items()
    }
    return {
        "verdict": summary["verdict"],
        "difference": difference,
        "rows": rows,
        "published": published_rows([summary]),
        "conflicts": conflicts,
        "about": summary["about"],
        "views": _views_text(summary),
        "masks": mask_verdicts(summary["contrasts"]),
        "parts": part_verdicts(summary["contrasts"]),
        "compactness": {name: found["mean_compactness"] for name, found in summary["claims"].items()},
    }


def _most_conflicts(claims: dict[str, Any], place: int) -> list[float]:
    """Return the largest conflict ratio at the end, the images of the class that has it, and the rarest one's ratio."""
    pairs = zip(claims["conflict_ratio"][-1][place], claims["counts"], strict=True)
    known = [(ratio, count) for ratio, count in pairs if ratio is not None]
    return [*max(known), known[-1][0]] if known else []


def _views_text(summary: dict[str, Any]) -> str:
    """Return how many views the images of how many classes have."""
    training, counts = summary["training"], next(iter(summary["by_class"].values()))["counts"]
    if training["view_counts"] == "uniform":
        return f"{len(training['views'])} of each image"
    each = Counter(VIEWS_BY_SIZE[group] for group in groups_by_size(np.array(counts)))
    return ", ".join(f"{views} of each image of {number} classes" for views, number in sorted(each.items()))


def end_ratios(claims: dict[str, Any], place: int) -> list[float]:
    """Return the conflict ratio at the end of training in the most frequent and the rarest class that has pairs."""
    known = [one for one in claims["conflict_ratio"][-1][place] if one is not None]
    return [known[0], known[-1]] if known else []


def published_rows(summaries: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a table for a document: published accuracies in percent, ours beside them, and how the two differ."""
    rows = [["method", "images", "imbalance", "published", "here", "protocol of the published number"]]
    for row in PUBLISHED_ACCURACIES:
        own = _own_cell(row.images, row.imbalance, row.ours, summaries).rstrip(" *")
        cells = [row.method, row.images, f"{row.imbalance}", f"{row.value:.1f}", own, f"{row.source}: {row.protocol}"]
        rows.append(cells)
    return rows


def published_losses(summaries: Sequence[dict[str, Any]]) -> str:
    """Return the published accuracies with ours beside them; a cell that was not run is empty.

    Args:
        summaries: committed summaries, of any presets; each says what it ran.
    """
    lines = ["Published accuracy, in percent, and what was run here", ""]
    lines.append(f"{'method':<26}{'images':<10}{'factor':>7}{'published':>11}  {'here':<8} protocol")
    for row in PUBLISHED_ACCURACIES:
        cell = f"{row.method:<26}{row.images:<10}{row.imbalance:>7}{row.value:>11.1f}"
        lines.append(
            f"{cell}  {_own_cell(row.images, row.imbalance, row.ours, summaries):<8} {row.source}: {row.protocol}"
        )
    for one in summaries:
        lines += ["", "Here: " + one["about"], *_unpublished(one)]
    return "\n".join(lines)


def _own_cell(images: str, imbalance: int, method: str | None, summaries: Sequence[dict[str, Any]]) -> str:
    """Return our mean for a published cell, empty if it was not run."""
    for one in summaries:
        data = one["long_tail"]
        if (data["images"], data["imbalance"]) == (images, imbalance) and method in one["methods"]:
            return f"{100 * one['methods'][method]['all_classes']['mean']:.1f} *"
    return ""


def _unpublished(summary: dict[str, Any]) -> list[str]:
    """Return a line per method that was run here, for which there may be no published number."""
    return [
        f"  {name:<26}{100 * found['all_classes']['mean']:>8.1f}  (few: {100 * found['few']['mean']:.1f})"
        for name, found in summary["methods"].items()
    ]
