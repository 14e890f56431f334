"""Closed forms that need no fitted constant: probabilities, early growth rates, stage ends, stationary sizes.

One pure function per statement of theory sections 1 and 6 (`theory_counts` has thresholds and neuron sets). float64.
Rates are per training step and times are in steps. Linear-phase statements assume the transformer with inner-product
InfoNCE, plain SGD, thresholds still at zero and an orthonormal dictionary; other configurations raise `ConfigError`.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import brentq
from scipy.special import logsumexp

from dynsim.checks import choice, require
from dynsim.config import Config, DataConfig

GROUPS = ("majority", "minority", "all")
Features = Float[np.ndarray, " feature"]
Dictionary = Float[np.ndarray, "token_dim feature"]


def relative_frequency(data: DataConfig) -> Features:
    """Return eps_j, shape (feature,), the frequency relative to the rate `activation_rate` (theory 1.3)."""
    d, r = data.n_features, data.minority_ratio
    index = np.arange(d)
    if data.frequency_profile == "given":
        return np.asarray(data.relative_frequency, np.float64)
    if data.frequency_profile == "two_level":
        return np.where(index < d - data.n_minority, 1.0, r)
    if data.frequency_profile == "exponential":
        return r ** (index / (d - 1))
    return (1.0 + index) ** (math.log(r) / math.log(d))  # (1+j)^-a with a = -log r / log d ends at d^-a = r


def is_minority(data: DataConfig) -> Bool[np.ndarray, " feature"]:
    """Return which features are minority: the `n_minority` rarest, the later one where frequencies tie."""
    order = np.argsort(-relative_frequency(data), kind="stable")
    return np.isin(np.arange(data.n_features), order[data.n_features - data.n_minority :])


def keep_probability(data: DataConfig) -> Features:
    """Return the chance, per feature, that an active feature survives into the second view (theory 8.5 P7)."""
    if data.keep_probability:
        return np.asarray(data.keep_probability, np.float64)
    return np.where(is_minority(data), data.minority_keep, data.majority_keep)


def noise_variance(data: DataConfig) -> float:
    """Return sigma_xi^2 per coordinate of a token (theory 1.1): 1/d, sqrt(log d)/d or the given number."""
    d = data.n_features
    given = float(data.noise_variance)
    return {"inverse_d": 1 / d, "sqrt_log_d": math.sqrt(math.log(d)) / d, "given": given}[data.noise_level]


class _CodeLaw(NamedTuple):
    """Law of zhat_j before resampling, given that the gate of its group is open; arrays have shape (feature,)."""

    nonzero: Features  # Pr(zhat_j != 0)
    magnitude: Features  # E[|zhat_j|] given zhat_j != 0
    square: Features  # E[zhat_j^2] given zhat_j != 0
    empty: float  # Pr(no token has a nonzero code), over gates and features
    accepted: float  # Pr(a drawn sample is used): 1 - empty, or 1 where empties are kept


def _code_law(data: DataConfig) -> _CodeLaw:
    c = data.co_occurrence
    n = 1 if data.sampling_rule == "aggregate" else data.n_tokens  # independent signed draws that zhat_j adds up
    p = (data.activation_rate * relative_frequency(data) / (n * (1 - c)))[:, None]
    law = np.ones((data.n_features, 1))
    for _ in range(n):  # convolve with (p/2, 1-p, p/2); columns stand for the values -n..n in the end
        moved = np.pad(law, ((0, 0), (2, 0))) + np.pad(law, ((0, 0), (0, 2)))
        law = (1 - p) * np.pad(law, ((0, 0), (1, 1))) + p / 2 * moved
    value = np.abs(np.arange(-n, n + 1))
    nonzero = np.sum(law[:, value > 0], axis=1)
    with np.errstate(divide="ignore"):  # log(0) = -inf is right where p = 1: such a group is never silent
        # a group is active with chance (1-c)(1 - prod (1-p_j)^n); the sample is empty when neither group is
        log_silent = [n * np.sum(np.log1p(-p[is_minority(data) == group, 0])) for group in (False, True)]
        log_empty = float(sum(np.log1p((1 - c) * np.expm1(silent)) for silent in log_silent))
    accepted = -math.expm1(log_empty) if data.empties == "resample" else 1.0
    return _CodeLaw(nonzero, law @ value / nonzero, law @ value**2 / nonzero, math.exp(log_empty), accepted)


def empty_probability(data: DataConfig) -> float:
    """Return the exact chance that a sample has no nonzero code in any token, before resampling (theory 1.6)."""
    return _code_law(data).empty


def activation_probability(data: DataConfig) -> Features:
    """Return P_j = Pr(zhat_j != 0), shape (feature,), exact and after resampling of empty samples (theory 1.4)."""
    law = _code_law(data)
    return (1 - data.co_occurrence) * law.nonzero / law.accepted


def second_moment(data: DataConfig, dictionary: Dictionary | None = None) -> Features:
    """Return E[zhat_Xj zhat_Yj], shape (feature,), exact: the signal that a positive pair carries on M_j (theory 6.1).

    It is keep_j E[zhat_j^2]. For complementary views it is the diagonal M_j^T (S - diag S) M_j of the pair's second
    moment, S = E[x_X x_Y^T] without masks: computed for `dictionary` (token_dim, feature), or its mean over Haar
    dictionaries if None. Noise adds nothing there (its S is diagonal) nor for fresh noise. The off-diagonal entries,
    and the small negative ones on the complement of M, that complementary views also have are left out.

    Errors: `ConfigError` for complementary views of a correlated dictionary that is not given.
    """
    law = _code_law(data)
    return _through_views(data, keep_probability(data) * activation_probability(data) * law.square, dictionary)


def _through_views(data: DataConfig, codes: Features, dictionary: Dictionary | None) -> Features:
    """Return the diagonal on M that code moments diag(codes) have after the views' coordinate masks."""
    if data.pair_rule != "complementary":
        return codes
    # E[4 D_a (1-D_b)] is 1 for a != b and 0 for a = b: exactly the diagonal of S is lost
    if dictionary is None:
        require(data.dictionary == "qr", "dictionary", "the array of a correlated dictionary", None)
        # E[M_aj^2 M_ak^2] d1 = 3/(d1+2) for j = k and 1/(d1+2) else, for columns of a Haar matrix
        return codes - (2 * codes + np.sum(codes)) / (data.token_dim + 2)
    M = np.asarray(dictionary, np.float64)
    return (M.T @ M) ** 2 @ codes - (M**2).T @ (M**2 @ codes)


