"""The answer in one picture, and in another which features neurons still respond to."""

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from dynsim.plots.parts import lower_legend, panels, step_axis
from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS
from dynsim.stats import verdicts
from experiments.pruning.answer_table import points_by_noise
from experiments.pruning.arms import FADING, KAPPA, LAMBDA, ORACLE, UNMASKED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICT_COLORS = {
    verdicts.HELPS_BEYOND: COLOR["helps"],
    verdicts.HELPS_ALIKE: COLOR["helps alike"],
    verdicts.HELPS_UNDECIDED: COLOR["helps alike"],
    verdicts.HARMS: COLOR["harms"],
}
GREY = COLOR["no verdict"]
UNMASKED_ROWS = (FADING, KAPPA, LAMBDA, ORACLE)
"""Perturbations without a mask, each in a row of its own."""
SHOWN_ARMS = {"lowest": ("o", -0.2), "fixed random": ("s", 0.08), "redrawn random": ("D", 0.3)}
"""Marker and place within its row of each kind of mask."""
ANSWER_COLOR = {
    "lowest": COLOR["smallest masked"],
    "fixed random": COLOR["fixed random mask"],
    "redrawn random": COLOR["redrawn random mask"],
}
READING_LINE = {"one branch": "-", "literal": "--"}
UNMASKED_LINE = {
    UNMASKED: (COLOR["no mask"], "-"),
    FADING: (COLOR["perturbed"], "-"),
    KAPPA: (COLOR["perturbed"], "--"),
}
NOISE_LINE = ("-", "--", ":")
ANSWER_ROW_INCHES = 0.235

CAPTIONS = {
    "answer": (
        "Share of the minority features that end with at least one specialist neuron, for every way to read the "
        "pruning algorithm (rows) and three noise levels (columns, by false firing: the share of tokens on which noise "
        "alone makes a neuron fire), each at a frequency ratio r at which training without a mask leaves some of them "
        "out (dashed line, grey band: its 95 % interval). Filled circles mask the "
        "smallest weights and are coloured by verdict; open squares and diamonds mask as many at random; triangles "
        "perturb training without a mask (noise that fades, half the thresholds, a quarter of the weight decay, a loss "
        "that knows the frequencies); a black tick is what training without a mask gives with the loss of its "
        "row, where that differs. Bars are 95 % intervals over seeds; faint marks had not settled when training ended "
        "and enter no verdict."
    ),
    "mechanism": (
        "First three panels: share of the minority features to which some neuron responds, that is with a projection "
        "above its threshold (means over seeds). Thresholds come on after a few steps; from then on nothing pulls a "
        "neuron towards a feature that none responds to, unless noise lifts it. Colours say what is masked, solid "
        "lines that one branch is masked, broken ones the literal reading. Last panel: share of the masked weights "
        "that were masked at the start too, where the smallest are masked on one branch; chance is 60 % "
        "(dotted). False firing is the share of tokens on which noise alone makes a neuron fire."
    ),
}


def at_point(row: dict[str, Any], point: dict[str, Any]) -> bool:
    """Return whether a row of a summary belongs to a point."""
    return (row["noise"], row["ratio"]) == (point["noise"], point["ratio"])


