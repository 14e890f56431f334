"""Slopes that stay unknown where too few numbers are left, so that a row says undecided instead of failing."""

import math
from collections.abc import Sequence

import numpy as np

from dynsim.stats.trends import Trend, trend
from paper_checks.check import Numbers, over_seeds

UNKNOWN = Trend(*(math.nan,) * 8, 0, 0)
MIN_LEVELS, MIN_SEEDS = 3, 2


def usable(x: Sequence[float] | np.ndarray, values: Sequence[np.ndarray]) -> list[tuple[float, np.ndarray]]:
    """Return the levels that have at least two finite values, each with these values."""
    flat = [(float(at), np.asarray(one, np.float64).ravel()) for at, one in zip(x, values, strict=True)]
    kept = [(at, one[np.isfinite(one)]) for at, one in flat]
    return [(at, one) for at, one in kept if len(one) >= MIN_SEEDS]


def line(x: Sequence[float] | np.ndarray, values: Sequence[np.ndarray]) -> Trend:
    """Return `trend` through the levels that have at least two finite values; unknown for fewer than three levels.

    Of three levels the interval of the slope is over the slopes of single seeds where all levels have the same seeds:
    how far three means are off a line is one number, which gives no usable interval, and one that changes with luck.
    """
    kept = usable(x, values)
    if len({at for at, _ in kept}) < MIN_LEVELS:
        return UNKNOWN
    fit = trend([at for at, _ in kept], [one for _, one in kept])
    span = _of_each_seed(x, values) if len(kept) == MIN_LEVELS else None
    return fit if span is None else fit._replace(slope=span[0], low=span[1], high=span[2])


def _of_each_seed(x: Sequence[float] | np.ndarray, values: Sequence[np.ndarray]) -> Numbers | None:
    """Return mean and interval over seeds of each seed's own slope, from three seeds on; None where levels differ."""
    if len({np.size(part) for part in values}) != 1:
        return None
    at, table = np.asarray(x, np.float64), np.stack([np.asarray(part, np.float64).ravel() for part in values])
    table = np.where(np.isfinite(table), table, np.nan)
    used = np.isfinite(table).sum(axis=1) >= MIN_SEEDS
    at, table = at[used], table[used]
    table = table[:, np.isfinite(table).all(axis=0)]
    if table.shape[1] < 3:
        return None
    return over_seeds((at - at.mean()) @ table / np.sum((at - at.mean()) ** 2))


def logarithms(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the logarithms, not finite for a number that is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.log(np.asarray(one, np.float64)) for one in values]


def power(x: Sequence[float] | np.ndarray, values: Sequence[np.ndarray]) -> Trend:
    """Return `line` of the logarithms: its slope is an exponent. A number that is not above 0 is left out."""
    return line(np.log(np.asarray(x, np.float64)), logarithms(values))


def log_of_mean(values: np.ndarray) -> np.ndarray:
    """Return one number per seed whose mean estimates log(mean of the values): the jackknife's pseudo-values.

    For small values that scatter around 0, of which only the mean is surely above 0: n log(mean) minus (n-1) times the
    log of the mean without the seed. All NaN where one of these means is not above 0.
    """
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    n = len(kept)
    if n < MIN_SEEDS:
        return np.full(n, math.nan)
    without = (kept.sum() - kept) / (n - 1)
    if kept.mean() <= 0 or without.min() <= 0:
        return np.full(n, math.nan)
    return np.asarray(n * math.log(kept.mean()) - (n - 1) * np.log(without))


def goodness(fit: Trend) -> str:
    """Return how well a line fits, for a note."""
    if not fit.n_levels:
        return "too few numbers are left for a slope"
    return f"R² {fit.r_squared:.4f}; p-value of a misfit {fit.misfit_p:.2g}; {fit.n_levels} levels"
