"""Figures of differences between pruned and unpruned runs with the same seeds, for both groups of features.

`forest` draws one row per kind of pruning; `factors` draws sweeps of the masked share as lines, and the rest as rows.
"""

from typing import TypedDict

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.analysis.groups import DISJOINT_GROUPS
from dynsim.plots import parts
from dynsim.plots.parts import GROUP_COLOR, NOTE, Difference
from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS

ROW_INCHES = 0.165
MORE = "change in specialists against no pruning"
ROW_LABELS = {"switch": "thresholds on", "coverage": "features covered"}
"""Names in the figure of the steps at which masks start or stop: every figure calls the switch of the thresholds so."""


class Row(TypedDict):
    """One row of a forest."""

    label: str
    filled: bool
    """Whether its points are filled; the caption says what that means."""
    n_seeds: int
    """Seeds that count."""
    n_given: int
    """Seeds that were run."""
    minority: Difference | None
    """None where no seed counts."""
    majority: Difference | None


CAPTIONS = {
    "placebos": (
        "Specialists at the end minus those of the unpruned run, for prunings (filled) and for what might do the same "
        "(open): other masks of the same size, a larger learning rate, a larger temperature, more negatives, and a "
        "loss that knows the frequencies. The main shape has the sizes of the main runs, the small shape those of the "
        "sweeps; not all runs of the main shape had settled. Points are means over seeds and bars 95 % intervals; a "
        "row without points has lost all its seeds, whose weights grew without bound. Each group has its own axis."
    ),
    "factors": (
        "Specialists at the end minus those of the unpruned run when one choice of the pruning is changed at a time. "
        "Top: the masked share, of neurons straight through and of weights on one branch; lines are means over seeds "
        "and bands 95 % intervals, and crosses mark shares at which all seeds were lost, as their weights grew without "
        "bound. Below: which gradient a mask gives, how often and when it is computed, when it starts and stops; "
        "points are means and bars 95 % intervals. Each panel has an axis of its own."
    ),
    "balance": (
        "Pruning where frequencies are equal, and where they are equal but minority features survive into the second "
        "view with a chance of one half only (an imbalance that no frequency shows): specialists at the end minus "
        "those of the unpruned run. Points are means over seeds and bars 95 % intervals; both groups have one axis."
    ),
}


@matplotlib.rc_context(STYLE)
def forest(sections: dict[str, list[Row]], *, shared: bool = False) -> Figure:
    """Draw rows of differences with their intervals, for minority features left and majority features right.

    Args:
        sections: {heading: rows}.
        shared: whether both groups have one axis.
    """
    height = 0.75 + ROW_INCHES * _n_lines(sections)
    fig, axes = parts.panels(1, 2, (TWO_COLUMNS, height), sharex=shared, sharey=True)
    _draw_rows(axes[0], sections)
    _group_titles(axes[0])
    return fig


@matplotlib.rc_context(STYLE)
def factors(sections: dict[str, list[Row]]) -> Figure:
    """Draw sections whose rows are named by a number as lines against it, and the other sections as in `forest`."""
    sweeps = {heading: rows for heading, rows in sections.items() if all(_is_number(row["label"]) for row in rows)}
    rest = {heading: rows for heading, rows in sections.items() if heading not in sweeps}
    inches = [1.35] * len(sweeps) + [0.5 + ROW_INCHES * _n_lines(rest)] * bool(rest)
    fig, axes = parts.panels(len(inches), 2, (TWO_COLUMNS, sum(inches) + 0.3), height_ratios=inches)
    for pair, (heading, rows) in zip(axes, sweeps.items(), strict=False):
        for ax, group in zip(pair, DISJOINT_GROUPS, strict=True):
            _draw_sweep(ax, rows, group)
            ax.set_xlabel(heading.replace("ratio", "masked share", 1))
        pair[0].set_ylabel("change in specialists")
    if rest:
        for ax in axes[-1]:
            ax.sharey(axes[-1, 0])
        _draw_rows(axes[-1], rest)
        axes[-1, 1].tick_params(labelleft=False)
    _group_titles(axes[0])
    return fig


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _n_lines(sections: dict[str, list[Row]]) -> int:
    return sum(len(rows) + 1 for rows in sections.values())


