"""Figures of the comparison of losses."""

import itertools
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.plots.parts import lower_legend, panels, plain_log_labels, seed_dots
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.long_tail.methods import ACL, BALANCED, SUP_CON
from experiments.long_tail.outcome import ACCURACY_GROUPS

LOSS_NAMES = {"sup_con": "SupCon", "bcl": "BCL", "acl": "ACL"}
DOT_COLOR = {"all_classes": "all", "many": "majority", "medium": "ordinary neurons", "few": "minority"}
MARKS = "os^vDx+"
CAPTIONS = {
    "methods": (
        "Accuracy on the test images, one row per method. Columns: all classes, and the third of the classes with the "
        "most, the middle and the fewest images. Small dots are single seeds, large ones their mean. All methods but "
        "the one with one view see the same views of the same images, and differ in the loss alone."
    ),
    "by_class": (
        "Accuracy of each class against its number of training images (logarithmic), one panel per method: dots are "
        "means over seeds, in which other classes are rare. The grey line is Balanced Softmax with as many views."
    ),
    "differences": (
        "Differences in accuracy between methods with the same seed, and so the same images, views and first weights, "
        "in points. Large dots are means over seeds, bars 95 % t intervals, small dots single seeds. The grey bands "
        "show differences that these seeds would not have told from zero with 80 % power. Left: all classes; right: "
        "the third with the fewest images."
    ),
    "conflicts": (
        "Share of the positive pairs of a class that a loss pushes apart, against the number of training images of the "
        "class (logarithmic). Columns: the loss under which it is counted, on the same embeddings and batches. Rows: "
        "the method that the network is trained with. Lines: before training (light), at a middle record and at its "
        "end (black). A class that has no two views in a batch has no dot."
    ),
    "geometry": (
        "How the features of images that were not trained on lie at the end of training, by class, against its number "
        "of training images (logarithmic), one line per method, means over seeds. Left: compactness, the mean cosine "
        "of a class's features with their mean. Right: angle between the mean of a class and the nearest other one. "
        "Black: ACL; grey: the others."
    ),
    "projection": (
        "Test images of the two most frequent and the two rarest classes, one panel per method, for the first seed; at "
        "most 50 images of a class. Axes: the first two principal components of the features that are shown, each "
        "scaled to length one; this is not t-SNE. Below: the share of their variance that lies in the plane. "
        "Marks: classes, by their number of training images; blue: frequent; red: rare."
    ),
}


def draw(summary: dict[str, Any], curves: dict[str, Any]) -> dict[str, Figure]:
    """Return the figures by name."""
    del curves
    found = {"methods": method_dots(summary), "by_class": accuracy_by_size(summary), "geometry": geometry(summary)}
    found["conflicts"] = conflicts(summary)
    if summary.get("projections"):
        found["projection"] = head_and_tail(summary)
    return found | ({"differences": method_differences(summary)} if summary["contrasts"] else {})


