"""The mean pull of the loss on every weight: over noise, codes and the softmax (theory 3.3, 6.3).

A neuron i has projections alpha_ij = <w_i, M_j> on the features, a part of norm rho_i outside all features, and a
threshold b_i; h_i is its output. The pull along M_j is the mean over batches of

    (h_i(Y) - sum_V q_V h_i(V)) <grad h_i(X), M_j>,

where X is a query, Y its key and q_V the softmax weight of candidate V. Means over the Gaussian noise of a token are
exact (`responses`). Approximated are

- the codes: the feature of a pair (i, j), and the largest other one of the neuron, are placed into tokens exactly. All
  further features together count as Gaussian noise of their variance, to first order in what the two views share;
- the softmax: a sample's logit is a sum over features, each the product of what the two views have of it, as if the
  neurons of one feature were parallel to it. A fixed sample of batches (`mean_field`) then gives how much of the pull
  on feature j the softmax leaves: one number, the driver D_j, for all neurons.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from dynsim.config import Config
from dynsim.theory import frequencies, growth
from dynsim.theory.counts import Array
from dynsim.theory.frequencies import Features

Alignment = Float[np.ndarray, "neuron feature"]
Neurons = Float[np.ndarray, " neuron"]

N_SAMPLES = 8192
"""Samples over which the softmax is averaged, at least."""
TINY = 1e-300


class Responses(NamedTuple):
    """How a neuron answers a token of mean input mu with Gaussian noise, u = mu + s g; all of one shape."""

    output: Array
    """E[BReLU_b(u)]: the mean output."""
    firing: Array
    """Pr(|u| > b): the chance that the neuron fires, which is also the slope of `output` in mu."""
    tilt: Array
    """E[g; |u| > b]: how far the noise of the tokens on which it fires leans towards the neuron; s times the slope of
    `firing` in mu."""


class MeanField(NamedTuple):
    """What the pull needs of a run: its rates, and fixed batches of its size over which the softmax is averaged."""

    growth: Features
    """Growth of feature j per step and unit of the learning rate while all candidates are equally likely and b = 0."""
    activation: Features
    """P_j, the chance that feature j is active in a sample."""
    query_codes: Float[np.ndarray, "batch query feature"]
    query_noise: Float[np.ndarray, "batch query token feature"]
    key_codes: Float[np.ndarray, "batch candidate feature"]
    key_noise: Float[np.ndarray, "batch candidate token feature"]
    left_out: Float[np.ndarray, "batch query candidate"]
    """0 for the candidates of a query, minus infinity for other keys."""


class Softmax(NamedTuple):
    """What the softmax does to the pull; both are 1 and 0 while all candidates are equally likely."""

    driver: Features
    """D_j: the pull on feature j, as a share of what it is with a uniform softmax (theory P3)."""
    recoil: Features
    """What the noise of the query adds to the pull on a neuron along M_j, as a share of the neuron's weights. It is
    negative: noise makes a query look like the keys that have it too, from which the loss pushes it away."""


class Pull(NamedTuple):
    """The mean pull of the loss per unit of the learning rate."""

    along_features: Alignment
    """Along every M_j."""
    outside: Neurons
    """Along the part outside the features, as a share of rho_i."""
    kick: Neurons
    """What the chance in a step adds to rho_i^2, times the batch size and per squared learning rate; only the part that
    comes from the query's noise."""


def responses(mean: Array, spread: Array, threshold: Array) -> Responses:
    """Return the exact means over the noise of one token, in the common shape of the arguments.

    Args:
        mean: mu, what the features of the token add to the input of the neuron.
        spread: s, the standard deviation of the noise along the neuron, at least 0.
        threshold: b, at least 0.
    """
    s = np.maximum(spread, TINY)
    with np.errstate(over="ignore"):  # without noise the bounds are infinite, which is right
        above, below = (threshold - mean) / s, (threshold + mean) / s
        high, low = ndtr(-above), ndtr(-below)
        bell_above, bell_below = (np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi) for x in (above, below))
    tilt = bell_above - bell_below
    return Responses((mean - threshold) * high + (mean + threshold) * low + spread * tilt, high + low, tilt)


