"""Where training goes on average: a deterministic prediction of every weight, from the same start as a run.

The flow follows three numbers per neuron i: its projections alpha_ij = <w_i, M_j> on the features, the norm rho_i of its
part outside all features, and its threshold b_i. It has no noise from batches and no constant to fit.

- Linear phase (b = 0, all candidates of a query nearly equally likely): each projection is multiplied by the same factor
  per step, in closed form (`growth.log_growth`), and rho_i shrinks by the decay.
- Beyond: d alpha_ij/dt = eta (pull_ij - lambda alpha_ij), where pull_ij is the mean over batches of
  (h_i(Y) - sum_V q_V h_i(V)) <grad h_i(X), M_j>; h_i is the output of the neuron, X a query, Y its key, q_V the softmax
  weight of candidate V. `scipy.integrate.solve_ivp` solves it (theory 3.3, 6.3, 12.4).

Exact in it: means over the Gaussian noise of a token (`responses`), growth in the linear phase. Approximated:

- Code: the feature of a pair (i, j), and the largest other one of the neuron, are placed into tokens exactly. All
  further features together count as Gaussian noise of their variance, to first order in what the two views share.
- Softmax: a sample's logit is a sum over features, each the product of what the two views have of it, as if all neurons
  of one feature were parallel to it. It is averaged over a fixed sample of batches (`seed`), and its effect on feature j
  is one number, the driver D_j, the same for all neurons.
- Batches: only their effect on rho_i is kept, and only its largest part.
- Steps: finite steps are replaced by a continuous time, once the linear phase is over.
"""

import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.integrate import solve_ivp
from scipy.special import ndtr

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.theory import counts, frequencies, growth
from dynsim.theory.frequencies import Features

Array = Float[np.ndarray, "..."]
Alignment = Float[np.ndarray, "neuron feature"]
Neurons = Float[np.ndarray, " neuron"]

LINEAR = 0.99
"""The linear phase lasts while the softmax takes away no more than a hundredth of any feature's pull."""
MEAN_FIELD_SAMPLES = 2048
"""Samples of the fixed batches over which the softmax is averaged, at least."""
TOLERANCE = 2e-3
"""Relative error per step of the solver of the differential equation."""
METHOD = "RK23"
_TINY = 1e-300


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
    """The fixed sample of batches over which the softmax is averaged."""

    codes: Float[np.ndarray, "batch sample feature"]
    query_noise: Float[np.ndarray, "token batch sample feature"]
    key_noise: Float[np.ndarray, "token batch candidate feature"]
    candidate_codes: Float[np.ndarray, "batch candidate feature"]
    is_candidate: Bool[np.ndarray, "batch sample candidate"]


class Flow(NamedTuple):
    """A predicted trajectory, at the steps that were asked for."""

    step: Float[np.ndarray, " record"]
    alignment: Float[np.ndarray, "record neuron feature"]
    residual_norm: Float[np.ndarray, "record neuron"]
    threshold: Float[np.ndarray, "record neuron"]
    linear_end: float
    """Step at which the closed form ends and the differential equation begins."""
    switch_step: float
    """Step at which the thresholds come on; infinite if they do not within the steps asked for."""
    seconds: float
    """Time that the prediction took."""


def check_flow(config: Config) -> None:
    """Refuse a configuration that the flow does not cover: `ConfigError`."""
    data, encoder, loss, threshold = config.data, config.encoder, config.loss, config.threshold
    growth.growth_rate(config)  # refuses other architectures, optimisers, similarities and correlated dictionaries
    for name, value, wanted in (
        ("attention", encoder.attention, "token_wise"),
        ("train_attention", encoder.train_attention, False),
        ("pooling", encoder.pooling, "sum"),
        ("sampling_rule", data.sampling_rule, "aggregate"),
        ("pair_rule", data.pair_rule, "placed"),
        ("co_occurrence", data.co_occurrence, 0.0),
        ("fading_noise", data.fading_noise, 0.0),
        ("keep_probability", float(np.min(frequencies.keep_probability(data))), 1.0),
        ("kind", loss.kind, "info_nce"),
        ("symmetric", loss.symmetric, False),
        ("stop_gradient", loss.stop_gradient, True),
        ("prune.kind", config.prune.kind, "none"),
    ):
        require(value == wanted, name, f"{wanted} for a predicted trajectory", value)
    one_scale = loss.temperature_prefactor or loss.temperature == 1
    require(one_scale, "temperature_prefactor", "true for a predicted trajectory, or temperature 1", False)
    known = threshold.tracks_norm or threshold.rule == "zero" or threshold.start == "never"
    require(known, "threshold.rule", "norm_tracking or zero for a predicted trajectory", threshold.rule)


