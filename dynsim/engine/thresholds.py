"""The rules that compute the threshold b_i of each neuron from its weights, after every update (theory 4.3).

A neuron is silent, that is, its activation is zero, where its input lies in its dead zone [-b_i, b_i]. All thresholds
are zero at first. They come on together at one step, called the switch. The options of `config.ThresholdConfig` say
when the switch is and which of these rules computes the thresholds from then on:

- norm_tracking: b = kappa sqrt(2 log d / d) ||w|| at every step, for d features and the scale kappa.
- schedule_b: starts with the value of norm_tracking at the switch. Each later step multiplies b by
  max(1 + eta/d, ||w'|| / ||w||), where eta is the learning rate, and w and w' are the weights before and after it.
- schedule_c: starts with kappa sqrt(log d / d) ||w|| at the switch. Each later step multiplies b by 1 + eta/d.
- zero: b = 0 throughout.

The two schedules stop growing once every ||w|| is at least stop_growth * d times its value at the switch.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from dynsim.config import ThresholdConfig

NOT_YET = -1


class ThresholdState(NamedTuple):
    """The threshold state that one step passes to the next."""

    value: Float[Array, " neuron"]
    """The thresholds b_i."""
    switch_step: Integer[Array, ""]
    """Number of updates after which the thresholds came on; -1 while they are off."""
    online_level: Float[Array, ""]
    """Twice the initial median of ||w_i||^2; with start = online, the switch comes when the median reaches it."""
    switch_norm: Float[Array, " neuron"]
    """||w_i|| at the switch; until then, ||w_i|| at initialisation."""
    previous_norm: Float[Array, " neuron"]
    """||w_i|| after the previous update."""
    frozen: Bool[Array, ""]
    """True once the thresholds of schedule_b or schedule_c have stopped growing."""


def init_thresholds(
    weight: Float[Array, "neuron token_dim"],
    config: ThresholdConfig,
    scale: Float[Array, ""],
    learning_rate: Float[Array, ""],
    n_features: int,
) -> ThresholdState:
    """Return the state before the first step. The thresholds are zero unless they come on at step 0.

    The arguments are those of `update_thresholds`, with the weights instead of the squared norms.
    """
    square = jnp.sum(weight * weight, axis=1)
    zero = jnp.zeros_like(square)
    norm = jnp.sqrt(square)
    not_yet = jnp.asarray(NOT_YET, jnp.int32)
    state = ThresholdState(zero, not_yet, 2 * _median(square), norm, norm, jnp.asarray(False))
    at_once = config.start == "at_step" and config.start_step == 0
    if not at_once:
        return state
    return update_thresholds(state, square, jnp.asarray(0, jnp.int32), config, scale, learning_rate, n_features)


def _median(values: Float[Array, " neuron"]) -> Float[Array, ""]:
    """Return the median of finite numbers. `jnp.median`, made for any quantile, takes longer to compile."""
    middle = jnp.sort(values)[(len(values) - 1) // 2 : len(values) // 2 + 1]
    return jnp.sum(middle) / len(middle)


def update_thresholds(
    state: ThresholdState,
    square: Float[Array, " neuron"],
    n_updates: Integer[Array, ""],
    config: ThresholdConfig,
    scale: Float[Array, ""],
    learning_rate: Float[Array, ""],
    n_features: int,
) -> ThresholdState:
    """Return the threshold state after an update of the weights; the rules are at the top of the module.

    Args:
        state: the state before the update.
        square: ||w_i||^2 after the update, shape (neuron,).
        n_updates: number of updates made so far.
        config: which rule, and when the thresholds come on.
        scale: kappa, a factor on b (for the schedules, on its value at the switch).
        learning_rate: eta, used by the growth of the two schedules.
        n_features: d, the number of features.
    """
    norm = jnp.sqrt(square)
    if config.rule == "zero" or config.start == "never":
        return state._replace(previous_norm=norm)
    was_on = state.switch_step != NOT_YET
    turns_on = ~was_on & _switches(state, square, n_updates, config)
    is_on = was_on | turns_on
    unit = jnp.sqrt(2 * jnp.log(jnp.asarray(n_features, norm.dtype)) / n_features)
    frozen = state.frozen
    if config.tracks_norm:
        value = scale * unit * norm
    else:
        first = scale * (unit if config.rule == "schedule_b" else unit / jnp.sqrt(jnp.asarray(2, norm.dtype))) * norm
        grown = jnp.where(frozen, state.value, state.value * _growth(state, norm, config, learning_rate / n_features))
        value = jnp.where(turns_on, first, grown)
        target = config.stop_growth * n_features * state.switch_norm
        frozen = frozen | (was_on & jnp.all(norm >= target))
    return ThresholdState(
        value=jnp.where(is_on, value, jnp.zeros_like(norm)),
        switch_step=jnp.where(turns_on, n_updates.astype(jnp.int32), state.switch_step),
        online_level=state.online_level,
        switch_norm=jnp.where(turns_on, norm, state.switch_norm),
        previous_norm=norm,
        frozen=frozen,
    )


def _growth(state: ThresholdState, norm: Array, config: ThresholdConfig, rate: Array) -> Array:
    """Return the factor by which schedule_b or schedule_c multiplies b in this step; `rate` is eta / d."""
    growth = jnp.full_like(norm, 1) * (1 + rate)
    if config.rule == "schedule_c":
        return growth
    return jnp.maximum(growth, norm / jnp.where(state.previous_norm > 0, state.previous_norm, 1))


def _switches(state: ThresholdState, square: Array, n_updates: Array, config: ThresholdConfig) -> Bool[Array, ""]:
    if config.start == "at_step":
        return n_updates >= config.start_step
    # the median of ||w||^2 has doubled once at least half of the neurons reach the level: counting them avoids a sort
    above = square >= state.online_level
    return 2 * jnp.sum(above.astype(jnp.int32)) >= above.shape[0]
