"""Figures of the comparison on images."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.bridge.measure.plots import CHANNEL_CAPTIONS, channel_stages
from dynsim.plots.parts import panels
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.cifar.arms import MAIN, NO_MASK
from experiments.cifar.outcome import METRICS, PROBES
from experiments.cifar.scenes import VIEWS_CAPTION, views_sheet

ARM_COLOR = {
    "no mask": COLOR["no mask"],
    "magnitude": COLOR["smallest masked"],
    "random, fixed": COLOR["fixed random mask"],
    "random, redrawn": COLOR["redrawn random mask"],
    "largest": COLOR["largest masked"],
}
SHOWN = ("all_classes", "many", "medium", "few")
ACCURACY_CAPTION = (
    "Accuracy of frozen encoders on the test images, one row per arm. Columns: all classes, and the third of the "
    "classes with the most, the middle and the fewest images. Rows of panels: a linear probe with all labels, one with "
    "few labels, and the vote of the nearest neighbours. Small dots are single seeds, large ones their mean. Grey "
    "lines mark the means of raw pixels (dotted) and of the untrained network (dashed) under the same probe."
)
CONTRAST_CAPTION = (
    "What each arm changes against the run without a mask that has the same seed, and so the same images, views and "
    "first weights: difference in accuracy, in points. Large dots are means over seeds, bars 95 % t intervals, small "
    "dots single seeds. The grey bands show differences that these seeds would not have told from zero with 80 % "
    "power, for the scatter of the magnitude arm under the same probe. Left: all classes; right: the third of the "
    "classes with the fewest images."
)


CAPTIONS = {
    "accuracy": ACCURACY_CAPTION,
    "contrasts": CONTRAST_CAPTION,
    "channels": CHANNEL_CAPTIONS["channel_stages"],
    "views": VIEWS_CAPTION,
}


def draw(summary: dict[str, Any], curves: dict[str, Any]) -> dict[str, Figure]:
    """Return the figures by name."""
    main = {arm: curves[arm] for arm in MAIN if arm in curves}
    return {
        "accuracy": accuracy(summary),
        "contrasts": differences(summary),
        "channels": channel_stages(main or curves),
        "views": views_sheet(summary["pretraining"]["views"]),
    }


def _trained(summary: dict[str, Any]) -> list[str]:
    return [arm for arm in summary["arms"] if arm not in ("raw pixels", "untrained network")]


@matplotlib.rc_context(STYLE)
def accuracy(summary: dict[str, Any]) -> Figure:
    """Return accuracies by arm, probe and group of classes."""
    arms = _trained(summary)
    fig, axes = panels(
        len(PROBES), len(SHOWN), (TWO_COLUMNS, 0.9 + len(PROBES) * (0.45 + 0.17 * len(arms))), sharey=True
    )
    for row, (probe, text) in zip(axes, PROBES.items(), strict=True):
        for ax, metric in zip(row, SHOWN, strict=True):
            for place, arm in enumerate(arms):
                _dots(ax, place, summary["arms"][arm][probe][metric]["values"], ARM_COLOR.get(arm, COLOR["perturbed"]))
            for baseline, line in (("raw pixels", ":"), ("untrained network", "--")):
                ax.axvline(100 * summary["arms"][baseline][probe][metric]["mean"], color=COLOR["mark"], ls=line, lw=0.9)
            ax.grid(axis="x", color=COLOR["grid"], lw=0.5)
            ax.set_axisbelow(True)
        row[0].set_yticks(range(len(arms)), arms)
        row[0].set_title(text, loc="left")
        row[0].set_ylim(len(arms) - 0.5, -0.5)
    for ax, metric in zip(axes[-1], SHOWN, strict=True):
        ax.set_xlabel(f"{METRICS[metric]} (%)")
    return fig


def _dots(ax: Axes, place: float, values: list[float], color: str) -> None:
    """Draw single seeds and their mean, in percent."""
    points = 100 * np.array(values)
    ax.plot(points, np.full(len(points), place), ".", color=color, ms=3, alpha=0.6)
    ax.plot(np.mean(points), place, "o", color=color, ms=5)


@matplotlib.rc_context(STYLE)
def differences(summary: dict[str, Any]) -> Figure:
    """Return the differences to the run without a mask."""
    found = [one for one in summary["contrasts"] if one["second"] == NO_MASK]
    arms = list(dict.fromkeys(one["first"] for one in found))
    fig, axes = panels(1, 2, (TWO_COLUMNS, 1.0 + len(arms) * len(PROBES) * 0.17), sharey=True)
    ticks = [(place, arm, probe) for place, (probe, arm) in enumerate((p, a) for p in PROBES for a in arms)]
    for ax, metric in zip(axes[0], ("all_classes", "few"), strict=True):
        rows = {(one["first"], one["probe"]): one for one in found if one["metric"] == metric}
        for place, arm, probe in ticks:
            one = rows[arm, probe]
            color = ARM_COLOR.get(arm, COLOR["perturbed"])
            if arm == "magnitude" and one["detectable"] is not None:
                reach = 100 * one["detectable"]
                ax.fill_betweenx([place - 0.4, place - 0.6 + len(arms)], -reach, reach, color=COLOR["grid"], lw=0)
            if one["low"] is not None:
                ax.plot([100 * one["low"], 100 * one["high"]], [place, place], color=color, lw=1.4)
            _dots(ax, place, one["values"], color)
        ax.axvline(0, color=COLOR["ink"], lw=0.8)
        ax.set_xlabel(f"{METRICS[metric]}: points against {NO_MASK}")
    axes[0, 0].set_yticks([place for place, _, _ in ticks], [f"{arm}, {PROBES[probe]}" for _, arm, probe in ticks])
    axes[0, 0].invert_yaxis()
    return fig
