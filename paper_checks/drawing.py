"""What the figures of the checks share: a panel with points over seeds and the lines that are predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.plots.style import COLOR, ONE_COLUMN, STYLE, TWO_COLUMNS
from dynsim.stats.intervals import t_half_widths

LINE = {"theory": "-", "paper": "-", "rival": "--", "second rival": ":"}
"""Line styles: what the tested statement predicts is solid, rivals are broken."""


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
    look: dict[str, Any] = {"fmt": "o", "markersize": 3.5, "capsize": 2, "linewidth": 1} | options
    ax.errorbar(np.asarray(x, np.float64), mean, np.nan_to_num(half), label=label, color=COLOR[color], **look)


def predicted(
    ax: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, *, label: str, kind: str = "theory"
) -> None:
    """Draw a predicted line; `kind` is a key of `LINE`."""
    color = COLOR["theory"] if kind in ("theory", "paper") else COLOR["note"]
    ax.plot(np.asarray(x, np.float64), np.asarray(y, np.float64), LINE[kind], color=color, label=label, zorder=1)


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
    with plt.rc_context(STYLE):
        fig.legend(handles=handles, labels=labels, loc="outside lower center", ncols=columns)
