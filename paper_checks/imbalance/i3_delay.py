"""I3: how much later do rare features get their first specialist?

Statement (theory 7.3, ours): the time until feature j has a specialist goes as 1/(P_j - lambda), since decay and
thresholds take a fixed part of a smaller rate. So the delay of the minority against the majority exceeds 1/r.

In regime: whole training at several d and r, learning rate small against the growth. False firing 1 % and default (15
to 24 %); one to two active features per sample. Time is taken where a quarter of a group's features have a specialist,
so that features that never get one do not count; runs in which fewer ever do are left out.

Rival: growth alone, a delay of 1/r exactly; or a delay far beyond 1/(P - lambda), where most features that are late are
never learned because the softmax is no longer uniform.

Claim: delay > 1/r; delay = (P_maj - lambda) / (P_min - lambda) within a quarter (computed by `theory.growth_rate` and
`theory.decay_rate`, so that replaced empty samples are in it).

Power: six seeds at 3 to 17 points; records are 20 % apart, which blurs each time by 6 %, and the mean delay by 2 %.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.config import Config
from dynsim.stats.trends import exponent
from paper_checks import drawing
from paper_checks.check import INF, RIVAL, Check, Row, about, at_points, only, over_seeds, row
from paper_checks.end_states import first_steps
from paper_checks.runs import NOISES, Source

SHARE = 0.25
EXPONENT = (0.5, 1.5)
"""With four ratios the exponent is known to a quarter at best; the rivals are 0 and far above 1."""
AT = 16  # the size at which the exponent in r is taken, which has all ratios


def measure(source: Source) -> xr.Dataset:
    """Return when a quarter of each group has a specialist, and the predicted delay, by noise, d and r."""
    points, runs = source.points("stages"), source.runs("stages")
    return at_points({point: _of_point(points[point], result) for point, result in runs.items()})


def _of_point(config: Config, result: xr.Dataset) -> xr.Dataset:
    net, rare = theory.growth_rate(config) - theory.decay_rate(config), theory.is_minority(config.data)
    return first_steps(result).assign(predicted=float(net[~rare].mean() / net[rare].mean()))


def _delays(arrays: xr.Dataset, noise: str) -> tuple[xr.Dataset, np.ndarray]:
    """Return the points with r < 1, and log of the delay by (point, seed)."""
    one = only(arrays, noise=noise)
    one = one.isel(point=np.flatnonzero(one["ratio"].values < 1))
    log_first = xr.apply_ufunc(np.log, one["first"])
    return one, (log_first.sel(group="minority") - log_first.sel(group="majority")).transpose("point", "seed").values


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level, rows on the delay against 1/r and the prediction, and on its exponent in 1/r."""
    rows = []
    for noise in NOISES:
        one, delay = _delays(arrays, noise)
        lost = f"{int(np.isnan(delay).sum())} of {delay.size} runs have too few covered minority features for a time"
        against = {
            "the delay of the first specialists of rare features exceeds 1/r": (
                np.log(1 / one["ratio"].values),
                "delay over 1/r",
                (1.0, INF),
                None,
            ),
            "the delay of the first specialists of rare features is that of 1/(P - lambda)": (
                np.log(one["predicted"].values),
                "measured over predicted delay",
                about(1.0, SHARE),
                1.0,
            ),
        }
        for claim, (log_of, quantity, wanted, predicted) in against.items():
            value, low, high = np.exp(over_seeds(_over_points(delay - log_of[:, None])))
            found = (float(value), float(low), float(high))
            rows.append(row(claim, noise, quantity, found, wanted, predicted=predicted, rival="1/r", note=lost))
        fit = _exponent(one, delay)
        if fit is not None:
            claim, quantity = (
                "the delay of the first specialists of rare features grows as 1/r",
                f"exponent of the delay in 1/r at d = {AT}",
            )
            rows.append(row(claim, noise, quantity, fit, EXPONENT, predicted=1.0, rival="0 or far above 1", note=lost))
    return rows


def _over_points(values: np.ndarray) -> np.ndarray:
    """Return the mean over points per seed, of those points that have a number in at least half of the seeds."""
    kept = values[np.isfinite(values).mean(axis=1) >= 0.5]
    centred = kept - np.nanmean(kept, axis=1, keepdims=True) if len(kept) else kept
    # a seed without a number at some point counts there as the mean of the others, so that points stay balanced
    return np.nanmean(kept, axis=1).mean() + np.nan_to_num(centred).mean(axis=0) if len(kept) else np.full(3, np.nan)


def _exponent(one: xr.Dataset, delay: np.ndarray) -> tuple[float, float, float] | None:
    at = [k for k in np.flatnonzero(one["d"].values == AT) if np.isfinite(delay[k]).sum() >= 3]
    if len(at) < 3:
        return None
    values = [np.exp(delay[k][np.isfinite(delay[k])]) for k in at]
    return exponent(1 / one["ratio"].values[at], values).span


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the delay against 1/r at every size, with 1/r and with the prediction, one panel for each noise level."""
    fig, axes = drawing.panels(len(NOISES))
    markers = "os^vD"
    for ax, noise in zip(axes, NOISES, strict=True):
        one, delay = _delays(arrays, noise)
        for place, (d, marker) in enumerate(zip(sorted(set(one["d"].values)), markers, strict=False)):
            kept = np.flatnonzero(one["d"].values == d)
            x, values = 1 / one["ratio"].values[kept], np.exp(delay[kept]).T
            x = drawing.beside(x, place, 4)
            drawing.points(ax, x, values, label=f"d = {d}", color="minority", marker=marker)
        order = np.argsort(one["ratio"].values)
        x = 1 / one["ratio"].values[order]
        drawing.predicted(ax, x, one["predicted"].values[order], label="1 / (growth rate relative to the majority's)")
        drawing.predicted(ax, x, x, label="rival: 1/r", kind="rival")
        drawing.levels(ax, x)
        ax.set(yscale="log", ylim=(0.5, 300))
        drawing.words(ax, x="1 / r", y="delay of the minority (factor)", title=noise)
    drawing.legend_below(fig, *axes, columns=3)
    return fig


CHECK = Check(
    code="I3",
    origin=RIVAL,
    statement="Theorem 3.1",
    title="rare features get their first specialist later, by more than 1/r",
    formula="t_min / t_maj = (P_maj - lambda) / (P_min - lambda) > 1/r, with t the step at which a quarter of a group "
    "is covered.",
    rival="1/r exactly, or a much longer delay.",
    constants="none: the constant cancels in the ratio.",
    power="six seeds at up to 17 points per noise level.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Rare features get their first specialists later, by far more than 1/r. How much later a quarter of the "
    "minority features has a specialist than a quarter of the majority features, against 1/r. Points: mean "
    "over seeds with 95 % intervals, one marker for each number of features d; solid line: 1/(P - lambda); "
    "broken line: 1/r.",
)
