"""The answer in one picture, and in another which features neurons still respond to."""

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from dynsim.stats import verdicts
from experiments.pruning.arms import FADING, KAPPA, LAMBDA, ORACLE, UNMASKED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    verdicts.HELPS_BEYOND: "#0072B2",
    verdicts.HELPS_ALIKE: "#56B4E9",
    verdicts.HELPS_UNDECIDED: "#56B4E9",
    verdicts.HARMS: "#D55E00",
}
GREY = "#8c8c8c"
LINES = ("#222222", "#D55E00", "#CC79A7", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#999933", "#882255", "#88CCEE")
KIND_MARKERS = {"lowest": "o", "fixed random": "s", "redrawn random": "D"}
KIND_WORDS = {
    "lowest": "smallest weights masked",
    "fixed random": "as many at random",
    "redrawn random": "at random, anew each step",
}
CAPTIONS = {
    "answer": (
        "Share of the minority features that end with at least one specialist neuron, for every way to read the "
        "pruning algorithm (rows) and three noise levels (columns), each at a frequency ratio r at which training "
        "without a mask (dashed line) leaves some of them out. Filled circles mask the smallest weights and are "
        "coloured by verdict; squares and diamonds mask as many at random; triangles perturb training without a mask. "
        "Bars are 95 % intervals over seeds; faint marks had not settled when training ended and enter no verdict."
    ),
    "mechanism": (
        "All panels but the last: share of the minority features to which some neuron responds, that is with a "
        "projection above its threshold. Thresholds come on after a few steps; from then on nothing pulls a neuron "
        "towards a feature that none responds to, unless noise lifts it. Last panel: share of the masked weights that "
        "were masked at the start too, where the smallest are masked on one branch; chance is 60 % (dotted)."
    ),
}


def answer(numbers: dict[str, Any]) -> "Figure":
    """Return the figure of coverage by reading and noise, each reading beside its placebos."""
    points = numbers["points"]
    readings = list(dict.fromkeys(row["reading"] for row in numbers["verdicts"]))
    others = [FADING, KAPPA, LAMBDA, ORACLE]
    rows = readings + others
    figure, axes = plt.subplots(
        1, len(points), figsize=(4.2 * len(points) + 2.2, 0.42 * len(rows) + 1.9), sharey=True, squeeze=False
    )
    for ax, point in zip(axes[0], points, strict=True):
        _panel(ax, numbers, point, rows)
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].set_ylim(len(rows) - 0.4, -0.6)
    _legend(figure)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    return figure


def _panel(ax: "Axes", numbers: dict[str, Any], point: dict[str, Any], rows: list[str]) -> None:
    here = [arm for arm in numbers["arms"] if (arm["noise"], arm["ratio"]) == (point["noise"], point["ratio"])]
    words = {
        row["reading"]: row["verdict"]
        for row in numbers["verdicts"]
        if (row["noise"], row["ratio"]) == (point["noise"], point["ratio"])
    }
    base = next(arm for arm in here if arm["reading"] == UNMASKED)["ends"]["minority coverage"]
    ax.axvline(base["estimate"], color="black", linestyle="--", linewidth=1)
    if base["low"] is not None:
        ax.axvspan(base["low"], base["high"], color="black", alpha=0.08, linewidth=0)
    for arm in here:
        if arm["reading"] not in rows or arm["released"]:
            continue
        if arm["kind"] == UNMASKED and arm["reading"] not in (FADING, KAPPA, LAMBDA, ORACLE):
            _mark(ax, arm, rows.index(arm["reading"]), "|", "black", 0.0)
            continue
        kind = arm["kind"] if arm["kind"] in KIND_MARKERS else UNMASKED
        colour = COLOURS.get(words.get(arm["reading"], ""), GREY) if kind == "lowest" else GREY
        shift = {"lowest": -0.17, "fixed random": 0.08, "redrawn random": 0.27}.get(kind, 0.0)
        _mark(ax, arm, rows.index(arm["reading"]), KIND_MARKERS.get(kind, "^"), colour, shift, filled=kind == "lowest")
    ax.axhline(len(rows) - 4.5, color=GREY, linewidth=0.6)
    rate = point["false_firing_rate"]
    ax.set_title(f"noise fires a neuron on {rate:.0%} of tokens\nr = {point['ratio']:g}", fontsize=10)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xlabel("minority features with a specialist")
    ax.grid(axis="x", alpha=0.3)


