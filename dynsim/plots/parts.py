"""Building blocks of the figures: axes, bands over seeds, marks of the stage ends, legends, tables.

`curves` is always a Dataset of `analysis.curves.reduce`, and `of_group` a selection of one group of features from it.
Stages are the three phases of training; stage k ends at step Tk, which may differ between seeds and groups.
"""

import math
from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from dynsim.analysis.stages import STAGES
from dynsim.plots.shown import Shown

# the palette of Okabe and Ito, which people with any common kind of colour blindness can tell apart
GROUP_COLOR = {"majority": "#0072B2", "minority": "#D55E00", "all": "#444444"}
CLASS_COLOR = {"specialist": "#009E73", "ordinary": "#E69F00", "other": "#56B4E9"}
FEWEST_NEURONS = 1.0
"""A class with fewer neurons per seed than this is named in the legend but not drawn: quantiles would mean little."""
MARK = "#888888"
SEPARATE = 0.05
"""Marks closer than this share of the axis get their labels on two levels."""
NOTE = {"fontsize": 7.5, "color": "#555555"}
"""Style of the small grey texts within a panel."""
LEADER = {"arrowstyle": "-", "lw": 0.6, "shrinkA": 0, "shrinkB": 0}
"""Style of the thin line from a level to its label."""

Band = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Lower edge, middle line and upper edge, each of shape (record,)."""


class Difference(TypedDict):
    """A mean difference over paired seeds with its interval; None stands for what too few seeds cannot give."""

    estimate: float | None
    low: float | None
    high: float | None
    p_holm: NotRequired[float | None]
    """p-value after Holm's correction for several tests."""


EndDifference = TypedDict(
    "EndDifference",
    {
        "n_seeds": int,
        "n_diverged": int,
        "n_exploded": int,
        "equal steps": NotRequired[dict[str, Difference]],
    },
)
"""The part of `analysis.outcomes.difference` that is written into a panel: seeds kept and left out, differences."""


class StageCounts(TypedDict):
    """In how many seeds each stage end was found."""

    n_seeds: int
    found: dict[str, dict[str, int]]
    """{group: {stage: number of seeds}}."""


def panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    sharex: bool = False,
    sharey: bool | Literal["row"] = False,
    height_ratios: Sequence[float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """Return a figure of `size` inches and its Axes, shape (rows, columns); options as for `Figure.subplots`."""
    fig = Shown(figsize=size, layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey, height_ratios=height_ratios)
    return fig, axes


def step_axis(ax: Axes, steps: np.ndarray) -> None:
    """Scale the x axis for training steps: linear from 0 to 1, logarithmic from there to the last step."""
    last = int(steps[-1])
    decades = [10**k for k in range(len(str(last))) if 10**k <= last]
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(0, last)
    ax.xaxis.set_major_locator(FixedLocator([0, *decades]))
    ax.xaxis.set_minor_locator(FixedLocator([m * k for k in decades for m in range(2, 10) if m * k <= last]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def plain_log_labels(ax: Axes) -> None:
    """Label a logarithmic y axis with plain numbers: 1, 2 and 5 times each power of ten."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def over_seeds(values: xr.DataArray) -> Band:
    """Return minimum, median and maximum over seeds; NaN where no seed has a value."""
    array = values.transpose("seed", "record").values
    some = np.isfinite(array).any(axis=0)
    low, mid, high = (np.full(array.shape[1], np.nan) for _ in range(3))
    for out, over in ((low, np.nanmin), (mid, np.nanmedian), (high, np.nanmax)):
        out[some] = over(array[:, some], axis=0)
    return low, mid, high


def band(ax: Axes, steps: np.ndarray, values: Band, color: str, label: str) -> None:
    """Draw a line with a band around it, against `steps` (record,)."""
    low, mid, high = values
    ax.fill_between(steps, low, high, color=color, alpha=0.2, lw=0)
    ax.plot(steps, mid, color=color, label=label)


def draw_groups(ax: Axes, curves: xr.Dataset, name: str) -> None:
    """Draw the variable `name` (seed, record, group) for majority and minority: median and range over seeds."""
    for group in ("majority", "minority"):
        values = over_seeds(curves[name].sel(group=group))
        if np.isfinite(values[1]).any():
            band(ax, curves["step"].values, values, GROUP_COLOR[group], f"{group} features")


def is_drawn(of_group: xr.Dataset, label: str) -> bool:
    """Return whether a class of neurons has enough members for quantiles over them."""
    return bool(of_group["class_size"].sel(neuron_class=label) >= FEWEST_NEURONS)


def draw_classes(ax: Axes, of_panel: xr.Dataset) -> None:
    """Draw the projections of each class of neurons: median and 10-90 % band, for one group and direction."""
    for label, color in CLASS_COLOR.items():
        values = of_panel["projection"].sel(neuron_class=label)
        if is_drawn(of_panel, label) and np.isfinite(values).any():
            low, mid, high = (values.sel(quantile=q).values for q in (0.1, 0.5, 0.9))
            band(ax, of_panel["step"].values, (low, mid, high), color, label)


def draw_closed_form(ax: Axes, of_group: xr.Dataset, rate: float | None) -> None:
    """Draw exponential growth at `rate` per step, from the initial median of each class to a little beyond T1."""
    steps = of_group["step"].values
    ends = _ends(of_group, "T1")
    if rate is None or ends.size == 0:
        return
    time = np.linspace(0, min(1.3 * float(np.median(ends)), float(steps[-1])), 60)
    for label in CLASS_COLOR:
        start = float(of_group["projection"].sel(neuron_class=label, direction="own", quantile=0.5)[0])
        if is_drawn(of_group, label) and np.isfinite(start):
            ax.plot(time, start * np.exp(rate * time), "k--", lw=1.0, zorder=5)


def class_handles(of_group: xr.Dataset, closed_form: bool) -> list[Artist]:
    """Return the legend entries of one row: each class with its mean number of neurons per seed."""
    handles: list[Artist] = []
    for label, color in CLASS_COLOR.items():
        size = float(of_group["class_size"].sel(neuron_class=label))
        if math.isnan(size):
            continue
        shown = is_drawn(of_group, label)
        count = f"{size:.0f} neurons per seed" if shown else f"{size:.1f} neurons per seed, not drawn"
        handles.append(Line2D([], [], color=color, alpha=1 if shown else 0.3, label=f"{label} ({count})"))
    if closed_form and handles:
        handles.append(Line2D([], [], color="k", ls="--", lw=1.0, label="closed form"))
    return handles


def stage_lines(ax: Axes, of_group: xr.Dataset) -> None:
    """Mark T1, T2 and T3 of one group: median as a vertical line, range over seeds as a band, label above the panel.

    Call it after the limits of the x axis are set. A stage end that was found in no seed is left out.
    """
    previous, level = -math.inf, 0
    for stage in STAGES:
        ends = _ends(of_group, stage)
        if ends.size == 0:
            continue
        middle = float(np.median(ends))
        ax.axvspan(ends.min(), ends.max(), color=MARK, alpha=0.25, lw=0)
        ax.axvline(middle, color=MARK, lw=0.9)
        place = ax.transAxes.inverted().transform(ax.transData.transform((middle, 1.0)))[0]
        level = 1 - level if place - previous < SEPARATE else 0
        previous = place
        height = 1.01 + 0.05 * level
        ax.text(middle, height, stage, NOTE, transform=ax.get_xaxis_transform(), ha="center", va="bottom")


def switch_line(ax: Axes, curves: xr.Dataset) -> None:
    """Mark the step at which the thresholds are switched on (median over seeds) by a labelled dotted line."""
    switched = curves["switch_step"].values[(curves["switch_step"].values > 0) & (curves["diverged_step"].values < 0)]
    if switched.size:
        place = float(np.median(switched))
        ax.axvline(place, color=MARK, lw=1.0, ls=":")
        ax.text(place, 0.02, "thresholds on ", NOTE, transform=ax.get_xaxis_transform(), ha="right")


def boxed_legend(ax: Axes, handles: list[Artist]) -> None:
    """Draw a legend on a white background, so that no line crosses its text; without handles, draw nothing."""
    if handles:
        box = ax.legend(
            handles=handles, loc="upper left", frameon=True, framealpha=1.0, edgecolor="none", borderaxespad=1.0
        )
        box.set_zorder(10)


def side_legend(ax: Axes, handles: list[Artist]) -> None:
    """Draw a legend to the right of a panel, where it hides nothing; without handles, draw nothing."""
    if handles:
        ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def stage_triangles(ax: Axes, curves: xr.Dataset) -> None:
    """Mark the median stage ends by labelled triangles above the panel, one row of them per group."""
    for row, group in enumerate(("minority", "majority")):
        for stage in STAGES:
            ends = _ends(curves.sel(group=group), stage)
            if ends.size:
                _triangle(ax, float(np.median(ends)), 1.035 + 0.06 * row, stage, GROUP_COLOR[group])


def _triangle(ax: Axes, step: float, height: float, label: str, color: str) -> None:
    """Draw a triangle with a label to its right; `height` 1 is the top of the panel."""
    above = ax.get_xaxis_transform()
    ax.plot(step, height, "v", ms=4, color=color, transform=above, clip_on=False)
    text = ax.annotate(label, (step, height), (4, 0), above, "offset points", annotation_clip=False)
    text.set(fontsize=7.5, color=color, va="center")


def draw_floors(ax: Axes, floors: dict[str, float]) -> None:
    """Draw horizontal reference levels, with name and value at the right; close labels are moved apart."""
    bottom, top = ax.get_ylim()
    for value in floors.values():
        bottom, top = min(bottom, value * 0.9 if value > 0 else value), max(top, value * 1.1)
    ax.set_ylim(bottom, top)
    previous = -math.inf
    for label, value in sorted(floors.items(), key=lambda item: item[1]):
        place = ax.transAxes.inverted().transform(ax.transData.transform((0.0, value)))[1]
        previous = max(place, previous + 0.09)
        ax.axhline(value, color="k", ls=":", lw=1.0)
        text = ax.annotate(f"{label}\n{value:.3g}", (1.0, place), (1.03, previous), ax.transAxes, arrowprops=LEADER)
        text.set(fontsize=8, va="center", annotation_clip=False)


def spread(places: np.ndarray, share: float = 0.02) -> np.ndarray:
    """Return x positions (feature,) of error bars, with equal ones moved apart by `share` of the largest in all."""
    moved = np.array(places, np.float64)
    for value in np.unique(places):
        same = places == value
        if same.sum() > 1:
            moved[same] += share * float(np.max(places)) * np.linspace(-0.5, 0.5, int(same.sum()))
    return moved


def interval_text(label: str, one: Difference | None) -> str:
    """Return a text like "label +3.1 [+1.2, +4.9] *"; the star stands for p <= 0.05 after Holm's correction."""
    if one is None or one["estimate"] is None:
        return f"{label}: no seed left"
    ends = "" if one["low"] is None else f" [{one['low']:+.1f}, {one['high']:+.1f}]"
    p_holm = one.get("p_holm")
    star = " *" if p_holm is not None and p_holm <= 0.05 and one["low"] is not None else ""
    return f"{label} {one['estimate']:+.1f}{ends}{star}"


def draw_stage_table(ax: Axes, counts: StageCounts) -> None:
    """Write the numbers of seeds as a table, with a row per stage and a column per group."""
    ax.axis("off")
    found, n_seeds = counts["found"], counts["n_seeds"]
    groups = [group for group in GROUP_COLOR if group in found]
    if not groups:
        return

    def cell_text(stage: str, group: str) -> str:
        return f"{found[group][stage]}/{n_seeds}" if stage in found[group] else ""

    cells = [[cell_text(stage, group) for group in groups] for stage in STAGES]
    table = ax.table(
        cells, rowLabels=list(STAGES), colLabels=groups, cellLoc="center", bbox=Bbox.from_bounds(0.1, 0.0, 0.9, 0.95)
    )
    ax.set_title("seeds in which the stage end was found", fontsize=8, pad=2)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.5)
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    for column, group in enumerate(groups):
        table[0, column].get_text().set_color(GROUP_COLOR[group])


def _ends(of_group: xr.Dataset, stage: str) -> np.ndarray:
    """Return the steps at which a stage ends in the seeds in which its end was found, shape (found,)."""
    values = of_group["stage_end"].sel(stage=stage).values
    return values[np.isfinite(values)]
