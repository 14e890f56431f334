"""How large the weights on a feature are at rest where samples have several active features (theory 6.3, S3f).

Let every feature j have specialists, neurons whose weights lie along M_j, and let x_j = s^2 S_j / tau be the logit that
the pair of a query with j active gains through them, with S_j as in `stationary.stationary_magnitude`. Let A be the set
of features active in a query, with signs s_k. Its key has the logit sum_k x_k over A, and a negative V with codes z_V
the logit sum_k x_k s_k z_Vk. With W_A = E_V[exp(logit of V)] the query's loss is

    log(1 + |N| W_A exp(-sum_{k in A} x_k)),

and at rest its pull along each feature balances the penalty. As the loss is convex in x, that is where the mean loss
plus a multiple of sum_j x_j is least over x >= 0: there is exactly one state of rest.

The one APPROXIMATION is that sums over the negatives are replaced by |N| times their mean, and noise is left out.
The mean over A is exact for few frequency levels (see `_MAX_STATES`) and over sampled sets for more.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy.optimize import minimize, root
from scipy.special import xlog1py, xlogy
from scipy.stats import binom

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.theory.counts import threshold_value
from dynsim.theory.frequencies import Features, _code_law, keep_probability, n_negatives
from dynsim.theory.growth import _loss_factor, decay_rate

_MAX_STATES = 100_000  # largest number of terms of an exact mean over active sets


class _ActiveSets(NamedTuple):
    """The law of the active set A of a query, before empty samples are replaced, reduced to levels of equal features.

    A level is a group of features of equal frequency and equal threshold that have specialists, or have none.
    """

    size: Float[np.ndarray, " level"]  # number of features of the level
    chance: Float[np.ndarray, " level"]  # chance p that such a feature is active
    number: Float[np.ndarray, "state level"]  # how many of its features are active
    weight: Float[np.ndarray, " state"]  # chance of the state, over the chance that a sample is used
    empty: float  # chance of an empty sample if those are replaced, else 0
    log_equal: Float[np.ndarray, " state"]  # log chance that a negative is left out as equal to the query, or -inf
    n_negatives: int


def rest_magnitude(
    config: Config,
    specialists: Num[np.ndarray, " feature"] | None = None,
    threshold_share: float | Features | None = None,
    *,
    n_samples: int = 20_000,
    seed: int = 0,
) -> Features:
    """Return S_j = sum_i (|alpha_ij| - b_i)^2 over the specialists i of j at rest, shape (feature,) (theory 6.3).

    The number n_j of specialists matters only through which features have any, and through b/alpha: all specialists of
    a feature feel the same pull, and share S_j. Of equal ones, each has |alpha| = sqrt(S_j / n_j) / (1 - b/alpha). S_j
    is 0 where a feature has no specialist or the penalty is too strong for it to last, and infinite without a penalty.

    Args:
        specialists: n_j, shape (feature,); None takes every feature to have some.
        threshold_share: b/alpha in [0, 1), one number or shape (feature,); None takes kappa sqrt(2 log d / d) for
            thresholds that track the norm, of specialists without weights elsewhere, and 0 for no thresholds; 0 is the
            limit of b much below alpha.
        n_samples, seed: number of sampled active sets and their seed, if the mean over them is not exact; the relative
            standard error of S_j is then a few per cent at the defaults.

    Errors: those of `growth.growth_rate`; `ConfigError` for sampling rule independent_tokens, co-occurrence, keep
    probabilities below 1, values out of range, and thresholds without `threshold_share` if they follow a schedule or
    attention is not token-wise.
    """
    share, covered = _checked(config, specialists, threshold_share)
    factor, strength = _loss_factor(config), decay_rate(config) / config.optimizer.learning_rate
    if strength == 0:
        return np.where(covered, math.inf, 0.0)
    kinds = np.stack([_code_law(config.data).nonzero, share, covered])
    (chance, own_share, has), level, size = np.unique(kinds, axis=1, return_inverse=True, return_counts=True)
    sets = _active_sets(config, chance, size.astype(float), n_samples, seed)
    logits = _solve(sets, strength / (factor * (1 - own_share)), has > 0)
    s = 1.0 if config.encoder.pooling == "sum" else 1 / config.data.n_tokens
    return config.loss.temperature / s**2 * logits[level.ravel()]


def _checked(
    config: Config, specialists: Num[np.ndarray, " feature"] | None, threshold_share: float | Features | None
) -> tuple[Features, np.ndarray]:
    """Return b/alpha and which features have specialists, each of shape (feature,); refuse what is not covered."""
    data, d = config.data, config.data.n_features
    require(data.sampling_rule == "aggregate", "sampling_rule", "aggregate", data.sampling_rule)
    require(data.co_occurrence == 0, "co_occurrence", "0", data.co_occurrence)
    require(bool(np.all(keep_probability(data) == 1)), "keep_probability", "1", float(keep_probability(data).min()))
    if threshold_share is None:
        steady = config.threshold.tracks_norm or float(threshold_value(config, 1.0)) == 0
        require(steady, "threshold_share", "b/alpha at rest for a schedule of thresholds", None)
        threshold_share = float(threshold_value(config, 1.0))
        alone = config.encoder.attention == "token_wise" or threshold_share == 0
        require(alone, "threshold_share", "b/alpha at rest, where tokens attend to others", None)
    share = np.broadcast_to(np.asarray(threshold_share, np.float64), (d,))
    require(bool(np.all((share >= 0) & (share < 1))), "threshold_share", "numbers in [0, 1)", threshold_share)
    n = np.ones(d) if specialists is None else np.asarray(specialists, np.float64)
    require(n.shape == (d,) and bool(np.all(n >= 0)), "specialists", f"{d} numbers of at least 0", specialists)
    return share, n > 0


def _active_sets(config: Config, chance: np.ndarray, size: np.ndarray, n_samples: int, seed: int) -> _ActiveSets:
    """Return the law of the active features, exactly or by sampling."""
    data, law = config.data, _code_law(config.data)
    # no more active features of a level than have a chance that matters beside that of a single one
    tails = (binom.sf(np.arange(n), n, p) > 1e-16 * min(p, 0.1) for n, p in zip(size, chance, strict=True))
    most = [int(np.sum(tail)) for tail in tails]
    if math.prod(n + 1 for n in most) <= _MAX_STATES:
        axes = np.meshgrid(*(np.arange(n + 1.0) for n in most), indexing="ij")
        number = np.stack([axis.ravel() for axis in axes], axis=1)
        weight = np.prod(binom.pmf(number, size, chance), axis=1)
    else:  # one active feature is drawn by its chance and the others as they come: A has chance Pr(A) |A| / sum_j p_j
        rng, mean = np.random.default_rng(seed), size * chance
        first = rng.multinomial(1, mean / mean.sum(), n_samples)
        number = first + rng.binomial((size - first).astype(int), chance).astype(float)
        weight = mean.sum() / (n_samples * number.sum(axis=1))
    log_equal = np.full(len(number), -math.inf)
    if data.mask_equal_codes:
        log_equal = np.sum(xlogy(number, chance / 2) + xlog1py(size - number, -chance), axis=1)
    empty = law.empty if data.empties == "resample" else 0.0
    return _ActiveSets(size, chance, number, weight / law.accepted, empty, log_equal, n_negatives(data))


def _loss_and_pull(sets: _ActiveSets, x: np.ndarray) -> tuple[float, Float[np.ndarray, " level"]]:
    """Return the mean loss and the pull P_j D_j on a feature of each level, at the logits x of the levels.

    Everything is divided by exp(sum_{k in A} x_k), so that nothing overflows. c_k = 1 - p_k + p_k cosh x_k is the mean
    of exp(x_k s_k z_Vk) over negatives, and zbar_k = p_k sinh(x_k) / c_k the mean of s_k z_Vk with those weights.
    """
    p, scale = sets.chance, sets.n_negatives / (1 - sets.empty)
    shrunk = (1 - p) * np.exp(-x) + p * (1 + np.exp(-2 * x)) / 2  # c_k exp(-x_k)
    against = np.exp(-x) * (1 - p + p * np.exp(-x)) / shrunk  # 1 - zbar_k
    product, empty = np.exp(sets.number @ np.log(shrunk)), sets.empty * np.exp(-sets.number @ x)
    odds = scale * np.maximum(product - empty - np.exp(sets.log_equal), 0.0)  # (1 - q_Y) / q_Y
    share = sets.weight / (1 + odds)
    pull = scale * (against * ((share * product) @ sets.number) - (share * empty) @ sets.number) / sets.size
    return float(sets.weight @ np.log1p(odds)), pull


def _solve(sets: _ActiveSets, target: np.ndarray, covered: np.ndarray) -> Float[np.ndarray, " level"]:
    """Return the logits x >= 0 at which pull = target where x > 0, and pull <= target where x = 0 and `covered`."""

    unit = float(np.min(sets.size * target))  # the penalty may be tiny, and the loss with it: both are measured in it

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, pull = _loss_and_pull(sets, x)
        return (loss + float((sets.size * target) @ x)) / unit, sets.size * (target - pull) / unit

    bounds = [(0.0, None if has else 0.0) for has in covered]
    x = minimize(objective, np.where(covered, 1.0, 0.0), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-9).x
    grows = x > 0
    if not grows.any():
        return x

    def gap(y: np.ndarray) -> np.ndarray:  # nearly linear in y, unlike the pull, which falls exponentially
        return np.log(_loss_and_pull(sets, _put(x, grows, y))[1][grows] / target[grows])

    solution = root(gap, x[grows], tol=1e-12)
    if np.max(np.abs(gap(solution.x))) > 1e-6:
        raise ArithmeticError(f"no state of rest found: pull and penalty differ, {solution.message}")
    return _put(x, grows, np.maximum(solution.x, 0.0))


def _put(x: np.ndarray, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    full = x.copy()
    full[where] = values
    return full
