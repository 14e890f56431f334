"""Building blocks of the figures: axes, bands over seeds, classes of neurons, legends, tables.

`curves` is always a Dataset of `analysis.curves.reduce`, and `of_group` a selection of one group of features from it.
Stages are the three phases of training; stage k ends at step Tk, which may differ between seeds and groups.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from dynsim.analysis.stages import STAGES
from dynsim.plots.shown import ShownFigure
from dynsim.plots.style import COLOR, SMALL_TEXT

GROUP_COLOR = {group: COLOR[group] for group in ("majority", "minority", "all")}
CLASS_LINE = {"specialist": "-", "ordinary": "-.", "other": ":"}
"""Line of each class of neurons. Specialists have the colour of their group, all others are grey."""
FEWEST_NEURONS = 1.0
"""A class with fewer neurons per seed than this is named in the legend but not drawn: quantiles would mean little."""
MARK = COLOR["mark"]
NOTE: dict[str, Any] = {"fontsize": SMALL_TEXT, "color": COLOR["note"]}
"""Style of the small grey texts within a panel."""

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
    """Return a figure and its Axes, shape (rows, columns); options as for `Figure.subplots`.

    Args:
        size: (width, height) in inches; the width is `style.ONE_COLUMN` or `style.TWO_COLUMNS`.
    """
    fig = ShownFigure(figsize=size, layout="constrained")
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


def plain_log_labels(axis: Axis, times: Sequence[float] = (1, 2, 5)) -> None:
    """Label a logarithmic axis, such as `ax.yaxis`, with plain numbers: these multiples of each power of ten."""
    axis.set_major_locator(LogLocator(subs=times))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def over_seeds(values: xr.DataArray) -> Band:
    """Return minimum, median and maximum over seeds; NaN where no seed has a value."""
    array = values.transpose("seed", "record").values
    some = np.isfinite(array).any(axis=0)
    low, mid, high = (np.full(array.shape[1], np.nan) for _ in range(3))
    for out, over in ((low, np.nanmin), (mid, np.nanmedian), (high, np.nanmax)):
        out[some] = over(array[:, some], axis=0)
    return low, mid, high


def band(ax: Axes, steps: np.ndarray, values: Band, color: str, label: str, line: str = "-") -> None:
    """Draw a line with a band around it, against `steps` (record,)."""
    low, mid, high = values
    ax.fill_between(steps, low, high, color=color, alpha=0.2, lw=0)
    ax.plot(steps, mid, line, color=color, label=label)


def draw_groups(ax: Axes, curves: xr.Dataset, name: str) -> None:
    """Draw the variable `name` (seed, record, group) for majority and minority: median and range over seeds."""
    for group in ("majority", "minority"):
        values = over_seeds(curves[name].sel(group=group))
        if np.isfinite(values[1]).any():
            band(ax, curves["step"].values, values, GROUP_COLOR[group], f"{group} features")


def is_drawn(of_group: xr.Dataset, label: str) -> bool:
    """Return whether a class of neurons has enough members for quantiles over them."""
    return bool(of_group["class_size"].sel(neuron_class=label) >= FEWEST_NEURONS)


def class_color(label: str, group: str) -> str:
    """Return the colour of a class of neurons in the panel of a group."""
    return GROUP_COLOR[group] if label == "specialist" else COLOR[f"{label} neurons"]


def draw_classes(ax: Axes, of_panel: xr.Dataset, group: str) -> None:
    """Draw the projections of each class of neurons: median and 10-90 % band, for one group and direction."""
    for label, line in CLASS_LINE.items():
        values = of_panel["projection"].sel(neuron_class=label)
        if is_drawn(of_panel, label) and np.isfinite(values).any():
            low, mid, high = (values.sel(quantile=q).values for q in (0.1, 0.5, 0.9))
            band(ax, of_panel["step"].values, (low, mid, high), class_color(label, group), label, line)


def class_handles(of_group: xr.Dataset, group: str, closed_form: bool) -> list[Artist]:
    """Return the legend entries of one row: each class with its mean number of neurons per seed."""
    handles: list[Artist] = []
    for label, line in CLASS_LINE.items():
        size = float(of_group["class_size"].sel(neuron_class=label))
        if math.isnan(size):
            continue
        shown = is_drawn(of_group, label)
        count = f"{size:.0f}" if shown else f"{size:.1f}, not drawn"
        look: dict[str, Any] = {"color": class_color(label, group), "ls": line, "alpha": 1 if shown else 0.4}
        handles.append(Line2D([], [], label=f"{label} ({count})", **look))
    if closed_form and handles:
        handles.append(Line2D([], [], color=COLOR["theory"], ls="--", lw=0.9, label="closed form"))
    return handles


def boxed_legend(ax: Axes, handles: Sequence[Artist], title: str | None = None) -> None:
    """Draw a legend on a white background, so that no line crosses its text; without handles, draw nothing."""
    if handles:
        look: dict[str, Any] = {"frameon": True, "framealpha": 1.0, "edgecolor": "none", "borderpad": 0.2}
        box = ax.legend(handles=handles, loc="upper left", title=title, alignment="left", **look)
        box.set_zorder(10)


def lower_legend(fig: Figure, handles: Sequence[Artist], columns: int) -> None:
    """Draw a legend below all panels, where it hides nothing; without handles, draw nothing."""
    if handles:
        fig.legend(handles=handles, loc="outside lower center", ncols=columns)


def spread(places: np.ndarray, share: float = 0.02) -> np.ndarray:
    """Return x positions (feature,) of error bars, with equal ones moved apart by `share` of the largest in all."""
    moved = np.array(places, np.float64)
    for value in np.unique(places):
        same = places == value
        if same.sum() > 1:
            moved[same] += share * float(np.max(places)) * np.linspace(-0.5, 0.5, int(same.sum()))
    return moved


def seed_dots(ax: Axes, place: float, values: Sequence[float], color: str) -> None:
    """Draw shares, one per seed, and their mean in percent, in the row at `place`."""
    points = 100 * np.array(values)
    ax.plot(points, np.full(len(points), place), ".", color=color, ms=3, alpha=0.6)
    ax.plot(np.mean(points), place, "o", color=color, ms=5)


def interval_text(label: str, one: Difference | None) -> str:
    """Return a text like "label +3.1 [+1.2, +4.9] *"; the star stands for p <= 0.05 after Holm's correction."""
    if one is None or one["estimate"] is None:
        return f"{label}: no seed left"
    ends = "" if one["low"] is None else f" [{one['low']:+.1f}, {one['high']:+.1f}]"
    p_holm = one.get("p_holm")
    star = " *" if p_holm is not None and p_holm <= 0.05 and one["low"] is not None else ""
    return f"{label} {one['estimate']:+.1f}{ends}{star}"


