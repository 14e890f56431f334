"""What the figures of the checks share: a panel with points over seeds and the lines that are predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from dynsim.plots.style import COLOR, ONE_COLUMN, STYLE, TWO_COLUMNS
from dynsim.stats.intervals import t_half_widths

LINE = {"theory": "-", "paper": "-", "rival": "--", "second rival": ":"}
"""Line styles: what the tested statement predicts is solid, rivals are broken."""
TWO_DECADES = 150.0
"""Up to this range a log axis has plain numbers (1, 2, 5 and so on); beyond it, powers of ten."""


def panels(n: int, *, columns: int = 0, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` panels side by side, or in rows of `columns`, at one or two column widths."""
    import matplotlib.pyplot as plt

    n_columns = columns or n
    n_rows = -(-n // n_columns)
    width = ONE_COLUMN if n_columns == 1 else TWO_COLUMNS
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(
            n_rows, n_columns, figsize=(width, height * n_rows), layout="constrained", squeeze=False
        )
    for empty in axes.flat[n:]:
        empty.remove()
    return fig, list(axes.flat[:n])


def points(
    ax: Axes, x: Sequence[float] | np.ndarray, values: np.ndarray, *, label: str, color: str, **options: Any
) -> None:
    """Draw means over seeds with 95 % intervals.

    Args:
        x: one number per level.
        values: shape (seed, level); NaN entries are left out.
        color: a key of `plots.style.COLOR`.
        options: further arguments of `Axes.errorbar`, such as marker.
    """
    mean, half = t_half_widths(np.asarray(values, np.float64))
    look: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 3.5, "capsize": 2, "elinewidth": 1}
    ax.errorbar(np.asarray(x, np.float64), mean, np.nan_to_num(half), label=label, color=COLOR[color], **look | options)


def predicted(
    ax: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, *, label: str, kind: str = "theory"
) -> None:
    """Draw a predicted line; `kind` is a key of `LINE`."""
    color = COLOR["theory"] if kind in ("theory", "paper") else COLOR["note"]
    ax.plot(np.asarray(x, np.float64), np.asarray(y, np.float64), LINE[kind], color=color, label=label, zorder=1)


def beside(x: Sequence[float] | np.ndarray, place: int, n: int, *, share: float = 0.03) -> np.ndarray:
    """Return levels of a log axis moved a little, so that `n` kinds of points stand beside each other."""
    moved: np.ndarray = np.asarray(x, np.float64) * (1 + share) ** (place - (n - 1) / 2)
    return moved


def levels(ax: Axes, values: Sequence[float] | np.ndarray) -> None:
    """Make the horizontal axis logarithmic, with a tick at each level and the level as a plain number."""
    ticks = np.unique(np.asarray(values, np.float64))
    ax.set_xscale("log")
    ax.set_xticks(
        ticks, [f"{tick:.3g}" if tick < 1 else f"{tick:.2g}" if tick < 10 else f"{tick:.0f}" for tick in ticks]
    )
    ax.set_xticks([], minor=True)


def log_y(*panels_: Axes) -> None:
    """Make vertical axes logarithmic, with plain numbers where they span at most two decades; call it after drawing."""
    for ax in panels_:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high / low <= TWO_DECADES:
            subs = (1.0, 2.0, 3.0, 5.0, 7.0) if high / low < 6 else (1.0, 2.0, 5.0)
            ax.yaxis.set_major_locator(LogLocator(subs=subs))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())


def words(ax: Axes, *, x: str, y: str, title: str = "", legend: bool = False) -> None:
    """Write the texts of a panel; with a legend in it where it is the only one."""
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        ax.set_xlabel(x)
        ax.set_ylabel(y)
        ax.set_title(title)
        if legend:
            ax.legend()


def legend_below(fig: Figure, *axes: Axes, columns: int = 3) -> None:
    """Write one legend for all panels below them; what has the same label is named once."""
    import matplotlib.pyplot as plt

    handles, labels = [], []
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    if not labels:
        return
    with plt.rc_context(STYLE):
        fig.legend(handles=handles, labels=labels, loc="outside lower center", ncols=columns)
