"""S3b: how many features does a neuron mix?

Statement (Theorem 3.1, in our words): in stage 3 a neuron has weights on at most of the order of d^(1-r^2) features.

In regime: two noise regimes (noise alone fires a neuron on 1 % of the tokens, and on 24 to 15 %); 2 to 3 active
features per sample. N_i is operational (theory 5.5): the features on which the projection is at least half of the
largest one, for neurons with at least a tenth of the largest norm. In the window, and at the end for settings that
have settled.

Rival: neurons that end with one feature each, whatever d and r (exponent 0).

Claims: the exponent of |N_i| in d is at most 1 - r^2 (a margin of 0.1 for the finite sizes); as an
equality, which is ours, it is 1 - r^2 within 0.1. An upper bound near 1 can hardly be broken, since |N_i| is at most d;
at r = 0.3 it is 0.91.

Power: 64 to 256 neurons and 6 seeds: a mean |N_i| is known to a few hundredths, its exponent in d to 0.05.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim.config import Config
from dynsim.theory.specialists import is_active, is_candidate
from paper_checks import drawing
from paper_checks.check import INF, Check, Row, joined, only
from paper_checks.runs import NOISES, Source
from paper_checks.slope_rows import settled_only, slope_row
from paper_checks.specialist_sizes import MOMENTS, finite_runs, moments, settled_flag

MARGIN = 0.1


def measure(source: Source) -> xr.Dataset:
    """Return the mean number of candidate features of an active neuron, per seed and moment."""
    points, runs = source.points("stages"), source.runs("stages")
    return joined({point: _of_run(points[point], finite_runs(result)) for point, result in runs.items()})


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    values = []
    for record in moments(config, result).values():
        one = result.isel(record=record)
        values.append(mean_candidates(one["alignment"].values, one["weight_norm"].values))
    return xr.Dataset({"candidates": (("moment", "seed"), np.stack(values)), "settled": settled_flag(result)})


def mean_candidates(alignment: np.ndarray, weight_norm: np.ndarray) -> np.ndarray:
    """Return the mean of |N_i| over active neurons, shape (seed,), of arrays (seed, neuron, ...)."""
    active = is_active(weight_norm)
    number = is_candidate(alignment).sum(axis=-1)
    return np.asarray((number * active).sum(axis=-1) / active.sum(axis=-1))


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return per noise, moment and r the exponent in d, against the bound and as an equality."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        for place, moment in enumerate(MOMENTS):
            for ratio in sorted({float(r) for r in here["ratio"].values}, reverse=True):
                one, lost = only(here, ratio=ratio).isel(moment=place), ""
                if moment == MOMENTS[1]:
                    one, lost = settled_only(one)
                rows += _rows(f"{noise}, {moment}", ratio, one, lost)
    return rows


def _rows(regime: str, ratio: float, one: xr.Dataset, lost: str) -> list[Row]:
    bound = 1 - ratio**2
    means = ", ".join(f"{np.nanmean(x):.2f}" for x in one["candidates"].values)
    note = "; ".join(filter(None, (f"mean |N_i| by size: {means}" if means else "", lost)))
    quantity = "exponent of |N_i| in d"
    values = list(one["candidates"].values)
    out = []
    for claim, wanted in (
        (f"neurons mix at most about d^(1-r²) features at r = {ratio:g}", (-INF, bound + MARGIN)),
        (
            f"neurons mix about d^(1-r²) features at r = {ratio:g}, read as an equality",
            (bound - MARGIN, bound + MARGIN),
        ),
    ):
        rival = "0: one feature each"
        out.append(
            slope_row(claim, regime, quantity, one["d"].values, values, wanted, predicted=bound, rival=rival, note=note)
        )
    return out


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw mean |N_i| against d at r = 1, 0.7 and 0.5, with the bound through the smallest size."""
    ratios = [r for r in (1.0, 0.7, 0.5) if r in arrays["ratio"].values]
    fig, axes = drawing.panels(len(ratios))
    for ax, ratio in zip(axes, ratios, strict=True):
        for noise, fill in zip(NOISES, ("full", "none"), strict=True):
            one = only(arrays, noise=noise, ratio=ratio).isel(moment=1)
            d = one["d"].values.astype(float)
            x = drawing.beside(d, fill == "none", 2)
            drawing.points(ax, x, one["candidates"].values.T, label=noise, color="all", fillstyle=fill)
        first = np.nanmean(only(arrays, ratio=ratio, d=int(d[0]))["candidates"].isel(moment=1).values)
        drawing.predicted(ax, d, first * (d / d[0]) ** (1 - ratio**2), label="$d^{1-r^2}$, from the first size on")
        drawing.predicted(ax, d, np.ones(len(d)), label="one feature each", kind="rival")
        drawing.levels(ax, d)
        ax.set_ylim(0, 3)
        y = "features of a neuron" if ax is axes[0] else ""
        drawing.words(ax, x="number of features d", y=y, title=f"r = {ratio:g}")
    drawing.legend_below(fig, axes[0], columns=2)
    return fig


CHECK = Check(
    code="S3b",
    statement="Theorem 3.1",
    title="how many features a neuron mixes",
    formula="|N_i| = O(d^(1−r²)): exponent of |N_i| (`theory.specialists.is_candidate`) in d at most 1 − r².",
    rival="one feature each, exponent 0.",
    constants="none in exponents; what counts as a weight on a feature, half of the largest, is ours.",
    power="64 to 256 neurons and 6 seeds: the exponent is known to 0.05.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Neurons end with about one feature each, whatever d and r. Mean number of features on which a neuron has "
    "at least half of its largest projection, at the end of training, against d. Solid: the theorem's upper "
    "bound as an equality, drawn from the smallest size on; broken: one feature per neuron. Filled: false "
    "firing 1 %, open: default noise.",
)
