"""How fast weights grow along each feature early in training, and the stage ends that follow (theory 6.1 to 6.3).

One pure function per statement, in float64, with no constant to fit. Rates are per training step, times in steps.
Growth is exponential while the weights are small and the thresholds are zero (the linear phase): each projection
<w_i, M_j> is then multiplied by the same factor at every step. The formulas for it assume the transformer with
InfoNCE on inner products, plain SGD and an orthonormal dictionary; other configurations raise `ConfigError`. The
frequencies that they need are in `theory.frequencies`, the sizes at the end of training in `theory.stationary`. Labels
such as S1d name tests in the section of the theory that is cited with them.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import logsumexp

from dynsim.config import Config
from dynsim.config.checks import choice, require
from dynsim.theory.frequencies import (
    GROUPS,
    Dictionary,
    Features,
    is_minority,
    masking_correction,
    n_negatives,
    relative_frequency,
    second_moment,
)


def _loss_factor(config: Config) -> float:
    """Return the factor of growth due to pooling (s^2), a missing prefactor (1/tau) and a two-sided gradient (2)."""
    require(config.encoder.architecture == "transformer", "architecture", "transformer", config.encoder.architecture)
    require(config.loss.similarity == "inner", "similarity", "inner", config.loss.similarity)
    optimizer = (config.optimizer.name, config.optimizer.arguments)
    require(optimizer == ("sgd", ()), "optimizer", "sgd without arguments", optimizer)
    require(config.data.dictionary_cosine == 0, "dictionary_cosine", "0", config.data.dictionary_cosine)
    s = 1.0 if config.encoder.pooling == "sum" else 1 / config.data.n_tokens
    both_sides = 1.0 if config.loss.stop_gradient else 2.0
    return s**2 * both_sides / (1.0 if config.loss.temperature_prefactor else config.loss.temperature)


def decay_rate(config: Config) -> float:
    """Return eta lambda, the share of w that penalty or decoupled decay takes away per step (theory 4.2, 4.5)."""
    return config.optimizer.learning_rate * (config.loss.l2_penalty + config.loss.weight_decay)


def growth_rate(config: Config, dictionary: Dictionary | None = None) -> Features:
    """Return g_j per step, shape (feature,): each step multiplies <w, M_j> by 1 + g_j - eta lambda (theory 6.1).

    g_j = eta s^2 (E[zhat_Xj zhat_Yj] |N|/(|N|+1) + `masking_correction`), where s is 1 for sum pooling and 1/L for mean
    pooling. It is divided by tau if the loss lacks the prefactor tau, and doubled without stop-gradient. Exact while
    the softmax is uniform (small weights) and b = 0, for token-wise and uniform attention; to leading order for softmax
    attention and for trained attention. The factor is a mean over batches.

    Errors: `ConfigError` for a configuration that the module's formulas do not cover.
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
    """Return T1, the end of stage 1, in steps: when the weights on the group's features have grown enough (theory 6.1).

    For "majority" and "minority" they must have gained what ||w||^2 was at the start: sum_j (e^{2 G_j t} - 1) = d1 over
    the d_group features of the group, with G_j of `log_growth`. If all G_j agree, t = log(1 + d1/d_group) / (2 G). For
    "all", ||w||^2 must have doubled, where the decay outside the features counts too. Infinite if no feature grows.
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

    # at the upper end the fastest feature alone has gained 2 d1, more than what is needed plus what the others can lose
    return float(brentq(excess, 0.0, math.log(2 * d1 + 1) / (2 * np.max(rates)), xtol=1e-12, rtol=1e-14))


def stage2_clock(config: Config, dictionary: Dictionary | None = None) -> float:
    """Return log(d) / max_j g_j in steps: how the length T2 - T1 of stage 2 scales (theory 6.2).

    The constant in front is not known. The theory writes d tau log d / (eps_max eta C_z log log d), with a constant C_z
    that `growth_rate` makes unnecessary; the tau is there only if the loss lacks the prefactor.
    """
    return math.log(config.data.n_features) / float(np.max(growth_rate(config, dictionary)))


def stage3_window(config: Config) -> tuple[float, float]:
    """Return (T3, T4) = (d^1.01/eta, d^1.99/eta) in steps, between which the theorem on stage 3 holds (theory 6.3)."""
    d, eta = config.data.n_features, config.optimizer.learning_rate
    return d**1.01 / eta, d**1.99 / eta


def learnability_floor(config: Config, dictionary: Dictionary | None = None) -> Features:
    """Return eps*_j, shape (feature,), the frequency below which feature j shrinks from the start (theory 6.1, S1d).

    There the growth g_j equals the decay eta lambda. Since g_j is proportional to eps_j, at a fixed chance of empty
    samples and up to the masking correction, eps*_j = eps_j eta lambda / g_j. It depends on j only through the keep
    probability, that correction and complementary views. Infinite where g_j <= 0.
    """
    rate, eps = growth_rate(config, dictionary), relative_frequency(config.data)
    positive = rate > 0
    return np.where(positive, eps * decay_rate(config) / np.where(positive, rate, 1.0), math.inf)


def suppression(
    config: Config, step: float | Float[np.ndarray, " time"], dictionary: Dictionary | None = None
) -> Float[np.ndarray, "..."]:
    """Return how far minority features have fallen behind after `step` steps, in the shape of `step` (theory 6.1, S1f).

    The value is the root mean square of <w, M_j> over minority features divided by that over majority features: 1 at
    step 0, and exp((G_min - G_maj) t) for two frequency levels, with G of `log_growth`.

    Errors: those of `log_growth`, and `ConfigError` unless both groups have features.
    """
    rates, minority = log_growth(config, dictionary), is_minority(config.data)
    require(0 < minority.sum() < minority.size, "n_minority", "two non-empty groups", config.data.n_minority)
    grown = 2 * np.asarray(step, np.float64)[..., None] * rates
    rare, common = (logsumexp(grown[..., group], axis=-1) - np.log(group.sum()) for group in (minority, ~minority))
    return np.asarray(np.exp((rare - common) / 2))