def _mark(
    ax: "Axes", arm: dict[str, Any], row: int, marker: str, colour: str, shift: float, *, filled: bool = True
) -> None:
    end = arm["ends"]["minority coverage"]
    if end["estimate"] is None:
        return
    alpha = 1.0 if arm["settled"] else 0.3
    if end["low"] is not None:
        ax.plot([end["low"], end["high"]], [row + shift] * 2, color=colour, alpha=alpha, linewidth=1.2, zorder=2)
    face = colour if filled else "white"
    ax.plot(
        [end["estimate"]],
        [row + shift],
        marker,
        color=colour,
        markerfacecolor=face,
        alpha=alpha,
        markersize=5,
        zorder=3,
    )


def _legend(figure: "Figure") -> None:
    from matplotlib.lines import Line2D

    def entry(marker: str, colour: str, label: str, *, filled: bool = True) -> Line2D:
        face = colour if filled else "white"
        return Line2D([], [], marker=marker, color=colour, markerfacecolor=face, linestyle="none", label=label)

    handles = [
        entry("o", COLOURS[verdicts.HELPS_BEYOND], "smallest masked: helps beyond every placebo"),
        entry("o", COLOURS[verdicts.HELPS_ALIKE], "smallest masked: helps no more than a placebo, or undecided"),
        entry("o", COLOURS[verdicts.HARMS], "smallest masked: harms"),
        entry("o", GREY, "smallest masked: no verdict, or no difference"),
        entry("s", GREY, KIND_WORDS["fixed random"], filled=False),
        entry("D", GREY, KIND_WORDS["redrawn random"], filled=False),
        entry("^", GREY, "no mask", filled=False),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, fontsize=8, frameon=False)


def mechanism(numbers: dict[str, Any]) -> "Figure":
    """Return the figure of features that neurons respond to, and of how much of the mask stays what it was."""
    points = numbers["points"]
    here = {(point["noise"], point["ratio"]) for point in points}
    curves = [row for row in numbers["curves"] if (row["noise"], row["ratio"]) in here and not row["released"]]
    figure, axes = plt.subplots(1, len(points) + 1, figsize=(3.6 * (len(points) + 1), 4.0), squeeze=False)
    labels = list(dict.fromkeys(row["label"] for row in curves))
    colours = dict(zip(labels, LINES, strict=False))
    for ax, point in zip(axes[0], points, strict=False):
        for row in curves:
            if (row["noise"], row["ratio"]) == (point["noise"], point["ratio"]):
                ax.plot(row["steps"], row["responded"], color=colours[row["label"]], label=row["label"], linewidth=1.6)
        ax.set_title(f"noise fires on {point['false_firing_rate']:.0%} of tokens, r = {point['ratio']:g}", fontsize=9)
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(left=0)
        ax.set_ylim(0, 1.03)
        ax.set_xlabel("step")
    axes[0][0].set_ylabel("minority features responded to")
    handles, words = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, words, loc="lower center", ncols=5, fontsize=8, frameon=False)
    ax = axes[0][-1]
    for row in curves:
        if row["overlap"]:
            style = {"none": "-", "1 percent": "--"}.get(row["noise"], ":")
            ax.plot(
                row["steps"],
                row["overlap"],
                style,
                color=colours[row["label"]],
                label=f"{row['label']}, noise {row['noise']}",
            )
    ax.axhline(0.6, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("step")
    ax.set_ylabel("of the mask, masked at the start too")
    ax.legend(fontsize=7)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return figure
