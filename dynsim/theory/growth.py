"""Closed forms that need no fitted constant: probabilities, early growth rates, stage ends, stationary sizes.

One pure function per statement of theory sections 1 and 6 (`theory_counts` has thresholds and neuron sets). float64.
Rates are per training step and times are in steps. Linear-phase statements assume the transformer with inner-product
InfoNCE, plain SGD, thresholds still at zero and an orthonormal dictionary; other configurations raise `ConfigError`.
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
