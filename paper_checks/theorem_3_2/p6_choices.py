"""P6: does the help from pruning depend on what the sources leave open?

Statement (ours, of Theorem 3.2 read widely): pruning brings rare features back whatever the unit, the reading of the
gradient, the share and the refresh of the mask. Thirteen ways of pruning were compared with their own training without
a mask at three noise levels.

In regime: ways whose runs have settled; others are left out and counted in the note. 1 %, default and no false firing;
about 1.8 active features per sample.

Rival: one lucky choice.

Claim: the difference in minority coverage, masked - unmasked, is above 0 for every one of them. Measured: in how many
its estimate is; the interval runs from those whose own 95 % interval lies above 0 to those whose interval reaches
above it.

Power: 16 seeds each; an interval of the difference is 0.08 to 0.15 wide on either side.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from paper_checks import committed, drawing
from paper_checks.check import ABOVE_0, Check, Row, row
from paper_checks.committed import POINTS, Quote, answer_regime, statement
from paper_checks.runs import Source

CLAIM = "pruning covers more of the minority, whatever the way of masking"
QUANTITY = "ways of pruning with more minority coverage than without a mask"
LARGE_SHARE = [
    Quote(
        "a mask of 90 % of the weights covers more of the minority than none (one branch)",
        answer_regime(noise),
        "difference in minority coverage, masked - no mask",
        statement("P6", noise),
        ABOVE_0,
        rival="below 0: so few weights are left that nothing is learned",
    )
    for noise in POINTS
]


def measure(source: Source) -> xr.Dataset:
    """Return the difference to no mask with its interval, by noise level and way of pruning, and the quoted rows."""
    summary = source.committed("pruning_answer")
    ways = list(dict.fromkeys(one["reading"] for one in summary["verdicts"]))
    cells = np.full((len(POINTS), len(ways), 3), np.nan)
    settled = np.zeros((len(POINTS), len(ways)))
    for one in summary["verdicts"]:
        k, j = list(POINTS).index(one["noise"]), ways.index(one["reading"])
        cells[k, j] = committed.interval(one["against"]["no mask"])[:3]
        settled[k, j] = one["settled"][one["reading"]] and one["settled"].get("no mask", True)
    quoted = committed.measure(LARGE_SHARE, source)
    dims = ("noise", "way")
    values = {"cells": ((*dims, "number"), cells), "cell_settled": (dims, settled)}
    return xr.Dataset(values, {"noise": list(POINTS), "way": ways}).merge(quoted)


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for each noise level over all ways that had settled, then the rows of a large share."""
    rows = []
    for noise in arrays["noise"].values:
        one = arrays.sel(noise=noise)
        settled = one["cell_settled"].values.astype(bool)
        estimate, low, high = one["cells"].values[settled].T
        n = len(estimate)
        harmful = [str(way) for way in one["way"].values[settled][high < 0]]
        note = f"{int((~settled).sum())} ways had not settled; fewer with: {', '.join(harmful) or 'none'}"
        found = (float((estimate > 0).sum()), float((low > 0).sum()), float((high > 0).sum()))
        regime = answer_regime(str(noise))
        rows.append(row(CLAIM, regime, QUANTITY, found, (n, n), predicted=n, rival="a lucky choice", note=note))
    return rows + committed.judge(LARGE_SHARE, arrays)


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the difference of every way of pruning, one panel for each noise level."""
    fig, axes = drawing.panels(len(arrays["noise"]), height=3.2)
    names = [str(way) for way in arrays["way"].values]
    for ax, noise in zip(axes, arrays["noise"].values, strict=True):
        one = arrays.sel(noise=noise)
        for settled, look in ((True, "o"), (False, "x")):
            kept = np.flatnonzero(one["cell_settled"].values.astype(bool) == settled)
            estimate, low, high = one["cells"].values[kept].T
            label = "settled" if settled else "still changing"
            bars = np.nan_to_num(np.abs([estimate - low, high - estimate]))
            ax.errorbar(estimate, kept, xerr=bars, fmt=look, color=drawing.COLOR["all"], markersize=3.5, label=label)
        ax.axvline(0, color=drawing.COLOR["theory"], linewidth=0.8, label="no gain")
        ax.set_yticks(range(len(names)), names if ax is axes[0] else [""] * len(names))
        ax.invert_yaxis()
        drawing.words(
            ax, x="coverage, masked - no mask", y="", title=answer_regime(str(noise)).replace(", d = 16, ", "\n")
        )
    drawing.legend_below(fig, *axes)
    return fig


CHECK = Check(
    code="P6",
    statement="Theorem 3.2",
    title="pruning helps whatever its unit, reading, share and refresh",
    formula="coverage(masked) - coverage(no mask) > 0 for each of thirteen ways of pruning.",
    rival="one lucky choice.",
    constants="none.",
    power=committed.POWER,
    sets=("pruning_answer",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Whether pruning helps depends on how it is done: some ways help at all noise levels, some harm. Minority "
    "coverage with the mask minus that without, for every way of pruning. Points: mean over seeds, with 95 % "
    "intervals; crosses: runs that were still changing. The claim needs all points right of the line.",
)
