"""Marks in the figures: stage ends, the switch of the thresholds, the closed form of growth, reference levels.

`curves` is always a Dataset of `analysis.curves.reduce`, and `of_group` a selection of one group of features from it.
T1 is shown for majority and minority features only. What the detector calls T1 of all features together, the doubling
of the squared weight norms, is the event that switches the thresholds on; every figure calls it "thresholds on".
"""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dynsim.analysis.stages import STAGES
from dynsim.plots.parts import CLASS_LINE, GROUP_COLOR, MARK, NOTE, is_drawn
from dynsim.plots.style import COLOR, SMALL_TEXT

THRESHOLDS_ON = "thresholds on"
SEPARATE = 0.08
"""Marks closer than this share of the axis get their labels on two levels."""


def draw_closed_form(ax: Axes, of_group: xr.Dataset, rate: float | None) -> None:
    """Draw exponential growth at `rate` per step, from the initial median of each class to a little beyond T1."""
    steps = of_group["step"].values
    ends = _ends(of_group, "T1")
    if rate is None or ends.size == 0:
        return
    time = np.linspace(0, min(1.3 * float(np.median(ends)), float(steps[-1])), 60)
    for label in CLASS_LINE:
        start = float(of_group["projection"].sel(neuron_class=label, direction="own", quantile=0.5)[0])
        if is_drawn(of_group, label) and np.isfinite(start):
            ax.plot(time, start * np.exp(rate * time), "--", color=COLOR["theory"], lw=0.9, zorder=5)


def stage_lines(ax: Axes, of_group: xr.Dataset, stages: Sequence[str] = STAGES) -> None:
    """Mark the stage ends of one group: median as a vertical line, range over seeds as a band, label above the panel.

    Call it after the limits of the x axis are set. A stage end that was found in fewer than half of the seeds is left
    out, and one that some lack has a broken line.
    """
    previous, level = -math.inf, 0
    for stage in stages:
        ends = _ends(of_group, stage)
        if ends.size == 0:
            continue
        middle = float(np.median(ends))
        ax.axvspan(ends.min(), ends.max(), color=MARK, alpha=0.25, lw=0)
        ax.axvline(middle, color=MARK, lw=0.9, ls="-" if ends.size == _n_runs(of_group) else "-.")
        place = ax.transAxes.inverted().transform(ax.transData.transform((middle, 1.0)))[0]
        level = 1 - level if place - previous < SEPARATE else 0
        previous = place
        height = 1.01 + 0.07 * level
        ax.text(middle, height, stage, NOTE, transform=ax.get_xaxis_transform(), ha="center", va="bottom")


def switch_line(ax: Axes, curves: xr.Dataset, height: float = 0.02) -> None:
    """Mark the step at which the thresholds are switched on (median over seeds) by a labelled dotted line."""
    switched = curves["switch_step"].values[(curves["switch_step"].values > 0) & (curves["diverged_step"].values < 0)]
    if switched.size:
        place = float(np.median(switched))
        ax.axvline(place, color=MARK, lw=1.0, ls=":")
        ax.text(place, height, f"{THRESHOLDS_ON} ", NOTE, transform=ax.get_xaxis_transform(), ha="right")


def moment_name(curves: xr.Dataset, moment: str, step: float) -> str:
    """Return the name of a moment of all features together; T1 is called after the event that it shows (see above)."""
    if moment != "T1":
        return moment
    steps = curves["step"].values
    shown = curves["seed"].values == int(curves["cosine_seed"])  # no seed where all have diverged
    switched = [np.searchsorted(steps, switch) for switch in curves["switch_step"].values[shown] if switch > 0]
    at_switch = math.isfinite(step) and np.searchsorted(steps, step) in switched
    return THRESHOLDS_ON if at_switch else "norms doubled"


def stage_triangles(ax: Axes, curves: xr.Dataset) -> None:
    """Mark the median stage ends by labelled triangles above the panel, one row of them per group.

    As in `stage_lines`, an end that fewer than half of the seeds have is left out; the triangle is open where
    some lack it.
    """
    for row, group in enumerate(("minority", "majority")):
        for stage in STAGES:
            ends = _ends(curves.sel(group=group), stage)
            if ends.size:
                whole = ends.size == _n_runs(curves)
                _triangle(ax, float(np.median(ends)), 1.04 + 0.07 * row, stage, GROUP_COLOR[group], whole=whole)


def triangle_handle(curves: xr.Dataset) -> Artist:
    """Return the legend entry that explains the triangles."""
    ends = [_ends(curves.sel(group=group), stage).size for group in ("minority", "majority") for stage in STAGES]
    label = "median stage end of the group"
    if any(0 < size < _n_runs(curves) for size in ends):
        label += "\n(open: not found in every seed)"
    return Line2D([], [], ls="", marker="v", ms=4, color=COLOR["mark"], label=label)


def _triangle(ax: Axes, step: float, height: float, label: str, color: str, *, whole: bool) -> None:
    """Draw a triangle, filled if `whole`, with a label to its right; `height` 1 is the top of the panel."""
    above = ax.get_xaxis_transform()
    face = color if whole else COLOR["empty"]
    ax.plot(step, height, "v", ms=4, color=color, mfc=face, transform=above, clip_on=False)
    text = ax.annotate(label, (step, height), (4, 0), above, "offset points", annotation_clip=False)
    text.set(fontsize=SMALL_TEXT, color=color, va="center")


def draw_floors(ax: Axes, floors: dict[str, float]) -> None:
    """Draw horizontal reference levels, each with its name and value above it at the left; close labels move apart."""
    bottom, top = ax.get_ylim()
    for value in floors.values():
        bottom, top = min(bottom, value * 0.8 if value > 0 else value), max(top, value * 1.5)
    ax.set_ylim(bottom, top)
    previous = -math.inf
    for label, value in sorted(floors.items(), key=lambda item: item[1]):
        place = ax.transAxes.inverted().transform(ax.transData.transform((0.0, value)))[1]
        previous = max(place, previous + 0.09)
        ax.axhline(value, color=COLOR["theory"], ls=":", lw=0.9)
        text = ax.text(0.01, previous + 0.015, f"{label}: {value:.3g}", NOTE, transform=ax.transAxes, va="bottom")
        text.set_bbox({"facecolor": COLOR["empty"], "edgecolor": "none", "pad": 0.3})


def _ends(of_group: xr.Dataset, stage: str) -> np.ndarray:
    """Return the steps at which a stage ends, shape (found,); none where fewer than half of the seeds have it."""
    values = of_group["stage_end"].sel(stage=stage).values
    found = values[np.isfinite(values)]
    return found if 2 * found.size >= _n_runs(of_group) else found[:0]


def _n_runs(of_group: xr.Dataset) -> int:
    """Return the number of runs that did not diverge."""
    return int(np.sum(of_group["diverged_step"].values < 0))