def draw_stage_table(ax: Axes, counts: StageCounts, *, names: bool) -> None:
    """Write the numbers of seeds as a table: a row per group, named at the left if `names`, a column per stage."""
    ax.axis("off")
    found, n_seeds = counts["found"], counts["n_seeds"]
    groups = [group for group in ("majority", "minority") if group in found]
    if not groups:
        return

    def cell_text(group: str, stage: str) -> str:
        return f"{found[group][stage]}/{n_seeds}" if stage in found[group] else ""

    cells = [[cell_text(group, stage) for stage in STAGES] for group in groups]
    place = Bbox.from_bounds(0.0, 0.0, 1.0, 1.0)
    table = ax.table(cells, colLabels=list(STAGES), cellLoc="center", bbox=place)
    ax.set_title("seeds with this end", fontsize=SMALL_TEXT, pad=0, color=COLOR["note"])
    table.auto_set_font_size(False)
    table.set_fontsize(SMALL_TEXT)
    for cell in table.get_celld().values():
        cell.set_linewidth(0)
    for row, group in enumerate(groups):
        for column in range(len(STAGES)):
            table[row + 1, column].get_text().set_color(GROUP_COLOR[group])
        if names:
            height = (len(groups) - row - 0.5) / (1 + len(groups))
            style = {"color": GROUP_COLOR[group], "fontsize": SMALL_TEXT}
            ax.text(-0.05, height, group, style, ha="right", va="center", transform=ax.transAxes)
