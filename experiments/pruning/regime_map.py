"""Draws where pruning helps minority features: the map over points and readings, and what the driver says of it.

Data in (the summary of `experiments/pruning_regimes.py`), matplotlib Figure out; verdicts are read, never made here.
"""

from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dynsim.plots.parts import panels
from dynsim.plots.style import STYLE
from dynsim.stats.verdicts import HARMS, HELPS, NOTHING, UNSTABLE
from experiments.pruning.regimes import PRIMARY

VERDICT_COLOR = {HELPS: "#0072B2", NOTHING: "#666666", HARMS: "#D55E00", UNSTABLE: "#CC79A7"}
SIDES = {"dense": ("o", -0.22), "random_fixed": ("s", 0.06), "random": ("D", 0.3)}
"""Marker and place within the row of each contrast."""
SIDE_LABEL = {
    "dense": "against dense runs",
    "random_fixed": "against a fixed random mask",
    "random": "against random masks, redrawn",
}
PALE = 0.35
ROW_INCHES = 0.27

CAPTIONS = {
    "map": (
        "Difference in the number of minority specialists between runs pruned by magnitude and what they are held "
        "against: dense runs, and random masks of the same unit, ratio, semantics, start and stop. Each row is a point "
        "one factor away from the base point, each column a way of pruning; marks are means over seeds with 95 % BCa "
        "intervals. A row helps where all intervals are above zero, harms where all are below; it is unstable where "
        "more than a fifth of the runs diverged or exploded on either side (n/N: the pairs left). Saturated marks "
        "rest on the confirmation seeds, pale ones on the search seeds alone, and only saturated ones are to be "
        "quoted. The yellow rows lie where the paper's own assumptions do. The axis is linear within 2 and "
        "logarithmic beyond."
    ),
    "driver": (
        "Effect of pruning on minority specialists against what the mask does to the driver: its change of D_j of "
        "minority features minus that of majority features, at the weights where dense runs end. A mask can favour the "
        "minority only through that difference. One mark per stable point, means over the search seeds; rho is "
        "Spearman's rank correlation."
    ),
}


@matplotlib.rc_context(STYLE)
def regime_map(numbers: dict[str, Any]) -> Figure:
    """Draw the effect of pruning at every point, a column per reading.

    Args:
        numbers: the summary: "points", "readings", "search_seeds", "confirmation_seeds".
    """
    points, readings = numbers["points"], numbers["readings"]
    places = _places(points)
    height = ROW_INCHES * (max(places) + 1.5) + 1.4
    fig, grid = panels(1, len(readings), (3.4 * len(readings) + 2.2, height), sharey=True)
    for ax, reading in zip(grid[0], readings, strict=True):
        ax.axvline(0, color="k", lw=0.8, zorder=1)
        for place, point in zip(places, points, strict=True):
            if point["paper"]:
                ax.axhspan(place - 0.5, place + 0.5, color="#F0E442", alpha=0.45, lw=0, zorder=0)
            _row(ax, place, point["readings"][reading])
            if point["readings"][reading]["nothing_learned"]:
                _no_specialists(ax, place)
        ax.set_title(reading)
        ax.set_xlabel("minority specialists, pruned - other")
        ax.grid(axis="x", color="#DDDDDD", lw=0.5)
        ax.set_axisbelow(True)
    _count_axis(grid[0], points, readings)
    first = grid[0, 0]
    first.set_yticks(places, [point["label"] for point in points])
    first.set_ylim(max(places) + 0.8, -1.4)
    _axis_names(first, points, places)
    fig.legend(handles=_handles(readings, points), loc="outside lower center", ncols=4)
    return fig


