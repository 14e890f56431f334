"""Intervals and tests over seeds: means, paired differences and ratios, and Holm's correction for several tests.

Runs of one seed share data, dictionary and initial weights, whether pruned or not. Each interval and test therefore
counts a seed once, and what makes one seed differ from another cancels in a difference.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar, cast

import numpy as np
from scipy import stats

from dynsim.config.checks import number, positive_int, require

CONFIDENCE = 0.95
N_RESAMPLES = 9999
EXACT_FLIPS = 2**14  # up to this many sign patterns, so up to 14 seeds, the sign-flip test tries all of them
FEWEST_SEEDS = 3  # two values show no skewness, which a BCa interval corrects for
ROUNDING = 1e-12  # numbers that differ by a smaller share of their size are taken to be equal

P = TypeVar("P", dict[str, float], Sequence[float])


class Interval(NamedTuple):
    """An estimate over seeds with its confidence interval; all numbers are Python ones."""

    estimate: float
    low: float
    """Lower end; NaN for fewer than three seeds."""
    high: float
    p_value: float
    """Of the two-sided sign-flip test; NaN if nothing is tested."""
    n_seeds: int
    level: float

    def plain(self) -> dict[str, float | int | None]:
        """Return a dictionary with None for NaN, which `results.save_json` refuses."""
        return {name: value if np.isfinite(value) else None for name, value in self._asdict().items()}


def bca_interval(
    values: np.ndarray, *, level: float = CONFIDENCE, n_resamples: int = N_RESAMPLES, rng_seed: int = 0
) -> Interval:
    """Return the mean over seeds with its BCa bootstrap interval (Efron 1987), without a p-value.

    The bias-corrected, accelerated bootstrap of `scipy.stats.bootstrap` draws seeds with replacement. For few seeds
    such intervals are too narrow: for normally distributed values, a 95 % interval contains the mean in about 85 % of
    cases with 5 seeds, 89 % with 8 and 92 % with 16. If all values are equal, both ends are that value; for fewer than
    three seeds both are NaN.

    Args:
        values: finite numbers, shape (seed,).
        level: nominal chance that the interval contains the mean, in (0, 1).
        n_resamples: number of bootstrap samples, at least 100.
        rng_seed: seed of NumPy's generator that draws them.
    Errors:
        `ConfigError` in one line for values that are empty, of another shape or not finite.
    """
    return _interval(_finite("values", values), level, n_resamples, rng_seed)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    level: float = CONFIDENCE,
    n_resamples: int = N_RESAMPLES,
    rng_seed: int = 0,
) -> Interval:
    """Return the mean of second - first over seeds, its BCa interval (see `bca_interval`) and a sign-flip p-value.

    The null hypothesis is that each seed's difference could as likely have had the opposite sign. Up to n = 14 seeds
    all 2^n sign patterns are tried, beyond that `n_resamples` random ones (`scipy.stats.permutation_test`). The
    smallest p-value for n seeds is 2^(1-n), so five seeds cannot reach 0.05.

    Args:
        first, second: finite numbers, shape (seed,), the same seed at the same place.
        level, n_resamples, rng_seed: as for `bca_interval`.
    Errors:
        `ConfigError` in one line, as for `bca_interval`, and for unequal lengths.
    """
    a, b = _pair(first, second)
    difference = _finite("difference", b - a)
    found = _interval(difference, level, n_resamples, rng_seed)
    return found._replace(p_value=sign_flip_p_value(difference, n_resamples=n_resamples, rng_seed=rng_seed))


def paired_ratio(
    first: np.ndarray,
    second: np.ndarray,
    *,
    level: float = CONFIDENCE,
    n_resamples: int = N_RESAMPLES,
    rng_seed: int = 0,
) -> Interval:
    """Return the geometric mean of second / first over seeds, with interval and p-value.

    This is exp of the `paired_difference` of the logarithms, not the ratio of the means: each seed counts alike,
    however large its numbers are, and exchanging first and second gives the inverse. The null hypothesis of the
    p-value is a ratio of 1.

    Args:
        first, second: finite numbers above 0, shape (seed,); else as for `paired_difference`.
    Errors:
        `ConfigError` in one line, as for `paired_difference`, and for a number that is not above 0.
    """
    a, b = _pair(first, second)
    for name, part in (("first", a), ("second", b)):
        bad = part[part <= 0].tolist()
        require(not bad, name, "numbers above 0 for a ratio", bad, "compare differences")
    found = paired_difference(np.log(a), np.log(b), level=level, n_resamples=n_resamples, rng_seed=rng_seed)
    estimate, low, high = (float(np.exp(value)) for value in found[:3])
    return found._replace(estimate=estimate, low=low, high=high)


def sign_flip_p_value(values: np.ndarray, *, n_resamples: int = N_RESAMPLES, rng_seed: int = 0) -> float:
    """Return the two-sided p-value of a mean of zero: the share of sign patterns with |sum| at least the one seen.

    Args:
        values: finite numbers, shape (seed,); for more than 14 of them `n_resamples` patterns are drawn.
    Errors:
        `ConfigError` in one line, as for `bca_interval`.
    """
    x = _finite("values", values)
    _check_options(CONFIDENCE, n_resamples, rng_seed)
    if 2 ** len(x) > EXACT_FLIPS:
        options = {"permutation_type": "samples", "vectorized": True, "n_resamples": n_resamples}
        return float(stats.permutation_test((x,), np.mean, **options, rng=np.random.default_rng(rng_seed)).pvalue)
    # a pattern and its opposite have the same |sum|, so half of the patterns, with the last sign fixed, are enough
    codes = np.arange(2 ** (len(x) - 1))[:, np.newaxis]
    signs = 1 - 2 * ((codes >> np.arange(len(x))[np.newaxis]) & 1)
    sums = np.abs(signs @ x)
    return float(np.mean(sums >= sums[0] - ROUNDING * np.sum(np.abs(x))))  # pattern 0 flips nothing


def t_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's t interval of the mean over seeds; for a single seed, its value as both ends."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean - half, mean + half


def mean_report(values: np.ndarray) -> dict[str, object]:
    """Return the mean over seeds, the ends low and high of its 95 % t interval, and the values, as plain values."""
    low, high = t_interval(values)
    return {"mean": float(np.mean(values)), "low": low, "high": high, "values": [float(one) for one in values]}


def t_paired(values: np.ndarray) -> Interval:
    """Return the mean of paired differences over seeds with Student's 95 % interval and p-value.

    For skewed or few values `bca_interval` may be the better one; for 16 differences of shares this one holds the mean
    about as often as it says.

    Args:
        values: finite differences, shape (seed,); for fewer than three the ends are NaN.
    """
    x = _finite("values", values)
    if len(x) < FEWEST_SEEDS:
        return Interval(float(np.mean(x)), np.nan, np.nan, np.nan, len(x), CONFIDENCE)
    low, high = t_interval(x)
    return Interval(float(np.mean(x)), low, high, t_p_value(x), len(x), CONFIDENCE)


def equivalence_p_value(values: np.ndarray, margin: float) -> float:
    """Return the p-value of "the mean lies outside (-margin, margin)": the larger of two one-sided t-tests.

    Args:
        values: finite numbers, shape (seed,); 1 for a single one.
        margin: largest mean that counts as none, above 0.
    """
    x = _finite("values", values)
    if len(x) < 2:
        return 1.0
    if np.ptp(x) == 0:
        return 0.0 if abs(x[0]) < margin else 1.0
    above = stats.ttest_1samp(x, -margin, alternative="greater").pvalue
    return float(max(above, stats.ttest_1samp(x, margin, alternative="less").pvalue))


def t_half_widths(measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and half width of the 95 % t interval over seeds, each (feature,), from (seed, feature).

    Values that are not finite are left out; with fewer than two the half width is NaN, and no bar is drawn.
    """
    some = np.isfinite(measured)
    n = some.sum(axis=0)
    mean = np.where(some, measured, 0).sum(axis=0) / np.where(n > 0, n, np.nan)
    square = np.where(some, np.square(measured - mean), 0).sum(axis=0)
    freedom = np.where(n > 1, n - 1.0, np.nan)
    return mean, stats.t.ppf(0.975, freedom) * np.sqrt(square / freedom / np.maximum(n, 1))


