"""How often features are active: exact frequencies, probabilities and moments of the codes (theory 1).

One pure function per quantity, in float64, with no constant to fit. Terms, which are those of `config.DataConfig`:

- zhat_j, the aggregate code, is the sum over a sample's tokens of the code z_j of feature j. A sample is empty if no
  token has a nonzero code; with the option `empties` at "resample" such a sample is replaced by one that is not empty.
- With co-occurrence c each group, majority and minority, has a gate, which is shut with chance c. A shut gate silences
  all features of its group in that sample; an open one leaves them independent of each other.
- X and Y are the two views of a sample, the query and its key. A feature that is active in X survives into Y with a
  given keep probability.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dynsim.config import Config, DataConfig
from dynsim.config.checks import require

GROUPS = ("majority", "minority", "all")
Features = Float[np.ndarray, " feature"]
Dictionary = Float[np.ndarray, "token_dim feature"]


def relative_frequency(data: DataConfig) -> Features:
    """Return eps_j, shape (feature,): the frequency of feature j as a multiple of `activation_rate` (theory 1.3)."""
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
    """Return which features are minority ones: the `n_minority` rarest, and of equally rare features the last."""
    return _minority(data).copy()


@functools.lru_cache
def _minority(data: DataConfig) -> Bool[np.ndarray, " feature"]:
    order = np.argsort(-relative_frequency(data), kind="stable")
    found = np.isin(np.arange(data.n_features), order[data.n_features - data.n_minority :])
    found.flags.writeable = False  # it is kept
    return found


def keep_probability(data: DataConfig) -> Features:
    """Return the chance, per feature, that an active feature survives into the second view (theory 8.5 P7)."""
    if data.keep_probability:
        return np.asarray(data.keep_probability, np.float64)
    return np.where(is_minority(data), data.minority_keep, data.majority_keep)


def noise_variance(data: DataConfig) -> float:
    """Return sigma_xi^2, the noise variance of a coordinate of a token (theory 1.1): 1/d, sqrt(log d)/d or as given."""
    d = data.n_features
    given = float(data.noise_variance)
    return {"inverse_d": 1 / d, "sqrt_log_d": math.sqrt(math.log(d)) / d, "given": given}[data.noise_level]


class _CodeLaw(NamedTuple):
    """Distribution of zhat_j before resampling, given that the gate of its group is open; arrays: shape (feature,)."""

    nonzero: Features  # Pr(zhat_j != 0)
    magnitude: Features  # E[|zhat_j|] given zhat_j != 0
    square: Features  # E[zhat_j^2] given zhat_j != 0
    empty: float  # Pr(the sample is empty), with the gates drawn too
    accepted: float  # Pr(a drawn sample is used): 1 - empty with resampling, else 1


@functools.lru_cache
def _code_law(data: DataConfig) -> _CodeLaw:
    c = data.co_occurrence
    n = 1 if data.sampling_rule == "aggregate" else data.n_tokens  # number of independent signed draws that zhat_j sums
    p = (data.activation_rate * relative_frequency(data) / (n * (1 - c)))[:, None]
    law = np.ones((data.n_features, 1))
    for _ in range(n):  # convolve with (p/2, 1-p, p/2), so that in the end the columns are the values -n, ..., n
        moved = np.pad(law, ((0, 0), (2, 0))) + np.pad(law, ((0, 0), (0, 2)))
        law = (1 - p) * np.pad(law, ((0, 0), (1, 1))) + p / 2 * moved
    value = np.abs(np.arange(-n, n + 1))
    nonzero = np.sum(law[:, value > 0], axis=1)
    with np.errstate(divide="ignore"):  # log(0) = -inf is right where p = 1: such a group is never silent
        # a group is active with chance (1-c)(1 - prod (1-p_j)^n); the sample is empty when neither group is
        log_silent = [n * np.sum(np.log1p(-p[_minority(data) == group, 0])) for group in (False, True)]
        log_empty = float(sum(np.log1p((1 - c) * np.expm1(silent)) for silent in log_silent))
    accepted = -math.expm1(log_empty) if data.empties == "resample" else 1.0
    of_features = nonzero, law @ value / nonzero, law @ value**2 / nonzero
    for array in of_features:
        array.flags.writeable = False  # they are kept
    return _CodeLaw(*of_features, math.exp(log_empty), accepted)


def empty_probability(data: DataConfig) -> float:
    """Return the exact chance that a sample is empty (no nonzero code in any token) before resampling (theory 1.6)."""
    return _code_law(data).empty


def activation_probability(data: DataConfig) -> Features:
    """Return P_j = Pr(zhat_j != 0), shape (feature,): exact, and after empty samples are resampled (theory 1.4)."""
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
    """Return E[zhat_Xj zhat_Yj], shape (feature,), exact: what the two views of a sample share on M_j (theory 6.1).

    This is keep_j E[zhat_j^2], where keep_j is the keep probability. Complementary views have random coordinate masks,
    which remove the diagonal of S = E[x_X x_Y^T], the second moment of the pair without masks. For them the value is
    M_j^T (S - diag S) M_j, computed for `dictionary`, shape (token_dim, feature), or on average over dictionaries with
    Haar-distributed columns if that is None. Noise adds nothing: it is fresh in the second view or, with complementary
    views, its part of S is diagonal. Left out are the terms between different features that complementary views also
    have, and their small negative ones outside the span of the features.

    Errors: `ConfigError` for complementary views of a correlated dictionary that is not given.
    """
    law = _code_law(data)
    return _through_views(data, keep_probability(data) * activation_probability(data) * law.square, dictionary)


def _through_views(data: DataConfig, codes: Features, dictionary: Dictionary | None) -> Features:
    """Return what the coordinate masks of complementary views leave of the moments `codes`, shape (feature,)."""
    if data.pair_rule != "complementary":
        return codes
    # the masks multiply entry (a, b) of S by E[4 D_a (1-D_b)], which is 0 on the diagonal and 1 elsewhere
    if dictionary is None:
        require(data.dictionary == "qr", "dictionary", "the array of a correlated dictionary", None)
        # columns of a Haar matrix have d1 E[M_aj^2 M_ak^2] = 3/(d1+2) for j = k and 1/(d1+2) otherwise
        return codes - (2 * codes + np.sum(codes)) / (data.token_dim + 2)
    M = np.asarray(dictionary, np.float64)
    return (M.T @ M) ** 2 @ codes - (M**2).T @ (M**2 @ codes)


def n_negatives(data: DataConfig) -> int:
    """Return |N|, the number of negatives of a query before equal codes are left out: K-1, or as configured."""
    return data.batch_size - 1 if data.n_negatives is None else data.n_negatives


def chance_loss(config: Config) -> float:
    """Return log(|N|+1) (times tau with the prefactor): the loss when all similarities agree (theory 3.2)."""
    factor = config.loss.temperature if config.loss.temperature_prefactor else 1.0
    # nt_xent counts both views of the other samples
    views = 2 if config.loss.kind == "nt_xent" else 1
    return factor * float(np.log1p(views * n_negatives(config.data)))


def masking_correction(data: DataConfig, dictionary: Dictionary | None = None) -> Features:
    """Return what leaving out equal codes adds to the growth of a feature, shape (feature,) (theory 6.1, 12.1).

    It is to be added to E[zhat_Xj zhat_Yj] |N|/(|N|+1), see `growth.growth_rate`. With the option `mask_equal_codes`, a
    negative whose aggregate code has the query's active features and signs is left out; without it the result is zero.
    Exact while all candidates have the same softmax weight. For codes in {-1, 0, 1} it is never negative: those that
    are kept are anti-correlated with the query, and the loss pushes them away from it.
    """
    N = n_negatives(data)
    if not data.mask_equal_codes:
        return np.zeros(data.n_features)
    # A negative equals a query z in support and signs with chance p = p(z), so that N' ~ Binomial(N, 1-p) are kept and
    # E[N'/(N'+1)] = sum_{n<N} p^n (1-p) (N-n)/(N+1) = N/(N+1) - sum_{n=1}^N p^n/(N+1). A kept negative has mean
    # E[zV_j | V != z] = -sign(z_j) mu_j p/(1-p), mu_j = E[|zhat_j| | not 0] (times keep_j, as for the key).
    # The growth keep_j E[N'/(N'+1) (z_j^2 + |z_j| mu_j p/(1-p))] thus needs only B_n = E[1{z_j != 0} p^n], n <= N:
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
    """Return B_n(j), shape (feature,): chance that a sample has j active and n others have its support and signs."""
    gate = (1 - data.co_occurrence) ** (n + 1)
    active = law.nonzero * (law.nonzero / 2) ** n
    silent = (1 - law.nonzero) ** (n + 1)
    log_either = np.log(active + silent)
    moment = active.copy()
    for group in (_minority(data), ~_minority(data)):
        total = np.sum(log_either[group])
        others = gate * np.exp(total - log_either)  # for the group of j: its other features, all gates open
        # the n+1 samples agree on the group without j: active and equal there, or all of them silent there
        all_silent = (1 - (1 - data.co_occurrence) * (1 - np.prod(1 - law.nonzero[group]))) ** (n + 1)
        agree = gate * (np.exp(total) - np.prod(silent[group])) + all_silent
        moment *= np.where(group, others, agree)
    return moment / law.accepted ** (n + 1)
