"""Slopes over levels: how a measured number changes with a size, with intervals and goodness of fit.

An asymptotic statement, such as "of order d log d", says nothing about one size. It is tested as the slope of a line
through the means at several sizes, on logarithmic axes where it is about an exponent.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from dynsim.config.checks import require

CONFIDENCE_OF_SLOPE = 0.95


class Trend(NamedTuple):
    """A straight line through the means of several levels."""

    slope: float
    low: float
    """Lower end of the 95 % interval of the slope."""
    high: float
    intercept: float
    intercept_low: float
    intercept_high: float
    r_squared: float
    """Share of the variance of the level means that the line explains; 1 where they do not vary."""
    misfit_p: float
    """P-value of the lack-of-fit F-test: small where the means bend away from the line by more than seeds scatter."""
    n_levels: int
    n_values: int

    @property
    def span(self) -> tuple[float, float, float]:
        """The slope and the ends of its interval."""
        return self.slope, self.low, self.high


def trend(x: Sequence[float] | np.ndarray, values: Sequence[np.ndarray]) -> Trend:
    """Fit a line by least squares through the means of the levels.

    The interval of the slope is the wider of two. One takes the line as true and counts the scatter between seeds
    (Welch-Satterthwaite, as levels may scatter differently). The other takes the level means as exact and counts
    how far they are off the line (Student's t with two degrees of freedom less than levels); it is what widens the
    interval where the means bend.

    Args:
        x: one number per level, at least three different ones.
        values: per level an array with one finite number per seed; at least two seeds in some level.
    Errors:
        `ConfigError` in one line for fewer levels, another number of them, or values that are empty or not finite.
    """
    at = np.asarray(x, np.float64)
    require(len(np.unique(at)) >= 3, "x", "at least three different levels", at.tolist())
    require(len(values) == len(at), "values", f"{len(at)} levels, as many as x has", len(values))
    parts = [np.asarray(part, np.float64).ravel() for part in values]
    sound = all(part.size > 0 and np.isfinite(part).all() for part in parts)
    require(sound, "values", "finite numbers at each level", [part.size for part in parts], "leave bad seeds out")
    means = np.array([part.mean() for part in parts])
    sizes = np.array([part.size for part in parts])
    variances = np.array([part.var(ddof=1) if part.size > 1 else np.nan for part in parts])
    variances = np.where(np.isnan(variances), np.nanmean(variances) if (sizes > 1).any() else 0.0, variances)
    centred = at - at.mean()
    of_slope = centred / np.sum(centred**2)
    of_intercept = 1 / len(at) - at.mean() * of_slope
    slope, intercept = float(of_slope @ means), float(of_intercept @ means)
    residual = means - intercept - slope * at
    halves = [_half_width(weights, variances, sizes, residual) for weights in (of_slope, of_intercept)]
    spread = float(np.sum((means - means.mean()) ** 2))
    explained = 1 - float(np.sum(residual**2)) / spread if spread > 0 else 1.0
    return Trend(
        *(slope, slope - halves[0], slope + halves[0]),
        *(intercept, intercept - halves[1], intercept + halves[1]),
        explained,
        _misfit_p(residual, variances, sizes),
        len(at),
        int(sizes.sum()),
    )


def exponent(sizes: Sequence[float] | np.ndarray, values: Sequence[np.ndarray]) -> Trend:
    """Return `trend` of the logarithms of both: the slope is the exponent of a power law. All numbers above 0."""
    at = np.asarray(sizes, np.float64)
    above = bool(np.all(at > 0)) and all(bool(np.all(np.asarray(part) > 0)) for part in values)
    require(above, "values", "sizes and values above 0 for an exponent", [float(np.min(part)) for part in values])
    return trend(np.log(at), [np.log(np.asarray(part, np.float64)) for part in values])


def _half_width(weights: np.ndarray, variances: np.ndarray, sizes: np.ndarray, residual: np.ndarray) -> float:
    """Return half the interval of sum(weights * means): the wider of the two that `trend` names."""
    share = weights**2 * variances / sizes
    total, n_levels = float(share.sum()), len(weights)
    from_seeds = 0.0
    if total > 0:
        freedom = total**2 / float(np.sum(share**2 / np.maximum(sizes - 1, 1)))
        from_seeds = float(stats.t.ppf((1 + CONFIDENCE_OF_SLOPE) / 2, freedom)) * math.sqrt(total)
    about_line = float(np.sum(residual**2)) / (n_levels - 2)
    quantile = float(stats.t.ppf((1 + CONFIDENCE_OF_SLOPE) / 2, n_levels - 2))
    return max(from_seeds, quantile * math.sqrt(about_line * float(np.sum(weights**2))))


def _misfit_p(residual: np.ndarray, variances: np.ndarray, sizes: np.ndarray) -> float:
    within = int(np.sum(sizes - 1))
    pooled = float(np.sum(variances * (sizes - 1))) / within if within else 0.0
    if pooled == 0:
        return 1.0 if np.allclose(residual, 0) else 0.0
    ratio = float(np.sum(sizes * residual**2)) / (len(sizes) - 2) / pooled
    return float(stats.f.sf(ratio, len(sizes) - 2, within))