def t_p_value(values: np.ndarray) -> float:
    """Return the two-sided p-value of Student's t-test for mean zero; of equal values 1 if they are zero, else 0."""
    if len(values) < 2 or not np.any(values):
        return 1.0
    if np.ptp(values) == 0:
        return 0.0
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def _interval(x: np.ndarray, level: float, n_resamples: int, rng_seed: int) -> Interval:
    _check_options(level, n_resamples, rng_seed)
    mean = float(np.mean(x))
    if len(x) < FEWEST_SEEDS:
        return Interval(mean, np.nan, np.nan, np.nan, len(x), level)
    if np.ptp(x) <= ROUNDING * np.max(np.abs(x)):  # all values are equal: BCa would divide by zero
        return Interval(mean, mean, mean, np.nan, len(x), level)
    # BCa cubes deviations: scaled to about 1, cubes neither vanish nor overflow; a power of two adds no rounding
    scale = 2.0 ** np.frexp(np.max(np.abs(x)))[1]
    rng = np.random.default_rng(rng_seed)
    options = {"n_resamples": n_resamples, "confidence_level": level, "method": "BCa"}
    done = stats.bootstrap((x / scale,), _sorted_mean, **options, rng=rng)
    low, high = (float(scale * end) for end in done.confidence_interval)
    return Interval(mean, low, high, np.nan, len(x), level)