def mean_field(config: Config, seed: int = 0) -> MeanField:
    """Draw the fixed batches over which the softmax is averaged: codes, and the noise of tokens along each feature."""
    data, rng = config.data, np.random.default_rng(seed)
    K, C, d, L = data.batch_size, data.batch_size + (data.n_negatives or 0), data.n_features, data.n_tokens
    n_batches = -(-N_SAMPLES // K)
    chance = data.activation_rate * frequencies.relative_frequency(data)
    drawn = np.zeros((n_batches * C, d), np.float32)
    todo = np.arange(len(drawn))
    while todo.size:
        drawn[todo] = (rng.random((todo.size, d)) < chance) * rng.choice([-1, 1], (todo.size, d))
        todo = todo[~drawn[todo].any(axis=1)] if data.empties == "resample" else todo[:0]
    codes = drawn.reshape(n_batches, C, d)
    sigma = np.float32(np.sqrt(frequencies.noise_variance(data)))
    query_noise = sigma * rng.standard_normal((n_batches, K, L, d), np.float32)
    key_noise = sigma * rng.standard_normal((n_batches, C, L, d), np.float32)
    allowed = np.broadcast_to(np.arange(C) >= K if C > K else True, (n_batches, K, C))
    if data.mask_equal_codes:
        energy = np.square(codes).sum(axis=2)
        allowed = allowed & (energy[:, :K, None] + energy[:, None] - 2 * codes[:, :K] @ codes.swapaxes(1, 2) > 0.5)
    allowed = allowed | np.eye(K, C, dtype=bool)
    left_out = np.where(allowed, 0, -np.inf).astype(np.float32)
    rates = growth.growth_rate(config) / config.optimizer.learning_rate, frequencies.activation_probability(data)
    return MeanField(*rates, codes[:, :K], query_noise, codes, key_noise, left_out)


def softmax_effect(field: MeanField, logit: Features, cut: Features, unit: Features) -> Softmax:
    """Return what the softmax does to the pull on neurons that lie along single features.

    Args:
        field: the fixed batches.
        logit: S_j / tau, the mean logit that a pair of views gains through feature j.
        cut: b / alpha of the neurons of feature j, in [0, 1].
        unit: mean output of a neuron M_j with this threshold on a token with feature j.
    """
    scale = np.divide(logit, np.square(unit), out=np.zeros_like(unit), where=unit > 0).astype(np.float32)
    cut = cut.astype(np.float32)
    query, from_code, from_noise = _answers(field.query_codes, field.query_noise, cut)
    key = _answers(field.key_codes, field.key_noise, cut)[0]
    logits = (query * scale) @ key.swapaxes(1, 2) + field.left_out
    weight = np.exp(logits - np.max(logits, axis=2, keepdims=True))
    uniform = (field.left_out == 0).astype(np.float32)
    expected, chance = ((w @ key) / np.sum(w, axis=2, keepdims=True) for w in (weight, uniform))
    full = np.sum((key[:, : query.shape[1]] - chance) * from_code, axis=(0, 1), dtype=np.float64)
    lost, recoil = (
        np.sum((expected - chance) * part, axis=(0, 1), dtype=np.float64) for part in (from_code, from_noise)
    )
    n_queries = query.shape[0] * query.shape[1]
    return Softmax(1 - np.divide(lost, full, out=np.zeros_like(full), where=full > 0), -recoil / n_queries)


def _answers(codes: Array, noise: Array, cut: Features) -> tuple[Array, Array, Array]:
    """Return what neurons of unit weight, one along each feature, answer to samples, and the gradient of the answer.

    Each has the shape of `codes`. The gradient comes in two parts, that of the codes and that of the noise.
    """
    inputs = noise.copy()
    inputs[..., 0, :] += codes  # the token of the feature is called the first one
    fires = np.abs(inputs) > cut
    answer = np.sum(np.where(fires, inputs - cut * np.sign(inputs), 0), axis=-2)
    return answer, codes * fires[..., 0, :], np.sum(np.where(fires, noise, 0), axis=-2)


def pull(config: Config, field: MeanField, alignment: Alignment, residual_square: Neurons, threshold: Neurons) -> Pull:
    """Return the mean pull of the loss on every neuron.

    Args:
        config, field: the run, and its fixed batches.
        alignment: <w_i, M_j>.
        residual_square: rho_i^2, the squared norm of the part outside the features.
        threshold: b_i.
    """
    data, b = config.data, threshold[:, None]
    L, P, sigma2 = data.n_tokens, field.activation, frequencies.noise_variance(data)
    mate = _largest_other(alignment)
    other, P_other = np.take_along_axis(alignment, mate, 1), P[mate]
    square = np.square(alignment)
    norm2 = square.sum(axis=1) + residual_square
    # variance of what all features but these two add to a token
    rest = np.maximum((square @ P)[:, None] - P * square - P_other * np.square(other), 0) / L
    spread = np.sqrt(sigma2 * norm2[:, None] + rest)
    alone, silent = responses(alignment, spread, b), responses(np.zeros_like(alignment), spread, b).firing
    D, recoil = softmax_at(config, field, alignment, alone.output, b)
    # the other feature is active with either sign in both views, and shares the token of j with chance 1/L in each
    found = D * alone.output * alone.firing
    other_output = responses(other, spread, b).output
    for sign in (1, -1):
        both = responses(alignment + sign * other, spread, b)
        fires = both.firing / L + alone.firing * (1 - 1 / L)
        change = (both.output - alone.output) / L + sign * other_output * (1 - 1 / L)
        found += P_other / 2 * (D * alone.output * (fires - alone.firing) + D[mate] * change * fires)
    lean = alone.tilt / np.maximum(spread, TINY)  # slope of the chance of firing in the mean input
    found += D * lean * rest / L * (alone.firing + (L - 1) * silent)
    along = sigma2 * (alone.output * lean) @ (field.growth * D)
    answer = np.square(alone.output)
    own = answer / np.maximum(answer.sum(axis=0), TINY)  # share of the logit of j that is the neuron's own
    outside = along + (own * square) @ recoil / np.maximum(norm2, TINY)
    kick = (answer * (alone.firing + (L - 1) * silent)) @ (P * D)
    kick *= sigma2 * (data.token_dim - data.n_features)
    return Pull(field.growth * found + (along[:, None] + recoil) * alignment, outside, kick)


def softmax_at(config: Config, field: MeanField, alignment: Alignment, output: Alignment, threshold: Array) -> Softmax:
    """Return what the softmax does at given weights.

    Args:
        config, field, alignment: as for `pull`.
        output: mean output of each neuron on a token with each feature.
        threshold: b_i, shape (neuron, 1).
    """
    square = np.square(output)
    logit = np.sum(square, axis=0)
    cut = np.minimum(threshold / np.maximum(np.abs(alignment), TINY), 1.0)
    cut = np.sum(square * cut, axis=0) / np.maximum(logit, TINY)
    sigma = np.full_like(cut, np.sqrt(frequencies.noise_variance(config.data)))
    unit = responses(np.ones_like(cut), sigma, cut).output
    return softmax_effect(field, logit / config.loss.temperature, cut, unit)


def _largest_other(alignment: Alignment) -> np.ndarray:
    """Return for each neuron and feature the feature, other than that one, on which the neuron is largest."""
    size = np.abs(alignment)
    first = np.argmax(size, axis=1)[:, None]
    np.put_along_axis(size, first, -1.0, axis=1)
    return np.where(np.arange(alignment.shape[1]) == first, np.argmax(size, axis=1)[:, None], first)
