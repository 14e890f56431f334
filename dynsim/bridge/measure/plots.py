"""Figures of channels as neurons, to stand beside those of the simulation (`plots.stages`).

`arms` maps the title of each kind of training, such as "unpruned" and "pruned", to its curves
(`curves.channel_curves`). Colours are those of the simulation's figures: classes of the group many as majority, of few
as minority features.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynsim.bridge.data import DataError
from dynsim.plots import parts
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS

AS_IN_THEORY = {"many": "majority", "few": "minority", "all": "all"}
"""{group of classes: group of features with its place in the theory}; medium classes have none."""
LINES = ("-", "--", ":", "-.")
"""Line of each arm, where arms share a panel."""

STAGE_PANELS = ("specialists", "coverage", "silent")
CHANNEL_LABELS = ("specialists", "share of classes covered", "share of dead channels")
NEURON_LABELS = ("specialists", "share of features covered", "share of inactive neurons")
SIMULATION = "simulation"
STAGE_MARKERS = {"T1": "^", "T2": "v", "T3": "D"}
MEASURE_PANELS = {
    "purity": "median purity",
    "class_share": "class share of variance",
    "readable": "readable share",
    "separation": "separation",
    "effective_rank": "effective rank",
    "dead": "dead channels",
}

CHANNEL_CAPTIONS = {
    "channel_stages": (
        "The counts of the theory's simulation on a network: channels of the last layer as neurons, classes as "
        "features, the images of a class in training as its frequency. Rows are kinds of training. Left: channels "
        "that are specialists for a class with many or few images, beside what as many random mixtures of the "
        "channels have (dotted, mean of 19 sets); middle: share of these classes that have at least one; right: "
        "channels that are zero on all images. Lines are medians and bands the range over seeds; signs above the "
        "panels mark the stage ends T1, T2 and T3 of a group (open: not found in every seed), where they were found "
        "in half of the seeds or more. A row of the simulation shows majority and minority features against training "
        "steps, and inactive neurons."
    ),
    "channel_measures": (
        "Purity of the informed channels; the share of a channel's variance that lies between the classes of a group, "
        "mean over channels; the share of a class that a linear read-out explains (grey: with permuted labels), the "
        "distance of a class from the mean over its own spread, the number of directions that the responses fill, and "
        "the share of channels that are zero on all images, against epochs. Colours are groups of classes, lines are "
        "kinds of training; medians, and the range over seeds as bands."
    ),
}


def _theory_groups(curves: xr.Dataset) -> xr.Dataset:
    """Return curves of channels with the group names and the axis of a simulation's curves."""
    kept = curves.sel(group=list(AS_IN_THEORY))
    named = kept.assign_coords(group=[AS_IN_THEORY[str(name)] for name in kept["group"].values])
    return named.assign_coords(step=("record", kept["epoch"].values)).assign(silent=kept["dead"])


@matplotlib.rc_context(STYLE)
def channel_stages(arms: Mapping[str, xr.Dataset], synthetic: xr.Dataset | None = None) -> Figure:
    """Draw specialists, coverage and dead channels against epochs, a row per arm, and above them the same of neurons.

    Args:
        arms: {title: curves of channels}.
        synthetic: curves of a simulation (`analysis.curves.reduce`), which become the first row.

    Errors: `DataError` for no arm.
    """
    if not arms:
        raise DataError("arms: wanted the curves of at least one training, got none; measure one first")
    rows = {} if synthetic is None else {SIMULATION: _with_silent(synthetic)}
    rows |= {title: _theory_groups(curves) for title, curves in arms.items()}
    fig, axes = parts.panels(len(rows), len(STAGE_PANELS), (TWO_COLUMNS, 0.5 + 1.75 * len(rows)))
    for row, (title, curves) in zip(axes, rows.items(), strict=True):
        simulated = synthetic is not None and title == SIMULATION
        labels = NEURON_LABELS if simulated else CHANNEL_LABELS
        for ax, name, label in zip(row, STAGE_PANELS, labels, strict=True):
            _stage_panel(ax, curves, name)
            ax.set(xlabel="training step" if simulated else "epoch", ylabel=label)
        row[0].set_ylabel(f"{title}\n{labels[0]}")
    first = next(iter(arms.values()))
    handles = _group_handles(first)
    handles.append(Line2D([], [], color=COLOR["mark"], ls=":", label="random mixtures of the channels"))
    look: dict[str, Any] = {"ls": "", "ms": 4, "color": COLOR["mark"]}
    handles += [Line2D([], [], marker=one, label=f"{stage} (median)", **look) for stage, one in STAGE_MARKERS.items()]
    parts.lower_legend(fig, handles, 3)
    return fig


def _with_silent(synthetic: xr.Dataset) -> xr.Dataset:
    return synthetic.assign(silent=synthetic["inactive"] / synthetic.sizes["neuron"])


