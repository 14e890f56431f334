"""The figure of how strong minority features end beside majority features, against the frequency ratio.

The frequency ratio r is how often a minority feature is active, over how often a majority feature is.
"""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynsim.plots import parts
from dynsim.plots.parts import MARK
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from dynsim.stats.intervals import t_half_widths

VARIANT_LOOK = (("s", "--"), ("o", "-"), ("^", "-."))
"""Marker and line of each kind of pruning, in the order of the variants."""
END_LABELS = {"strength ratio": "minority / majority strength", "specialist ratio": "minority / majority specialists"}
CAPTIONS = {
    "end_state": (
        "Strength of minority over majority features (top: square root of the ratio of S, the sum of a feature's "
        "squared projections over the neurons) and their numbers of specialists (bottom) against the frequency ratio "
        "r, at equal steps (left) and at equal held-out loss (right): geometric means over seeds, bars are 95 % t "
        "intervals, points are moved sideways so that all bars are seen. The claim is a flat line with pruning and, "
        "without, the slope 1 of the grey line. Numbers: slopes in log r. At equal loss each kind of pruning has its "
        "own unpruned partner, black with the same marker. Not all runs had settled, so that no claim rests on it."
    ),
}


@matplotlib.rc_context(STYLE)
def end_state(ends: xr.Dataset) -> Figure:
    """Draw each quantity of `END_LABELS` against r, with and without pruning, at equal steps and at equal loss.

    Args:
        ends: Dataset with `end_state` (variant, moment, quantity, run, ratio, seed): natural logarithms of the
            quantities; run 0 is unpruned, run 1 pruned.
    """
    moments, quantities = ends["moment"].values, ends["quantity"].values
    fig, axes = parts.panels(len(quantities), len(moments), (TWO_COLUMNS, 5.2), sharex=True, sharey="row")
    r = ends["ratio"].values
    for row, quantity in enumerate(quantities):
        for column, moment in enumerate(moments):
            ax = axes[row, column]
            at = ends["end_state"].sel(moment=moment, quantity=quantity)
            _against_ratio(ax, at, r, same_partner=moment == "equal steps")
            ax.set_yscale("log")
            parts.plain_log_labels(ax.yaxis)
            ax.set_xscale("log")
            ax.set_xticks(r, [f"{value:g}" for value in r])
            ax.minorticks_off()
            if column == 1:
                bottom, top = ax.get_ylim()
                ax.set_ylim(bottom / (top / bottom) ** 0.3, top)  # room for the slopes
            if row == 0:
                ax.set_title(f"at {moment}" if column == 0 else f"at {moment} on held-out batches")
        axes[row, 0].set_ylabel(END_LABELS[str(quantity)])
    for ax in axes[-1]:
        ax.set_xlabel("frequency ratio r")
    parts.lower_legend(fig, _handles(ends), 2)
    return fig


def _handles(ends: xr.Dataset) -> list[Artist]:
    """Return the legend of the kinds of pruning."""
    names = [str(name) for name in ends["variant"].values]
    handles: list[Artist] = [
        Line2D([], [], color=COLOR["smallest masked"], marker=marker, ls=line, ms=3.5, label=name)
        for name, (marker, line) in zip(names, VARIANT_LOOK, strict=False)
    ]
    handles.append(Line2D([], [], color=COLOR["no mask"], marker="o", ms=3.5, label="unpruned"))
    return [*handles, Line2D([], [], color=MARK, label="slope 1: strength in proportion to r")]


def _against_ratio(ax: Axes, at: xr.DataArray, r: np.ndarray, *, same_partner: bool) -> None:
    lines: list[tuple[np.ndarray, str, str, str]] = []
    for (marker, line), name in zip(VARIANT_LOOK, at["variant"].values, strict=False):
        of = at.sel(variant=name).transpose("run", "seed", "ratio").values
        if same_partner and not lines:
            lines.append((of[0], COLOR["no mask"], "o", "-"))
        elif not same_partner:
            lines.append((of[0], COLOR["no mask"], marker, line))
        lines.append((of[1], COLOR["smallest masked"], marker, line))
    for k, (values, color, marker, line) in enumerate(lines):
        mean, half = t_half_widths(values)
        moved = r * 1.015 ** (k - len(lines) / 2)  # side by side, so that every bar can be seen
        known = np.isfinite(mean)
        slope = np.polyfit(np.log(r[known]), mean[known], 1)[0] if known.sum() > 1 else np.nan
        bars = np.stack([np.exp(mean) - np.exp(mean - half), np.exp(mean + half) - np.exp(mean)])
        style: dict[str, Any] = {"color": color, "ls": line, "marker": marker, "ms": 3, "lw": 1.0, "elinewidth": 0.7}
        ax.errorbar(moved, np.exp(mean), bars, label=f"{slope:.2f}", **style)
    ax.plot(r, r, color=MARK, lw=0.9, zorder=0)
    ax.legend(loc="lower right", title="slope", ncols=2, handlelength=2.6)