def _count_axis(axes: Iterable[Axes], points: list[dict[str, Any]], readings: list[str]) -> None:
    """Give all panels one axis of counts, symmetric about zero: linear up to 2, logarithmic beyond."""
    reach = 3.0
    for point in points:
        for reading in readings:
            found = point["readings"][reading]
            for one in found[found["seeds"]]["contrasts"].values():
                span = one.get("equal steps", {}).get(PRIMARY) or ()
                reach = max([reach, *(abs(value) for value in span)])
    reach *= 1.15
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick <= reach]
    for ax in axes:
        ax.set_xscale("symlog", linthresh=2, linscale=1)
        ax.set_xlim(-reach, reach)
        ax.xaxis.set_major_locator(FixedLocator([*(-tick for tick in ticks), 0, *ticks]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_locator(NullLocator())


def _places(points: list[dict[str, Any]]) -> list[float]:
    """Return a row number per point, with a gap where a new axis begins for its name."""
    place, places, axis = -1.0, [], None
    for point in points:
        place += 1.0 if point["axis"] == axis else 1.9
        axis = point["axis"]
        places.append(place)
    return places


def _axis_names(ax: Axes, points: list[dict[str, Any]], places: list[float]) -> None:
    axis = None
    for place, point in zip(places, points, strict=True):
        if point["axis"] != axis:
            axis = point["axis"]
            style: dict[str, Any] = {"fontsize": 8.5, "fontweight": "bold", "annotation_clip": False}
            _beside(ax, axis, (0, place - 0.85), (-6, 0), ha="right", **style)


def _row(ax: Axes, place: float, found: dict[str, Any]) -> None:
    confirmed = found["seeds"] == "confirmation"
    shown = found[found["seeds"]]
    color, alpha = VERDICT_COLOR[found["verdict"]], 1.0 if confirmed else PALE
    for side, one in shown["contrasts"].items():
        marker, shift = SIDES[side]
        lost = one["n_used"] < one["n_seeds"]
        if one.get("equal steps", {}).get(PRIMARY):
            estimate, low, high = one["equal steps"][PRIMARY]
            bars = [[max(estimate - low, 0)], [max(high - estimate, 0)]]
            face = color if side == "dense" else "white"
            style: dict[str, Any] = {
                "fmt": marker,
                "ms": 3.2,
                "color": color,
                "mfc": face,
                "mec": color,
                "alpha": alpha,
            }
            ax.errorbar(estimate, place + shift, xerr=bars, elinewidth=1.1, zorder=3, **style)
        if lost:
            left = f"{one['n_used']}/{one['n_seeds']}"
            _beside(ax, left, (1, place + shift), (-2, 0), ha="right", fontsize=5.5, color=VERDICT_COLOR[UNSTABLE])


def _no_specialists(ax: Axes, place: float) -> None:
    _beside(ax, "no specialists", (0, place), (3, 0), fontsize=6, color=VERDICT_COLOR[NOTHING])


def _beside(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """Write beside a row; `at` is (share of the axis width, row), `shift` is in points."""
    place = ax.get_yaxis_transform()
    ax.annotate(text, at, shift, va="center", xycoords=place, textcoords="offset points", **style)


def _handles(readings: list[str], points: list[dict[str, Any]]) -> list[Artist]:
    searched = [point["readings"][reading]["search"]["contrasts"] for point in points for reading in readings]
    sides = set().union(*searched)
    style: dict[str, Any] = {"ls": "", "ms": 4, "color": "k"}
    marks = [
        Line2D([], [], marker=marker, mfc="k" if side == "dense" else "white", label=SIDE_LABEL[side], **style)
        for side, (marker, _) in SIDES.items()
        if side in sides
    ]
    verdicts = [Line2D([], [], color=color, lw=3, label=name) for name, color in VERDICT_COLOR.items()]
    rest = [
        Line2D([], [], color="k", lw=3, alpha=PALE, label="pale: search seeds only"),
        Patch(color="#F0E442", alpha=0.45, label="the paper's assumptions"),
    ]
    return [*verdicts, *marks, *rest]


@matplotlib.rc_context(STYLE)
def driver_map(numbers: dict[str, Any]) -> Figure:
    """Draw the measured effect against the effect on the driver, a panel per reading.

    Args:
        numbers: as for `regime_map`, with "driver" in every point, and "rank_correlation".
    """
    readings = numbers["readings"]
    fig, grid = panels(1, len(readings), (3.6 * len(readings), 3.8), sharey=True)
    for ax, reading in zip(grid[0], readings, strict=True):
        for point in numbers["points"]:
            found = point["readings"][reading]
            effects = found["search"]["contrasts"]["dense"].get("equal steps", {}).get(PRIMARY)
            if found["verdict"] == UNSTABLE or not effects or not point["driver"]:
                continue
            color = VERDICT_COLOR[found["verdict"]]
            place = point["driver"][reading]["effect"][0]
            ax.plot(place, effects[0], "*" if point["paper"] else "o", ms=8 if point["paper"] else 4, color=color)
        ax.axhline(0, color="k", lw=0.8)
        ax.axvline(0, color="k", lw=0.8)
        ax.set_yscale("symlog", linthresh=2)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        one = numbers["rank_correlation"][reading][PRIMARY]
        rho = "none" if one["rho"] is None else f"{one['rho']:+.2f}"
        ax.set_title(f"{reading}\nrho = {rho} over {one['n_points']} points")
        ax.set_xlabel("mask's change of $D$, minority - majority")
    grid[0, 0].set_ylabel("minority specialists, pruned - dense")
    used = [name for name in VERDICT_COLOR if name != UNSTABLE]
    handles = [Line2D([], [], marker="o", ls="", color=VERDICT_COLOR[name], label=name) for name in used]
    handles.append(Line2D([], [], marker="*", ls="", ms=8, color="k", label="the paper's assumptions"))
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    return fig