def _stage_panel(ax: Axes, curves: xr.Dataset, name: str) -> None:
    steps = curves["step"].values
    parts.step_axis(ax, steps)
    if name == "silent":
        values = parts.over_seeds(curves[name])
        parts.band(ax, steps, values, COLOR["silent neurons"], "all")
        top = max(0.1, 1.1 * float(np.nanmax([*values[2], 0.0])))
        ax.set_ylim(-0.04 * top, top)
        _note_none(ax, curves[name])
        return
    parts.draw_groups(ax, curves, name)
    _stage_marks(ax, curves)
    _note_none(ax, curves[name].sel(group=["majority", "minority"]))
    if name == "coverage":
        ax.set_ylim(-0.04, 1.04)
        return
    for group in ("majority", "minority"):
        if "mixed_specialists" in curves:
            by_chance = parts.over_seeds(curves["mixed_specialists"].sel(group=group))[1]
            ax.plot(steps, by_chance, ":", color=COLOR[group], lw=0.9)
    top = max(1.0, ax.get_ylim()[1])
    ax.set_ylim(-0.04 * top, top)


def _note_none(ax: Axes, *counted: xr.DataArray) -> None:
    """Say in an empty panel that nothing was there to count, lest it look unfinished."""
    if not any(np.nan_to_num(values.values).any() for values in counted):
        ax.text(0.5, 0.5, "none in any seed", ha="center", va="center", transform=ax.transAxes, **parts.NOTE)


def _stage_marks(ax: Axes, curves: xr.Dataset) -> None:
    """Mark the median stage ends above the panel, a row per group; open where some seeds lack the end.

    An end that fewer than half of the seeds have is left out, as in `plots.marks.stage_triangles`, whose labels would
    lie on one another in panels as small as these.
    """
    n_runs = int(np.sum(curves["diverged_step"].values < 0))
    above = ax.get_xaxis_transform()
    for row, group in enumerate(("minority", "majority")):
        color = COLOR[group]
        for stage, marker in STAGE_MARKERS.items():
            ends = curves["stage_end"].sel(group=group, stage=stage).values
            ends = ends[np.isfinite(ends)]
            if ends.size and 2 * ends.size >= n_runs:
                face = color if ends.size == n_runs else COLOR["empty"]
                place = float(np.median(ends)), 1.04 + 0.07 * row
                ax.plot(*place, marker, ms=4, color=color, mfc=face, transform=above, clip_on=False)


def _group_handles(curves: xr.Dataset) -> list[Artist]:
    look: dict[str, Any] = {"ls": "-"}
    groups = [group for group in ("many", "few") if np.isfinite(curves["coverage"].sel(group=group)).any()]
    return [Line2D([], [], color=COLOR[AS_IN_THEORY[group]], label=_group_label(group), **look) for group in groups]


def _group_label(group: str) -> str:
    return f"classes with {group} images ({AS_IN_THEORY[group]})"


@matplotlib.rc_context(STYLE)
def channel_measures(arms: Mapping[str, xr.Dataset]) -> Figure:
    """Draw purity, class share, read-out, separation, effective rank and dead channels, all arms in each panel.

    Args:
        arms: {title: curves of channels}, at most four.

    Errors: `DataError` for no arm or more than there are kinds of line.
    """
    if not 0 < len(arms) <= len(LINES):
        raise DataError(f"arms: wanted 1 to {len(LINES)}, got {len(arms)}; draw the others in a figure of their own")
    fig, axes = parts.panels(2, 3, (TWO_COLUMNS, 3.9))
    for ax, (name, label) in zip(axes.flat, MEASURE_PANELS.items(), strict=True):
        for line, curves in zip(LINES, arms.values(), strict=False):
            _measure_lines(ax, curves, name, line)
        parts.step_axis(ax, next(iter(arms.values()))["epoch"].values)
        ax.set(xlabel="epoch", ylabel=label)
        if np.isfinite(ax.dataLim.ymin):  # not so where every channel of every arm is dead: nothing is drawn then
            ax.set_ylim(bottom=min(0.0, ax.dataLim.ymin))
        _note_none(ax, *(curves[name] for curves in arms.values()))
    handles = _group_handles(next(iter(arms.values())))
    kinds = [Line2D([], [], color=COLOR["ink"], ls=line, label=title) for line, title in zip(LINES, arms, strict=False)]
    parts.lower_legend(fig, [*handles, *kinds], 4)
    return fig


def _measure_lines(ax: Axes, curves: xr.Dataset, name: str, line: str) -> None:
    epochs = curves["epoch"].values
    if "group" not in curves[name].dims:
        parts.band(ax, epochs, parts.over_seeds(curves[name]), COLOR["all"], "all", line)
        return
    for group in ("many", "few"):
        values = parts.over_seeds(curves[name].sel(group=group))
        if np.isfinite(values[1]).any():
            parts.band(ax, epochs, values, COLOR[AS_IN_THEORY[group]], group, line)
    if name == "readable":
        ax.plot(epochs, parts.over_seeds(curves["permuted_readable"])[1], line, color=COLOR["mark"], lw=0.9)
