"""The recipes in two pictures: what fresh seeds confirmed, and the map of the search behind it."""

from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.lines import Line2D

from dynsim.plots.parts import panels
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.pruning.arms import UNMASKED
from experiments.pruning.recipes import RECIPE_WORDS, Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RECIPE_MARKS = {
    "smallest masked": ("o", "smallest weights masked on one branch"),
    "fixed random mask": ("s", "as many masked at random"),
    "perturbed": ("^", "no mask, another change"),
}
"""By the name of the colour: marker and words."""
CAPTIONS = {
    "confirmed": (
        "Share of the minority features that end with at least one specialist neuron, for each recipe (rows) on seeds "
        "that the search never saw. Marks are means after equal numbers of steps and bars 95 % intervals over seeds; a "
        "ring shows where the recipe is after three times as many steps, if it had not settled. The dashed line is "
        "training without a mask. False firing is the share of tokens on which noise alone makes a neuron fire."
    ),
    "map": (
        "The search at r = 0.5 and little noise, two seeds: share of the minority features covered against the share "
        "of weights masked on one branch. Masks start at once or when thresholds come on, and are released after 500 "
        "steps or never. Solid lines mask the smallest weights, dashed ones as many at random; the dotted line is "
        "training without a mask. All grey, since nothing was confirmed at this ratio; what was, at r = 0.3, is in the "
        "other figure."
    ),
}


def figures(numbers: dict[str, Any]) -> "dict[str, Figure]":
    """Return the figures by name: the map of the search, and what was confirmed. A search has the map only."""
    searched = numbers["searched"] or (numbers["recipes"] if numbers["preset"] == "search" else [])
    with matplotlib.rc_context(STYLE):
        found = {} if numbers["preset"] == "search" else {"confirmed": confirmed(numbers)}
        return found | ({"map": share_map(searched)} if searched else {})


def _kind(row: dict[str, Any]) -> str:
    if row["schedule"] is None:
        return "perturbed"
    return "fixed random mask" if row["schedule"]["at_random"] else "smallest masked"


def _at(rows: list[dict[str, Any]], point: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == point[name] for name in ("shape", "noise", "ratio"))]


def _coverage(row: dict[str, Any], when: str = "equal_steps") -> dict[str, Any]:
    found: dict[str, Any] = row[when]["ends"]["minority coverage"]
    return found


def _mark(ax: "Axes", row: dict[str, Any], place: float) -> None:
    """Draw the coverage of one recipe with its interval at a height."""
    end, kind = _coverage(row), _kind(row)
    if end["estimate"] is None or end["low"] is None:
        return
    error = [[end["estimate"] - end["low"]], [end["high"] - end["estimate"]]]
    shared: dict[str, Any] = {"fmt": RECIPE_MARKS[kind][0], "color": COLOR[kind], "ms": 4, "lw": 1.0, "zorder": 3}
    ax.errorbar(end["estimate"], place, xerr=error, **shared)


def confirmed(numbers: dict[str, Any]) -> "Figure":
    """Return the figure of coverage by recipe, one panel per point."""
    points = numbers["points"]
    names = list(dict.fromkeys(row["method"] for row in numbers["recipes"] if row["method"] != UNMASKED))
    height = 0.2 * len(names) + 1.1
    fig, axes = panels(1, len(points), (TWO_COLUMNS, height), sharey=True)
    for ax, point in zip(axes[0], points, strict=True):
        for row in _at(numbers["recipes"], point):
            if row["method"] == UNMASKED:
                ax.axvline(_coverage(row)["estimate"], color=COLOR["no mask"], ls="--", lw=1)
                continue
            place = names.index(row["method"])
            _mark(ax, row, place)
            later = _coverage(row, "settled")["estimate"]
            if row["settled"]["n_steps"] != row["equal_steps"]["n_steps"] and later is not None:
                ax.plot(later, place, "o", ms=7, mfc="none", color=COLOR[_kind(row)], lw=0.8)
        features = point["config"]["data"]["n_features"]
        ax.set_title(f"false firing {point['false_firing_rate']:.0%}, d = {features}, r = {point['ratio']:g}")
        ax.set_xlim(-0.04, 1.04)
        ax.set_xlabel("share of minority features covered")
    axes[0][0].set_yticks(range(len(names)), [RECIPE_WORDS.get(name, name) for name in names])
    axes[0][0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], marker=m, ls="", color=COLOR[k], ms=4, label=words) for k, (m, words) in RECIPE_MARKS.items()
    ]
    handles.append(Line2D([], [], color=COLOR["no mask"], ls="--", lw=1, label=UNMASKED))
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig


def share_map(searched: list[dict[str, Any]]) -> "Figure":
    """Return the map: coverage against the share masked at the point that was searched most, one panel per schedule."""
    points = [tuple(row[name] for name in ("shape", "noise", "ratio")) for row in searched]
    most = max(dict.fromkeys(points), key=points.count)
    rows = [row for row, point in zip(searched, points, strict=True) if point == most]
    whens = list(
        dict.fromkeys((row["schedule"]["start"], row["schedule"]["release"]) for row in rows if row["schedule"])
    )
    fig, axes = panels(1, len(whens), (TWO_COLUMNS, 2.0), sharex=True, sharey=True)
    for ax, (start, release) in zip(axes[0], whens, strict=True):
        _map_panel(ax, rows, start, release)
        ax.set_title(Schedule(0, start, release).label.replace("mask 0% ", "").replace("the switch", "thresholds on"))
        ax.set_xlabel("share masked")
    axes[0][0].set_ylabel("share of minority\nfeatures covered")
    return fig


def _map_panel(ax: "Axes", rows: list[dict[str, Any]], start: str, release: int | None) -> None:
    for row in rows:
        if row["method"] == UNMASKED:
            ax.axhline(_coverage(row)["estimate"], color=COLOR["no verdict"], ls=":", lw=1)
    for at_random, style in ((False, "-o"), (True, "--s")):
        own = [(row["schedule"], _coverage(row)["estimate"]) for row in rows if row["schedule"]]
        here = [
            (schedule["share"], share)
            for schedule, share in own
            if (schedule["start"], schedule["release"], schedule["at_random"]) == (start, release, at_random)
            and not schedule["once"]
        ]
        ax.plot(*zip(*sorted(here), strict=True), style, color=COLOR["no verdict"], ms=3, lw=1)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlim(0, 0.8)
