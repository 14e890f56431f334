"""Draws where pruning helps minority features: the map over points and readings, and what the driver says of it.

Data in (the summary of `experiments/pruning_regimes.py`), matplotlib Figure out; verdicts are read, never made here.
"""

from collections.abc import Iterable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dynsim.plots.parts import lower_legend, panels
from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS
from dynsim.stats.verdicts import HARMS, HELPS, UNSTABLE
from experiments.pruning.regimes import PRIMARY

VERDICT_COLOR = {HELPS: COLOR["helps"], HARMS: COLOR["harms"]}
"""Only these two verdicts have a colour, and only where they rest on the confirmation seeds."""
CONFIRMED_COLOR = COLOR["all"]
SEARCH_COLOR = COLOR["no verdict"]
SIDES = {"dense": ("o", -0.22), "random_fixed": ("s", 0.06), "random": ("D", 0.3)}
"""Marker and place within the row of each contrast."""
SIDE_LABEL = {
    "dense": "against dense runs",
    "random_fixed": "against a fixed random mask",
    "random": "against random masks, redrawn",
}
MAP_ROW_INCHES = 0.172
MAP_LABELS = {"from the switch on": "from thresholds on"}
"""Names in the figure of points: every figure calls the switch of the thresholds so."""

CAPTIONS = {
    "map": (
        "Difference in the number of minority specialists between runs pruned by magnitude and what they are held "
        "against: dense runs, and random masks of the same unit, ratio, semantics, start and stop. Each row is a point "
        "one factor away from the base point, each column a way of pruning; marks are means over seeds with 95 % BCa "
        "intervals. A row helps where all intervals are above zero and harms where all are below; only rows that were "
        "run again on fresh seeds can say so, and only these are coloured or dark. Light grey rows rest on the search "
        "seeds alone: no claim rests on them, whichever side they lie on. All marks compare runs after "
        "equally many steps; at equal held-out loss the base point has no more minority specialists with the mask than "
        "with a random one. n/N: pairs of runs left of a contrast where "
        "the others diverged or exploded. The yellow rows lie where the paper's own assumptions do. The axis is linear "
        "within 2 and logarithmic beyond."
    ),
    "driver": (
        "Effect of pruning on minority specialists against what the mask does to the driver: its change of D_j of "
        "minority features minus that of majority features, at the weights where dense runs end. A mask can favour the "
        "minority only through that difference. One mark per stable point, means over the search seeds; a mark is "
        "coloured where the verdict was confirmed on fresh seeds, dark where these show neither, and light grey where "
        "no confirmed claim rests on it. rho is Spearman's rank correlation."
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
    height = MAP_ROW_INCHES * (max(places) + 1.5) + 1.4
    fig, grid = panels(1, len(readings), (TWO_COLUMNS, height), sharey=True)
    for ax, reading in zip(grid[0], readings, strict=True):
        ax.axvline(0, color=COLOR["ink"], lw=0.6, zorder=1)
        for place, point in zip(places, points, strict=True):
            if point["paper"]:
                ax.axhspan(place - 0.5, place + 0.5, color=COLOR["paper's assumptions"], alpha=0.45, lw=0, zorder=0)
            _row(ax, place, point["readings"][reading])
            if point["readings"][reading]["nothing_learned"]:
                _no_specialists(ax, place)
        ax.set_title(reading)
        ax.grid(axis="x", color=COLOR["grid"], lw=0.5)
        ax.set_axisbelow(True)
    _count_axis(grid[0], points, readings)
    first = grid[0, 0]
    first.set_yticks(places, [MAP_LABELS.get(point["label"], point["label"]) for point in points], fontsize=SMALL_TEXT)
    first.set_ylim(max(places) + 0.8, -1.4)
    _axis_names(first, points, places)
    _middle(grid).set_xlabel("minority specialists, pruned - other")
    lower_legend(fig, _handles(readings, points), 3)
    return fig


def _middle(grid: np.ndarray) -> Axes:
    """Return the middle panel, whose x label stands for all."""
    ax: Axes = grid[0, grid.shape[1] // 2]
    return ax


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
    ticks = [tick for tick in (2, 10, 100) if tick <= reach]
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
            style: dict[str, Any] = {"fontsize": SMALL_TEXT, "fontweight": "bold", "annotation_clip": False}
            _beside(ax, axis, (0, place - 0.95), (-6, 0), ha="right", **style)


def _row(ax: Axes, place: float, found: dict[str, Any]) -> None:
    confirmed = found["seeds"] == "confirmation"
    shown = found[found["seeds"]]
    color = mark_color(found)
    for k, (side, one) in enumerate(shown["contrasts"].items()):
        marker, shift = SIDES[side]
        lost = one["n_used"] < one["n_seeds"]
        if one.get("equal steps", {}).get(PRIMARY):
            estimate, low, high = one["equal steps"][PRIMARY]
            bars = [[max(estimate - low, 0)], [max(high - estimate, 0)]]
            face = color if side == "dense" else COLOR["empty"]
            style: dict[str, Any] = {
                "fmt": marker,
                "ms": 2.8,
                "color": color,
                "mfc": face,
                "mew": 0.8,
            }
            ax.errorbar(estimate, place + shift, xerr=bars, elinewidth=0.8, zorder=3 if confirmed else 2, **style)
        if lost:
            left = f"{one['n_used']}/{one['n_seeds']}"
            lost_before = sum(other["n_used"] < other["n_seeds"] for other in list(shown["contrasts"].values())[:k])
            _beside(ax, left, (0, place), (3 + 22 * lost_before, 0), fontsize=SMALL_TEXT, color=COLOR["note"])


def mark_color(found: dict[str, Any]) -> str:
    """Return the colour of a point under one reading: that of its verdict only where fresh seeds have confirmed it."""
    if found["seeds"] != "confirmation":
        return SEARCH_COLOR
    return VERDICT_COLOR.get(found["verdict"], CONFIRMED_COLOR)


def _no_specialists(ax: Axes, place: float) -> None:
    _beside(ax, "no specialists", (0, place), (3, 0), fontsize=SMALL_TEXT, color=COLOR["note"])


def _beside(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """Write beside a row; `at` is (share of the axis width, row), `shift` is in points."""
    place = ax.get_yaxis_transform()
    ax.annotate(text, at, shift, va="center", xycoords=place, textcoords="offset points", **style)


def _handles(readings: list[str], points: list[dict[str, Any]]) -> list[Artist]:
    searched = [point["readings"][reading]["search"]["contrasts"] for point in points for reading in readings]
    sides = set().union(*searched)
    style: dict[str, Any] = {"ls": "", "ms": 3.5, "color": COLOR["ink"]}
    marks = [
        Line2D(
            [],
            [],
            marker=marker,
            mfc=COLOR["ink"] if side == "dense" else COLOR["empty"],
            label=SIDE_LABEL[side],
            **style,
        )
        for side, (marker, _) in SIDES.items()
        if side in sides
    ]
    yellow = Patch(color=COLOR["paper's assumptions"], alpha=0.45, label="the paper's assumptions")
    return [*_verdict_handles(lw=3), *marks, yellow]


def _verdict_handles(**style: Any) -> list[Artist]:
    """Return the legend entries of the colours."""
    names = {f"{name}, confirmed": color for name, color in VERDICT_COLOR.items()}
    names |= {"confirmed: neither": CONFIRMED_COLOR, "search seeds only": SEARCH_COLOR}
    return [Line2D([], [], color=color, label=name, **style) for name, color in names.items()]


@matplotlib.rc_context(STYLE)
def driver_map(numbers: dict[str, Any]) -> Figure:
    """Draw the measured effect against the effect on the driver, a panel per reading.

    Args:
        numbers: as for `regime_map`, with "driver" in every point, and "rank_correlation".
    """
    readings = numbers["readings"]
    fig, grid = panels(1, len(readings), (TWO_COLUMNS, 3.0), sharey=True)
    for ax, reading in zip(grid[0], readings, strict=True):
        for point in numbers["points"]:
            found = point["readings"][reading]
            effects = found["search"]["contrasts"]["dense"].get("equal steps", {}).get(PRIMARY)
            if found["verdict"] == UNSTABLE or not effects or not point["driver"]:
                continue
            place = point["driver"][reading]["effect"][0]
            style: dict[str, Any] = {"color": mark_color(found), "zorder": 3 if found["seeds"] == "confirmation" else 2}
            ax.plot(place, effects[0], "*" if point["paper"] else "o", ms=7 if point["paper"] else 3.5, **style)
        ax.axhline(0, color=COLOR["ink"], lw=0.6, zorder=1)
        ax.axvline(0, color=COLOR["ink"], lw=0.6, zorder=1)
        ax.locator_params(axis="x", nbins=4)
        ax.set_yscale("symlog", linthresh=2)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        one = numbers["rank_correlation"][reading][PRIMARY]
        rho = "none" if one["rho"] is None else f"{one['rho']:+.2f}"
        ax.set_title(f"{reading}\nrho = {rho} over {one['n_points']} points")
    grid[0, 0].set_ylabel("minority specialists, pruned - dense")
    _middle(grid).set_xlabel("mask's change of the driver D, minority - majority")
    star = Line2D([], [], marker="*", ls="", ms=7, color=COLOR["ink"], label="the paper's assumptions")
    lower_legend(fig, [*_verdict_handles(marker="o", ls="", ms=3.5), star], 3)
    return fig
