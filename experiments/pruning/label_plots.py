"""Labels against masks in one picture: how many features of either group each method covers."""

from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.lines import Line2D

from dynsim.plots.parts import lower_legend, panels
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.pruning.answer_table import points_by_noise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUP_OFFSETS = {"minority": -0.14, "majority": 0.14}
NOISE_MARKS = {"o": "less noise", "^": "more noise"}
CAPTIONS = {
    "coverage": (
        "Share of the minority (orange) and majority features (blue) that end with at least one specialist neuron, for "
        "losses with labels, controls and masks (rows). The class of a sample is its rarest active feature, but for "
        "rows that say otherwise; the early masks use no labels, but for the last row. Panels: how embeddings are "
        "compared, and the number of features d. Marks are means over seeds and bars 95 % intervals, after equal "
        "numbers of steps, at two levels of noise; above each panel their false firing, the share of tokens on which "
        "noise alone makes a neuron fire."
    )
}


def label_figures(numbers: dict[str, Any]) -> "dict[str, Figure]":
    """Return the figures of a summary by name."""
    return {"coverage": method_coverage(numbers)}


@matplotlib.rc_context(STYLE)
def method_coverage(numbers: dict[str, Any]) -> "Figure":
    """Return the figure of coverage by method, a panel per form and shape."""
    points = points_by_noise(numbers)
    places = list(dict.fromkeys((point["form"], point["shape"]) for point in numbers["points"]))
    methods = list(dict.fromkeys(row["method"] for row in numbers["methods"]))
    fig, axes = panels(1, len(places), (TWO_COLUMNS, 1.1 + 0.27 * len(methods)), sharey=True)
    for ax, place in zip(axes[0], places, strict=True):
        here = [point for point in points if (point["form"], point["shape"]) == place]
        for mark, point in zip(NOISE_MARKS, here, strict=False):
            _rows(ax, numbers, point, methods, mark)
        rates = " and ".join(f"{100 * point['false_firing_rate']:.0f} %" for point in here)
        ax.set_title(f"{place[0]}, d = {here[0]['config']['data']['n_features']}\nfalse firing {rates}")
        ax.set(xlim=(-0.05, 1.05), xlabel="share of features covered")
    axes[0][0].set_yticks(range(len(methods)), methods)
    axes[0][0].set_ylim(len(methods) - 0.4, -0.6)
    handles = [Line2D([], [], color=COLOR[group], lw=3, label=f"{group} features") for group in GROUP_OFFSETS]
    look: dict[str, Any] = {"ls": "", "color": COLOR["ink"], "ms": 4}
    handles += [Line2D([], [], marker=mark, label=label, **look) for mark, label in NOISE_MARKS.items()]
    lower_legend(fig, handles, 4)
    return fig


def _rows(ax: "Axes", numbers: dict[str, Any], point: dict[str, Any], methods: list[str], mark: str) -> None:
    """Draw the coverage of both groups at one point."""
    down = -0.07 if mark == next(iter(NOISE_MARKS)) else 0.07
    for row in numbers["methods"]:
        if any(row[name] != point[name] for name in ("form", "shape", "noise", "ratio")):
            continue
        for group, offset in GROUP_OFFSETS.items():
            end = row["equal_steps"]["ends"][f"{group} coverage"]
            if end["estimate"] is None or end["low"] is None:
                continue
            bar = [[end["estimate"] - end["low"]], [end["high"] - end["estimate"]]]
            height = methods.index(row["method"]) + offset + down
            ax.errorbar(end["estimate"], height, xerr=bar, fmt=mark, color=COLOR[group], ms=3, lw=0.9, zorder=3)
    for edge in range(1, len(methods)):
        ax.axhline(edge - 0.5, color=COLOR["grid"], lw=0.5, zorder=0)
