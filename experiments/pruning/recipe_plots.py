"""The recipes in two pictures: what fresh seeds confirmed, and the map of the search behind it."""

from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.lines import Line2D

from dynsim.plots.parts import panels
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.pruning.arms import UNMASKED
from experiments.pruning.recipes import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOISE_WORDS = {"none": "no noise", "1 percent": "false firing 1 %", "default": "default noise"}
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
        "training without a mask."
    ),
    "map": (
        "The search: share of the minority features covered against the share of weights masked on one branch, for "
        "masks that start at once or at the switch (when thresholds come on) and are released after 500 steps or "
        "never. Solid grey lines mask the smallest weights, dashed ones as many at random. Grey is not confirmed; "
        "coloured marks with 95 % intervals are, on fresh seeds at the same point. The dotted line is training "
        "without a mask in the search."
    ),
}


def figures(numbers: dict[str, Any]) -> "dict[str, Figure]":
    """Return the figures by name: the map of the search, and what was confirmed. A search has the map only."""
    searched = numbers["searched"] or (numbers["recipes"] if numbers["preset"] == "search" else [])
    with matplotlib.rc_context(STYLE):
        found = {} if numbers["preset"] == "search" else {"confirmed": confirmed(numbers)}
        return found | ({"map": share_map(searched, numbers)} if searched else {})


def _kind(row: dict[str, Any]) -> str:
    if row["schedule"] is None:
        return "perturbed"
    return "fixed random mask" if row["schedule"]["at_random"] else "smallest masked"


def _at(rows: list[dict[str, Any]], point: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == point[name] for name in ("shape", "noise", "ratio"))]


def _coverage(row: dict[str, Any], when: str = "equal_steps") -> dict[str, Any]:
    found: dict[str, Any] = row[when]["ends"]["minority coverage"]
    return found


def _mark(ax: "Axes", row: dict[str, Any], place: float, *, upright: bool) -> None:
    """Draw the coverage of one recipe with its interval: along y at a place of x if `upright`, else along x."""
    end, kind = _coverage(row), _kind(row)
    if end["estimate"] is None or end["low"] is None:
        return
    error = [[end["estimate"] - end["low"]], [end["high"] - end["estimate"]]]
    shared: dict[str, Any] = {"fmt": RECIPE_MARKS[kind][0], "color": COLOR[kind], "ms": 4, "lw": 1.0, "zorder": 3}
    if upright:
        ax.errorbar(place, end["estimate"], yerr=error, **shared)
    else:
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
            _mark(ax, row, place, upright=False)
            later = _coverage(row, "settled")["estimate"]
            if row["settled"]["n_steps"] != row["equal_steps"]["n_steps"] and later is not None:
                ax.plot(later, place, "o", ms=7, mfc="none", color=COLOR[_kind(row)], lw=0.8)
        features = point["config"]["data"]["n_features"]
        ax.set_title(f"d = {features}, {NOISE_WORDS[point['noise']]}, r = {point['ratio']:g}")
        ax.set_xlim(-0.04, 1.04)
        ax.set_xlabel("share of minority features covered")
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], marker=m, ls="", color=COLOR[k], ms=4, label=words) for k, (m, words) in RECIPE_MARKS.items()
    ]
    handles.append(Line2D([], [], color=COLOR["no mask"], ls="--", lw=1, label=UNMASKED))
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig


def share_map(searched: list[dict[str, Any]], numbers: dict[str, Any]) -> "Figure":
    """Return the map: coverage against the share masked, one column per start and end, one row per point."""
    masks = [row for row in searched if row["schedule"]]
    points = list({(row["shape"], row["noise"], row["ratio"]): row for row in masks}.values())
    whens = list(dict.fromkeys((row["schedule"]["start"], row["schedule"]["release"]) for row in masks))
    size = (TWO_COLUMNS, 1.35 * len(points) + 0.6)
    fig, axes = panels(len(points), len(whens), size, sharex=True, sharey=True)
    for line, point in zip(axes, points, strict=True):
        for ax, (start, release) in zip(line, whens, strict=True):
            _map_panel(ax, _at(searched, point), _at(numbers["recipes"], point), start, release, numbers["preset"])
        line[0].set_ylabel(f"{point['shape']}, r = {point['ratio']:g}\nminority covered")
    for ax, (start, release) in zip(axes[0], whens, strict=True):
        ax.set_title(Schedule(0, start, release).label.replace("mask 0% ", ""))
    for ax in axes[-1]:
        ax.set_xlabel("share masked")
    return fig


def _map_panel(
    ax: "Axes",
    searched: list[dict[str, Any]],
    confirmed_rows: list[dict[str, Any]],
    start: str,
    release: int | None,
    preset: str,
) -> None:
    for row in searched:
        if row["method"] == UNMASKED:
            ax.axhline(_coverage(row)["estimate"], color=COLOR["no verdict"], ls=":", lw=1)

    def here(row: dict[str, Any]) -> bool:
        own = row["schedule"]
        return bool(own) and (own["start"], own["release"]) == (start, release) and not own["once"]

    for at_random, style in ((False, "-o"), (True, "--s")):
        rows = sorted(
            (row for row in searched if here(row) and row["schedule"]["at_random"] == at_random),
            key=lambda row: row["schedule"]["share"],
        )
        shares = [row["schedule"]["share"] for row in rows]
        ax.plot(shares, [_coverage(row)["estimate"] for row in rows], style, color=COLOR["no verdict"], ms=3, lw=1)
    if preset != "search":
        for row in confirmed_rows:
            if here(row):
                _mark(ax, row, row["schedule"]["share"], upright=True)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlim(0, 0.8)