def n_negatives(data: DataConfig) -> int:
    """Return |N|, the negatives of a query before equal codes are masked out: K-1 or the number drawn apart."""
    return data.batch_size - 1 if data.n_negatives is None else data.n_negatives


def masking_correction(data: DataConfig, dictionary: Dictionary | None = None) -> Features:
    """Return what masking equal codes adds to E[zhat_X zhat_Y] |N|/(|N|+1), shape (feature,) (theory 6.1).

    Exact for uniform softmax weights, and never negative for codes in {-1, 0, 1}: a kept negative is anti-correlated
    with the query, and negatives are pushed away. Zero without masking.
    """
    N = n_negatives(data)
    if not data.mask_equal_codes:
        return np.zeros(data.n_features)
    # Given a query z, a negative has its support and signs with chance p = p(z), so N' ~ Binomial(N, 1-p) are kept and
    # E[N'/(N'+1)] = sum_{n<N} p^n (1-p) (N-n)/(N+1) = N/(N+1) - sum_{n=1}^N p^n/(N+1). A kept negative has mean
    # E[zV_j | V != z] = -sign(z_j) mu_j p/(1-p), mu_j = E[|zhat_j| | not 0] (times keep_j, as in the positive pair).
    # So the drift keep_j E[N'/(N'+1) (z_j^2 + |z_j| mu_j p/(1-p))] needs only B_n = E[1{z_j != 0} p^n], n <= N:
    law, lost, gained = _code_law(data), np.zeros(data.n_features), np.zeros(data.n_features)
    for n in range(1, N + 1):
        moment = _equal_code_moment(data, law, n)
        lost += moment / (N + 1)
        gained += moment * (N - n + 1) / (N + 1)
        if np.all(moment < 1e-18 * law.nonzero):  # p <= 1/2, since -z is as likely as z
            break
    keep = keep_probability(data)
    return keep * law.magnitude**2 * gained - _through_views(data, keep * law.square * lost, dictionary)


