"""A figure of rows: each measured number with its interval over the range in which the claim holds."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS
from paper_checks.check import Row

LINE_INCHES, ROW_INCHES, PANEL_INCHES = 0.125, 0.1, 0.55
LEGEND_INCHES = 0.25
CHARACTERS = 62  # of a row's label in one line
ROOM = 0.35  # share of the measured span that is left free on either side


def rows_figure(rows: Sequence[Row]) -> Figure:
    """Draw one panel for each quantity, and in it the rows that have it: claim, number, allowed range, verdict."""
    import matplotlib.pyplot as plt

    parts: dict[str, list[Row]] = {}
    for one in rows:
        parts.setdefault(one.quantity, []).append(one)
    heights = [PANEL_INCHES + sum(_height(label) for label in _labels(part)) for part in parts.values()]
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(
            len(parts),
            1,
            figsize=(TWO_COLUMNS, sum(heights) + LEGEND_INCHES),
            height_ratios=heights,
            layout="constrained",
            squeeze=False,
        )
        for ax, (quantity, part) in zip(axes.flat, parts.items(), strict=True):
            _panel(ax, quantity, part)
        _legend(fig, rows)
    return fig


def _legend(fig: Figure, rows: Sequence[Row]) -> None:
    """Name what is drawn, as far as some row has it."""
    look: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.2}
    marks: list[Line2D | Patch] = [Line2D([], [], color=COLOR["all"], label="measured, 95 % interval", **look)]
    if any(one.wanted is not None for one in rows):
        marks.append(Patch(color=COLOR["grid"], label="where the claim holds"))
    if any(one.predicted is not None for one in rows):
        marks.append(Line2D([], [], color=COLOR["theory"], linewidth=0.8, label="predicted"))
    fig.legend(handles=marks, loc="outside lower center", ncols=len(marks))


def _labels(part: Sequence[Row]) -> list[str]:
    """Return the labels of rows: the claim where it is new, and the regime."""
    labels, before = [], ""
    for one in part:
        lines = textwrap.wrap(one.claim, CHARACTERS) if one.claim != before else []
        labels.append("\n".join([*lines, *textwrap.wrap(one.regime, CHARACTERS)]))
        before = one.claim
    return labels


def _height(label: str) -> float:
    return ROW_INCHES + LINE_INCHES * (1 + label.count("\n"))


def _panel(ax: Axes, quantity: str, part: Sequence[Row]) -> None:
    labels = _labels(part)
    sizes = np.array([_height(label) for label in labels])
    centres = np.cumsum(sizes) - sizes / 2
    low, high = _limits(part)
    ax.set(xlim=(low, high), ylim=(float(sizes.sum()), 0.0))
    for one, y, size in zip(part, centres, sizes, strict=True):
        if one.wanted is not None:
            ends = np.clip(one.wanted, low, high)
            ax.fill_betweenx([y - 0.45 * size, y + 0.45 * size], *ends, color=COLOR["grid"], linewidth=0)
        if one.predicted is not None and low <= one.predicted <= high:
            ax.plot([one.predicted] * 2, [y - 0.45 * size, y + 0.45 * size], color=COLOR["theory"], linewidth=0.8)
        if one.interval is not None and all(math.isfinite(end) for end in one.interval):
            ax.plot(one.interval, [y, y], color=COLOR["all"], linewidth=1.2, solid_capstyle="butt")
        if one.measured is not None and math.isfinite(one.measured):
            ax.plot(one.measured, y, "o", color=COLOR["all"], markersize=3.5)
        ax.annotate(
            one.verdict, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL_TEXT, clip_on=False
        )
    ax.set_yticks(centres, labels, fontsize=SMALL_TEXT)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(quantity)


def _limits(part: Sequence[Row]) -> tuple[float, float]:
    """Return the limits of the axis: all numbers and finite ends, and room beside them."""
    seen = [one.measured for one in part] + [one.predicted for one in part]
    seen += [end for one in part for ends in (one.interval, one.wanted) if ends is not None for end in ends]
    finite = [value for value in seen if value is not None and math.isfinite(value)] or [0.0]
    span = max(max(finite) - min(finite), 1e-3)
    return min(finite) - ROOM * span, max(finite) + ROOM * span
