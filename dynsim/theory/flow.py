"""Where training goes on average: a deterministic prediction of every weight, from the same start as a run.

The flow follows what training does to each neuron i: its projections alpha_ij = <w_i, M_j> on the features, the norm
rho_i of its part outside all features, and its threshold b_i. It has no noise from batches and no constant to fit.

- Linear phase (b = 0, all candidates of a query nearly equally likely): each projection is multiplied by the same
  factor per step, in closed form (`growth.log_growth`), and rho_i shrinks by the decay.
- Beyond: d alpha_ij/dt = eta (pull_ij - lambda alpha_ij), where pull_ij is the mean over batches of
  (h_i(Y) - sum_V q_V h_i(V)) <grad h_i(X), M_j>; h_i is the output of the neuron, X a query, Y its key, q_V the softmax
  weight of candidate V. `scipy.integrate.solve_ivp` solves it (theory 3.3, 6.3).

The pull is that of `mean_field`, which says what is exact in it and what is approximated. Beyond that, finite steps are
replaced by a continuous time once the linear phase is over, and of the chance in batches only its largest effect on
rho_i is kept.
"""

import bisect
import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy.integrate import solve_ivp

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.theory import counts, frequencies, growth
from dynsim.theory.mean_field import Alignment, Array, MeanField, Neurons, mean_field, pull, softmax_at

LINEAR = 0.99
"""The linear phase lasts while the softmax takes away no more than a hundredth of any feature's pull."""
SOLVER_ERROR = 2e-3
"""Relative error per step of the solver of the differential equation."""


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


def predict(
    config: Config, alignment: Alignment, residual_norm: Neurons, steps: Num[np.ndarray, " record"], seed: int = 0
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
        at_wanted, state, now = _solve(
            config, field, state, (now, end), wanted, now >= switch, level if waits else None
        )
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
    planned = float(config.threshold.start_step) if share > 0 and start == "at_step" else np.inf
    end = int(min(last, planned))
    switch = planned

    def state(step: int) -> Array:
        return np.asarray(_closed_form(config, first, np.array([float(step)]))[0])

    def is_over(step: int) -> bool:
        alignment = state(step)[:, :-1]
        return bool(np.min(softmax_at(config, field, alignment, alignment, np.zeros((len(first), 1))).driver) < LINEAR)

    if share > 0 and start == "online":
        has_doubled = (2 * np.sum(np.sum(np.square(state(k)), axis=1) >= level) >= len(first) for k in range(end + 1))
        doubled = next((k for k, yes in enumerate(has_doubled) if yes), None)
        end, switch = (end, np.inf) if doubled is None else (doubled, float(doubled))
    over = bisect.bisect_left(range(end + 1), True, key=is_over)  # the softmax only moves away from uniform
    return (float(over), planned) if over < end else (float(end), switch)


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
        threshold = share * np.sqrt(_squared_norm(flat.reshape(shape)))
        found = pull(config, field, alignment, square[:, 0], threshold)
        outside = 2 * (eta * found.outside - decay) * square[:, 0] + eta**2 / config.data.batch_size * found.kick
        return np.append(eta * found.along_features - decay * alignment, outside[:, None], axis=1).ravel()

    def reaches(_: float, flat: Array) -> float:
        norm2 = _squared_norm(flat.reshape(shape))
        # the run's rule: at least half of the neurons are above the level
        return float(np.partition(norm2, len(norm2) // 2)[len(norm2) // 2]) - float(level or 0)

    reaches.terminal, reaches.direction = True, 1  # type: ignore[attr-defined]
    flat = np.append(state[:, :-1], np.square(state[:, -1:]), axis=1).ravel()
    size = float(np.sqrt(np.mean(np.square(state[:, :-1]))))
    accuracy = {"rtol": SOLVER_ERROR, "atol": SOLVER_ERROR * size}
    times, events = np.union1d(wanted, span[1]), None if level is None else reaches
    found = solve_ivp(change, span, flat, method="RK23", t_eval=times, events=events, **accuracy)
    stopped = found.status == 1
    end = float(found.t_events[0][0]) if stopped else span[1]
    states = np.reshape(found.y, (flat.size, -1)).T  # solve_ivp gives an empty list where no wanted step was reached
    states = np.append(states, found.y_events[0], axis=0) if stopped else states
    states = states.reshape(-1, *shape)
    states[..., -1] = np.sqrt(np.maximum(states[..., -1], 0.0))
    n_wanted = int(np.sum(wanted <= end))
    return states[:n_wanted], states[-1], end


def _squared_norm(state: Array) -> Neurons:
    """Return ||w_i||^2 of a state whose last column is rho_i^2."""
    return np.asarray(np.sum(np.square(state[:, :-1]), axis=1) + state[:, -1])