def _equal_code_moment(data: DataConfig, law: _CodeLaw, n: int) -> Features:
    """Return B_n(j) = E[1{zhat_j != 0} p(zhat)^n] over used samples: Pr(n further samples equal one that has j)."""
    gate = (1 - data.co_occurrence) ** (n + 1)
    active = law.nonzero * (law.nonzero / 2) ** n
    silent = (1 - law.nonzero) ** (n + 1)
    log_either = np.log(active + silent)
    moment = active.copy()
    for group in (is_minority(data), ~is_minority(data)):
        total = np.sum(log_either[group])
        others = gate * np.exp(total - log_either)  # features of the group of j, all gates open
        # the n+1 samples agree on a group without j: equal and active in it, or all silent (gate shut or no luck)
        all_silent = (1 - (1 - data.co_occurrence) * (1 - np.prod(1 - law.nonzero[group]))) ** (n + 1)
        agree = gate * (np.exp(total) - np.prod(silent[group])) + all_silent
        moment *= np.where(group, others, agree)
    return moment / law.accepted ** (n + 1)


def _loss_factor(config: Config) -> float:
    """Return the factor of E[zhat zhat] in the linear drift: s^2, 1/tau without prefactor, 2 without stop-gradient."""
    require(config.encoder.architecture == "transformer", "architecture", "transformer", config.encoder.architecture)
    require(config.loss.similarity == "inner", "similarity", "inner", config.loss.similarity)
    optimizer = (config.optimizer.name, config.optimizer.arguments)
    require(optimizer == ("sgd", ()), "optimizer", "sgd without arguments", optimizer)
    require(config.data.dictionary_cosine == 0, "dictionary_cosine", "0", config.data.dictionary_cosine)
    s = 1.0 if config.encoder.pooling == "sum" else 1 / config.data.n_tokens
    both_sides = 1.0 if config.loss.stop_gradient else 2.0
    return s**2 * both_sides / (1.0 if config.loss.temperature_prefactor else config.loss.temperature)


def decay_rate(config: Config) -> float:
    """Return eta lambda, the share of w lost per step to the penalty or the decoupled decay (theory 4.2, 4.5)."""
    return config.optimizer.learning_rate * (config.loss.l2_penalty + config.loss.weight_decay)


def growth_rate(config: Config, dictionary: Dictionary | None = None) -> Features:
    """Return g_j per step, shape (feature,): w' = (1 + g_j - eta lambda) w along M_j, in expectation (theory 6.1).

    g_j = eta s^2 (E[zhat_Xj zhat_Yj] |N|/(|N|+1) + masking correction), over tau without the prefactor, doubled without
    stop-gradient; s = 1 for sum and 1/L for mean pooling. Exact while the softmax is uniform (small weights) and b = 0,
    for token-wise and uniform attention; a leading-order value for the softmax kinds and for trained attention.

    Errors: `ConfigError` outside the linear phase that the module describes.
    """
    factor, data, N = config.optimizer.learning_rate * _loss_factor(config), config.data, n_negatives(config.data)
    return factor * (second_moment(data, dictionary) * N / (N + 1) + masking_correction(data, dictionary))


def log_growth(config: Config, dictionary: Dictionary | None = None) -> Features:
    """Return log(1 + g_j - eta lambda) per step, shape (feature,) (theory 6.1).

    Errors: those of `growth_rate`, and `ConfigError` for eta lambda >= 1.
    """
    decay = decay_rate(config)
    require(decay < 1, "learning_rate", "learning_rate * penalty below 1", decay)
    return np.log1p(growth_rate(config, dictionary) - decay)


def stage1_end(config: Config, group: str = "all", dictionary: Dictionary | None = None) -> float:
    """Return T1 in steps: the group's features have gained as much energy as ||w||^2 had at the start (theory 6.1).

    "majority", "minority": sum over the group of (e^{2 G_j t} - 1) = d1 with G_j the log growth, which is
    t = log(1 + d1/d_group) / (2 G) for one level. "all": ||w||^2 has doubled, the decay of the complement included.
    Infinite where no feature of the group grows.
    """
    choice("group", group, GROUPS)
    rates, d1 = log_growth(config, dictionary), config.data.token_dim
    if group != "all":
        rates = rates[is_minority(config.data) == (group == "minority")]
    if rates.size == 0 or np.max(rates) <= 0:
        return math.inf
    complement = math.log1p(-decay_rate(config))

    def excess(t: float) -> float:
        gained = float(np.sum(np.expm1(2 * rates * t)))
        if group == "all":
            gained += (d1 - rates.size) * math.expm1(2 * complement * t)
        return gained - d1

    # the fastest feature alone has reached the level once e^{2 G t} = 2 d1 + 1, whatever the others have lost
    return float(brentq(excess, 0.0, math.log(2 * d1 + 1) / (2 * np.max(rates)), xtol=1e-12, rtol=1e-14))