@matplotlib.rc_context(STYLE)
def answer(numbers: dict[str, Any]) -> "Figure":
    """Return the figure of coverage by reading and noise, each reading beside its placebos."""
    points = points_by_noise(numbers)
    rows = [*dict.fromkeys(row["reading"] for row in numbers["verdicts"]), *UNMASKED_ROWS]
    figure, axes = panels(1, len(points), (TWO_COLUMNS, ANSWER_ROW_INCHES * len(rows) + 1.5), sharey=True)
    for ax, point in zip(axes[0], points, strict=True):
        _panel(ax, numbers, point, rows)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    axes[0, len(points) // 2].set_xlabel("share of minority features with a specialist")
    lower_legend(figure, _handles(), 2)
    return figure


def _panel(ax: "Axes", numbers: dict[str, Any], point: dict[str, Any], rows: list[str]) -> None:
    here = [arm for arm in numbers["arms"] if at_point(arm, point)]
    words = {row["reading"]: row["verdict"] for row in numbers["verdicts"] if at_point(row, point)}
    base = next(arm for arm in here if arm["reading"] == UNMASKED)["ends"]["minority coverage"]
    ax.axvline(base["estimate"], color=COLOR["no mask"], linestyle="--", linewidth=0.9)
    if base["low"] is not None:
        ax.axvspan(base["low"], base["high"], color=COLOR["no mask"], alpha=0.08, linewidth=0)
    for arm in here:
        if arm["reading"] not in rows or arm["released"]:
            continue
        row = rows.index(arm["reading"])
        if arm["reading"] in UNMASKED_ROWS:
            _mark(ax, arm, row, "^", GREY, filled=False)
        elif arm["kind"] in SHOWN_ARMS:
            marker, shift = SHOWN_ARMS[arm["kind"]]
            smallest = arm["kind"] == "lowest"
            color = VERDICT_COLORS.get(words.get(arm["reading"], ""), GREY) if smallest else GREY
            _mark(ax, arm, row + shift, marker, color, filled=smallest)
        else:  # what the loss of this reading gives without a mask
            _mark(ax, arm, row, "|", COLOR["no mask"])
    ax.axhline(len(rows) - len(UNMASKED_ROWS) - 0.5, color=COLOR["mark"], linewidth=0.6)
    ax.set_title(f"false firing {point['false_firing_rate']:.0%},\nr = {point['ratio']:g}")
    ax.set_xlim(-0.03, 1.03)
    ax.grid(axis="x", color=COLOR["grid"], lw=0.5)
    ax.set_axisbelow(True)


def _mark(ax: "Axes", arm: dict[str, Any], place: float, marker: str, color: str, *, filled: bool = True) -> None:
    """Draw one arm with its interval, faint where it has not settled."""
    end = arm["ends"]["minority coverage"]
    if end["estimate"] is None:
        return
    look: dict[str, Any] = {"color": color, "alpha": 1.0 if arm["settled"] else 0.35}
    if end["low"] is not None:
        ax.plot([end["low"], end["high"]], [place, place], lw=1.0, zorder=2, **look)
    face = color if filled else COLOR["empty"]
    ax.plot([end["estimate"]], [place], marker, ms=4, mew=0.9, mfc=face, zorder=3, **look)


def _handles() -> list[Line2D]:
    def entry(marker: str, color: str, label: str, *, filled: bool = True) -> Line2D:
        face = color if filled else COLOR["empty"]
        return Line2D([], [], marker=marker, color=color, mfc=face, ms=4, linestyle="none", label=label)

    return [
        entry("o", COLOR["helps"], "smallest masked: helps more than every placebo"),
        entry("o", COLOR["helps alike"], "smallest masked: helps, but not more than every placebo"),
        entry("o", COLOR["harms"], "smallest masked: harms"),
        entry("o", GREY, "smallest masked: no verdict, or no difference"),
        entry("s", GREY, "as many masked at random", filled=False),
        entry("D", GREY, "masked at random, anew each step", filled=False),
        entry("^", GREY, "no mask, but a perturbation", filled=False),
        entry("|", COLOR["no mask"], "no mask, with the loss of this row"),
    ]


@matplotlib.rc_context(STYLE)
def mechanism(numbers: dict[str, Any]) -> "Figure":
    """Return the figure of features that neurons respond to, and of how much of the mask stays what it was."""
    points = points_by_noise(numbers)
    columns = -(-(len(points) + 1) // 2)
    figure, axes = panels(2, columns, (TWO_COLUMNS, 4.9))
    places = list(axes.flat)
    shown: dict[str, Line2D] = {}
    for ax, point in zip(places, points, strict=False):
        for row in numbers["curves"]:
            if at_point(row, point) and not row["released"]:
                color, line = _line(row)
                (shown[row["label"]],) = ax.plot(row["steps"], row["responded"], line, color=color, label=row["label"])
        ax.set_title(f"false firing {point['false_firing_rate']:.0%}, r = {point['ratio']:g}")
        ax.set_ylabel("minority features\nresponded to" if ax in axes[:, 0] else "")
    _overlap(places[len(points)], numbers, points)
    last = max(row["steps"][-1] for row in numbers["curves"])
    for ax in places[: len(points) + 1]:
        step_axis(ax, np.array([0, last]))
        ax.set(xlabel="training step", ylim=(0, 1.03))
    for ax in places[len(points) + 1 :]:
        ax.remove()
    lower_legend(figure, list(shown.values()), 3)
    return figure


def _line(row: dict[str, Any]) -> tuple[str, str]:
    """Return colour and line style of an arm: colour says what is masked, line style the reading."""
    if row["kind"] in ANSWER_COLOR:
        return ANSWER_COLOR[row["kind"]], READING_LINE.get(row["reading"], "-.")
    return UNMASKED_LINE.get(row["reading"], (COLOR["perturbed"], ":"))


def _overlap(ax: "Axes", numbers: dict[str, Any], points: list[dict[str, Any]]) -> None:
    """Draw which share of a mask was masked at the start too, by noise."""
    for point, line in zip(points, NOISE_LINE, strict=False):
        for row in numbers["curves"]:
            if at_point(row, point) and not row["released"] and row["overlap"]:
                label = f"false firing {point['false_firing_rate']:.0%}"
                ax.plot(row["steps"], row["overlap"], line, color=COLOR["smallest masked"], label=label)
    ax.axhline(0.6, color=COLOR["mark"], linewidth=0.8, linestyle=":")
    ax.set_title("smallest weights masked on one branch")
    ax.set_ylabel("share of the mask that was\nmasked at the start too")
    if ax.lines[1:]:
        ax.legend(loc="lower left", fontsize=SMALL_TEXT)
