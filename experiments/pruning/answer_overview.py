"""The answer on pruning at a glance: five ways to train, three noise levels."""

from typing import TYPE_CHECKING, Any

import matplotlib

from dynsim.plots.parts import panels
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from experiments.pruning.arms import FADING, UNMASKED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = {
    UNMASKED: "no mask",
    "literal": "Algorithm 1 taken literally: smallest\nweights masked for both views",
    "one branch": "smallest weights masked\nfor one of the two views",
    "one branch, fixed random": "as many weights masked there,\nchosen at random",
    FADING: "no mask, but noise on the tokens\nthat fades within 1,000 steps",
}
"""The arms that are shown, by their label, and what the figure calls them."""
NOISE_MARKERS = ("o", "s", "^")
OVERVIEW_CAPTION = (
    "Share of the minority features that end with at least one specialist neuron, for five ways to train at three "
    "levels of noise. Each level has its own ratio r of frequencies, chosen beforehand so that training without a "
    "mask leaves most minority features out. Means and 95 % intervals over seeds; hollow: had not settled when "
    "training ended."
)


def overview(numbers: dict[str, Any]) -> "Figure":
    """Return the figure; rows that a smaller preset did not run stay empty."""
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(1, 1, (TWO_COLUMNS, 3.4))
        _draw(axes[0, 0], numbers)
        figure.legend(loc="outside upper center", handletextpad=0.3)
    return figure


def _draw(ax: "Axes", numbers: dict[str, Any]) -> None:
    for place, point in enumerate(sorted(numbers["points"], key=lambda one: one["false_firing_rate"])):
        colour, marker = COLOR["ink"], NOISE_MARKERS[place % 3]
        words = f"noise fires a neuron on {point['false_firing_rate']:.0%} of the tokens; r = {point['ratio']:g}"
        ax.plot([], [], color=colour, marker=marker, linestyle="", label=words)
        for row, label in enumerate(ROWS):
            for arm in numbers["arms"]:
                if (arm["label"], arm["noise"], arm["ratio"]) == (label, point["noise"], point["ratio"]):
                    found = arm["ends"]["minority coverage"]
                    low, high = found["low"] or found["estimate"], found["high"] or found["estimate"]
                    y = row + 0.22 * (place - 1)
                    ax.plot([low, high], [y, y], color=colour, linewidth=1.4, clip_on=False)
                    face = colour if arm["settled"] else COLOR["empty"]
                    ax.plot(found["estimate"], y, marker=marker, color=colour, markerfacecolor=face, clip_on=False)
    ax.set_yticks(range(len(ROWS)), list(ROWS.values()))
    ax.set_ylim(len(ROWS) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the minority features that end with a specialist")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=COLOR["grid"], linewidth=0.8)
    ax.set_axisbelow(True)
