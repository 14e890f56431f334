"""How often features are active, exactly: frequencies, probabilities and moments of the codes (theory section 1).

One pure function per quantity, in float64, with no constant to fit."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dynsim.config import DataConfig
from dynsim.config.checks import require

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


class FeatureGroups(NamedTuple):
    """What results say of each feature."""

    minority: Bool[np.ndarray, " feature"]
    """As `is_minority`."""
    activation_probability: Features
    """P_j, as `activation_probability`."""


def feature_groups(data: DataConfig) -> FeatureGroups:
    """Return which features are minority and how often each is active."""
    return FeatureGroups(is_minority(data), activation_probability(data))


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
