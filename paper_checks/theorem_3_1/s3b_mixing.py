"""S3b: how many features does a neuron mix?

Statement (Theorem 3.1, in our words): in stage 3 a neuron has weights on at most of the order of d^(1-r^2) features.

In regime: two noise regimes (noise alone fires a neuron on 1 % of the tokens, and on 24 to 15 %); 2 to 3 active
features per sample. N_i is operational (theory 5.5): the features on which the projection is at least half of the
largest one, for neurons with at least a tenth of the largest norm. In the window, and at the end for settings that
have settled.

Rival: neurons that end with one feature each, whatever d and r (exponent 0).

Claims: the exponent of |N_i| in d is at most 1 - r^2 (a margin of 0.1 for the finite sizes), at r = 1, where the bound
is strictest, and at r = 0.5. As |N_i| is at most d, its exponent is hardly above 1, so that the bound at r = 0.3, which
is 0.91, excludes next to nothing and has no row. As an equality, which is ours: the exponent, fitted at each r over the
three smallest sizes, has slope 1 on 1 - r^2, within 0.25, a quarter of the distance to the rival.

Power: 64 to 256 neurons and 6 seeds: a mean |N_i| is known to a few hundredths, its exponent in d to 0.05.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim.config import Config
from dynsim.theory.specialists import is_active, is_candidate
from paper_checks import drawing
from paper_checks.check import INF, Check, Row, at_points, only, over_seeds
from paper_checks.runs import NOISES, Source
from paper_checks.slope_rows import enough_levels, settled_only, slope_row
from paper_checks.slopes import MIN_LEVELS
from paper_checks.specialist_sizes import MOMENTS, finite_runs, moments, settled_flag

MARGIN, SLOPE = 0.1, 0.25
SHOWN = (1.0, 0.5)


def measure(source: Source) -> xr.Dataset:
    """Return the mean number of candidate features of an active neuron, per seed and moment."""
    points, runs = source.points("stages"), source.runs("stages")
    return at_points({point: _of_run(points[point], finite_runs(result)) for point, result in runs.items()})


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
    """Return per noise and moment the exponent in d at two r against the bound, and how it changes with r."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        for place, moment in enumerate(MOMENTS):
            one, lost = here.isel(moment=place), ""
            if moment == MOMENTS[1]:
                one, lost = settled_only(one)
            for ratio in SHOWN:
                if enough_levels(only(here, ratio=ratio), "d"):
                    rows.append(_bound_row(f"{noise}, {moment}", ratio, only(one, ratio=ratio), lost))
            if _ratios(here):
                rows.append(_imbalance_row(f"{noise}, {moment}", one, lost))
    return rows


def _ratios(here: xr.Dataset) -> bool:
    """Return whether three values of r were run at three sizes, so that exponents in d can be compared."""
    ratios = np.unique(here["ratio"].values.astype(float))
    return sum(enough_levels(only(here, ratio=float(r)), "d") for r in ratios) >= MIN_LEVELS


def _bound_row(regime: str, ratio: float, one: xr.Dataset, lost: str) -> Row:
    bound = 1 - ratio**2
    means = ", ".join(f"{over_seeds(x)[0]:.2f}" for x in one["candidates"].values)
    note = "; ".join(filter(None, (f"mean number by size: {means}" if means else "", lost)))
    return slope_row(
        f"a neuron mixes at most about d^(1-r²) features at r = {ratio:g}",
        regime,
        "exponent in d of the mean number of features of a neuron",
        one["d"].values,
        list(one["candidates"].values),
        (-INF, bound + MARGIN),
        predicted=bound,
        rival="0: one feature each",
        note=note,
    )


def _imbalance_row(regime: str, one: xr.Dataset, lost: str) -> Row:
    """Return the row on the exponent against 1 - r²: each seed has an exponent at each r, over the same three sizes."""
    sizes, bounds, exponents = np.unique(one["d"].values)[:MIN_LEVELS], [], []
    for ratio in np.unique(one["ratio"].values.astype(float)):
        of_ratio = only(one, ratio=float(ratio))
        of_ratio = of_ratio.isel(point=np.flatnonzero(np.isin(of_ratio["d"].values, sizes))).sortby("d")
        if of_ratio.sizes["point"] == MIN_LEVELS:
            x = np.log(of_ratio["d"].values.astype(float))
            logs = np.log(of_ratio["candidates"].transpose("point", "seed").values)
            bounds.append(1 - ratio**2)
            exponents.append((x - x.mean()) @ logs / np.sum((x - x.mean()) ** 2))
    return slope_row(
        "a neuron mixes more features the rarer the minority, as d^(1-r²) would if it were reached",
        regime,
        "slope of the exponent in d on 1 - r²",
        bounds,
        exponents,
        (1 - SLOPE, 1 + SLOPE),
        logarithmic=False,
        predicted=1.0,
        rival="0: one feature each",
        note="; ".join(filter(None, ("our reading: the theorem is an upper bound", lost))),
    )


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
    power="64 to 256 neurons and 6 seeds.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="a neuron mixes at most about d^(1-r²) features at r = 0.5",
    caption="Neurons end with about one feature each, whatever d and r. Mean number of features on which a neuron has "
    "at least half of its largest projection, at the end of training, against d. Solid: the theorem's upper "
    "bound as an equality, drawn from the smallest size on; broken: one feature per neuron. Filled: false "
    "firing 1 %, open: default noise.",
)
