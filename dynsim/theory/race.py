"""Which feature a neuron ends with, decided at the step at which thresholds come on, the switch (theory 6.2, S2f).

A neuron passes on feature j if its projection on M_j exceeds its threshold there. From then on it grows only on the
features on which it passes, and the one that leads at the switch outgrows the others: the neuron wins that feature. A
neuron has one threshold for all features, so the one it wins is simply the one with its largest projection, if it
passes on that. A count of passages counts a neuron once for each feature on which it passes, one of winners only once.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.theory import growth
from dynsim.theory.counts import Array, threshold_value
from dynsim.theory.frequencies import Features

NO_FEATURE = -1
"""What `race_winner` returns for a neuron that passes on no feature."""
_BLOCK = 2**22  # entries of the largest array of sampled weights


class RaceCounts(NamedTuple):
    """Expected numbers of neurons, each of shape (feature,), with the standard errors of the sampling."""

    passages: Features
    """Neurons that pass on j; one neuron may pass on several features."""
    passages_error: Features
    winners: Features
    """Neurons that pass on j and end with it."""
    winners_error: Features


def race_winner(
    alignment: Float[Any, "... neuron feature"], threshold: Float[Any, "... neuron"]
) -> Int[np.ndarray, "... neuron"]:
    """Return the feature that each neuron ends with, or `NO_FEATURE` where it passes on none (theory 6.2, S2f).

    Args:
        alignment: <w_i, M_j> at the switch.
        threshold: b_i at the switch, such as `threshold_value` of the norms ||w_i|| there.
    """
    size = np.abs(np.asarray(alignment, np.float64))
    passes = np.max(size, axis=-1) > np.asarray(threshold, np.float64)
    return np.where(passes, np.argmax(size, axis=-1), NO_FEATURE)


def _switch_step(config: Config) -> float:
    """Return the step at which thresholds come on: as configured, or the one at which ||w||^2 has doubled."""
    if config.threshold.start == "at_step":
        return float(config.threshold.start_step)
    end = growth.stage1_end(config, "all")
    require(math.isfinite(end), "learning_rate", "a run in which some feature grows", config.optimizer.learning_rate)
    return end


def race_counts(
    config: Config,
    switch_step: float | None = None,
    *,
    gain: Array | None = None,
    complement_gain: float | None = None,
    n_samples: int = 20_000,
    seed: int = 0,
) -> RaceCounts:
    """Return how many neurons are expected to pass on each feature, and how many to end with it (theory 6.2, S2f).

    A neuron starts as w = sigma_0 g, with g standard normal in all d1 directions k, has grown G_k times along k by the
    switch, and meets the threshold of its own norm there. Both numbers are m times a share of `n_samples` such neurons.
    The passages are those of `s2c_own_norm_count`.

    Args:
        config: gives d, d1, m, the growth and the threshold.
        switch_step: step at which thresholds come on; None takes the configured one, or predicts the doubling of
            ||w||^2.
        gain: measured factor by which projections on M_j have grown until then, shape (feature,); None predicts
            exp(G_j switch_step), with G_j of `log_growth`.
        complement_gain: the same for directions outside the features; None takes (1 - eta lambda)^switch_step.

    Errors: those of `log_growth` where a factor must be predicted, and `ConfigError` if no feature grows.
    """
    if switch_step is None and (gain is None or complement_gain is None):
        switch_step = _switch_step(config)
    if gain is None:
        gain = np.exp(growth.log_growth(config) * switch_step)
    if complement_gain is None:
        complement_gain = math.exp(math.log1p(-growth.decay_rate(config)) * (switch_step or 0.0))
    d, m, rng = config.data.n_features, config.encoder.n_neurons, np.random.default_rng(seed)
    passed, won = np.zeros(d), np.zeros(d)
    for start in range(0, n_samples, rows := max(1, _BLOCK // d)):
        alignment, norm = _sampled(config, gain, complement_gain, min(rows, n_samples - start), rng)
        threshold = threshold_value(config, norm)
        passed += np.sum(np.abs(alignment) > threshold[:, None], axis=0)
        winner = race_winner(alignment, threshold)
        won += np.bincount(winner[winner != NO_FEATURE], minlength=d)
    shares = passed / n_samples, won / n_samples
    errors = (np.sqrt(share * (1 - share) / n_samples) for share in shares)
    return RaceCounts(*(m * x for pair in zip(shares, errors, strict=True) for x in pair))


def _sampled(
    config: Config, gain: Array, complement_gain: float, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "sample feature"], Float[np.ndarray, " sample"]]:
    """Return the projections and norms at the switch of n sampled neurons, both in units of sigma_0."""
    d, d1 = config.data.n_features, config.data.token_dim
    alignment = np.asarray(gain, np.float64) * rng.standard_normal((n, d))
    outside = complement_gain**2 * rng.chisquare(d1 - d, n) if d1 > d else 0.0
    return alignment, np.sqrt(np.sum(alignment**2, axis=1) + outside)