@matplotlib.rc_context(STYLE)
def method_dots(summary: dict[str, Any]) -> Figure:
    """Return accuracies by method and group of classes."""
    methods = summary["methods"]
    fig, axes = panels(1, len(ACCURACY_GROUPS), (TWO_COLUMNS, 0.9 + 0.2 * len(methods)), sharey=True)
    for ax, (metric, text) in zip(axes[0], ACCURACY_GROUPS.items(), strict=True):
        for place, found in enumerate(methods.values()):
            seed_dots(ax, place, found[metric]["values"], COLOR[DOT_COLOR[metric]])
        ax.grid(axis="x", color=COLOR["grid"], lw=0.5)
        ax.set_axisbelow(True)
        ax.set_xlabel(f"{text} (%)")
    axes[0, 0].set_yticks(range(len(methods)), list(methods))
    axes[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    return fig


@matplotlib.rc_context(STYLE)
def accuracy_by_size(summary: dict[str, Any]) -> Figure:
    """Return the accuracy of each class against its size, a panel per method."""
    found = summary["by_class"]
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    fig, axes = panels(rows, columns, (TWO_COLUMNS, 0.5 + 1.5 * rows), sharex=True, sharey=True)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    for place, (ax, (name, one)) in enumerate(zip(axes.flat, found.items(), strict=False)):
        if BALANCED in found:
            other = found[BALANCED]
            ax.plot(other["counts"], 100 * np.array(other["mean"]), color=COLOR["mark"], lw=0.9)
        ax.plot(one["counts"], 100 * np.array(one["mean"]), "o", color=COLOR["ink"], ms=3)
        ax.set_title(name.replace(", ", ",\n"), loc="left")
        below = place + columns >= len(found)  # no panel is below it
        _size_axis(ax, "training images" if below else "", few=True)
        ax.tick_params(labelbottom=below)
    for row in axes:
        row[0].set_ylabel("accuracy (%)")
    return fig


def _size_axis(ax: Axes, label: str = "training images of the class", few: bool = False) -> None:
    """Scale the x axis for class sizes; few: label few of them, in a narrow panel."""
    ax.set_xscale("log")
    plain_log_labels(ax.xaxis, (5,) if few else (1, 2, 5))
    ax.set_xlabel(label)


@matplotlib.rc_context(STYLE)
def method_differences(summary: dict[str, Any]) -> Figure:
    """Return the differences between methods."""
    pairs = list(dict.fromkeys((one["first"], one["second"]) for one in summary["contrasts"]))
    fig, axes = panels(1, 2, (TWO_COLUMNS, 1.0 + 0.22 * len(pairs)), sharey=True)
    for ax, metric in zip(axes[0], ("all_classes", "few"), strict=True):
        for one in summary["contrasts"]:
            if one["metric"] != metric:
                continue
            place = pairs.index((one["first"], one["second"]))
            if one["detectable"] is not None:
                reach = 100 * one["detectable"]
                ax.fill_betweenx([place - 0.4, place + 0.4], -reach, reach, color=COLOR["grid"], lw=0)
            if one["low"] is not None:
                ax.plot([100 * one["low"], 100 * one["high"]], [place, place], color=COLOR["ink"], lw=1.4)
            seed_dots(ax, place, one["values"], COLOR["ink"])
        ax.axvline(0, color=COLOR["ink"], lw=0.8)
        ax.set_xlabel(f"{ACCURACY_GROUPS[metric]}: difference in points")
    axes[0, 0].set_yticks(range(len(pairs)), [f"{first} - {second}" for first, second in pairs])
    axes[0, 0].invert_yaxis()
    return fig


@matplotlib.rc_context(STYLE)
def conflicts(summary: dict[str, Any]) -> Figure:
    """Return the share of repelling positive pairs by class size."""
    claims = summary["claims"]
    shown = [name for name in (SUP_CON, ACL) if name in claims] or list(claims)[:1]
    losses = claims[shown[0]]["losses"]
    fig, axes = panels(len(shown), len(losses), (TWO_COLUMNS, 0.6 + 1.6 * len(shown)), sharex=True, sharey=True)
    for row, name in zip(axes, shown, strict=True):
        last, found = name == shown[-1], claims[name]
        ratio = 100 * np.array(found["conflict_ratio"], np.float64)
        records = dict.fromkeys((0, len(found["epochs"]) // 2, len(found["epochs"]) - 1))
        for ax, loss, place in zip(row, losses, range(len(losses)), strict=True):
            for record, color in zip(records, ("grid", "mark", "ink"), strict=False):
                label = f"epoch {found['epochs'][record]}"
                ax.plot(found["counts"], ratio[record, place], "o-", color=COLOR[color], ms=3, lw=0.9, label=label)
            _size_axis(ax, "training images of the class" if last else "", few=True)
            ax.set_title(f"{LOSS_NAMES[loss]}, trained with {name}", loc="left")
        row[0].set_ylabel("repelling pairs (%)")
    axes[0, 0].legend()
    return fig


@matplotlib.rc_context(STYLE)
def geometry(summary: dict[str, Any]) -> Figure:
    """Return compactness and margin by class size."""
    fig, axes = panels(1, 2, (TWO_COLUMNS, 2.8), sharex=True)
    texts = {"compactness": "compactness (cosine)", "margin": "angle to the nearest class (degrees)"}
    for ax, (name, text) in zip(axes[0], texts.items(), strict=True):
        for (method, found), mark in zip(summary["claims"].items(), itertools.cycle(MARKS)):
            values = np.array(found[name][-1], np.float64)
            color = COLOR["ink" if method == ACL else "mark"]
            ax.plot(found["counts"], values, f"{mark}-", color=color, ms=3, lw=0.8, label=method)
        _size_axis(ax)
        ax.set_ylabel(text)
    lower_legend(fig, axes[0, 0].get_legend_handles_labels()[0], 4)
    return fig


@matplotlib.rc_context(STYLE)
def head_and_tail(summary: dict[str, Any]) -> Figure:
    """Return the plane of the two first principal components of some frequent and rare classes, a panel per method."""
    found = summary["projections"]
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    fig, axes = panels(rows, columns, (TWO_COLUMNS, 0.7 + 1.7 * rows))
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    for ax, (name, one) in zip(axes.flat, found.items(), strict=False):
        for place, (count, points, mark) in enumerate(zip(one["counts"], one["points"], MARKS, strict=False)):
            color = COLOR["majority" if 2 * place < len(one["counts"]) else "minority"]
            across, up = np.array(points, np.float64).T
            ax.plot(across, up, mark, color=color, ms=2.5, alpha=0.7, mew=0, label=f"{count} training images")
        ax.set_title(name, loc="left")
        ax.set_xlabel(f"{100 * sum(one['variance']):.0f} % of the variance")
        ax.set_xticks([])
        ax.set_yticks([])
    lower_legend(fig, axes[0, 0].get_legend_handles_labels()[0], 4)
    return fig
