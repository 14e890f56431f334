"""All figures of pruning_answer; among them the answer at a glance, five ways to train at three noise levels."""

from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.lines import Line2D

from dynsim.plots.parts import lower_legend, panels
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.pruning import answer_plots
from experiments.pruning.answer_plots import at_point
from experiments.pruning.answer_table import points_by_noise
from experiments.pruning.arms import FADING, UNMASKED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = {
    UNMASKED: ("no mask", "no mask"),
    "literal": ("Algorithm 1 taken literally: smallest\nweights masked for both views", "smallest masked"),
    "literal, fixed random": ("as many for both views, chosen\nat random and kept", "fixed random mask"),
    "one branch": ("smallest weights masked\nfor one of the two views", "smallest masked"),
    "one branch, fixed random": ("as many for one view, chosen\nat random and kept", "fixed random mask"),
    FADING: ("no mask, but noise on the tokens\nthat fades within 1,000 steps", "perturbed"),
}
"""The arms that are shown, by their label: what the figure calls them, and the meaning of their colour."""
NOISE_MARKERS = ("o", "s", "^")
CAPTIONS = answer_plots.CAPTIONS | {
    "overview": (
        "Share of the minority features that end with at least one specialist neuron, for six ways to train (rows, "
        "coloured by what is masked) at three levels of noise (marks, by false firing: the share of tokens "
        "on which noise alone makes a neuron fire). Compare rows, each mark with the same mark of "
        "another row, and not marks with each other: each level of noise has its own ratio r of frequencies, chosen "
        "beforehand so that training without a mask leaves most minority features out. Means and 95 % intervals over "
        "seeds; open marks had not settled when training ended."
    )
}


def all_figures(numbers: dict[str, Any]) -> "dict[str, Figure]":
    """Return the figures of a summary by name."""
    return {
        "overview": overview(numbers),
        "answer": answer_plots.answer(numbers),
        "mechanism": answer_plots.mechanism(numbers),
    }


@matplotlib.rc_context(STYLE)
def overview(numbers: dict[str, Any]) -> "Figure":
    """Return the figure; rows that a smaller preset did not run stay empty."""
    figure, axes = panels(1, 1, (TWO_COLUMNS, 3.6))
    ax = axes[0, 0]
    handles = []
    for place, point in enumerate(points_by_noise(numbers)):
        marker = NOISE_MARKERS[place % len(NOISE_MARKERS)]
        here = {arm["label"]: arm for arm in numbers["arms"] if at_point(arm, point)}
        for row, (label, (_, meaning)) in enumerate(ROWS.items()):
            if label in here:
                _mark_arm(ax, here[label], row + 0.23 * (place - 1), marker, COLOR[meaning])
        words = f"false firing {point['false_firing_rate']:.0%}, r = {point['ratio']:g}"
        handles.append(Line2D([], [], color=COLOR["ink"], marker=marker, ms=4, linestyle="none", label=words))
    ax.set_yticks(range(len(ROWS)), [words for words, _ in ROWS.values()])
    ax.set_ylim(len(ROWS) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of minority features with a specialist")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=COLOR["grid"], lw=0.5)
    ax.set_axisbelow(True)
    lower_legend(figure, handles, 3)
    return figure


def _mark_arm(ax: "Axes", arm: dict[str, Any], place: float, marker: str, color: str) -> None:
    end = arm["ends"]["minority coverage"]
    if end["low"] is not None:
        ax.plot([end["low"], min(end["high"], 1.0)], [place, place], color=color, clip_on=False)
    face = color if arm["settled"] else COLOR["empty"]
    ax.plot([end["estimate"]], [place], marker, ms=5, color=color, mfc=face, clip_on=False, zorder=3)