def _group_titles(axes: np.ndarray) -> None:
    for ax, group in zip(axes, DISJOINT_GROUPS, strict=True):
        ax.set_title(f"{group} features", color=GROUP_COLOR[group])


def _draw_sweep(ax: Axes, rows: list[Row], group: str) -> None:
    """Draw the differences of one group against the number that names the rows."""
    known = [(float(row["label"]), row["minority"] if group == "minority" else row["majority"]) for row in rows]
    there = [(x, one) for x, one in known if one is not None and one["estimate"] is not None]
    lost = [x for x, one in known if one is None or one["estimate"] is None]
    ax.axhline(0, color=COLOR["ink"], lw=0.6)
    if there:
        x = np.array([place for place, _ in there])
        mean, low, high = np.array([(one["estimate"], one["low"], one["high"]) for _, one in there], float).T
        low, high = np.where(np.isfinite(low), low, mean), np.where(np.isfinite(high), high, mean)
        parts.band(ax, x, (low, mean, high), GROUP_COLOR[group], f"{group} features")
        ax.plot(x, mean, "o", ms=3, color=GROUP_COLOR[group])
    if lost:
        ax.plot(lost, np.zeros(len(lost)), "x", ms=4, color=COLOR["note"])
        ax.annotate("no seed left", (lost[-1], 0), (0, 5), textcoords="offset points", ha="right", **NOTE)
    ax.set_xlim(-0.03, 1.0)


def _draw_rows(axes: np.ndarray, sections: dict[str, list[Row]]) -> None:
    """Draw the rows of all sections, and name them at the left."""
    ticks: list[tuple[float, str, bool]] = []
    lost: tuple[list[tuple[float, str]], ...] = ([], [])
    place = 0.0
    for heading, rows in sections.items():
        ticks.append((place, heading, True))
        for row in rows:
            place -= 1
            ticks.append((place, ROW_LABELS.get(row["label"], row["label"]), False))
            both = zip(axes, lost, DISJOINT_GROUPS, (row["minority"], row["majority"]), strict=True)
            for ax, notes, group, one in both:
                if one is None or one["estimate"] is None:
                    notes.append((place, f"all {row['n_given']} seeds left out"))
                else:
                    _row(ax, place, one, group, row)
        place -= 1
    for ax, notes in zip(axes, lost, strict=True):
        ax.axvline(0, color=COLOR["ink"], lw=0.6)
        left, right = ax.get_xlim()
        for height, words in notes:
            ax.text(0, height, f" {words} ", NOTE, va="center", ha="right" if -left > right else "left")
        ax.set_xlabel(MORE)
        ax.set_ylim(place + 0.3, 0.7)
        ax.grid(axis="x", color=COLOR["grid"], lw=0.5)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks([tick[0] for tick in ticks], [tick[1] for tick in ticks], fontsize=SMALL_TEXT)
    for label, (_, _, is_heading) in zip(axes[0].get_yticklabels(), ticks, strict=True):
        label.set_fontweight("bold" if is_heading else "normal")


def _row(ax: Axes, place: float, one: Difference, group: str, row: Row) -> None:
    """Draw one row of one group."""
    left = row["n_given"] - row["n_seeds"]
    color = GROUP_COLOR[group]
    estimate, low, high = one["estimate"], one["low"], one["high"]
    if low is not None and high is not None:
        ax.plot([low, high], [place, place], color=color, lw=1.2)
    if estimate is not None:
        ax.plot(estimate, place, "o", ms=4, color=color, mfc=color if row["filled"] else COLOR["empty"])
    if left:
        words = f"{left} of {row['n_given']} seeds left out"
        ax.annotate(
            words, (1, place), (-2, 0), ax.get_yaxis_transform(), "offset points", va="center", ha="right", **NOTE
        )