def stage2_clock(config: Config, dictionary: Dictionary | None = None) -> float:
    """Return log(d) / max_j g_j in steps: the scale of T2 - T1, whose constant is not known (theory 6.2).

    It is d tau log d / (eps_max eta C_z LL) with the rate computed; the tau only without prefactor.
    """
    return math.log(config.data.n_features) / float(np.max(growth_rate(config, dictionary)))


def stage3_window(config: Config) -> tuple[float, float]:
    """Return (T3, T4) = (d^1.01/eta, d^1.99/eta) in steps (theory 6.3)."""
    d, eta = config.data.n_features, config.optimizer.learning_rate
    return d**1.01 / eta, d**1.99 / eta


def learnability_floor(config: Config, dictionary: Dictionary | None = None) -> Features:
    """Return eps*_j, shape (feature,): feature j shrinks from the start if eps_j < eps*_j (S1d); infinite if g_j <= 0.

    g_j is proportional to eps_j at fixed chance of empty samples (up to the masking correction), so
    eps*_j = eps_j eta lambda / g_j; it depends on j only through keep_j, that correction and complementary views.
    """
    rate, eps = growth_rate(config, dictionary), relative_frequency(config.data)
    positive = rate > 0
    return np.where(positive, eps * decay_rate(config) / np.where(positive, rate, 1.0), math.inf)


def suppression(
    config: Config, step: float | Float[np.ndarray, " time"], dictionary: Dictionary | None = None
) -> Float[np.ndarray, "..."]:
    """Return minority / majority root-mean-square projection after `step` steps, of its shape; 1 at step 0 (S1f).

    exp((G_min - G_maj) t) for two levels. Errors: `ConfigError` unless both groups have features.
    """
    rates, minority = log_growth(config, dictionary), is_minority(config.data)
    require(0 < minority.sum() < minority.size, "n_minority", "two non-empty groups", config.data.n_minority)
    grown = 2 * np.asarray(step, np.float64)[..., None] * rates
    rare, common = (logsumexp(grown[..., group], axis=-1) - np.log(group.sum()) for group in (minority, ~minority))
    return np.asarray(np.exp((rare - common) / 2))


def stationary_magnitude(config: Config) -> Features:
    """Return S_j = sum_i (|alpha_ij| - b_i)^2 at a fixed point, shape (feature,) (S3f); 0 where j cannot be sustained.

    S_j = (tau / s^2) log(f |N| P_j / (lambda (1 + |N| P_j / 2))) with f = s^2, over tau without the prefactor, doubled
    without stop-gradient. Approximation: one feature per sample, every negative kept, keep probability 1, b << alpha.
    With many features per sample (sum_j P_j = 5.5 at the default) it overestimates. Errors: those of `growth_rate`.
    """
    N, P, factor = n_negatives(config.data), activation_probability(config.data), _loss_factor(config)
    s = 1.0 if config.encoder.pooling == "sum" else 1 / config.data.n_tokens
    # balance at a specialist: f P_j (alpha - b) |N| / (e^{s^2 S/tau} (1 + |N| P_j / 2)) = lambda alpha
    with np.errstate(divide="ignore"):  # without a penalty nothing ends the growth
        level = np.log(factor * N * P / (1 + N * P / 2)) - np.log(config.loss.l2_penalty + config.loss.weight_decay)
    return config.loss.temperature / s**2 * np.maximum(level, 0.0)


def fixed_point_residual(
    drift: Float[np.ndarray, "... feature"], alignment: Float[np.ndarray, "... feature"], penalty: float
) -> Features:
    """Return ||drift - lambda a|| / ||lambda a||, shape (feature,), norms over leading axes; 0 where both vanish (S3f).

    drift is E[(h_i(Y) - sum_V q_V h_i(V)) <grad h_i(X), M_j>], alignment a = <w_i, M_j> and penalty lambda (any unit).
    """
    target = penalty * np.asarray(alignment, np.float64)
    gap = np.asarray(drift, np.float64) - target
    gap, size = (np.sqrt(np.sum(x**2, axis=tuple(range(x.ndim - 1)))) for x in (gap, target))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / size)
