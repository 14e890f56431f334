"""Figures of the comparison on images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from dynsim.bridge.measure.plots import CHANNEL_CAPTIONS, channel_measures, channel_stages
from dynsim.plots.parts import panels, seed_dots
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.cifar.arms import MAIN, NO_MASK, share_and_norms
from experiments.cifar.outcome import METRICS, PROBES
from experiments.cifar.scenes import VIEWS_CAPTION, views_sheet

if TYPE_CHECKING:
    import xarray as xr

SIMULATED = Path(__file__).resolve().parents[2] / "figures" / "data" / "stage_tracking.nc"
"""Curves of the simulation whose stages stand above those of the networks; not part of an installed package."""
MOST_LINES = 4  # that a panel can tell apart
ARM_COLOR = {
    "no mask": COLOR["no mask"],
    "magnitude": COLOR["smallest masked"],
    "random, fixed": COLOR["fixed random mask"],
    "random, redrawn": COLOR["redrawn random mask"],
    "largest": COLOR["largest masked"],
}
NORM_LINES = {"own norms": "-", "shared norms": "--"}
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
SHARES_CAPTION = (
    "Accuracy of the frozen encoder without its mask against the share of weights that was masked in training. Solid: "
    "the masked network has batch norms of its own; dashed: it shares them with the dense one. Rows: a linear probe "
    "with all labels, one with few labels, and the vote of the nearest neighbours. Left: all classes; right: the third "
    "of the classes with the fewest images. Dots are single seeds, lines their mean."
)

CAPTIONS = {
    "accuracy": ACCURACY_CAPTION,
    "contrasts": CONTRAST_CAPTION,
    "channels": CHANNEL_CAPTIONS["channel_stages"],
    "measures": CHANNEL_CAPTIONS["channel_measures"],
    "shares": SHARES_CAPTION,
    "views": VIEWS_CAPTION,
}


def draw(summary: dict[str, Any], curves: dict[str, Any]) -> dict[str, Figure]:
    """Return the figures by name."""
    main = {arm: curves[arm] for arm in MAIN if arm in curves}
    shown = main or dict(list(curves.items())[:MOST_LINES])
    figures = {"accuracy": accuracy(summary)}
    if any(one["second"] == NO_MASK for one in summary["contrasts"]):
        figures["contrasts"] = differences(summary)
    if any(share_and_norms(arm) for arm in summary["arms"]):
        figures["shares"] = by_share(summary)
    figures |= {"channels": channel_stages(shown, _simulated()), "measures": channel_measures(shown)}
    return figures | {"views": views_sheet(summary["pretraining"]["views"])}


def _simulated() -> "xr.Dataset | None":
    """Return the curves of the committed simulation, None where there are none."""
    from dynsim import results

    return results.load_many(SIMULATED)["main"] if SIMULATED.is_file() else None


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
                seed_dots(
                    ax, place, summary["arms"][arm][probe][metric]["values"], ARM_COLOR.get(arm, COLOR["perturbed"])
                )
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
            seed_dots(ax, place, one["values"], color)
        ax.axvline(0, color=COLOR["ink"], lw=0.8)
        ax.set_xlabel(f"{METRICS[metric]}: points against {NO_MASK}")
    axes[0, 0].set_yticks([place for place, _, _ in ticks], [f"{arm}, {PROBES[probe]}" for _, arm, probe in ticks])
    axes[0, 0].invert_yaxis()
    return fig


@matplotlib.rc_context(STYLE)
def by_share(summary: dict[str, Any]) -> Figure:
    """Return accuracies against the masked share, with own and with shared batch norms."""
    arms = {arm: found for arm in summary["arms"] if (found := share_and_norms(arm)) is not None}
    fig, axes = panels(len(PROBES), 2, (TWO_COLUMNS, 0.6 + 1.6 * len(PROBES)))
    for row, (probe, text) in zip(axes, PROBES.items(), strict=True):
        for ax, metric in zip(row, ("all_classes", "few"), strict=True):
            for norms, line in NORM_LINES.items():
                of_share = {arms[arm][0]: summary["arms"][arm][probe][metric] for arm in arms if arms[arm][1] == norms}
                shares = sorted(of_share)
                for share in shares:
                    values = 100 * np.array(of_share[share]["values"])
                    ax.plot(np.full(len(values), share), values, ".", color=COLOR["smallest masked"], ms=3, alpha=0.6)
                means = [100 * of_share[share]["mean"] for share in shares]
                ax.plot(shares, means, line, color=COLOR["smallest masked"], lw=1.2, label=norms)
            ax.set(xlabel="masked share of the weights", ylabel=f"{METRICS[metric]} (%)")
        row[0].set_title(text, loc="left")
    axes[0, 0].legend()
    return fig