def responses(mean: Array, spread: Array, threshold: Array) -> Responses:
    """Return the exact means over the noise of one token, in the common shape of the arguments.

    Args:
        mean: mu, what the features of the token add to the input of the neuron.
        spread: s, the standard deviation of the noise along the neuron, at least 0.
        threshold: b, at least 0.
    """
    s = np.maximum(spread, _TINY)
    with np.errstate(over="ignore"):  # without noise the bounds are infinite, which is right
        above, below = (threshold - mean) / s, (threshold + mean) / s
        high, low = ndtr(-above), ndtr(-below)
        bell_above, bell_below = (np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi) for x in (above, below))
    tilt = bell_above - bell_below
    return Responses((mean - threshold) * high + (mean + threshold) * low + spread * tilt, high + low, tilt)


def mean_field(config: Config, seed: int = 0) -> MeanField:
    """Draw the fixed batches over which the softmax is averaged: codes, and the noise along each feature.

    Every batch has the size of the run's, so that the number of negatives is the run's; equal codes are left out.
    """
    data, rng = config.data, np.random.default_rng(seed)
    K, extra, d = data.batch_size, data.n_negatives or 0, data.n_features
    n_batches = -(-MEAN_FIELD_SAMPLES // K)
    chance = data.activation_rate * frequencies.relative_frequency(data)
    codes = np.zeros((n_batches * (K + extra), d))
    todo = np.arange(len(codes))
    while todo.size:
        codes[todo] = (rng.random((todo.size, d)) < chance) * rng.choice([-1.0, 1.0], (todo.size, d))
        todo = todo[~codes[todo].any(axis=1)] if data.empties == "resample" else todo[:0]
    codes = codes.reshape(n_batches, K + extra, d)
    sigma = np.sqrt(frequencies.noise_variance(data))
    query_noise = sigma * rng.standard_normal((data.n_tokens, n_batches, K, d))
    key_noise = sigma * rng.standard_normal((data.n_tokens, n_batches, K + extra, d))
    own = np.eye(K, K + extra, dtype=bool)
    allowed = np.broadcast_to(np.arange(K + extra) >= K if extra else True, (n_batches, K, K + extra))
    if data.mask_equal_codes:
        energy = np.square(codes).sum(axis=2)
        allowed = allowed & (energy[:, :K, None] + energy[:, None] - 2 * codes[:, :K] @ codes.swapaxes(1, 2) > 0.5)
    return MeanField(codes[:, :K], query_noise, key_noise, codes, allowed | own)


def drivers(field: MeanField, logit: Features, cut: Features, temperature: float = 1.0) -> Features:
    """Return D_j, shape (feature,): the pull on feature j over what it would be with a uniform softmax (theory P3).

    Args:
        field: the fixed batches.
        logit: S_j, the mean logit (times tau) that a pair of views gains through feature j.
        cut: b / alpha of the neurons of feature j, in [0, 1].
        temperature: tau.
    """
    sigma = np.sqrt(np.mean(np.square(field.query_noise)))
    unit = responses(np.ones_like(cut), np.full_like(cut, sigma), cut).output
    scale = logit / np.maximum(unit, _TINY) ** 2 / temperature
    query, gradient = _amplitudes(field.codes, field.query_noise, cut)
    key, _ = _amplitudes(field.candidate_codes, field.key_noise, cut)
    logits = np.where(field.is_candidate, (query * scale) @ key.swapaxes(1, 2), -np.inf)
    weight = np.exp(logits - np.max(logits, axis=2, keepdims=True))
    weight /= np.sum(weight, axis=2, keepdims=True)
    uniform = field.is_candidate / np.sum(field.is_candidate, axis=2, keepdims=True)
    lost = np.einsum("rnj,rnj->j", (weight - uniform) @ key, gradient)
    positive = key[:, : query.shape[1]] - uniform @ key
    full = np.einsum("rnj,rnj->j", positive, gradient * (field.codes != 0))
    return 1 - lost / np.where(full > 0, full, np.inf)


def _amplitudes(codes: Array, noise: Array, cut: Features) -> tuple[Array, Array]:
    """Return what a neuron along each feature answers to samples, in units of its weight, and its gradient."""
    inputs = noise.copy()
    inputs[0] += codes
    fires = np.abs(inputs) > cut
    gradient = np.where(fires, inputs, 0.0)
    return np.sum(gradient - cut * np.sign(gradient), axis=0), np.sum(gradient, axis=0)


def pull(
    config: Config, field: MeanField, alignment: Alignment, residual_square: Neurons, threshold: Neurons
) -> tuple[Alignment, Neurons]:
    """Return the pull of the loss along every feature, and that outside the features as a share of rho_i.

    Args:
        config, field: the run, and its fixed batches.
        alignment: <w_i, M_j>.
        residual_square: rho_i^2.
        threshold: b_i.
    """
    return _pull(config, field, alignment, residual_square, threshold)[:2]


def _pull(
    config: Config, field: MeanField, alignment: Alignment, residual_square: Neurons, threshold: Neurons
) -> tuple[Alignment, Neurons, Neurons]:
    """Return what `pull` does, and what one batch of one sample adds to rho_i^2 for a learning rate of 1."""
    data, b = config.data, threshold[:, None]
    L, P, sigma2 = data.n_tokens, frequencies.activation_probability(data), frequencies.noise_variance(data)
    mate = _largest_other(alignment)
    other, P_other = np.take_along_axis(alignment, mate, 1), P[mate]
    square = np.square(alignment)
    rest = (square @ P)[:, None] - P * square - P_other * np.square(other)
    rest = np.maximum(rest, 0) / L  # variance of what further features add to a token
    spread = np.sqrt(sigma2 * (square.sum(1) + residual_square)[:, None] + rest)
    alone, silent = responses(alignment, spread, b), responses(np.zeros_like(alignment), spread, b).firing
    lean = alone.tilt / np.maximum(spread, _TINY)
    D = _drivers_at(config, field, alignment, alone.output, b)
    # the other feature is active with either sign in X and Y, and shares the token of j with chance 1/L in each
    found = D * alone.output * alone.firing
    other_output = responses(other, spread, b).output
    for sign in (1, -1):
        both = responses(alignment + sign * other, spread, b)
        fires = both.firing / L + alone.firing * (1 - 1 / L)
        change = (both.output - alone.output) / L + sign * other_output * (1 - 1 / L)
        found += P_other / 2 * (D * alone.output * (fires - alone.firing) + D[mate] * change * fires)
    found += D * lean * rest / L * (alone.firing + (L - 1) * silent)
    rate = growth.growth_rate(config) / config.optimizer.learning_rate
    along = sigma2 * (alone.output * lean) @ (rate * D)
    kick = np.square(alone.output) * (alone.firing + (L - 1) * silent) @ (P * D)
    kick *= sigma2 * (data.token_dim - data.n_features)
    return rate * found + along[:, None] * alignment, along, kick


def _largest_other(alignment: Alignment) -> np.ndarray:
    """Return for each neuron and feature the feature, other than that one, on which the neuron is largest."""
    size = np.abs(alignment)
    first = np.argmax(size, axis=1)[:, None]
    np.put_along_axis(size, first, -1.0, axis=1)
    return np.where(np.arange(alignment.shape[1]) == first, np.argmax(size, axis=1)[:, None], first)


def _drivers_at(config: Config, field: MeanField, alignment: Alignment, output: Alignment, b: Array) -> Features:
    square = np.square(output)
    logit = np.sum(square, axis=0)
    cut = np.minimum(b / np.maximum(np.abs(alignment), _TINY), 1.0)
    cut = np.sum(square * cut, axis=0) / np.maximum(logit, _TINY)
    return drivers(field, logit, cut, config.loss.temperature)



def predict(
    config: Config, alignment: Alignment, residual_norm: Neurons, steps: Float[np.ndarray, " record"], seed: int = 0
) -> Flow:
    """Return the predicted trajectory of a run from its first weights.

    Args:
        config: what is run.
        alignment, residual_norm: <w_i, M_j> and the norm of the part outside the features, at step 0.
        steps: at which steps to report, increasing, at least one.
        seed: of the fixed batches for the softmax.

    Errors:
        `ConfigError` for a configuration that the flow does not cover.
    """
    began = time.perf_counter()
    check_flow(config)
    field, steps = mean_field(config, seed), np.asarray(steps, np.float64)
    first = np.concatenate([np.asarray(alignment, np.float64), np.asarray(residual_norm, np.float64)[:, None]], axis=1)
    level = 2 * float(np.median(np.sum(np.square(first), axis=1)))
    linear_end, switch = _linear_phase(config, field, first, level, float(steps[-1]))
    found = [_closed_form(config, first, steps[steps <= linear_end])]
    state, now = _closed_form(config, first, np.array([linear_end]))[0], linear_end
    while now < steps[-1]:
        end = min(switch, steps[-1]) if now < switch else steps[-1]
        waits = config.threshold.start == "online" and switch == np.inf and _threshold_share(config) > 0
        wanted = steps[(steps > now) & (steps <= end)]
        at_wanted, state, now = _solve(config, field, state, (now, end), wanted, now >= switch, level if waits else None)
        found.append(at_wanted)
        switch = now if waits and now < end else switch
    states = np.concatenate(found)
    is_on = (steps >= switch)[:, None]
    threshold = np.where(is_on, _threshold_share(config) * np.linalg.norm(states, axis=2), 0.0)
    seconds = time.perf_counter() - began
    return Flow(steps, states[..., :-1], states[..., -1], threshold, linear_end, switch, seconds)


def _threshold_share(config: Config) -> float:
    """Return b / ||w|| once the thresholds are on."""
    return float(counts.threshold_value(config, 1.0))


def _closed_form(config: Config, first: Array, steps: Array) -> Array:
    """Return the states (step, neuron, feature and then rho) of the linear phase."""
    rates = np.append(growth.log_growth(config), np.log1p(-growth.decay_rate(config)))
    return first * np.exp(rates * steps[:, None, None])


def _linear_phase(config: Config, field: MeanField, first: Array, level: float, last: float) -> tuple[float, float]:
    """Return the step at which the linear phase ends, and the switch: infinite if it is not known by then."""
    share, start = _threshold_share(config), config.threshold.start
    switch = float(config.threshold.start_step) if share > 0 and start == "at_step" else np.inf
    zero = np.zeros((len(first), 1))
    for step in np.arange(min(last, switch) + 1):
        state = _closed_form(config, first, np.array([step]))[0]
        if share > 0 and start == "online" and 2 * np.sum(np.sum(np.square(state), axis=1) >= level) >= len(first):
            return step, step
        if np.min(_drivers_at(config, field, state[:, :-1], state[:, :-1], zero)) < LINEAR:
            return step, switch
    return min(last, switch), switch


def _solve(
    config: Config,
    field: MeanField,
    state: Array,
    span: tuple[float, float],
    wanted: Array,
    is_on: bool,
    level: float | None,
) -> tuple[Array, Array, float]:
    """Solve the differential equation, to the end of `span` or until the median of ||w||^2 has reached `level`.

    Returns:
        The states at those of the wanted steps that were reached, the last state, and its step.
    """
    eta, share = config.optimizer.learning_rate, _threshold_share(config) if is_on else 0.0
    decay, shape = growth.decay_rate(config), state.shape

    def change(_: float, flat: Array) -> Array:
        # the last column is rho^2, whose equation is smooth at 0
        alignment, square = np.split(flat.reshape(shape), [-1], axis=1)
        norm = np.sqrt(np.sum(np.square(alignment), axis=1) + square[:, 0])
        drift, along, kick = _pull(config, field, alignment, square[:, 0], share * norm)
        outside = 2 * (eta * along - decay) * square[:, 0] + eta**2 / config.data.batch_size * kick
        return np.append(eta * drift - decay * alignment, outside[:, None], axis=1).ravel()

    def reaches(_: float, flat: Array) -> float:
        alignment, square = np.split(flat.reshape(shape), [-1], axis=1)
        return float(np.median(np.sum(np.square(alignment), axis=1) + square[:, 0])) - float(level or 0)

    reaches.terminal, reaches.direction = True, 1  # type: ignore[attr-defined]
    flat = np.append(state[:, :-1], np.square(state[:, -1:]), axis=1).ravel()
    found = solve_ivp(
        change,
        span,
        flat,
        method=METHOD,
        t_eval=np.union1d(wanted, span[1]),
        events=None if level is None else reaches,
        rtol=TOLERANCE,
        atol=TOLERANCE * float(np.sqrt(np.mean(np.square(state[:, :-1])))),
    )
    stopped = found.status == 1
    end = float(found.t_events[0][0]) if stopped else span[1]
    states = found.y.T if not stopped else np.append(found.y.T.reshape(-1, flat.size), found.y_events[0], axis=0)
    states = states.reshape(-1, *shape)
    states[..., -1] = np.sqrt(np.maximum(states[..., -1], 0.0))
    n_wanted = int(np.sum(wanted <= end))
    return states[:n_wanted], states[-1], end
