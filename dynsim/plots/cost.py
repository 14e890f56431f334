"""The figure of training time against the sizes of the problem, such as the numbers of features and neurons."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from dynsim.plots.parts import panels, plain_log_labels
from dynsim.plots.style import STYLE

POINT = "#0072B2"
ABOVE = "#D55E00"


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


@matplotlib.rc_context(STYLE)
def cost_growth(sweeps: Mapping[str, MeasuredSweep], limit: float, limited: Sequence[str]) -> Figure:
    """Draw time against size in one panel per sweep, and all exponents in a last panel.

    Args:
        sweeps: sweeps by name.
        limit: largest exponent that is accepted.
        limited: names of the sweeps to which the limit applies.
    """
    columns = min(4, len(sweeps) + 1)
    rows = -(-(len(sweeps) + 1) // columns)
    fig, grid = panels(rows, columns, (2.9 * columns, 2.9 * rows))
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
    ax.plot(sizes, 1e3 * sweep["factor"] * sizes ** sweep["exponent"], color="k", lw=1.0)
    ax.errorbar(sizes, ms, yerr=bars, fmt="o", ms=4, color=POINT, capsize=2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sweep["sizes"]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(FixedLocator([]))
    plain_log_labels(ax)
    ax.set_xlabel(sweep["label"])
    units = {"seeds": "ms per step of all seeds", "records": "ms per run"}
    ax.set_ylabel(units.get(name, "ms per step"))
    ax.set_title(sweep["held"], fontsize=7.5)
    text = f"{sweep['exponent']:.2f}\n({sweep['low']:.2f} to {sweep['high']:.2f})\nlast {sweep['last']:.2f}"
    ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top", fontsize=8)


def _exponents(ax: Axes, sweeps: Mapping[str, MeasuredSweep], limit: float, limited: Sequence[str]) -> None:
    for place, (name, sweep) in enumerate(sweeps.items()):
        color = ABOVE if name in limited and sweep["exponent"] > limit else POINT
        ax.plot([sweep["low"], sweep["high"]], [place, place], color=color)
        ax.plot(sweep["exponent"], place, "o", ms=4, color=color)
    names = [f"{name}*" if name in limited else name for name in sweeps]
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.axvline(limit, color="#888888", lw=1.0, ls="--")
    ax.set_xlabel("exponent, 95 % interval")
    ax.set_title(f"* wanted: at most {limit:g}", fontsize=7.5)
