"""The figure of training time against the sizes of the problem, such as the numbers of features and neurons."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from dynsim.plots.parts import panels, plain_log_labels
from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS


class MeasuredSweep(TypedDict):
    """Times measured while one size varies, and the power law seconds = factor * size ** exponent fitted to them."""

    label: str
    """Name of the size that varies."""
    held: str
    """The sizes that do not vary, in words."""
    sizes: list[int]
    ms: list[float]
    """Fastest time at each size, in milliseconds."""
    ms_median: list[float]
    """Median time at each size, in milliseconds."""
    exponent: float
    low: float
    """Lower end of the 95 % interval of the exponent."""
    high: float
    factor: float
    """Fitted time at size 1, in seconds."""
    last: float
    """Exponent between the two largest sizes."""


def bends(sweep: MeasuredSweep) -> bool:
    """Return whether the times leave the fitted power law at the end: the last exponent lies outside its interval."""
    return not sweep["low"] <= sweep["last"] <= sweep["high"]


@matplotlib.rc_context(STYLE)
def cost_growth(sweeps: Mapping[str, MeasuredSweep], limit: float, limited: Sequence[str]) -> Figure:
    """Draw time against size in one panel per sweep, and all exponents in a last panel.

    Args:
        sweeps: sweeps by name.
        limit: largest exponent that is wanted.
        limited: names of the sweeps to which the limit applies.
    """
    columns = min(4, len(sweeps) + 1)
    rows = -(-(len(sweeps) + 1) // columns)
    fig, grid = panels(rows, columns, (TWO_COLUMNS, 0.2 + 2.05 * rows))
    axes = list(grid.flat)
    for ax, (name, sweep) in zip(axes, sweeps.items(), strict=False):
        _growth(ax, name, sweep)
    _exponents(axes[len(sweeps)], sweeps, limit, limited)
    for ax in axes[len(sweeps) + 1 :]:
        ax.remove()
    return fig


def _growth(ax: Axes, name: str, sweep: MeasuredSweep) -> None:
    sizes, ms = np.asarray(sweep["sizes"], float), np.asarray(sweep["ms"])
    bars = np.stack([np.zeros_like(ms), np.asarray(sweep["ms_median"]) - ms])
    bent = bends(sweep)
    ax.plot(sizes, 1e3 * sweep["factor"] * sizes ** sweep["exponent"], "--" if bent else "-", color=COLOR["mark"], lw=1)
    if bent:
        ax.plot(sizes[-2:], ms[-2:], color=COLOR["ink"], lw=1)
    ax.errorbar(sizes, ms, yerr=bars, fmt="o", ms=3, color=COLOR["ink"], capsize=1.5, elinewidth=0.7)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sweep["sizes"][::2]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(FixedLocator(sweep["sizes"]))
    plain_log_labels(ax.yaxis)
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * (top / bottom) ** 0.45)  # room for the text
    ax.set_xlabel(sweep["label"])
    units = {"seeds": "ms per step of all seeds", "records": "ms per run"}
    ax.set_ylabel(units.get(name, "ms per step"))
    ax.set_title(_two_lines(sweep["held"]), fontsize=SMALL_TEXT)
    end = f"bends: {sweep['last']:.2f} at the end" if bent else f"last pair {sweep['last']:.2f}"
    text = f"fit {sweep['exponent']:.2f} ({sweep['low']:.2f} to {sweep['high']:.2f})\n{end}"
    ax.text(0.03, 0.98, text, transform=ax.transAxes, va="top", fontsize=SMALL_TEXT)


def _two_lines(held: str) -> str:
    """Return a list of sizes on two lines."""
    sizes = held.split(", ")
    middle = -(-len(sizes) // 2)
    return "\n".join(filter(None, [", ".join(sizes[:middle]), ", ".join(sizes[middle:])]))


def _exponents(ax: Axes, sweeps: Mapping[str, MeasuredSweep], limit: float, limited: Sequence[str]) -> None:
    for place, sweep in enumerate(sweeps.values()):
        first = place == 0
        ax.plot([sweep["low"], sweep["high"]], [place, place], color=COLOR["ink"], lw=1)
        ax.plot(sweep["exponent"], place, "o", ms=3.5, color=COLOR["ink"], label="fit" if first else None)
        look: dict[str, Any] = {"color": COLOR["ink"], "mfc": COLOR["empty"], "label": "last pair" if first else None}
        ax.plot(sweep["last"], place, "D", ms=3.5, mew=0.9, **look)
    names = [f"{name}*" if name in limited else name for name in sweeps]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -2.2)  # room for the legend
    ax.axvline(limit, color=COLOR["mark"], lw=0.9, ls="--")
    ax.set_xlabel("exponent")
    ax.set_title(f"* wanted: at most {limit:g}\n", fontsize=SMALL_TEXT)
    ax.legend(loc="upper left", ncols=2, fontsize=SMALL_TEXT, columnspacing=1.0, handletextpad=0.2)