def _sorted_mean(x: np.ndarray, axis: int) -> np.ndarray | np.floating:
    # sorted, so that the same values in another order give the same rounding: BCa counts resamples with equal means
    return np.mean(np.sort(x, axis), axis)


def _check_options(level: float, n_resamples: int, rng_seed: int) -> None:
    number("level", level, 0.0, 1.0, open_low=True)
    require(level < 1, "level", "a number below 1", level)
    positive_int("n_resamples", n_resamples, 100)
    positive_int("rng_seed", rng_seed, 0)


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    """Return values as float64, shape (seed,). Errors: `ConfigError` otherwise, for NaN too."""
    x = np.asarray(values, np.float64)
    require(x.ndim == 1 and x.size > 0, name, "one number per seed, shape (seed,)", f"shape {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x)).tolist()
    require(not bad, name, "finite numbers", f"others at positions {bad}", "leave these seeds out of both")
    return x


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = _finite("first", first), _finite("second", second)
    require(len(a) == len(b), "second", f"{len(a)} numbers, one per seed of first", f"{len(b)} numbers")
    return a, b


def holm(p_values: P) -> P:
    """Return p-values adjusted for testing several hypotheses at once (Holm 1979).

    The k-th smallest of n p-values, k = 0, 1, ..., is multiplied by n - k, raised to the adjusted one before it if that
    is larger, and capped at 1. If hypotheses with an adjusted p-value of at most a level are rejected, the chance of
    any false rejection is at most that level, however the tests depend on each other.

    Args:
        p_values: numbers in [0, 1], in a dictionary by name or in a sequence.

    Returns:
        A dictionary with the same names in the same order, or a list in the order of the sequence.
    Errors:
        `ConfigError` in one line for NaN or a number outside [0, 1].
    """
    raw = list(p_values.values() if isinstance(p_values, dict) else p_values)
    for p in raw:
        require(0 <= p <= 1, "p_values", "numbers in [0, 1]", p)
    adjusted, least = [0.0] * len(raw), 0.0
    for k, place in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        least = max(least, min(1.0, (len(raw) - k) * float(raw[place])))
        adjusted[place] = least
    return cast(P, dict(zip(p_values, adjusted, strict=True)) if isinstance(p_values, dict) else adjusted)
