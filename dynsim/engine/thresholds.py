"""The rules that set the thresholds b_i from the weights, step by step (theory 4.3).

A neuron is silent where its input lies in its dead zone [-b_i, b_i]. All thresholds are zero at first and come on
together at one step, the switch; `config.ThresholdConfig` says when, and which rule sets them from then on.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from dynsim.config import ThresholdConfig

NOT_YET = -1


class ThresholdState(NamedTuple):
    """What the threshold rules hand from one step to the next."""

    value: Float[Array, " neuron"]
    """b_i."""
    switch_step: Integer[Array, ""]
    """Number of updates after which the thresholds came on; -1 while they are off."""
    online_level: Float[Array, ""]
    """Twice the median of ||w_i||^2 at initialisation; with start "online" the switch is when the median reaches it."""
    switch_norm: Float[Array, " neuron"]
    """||w_i|| at the switch; before it, at initialisation."""
    previous_norm: Float[Array, " neuron"]
    """||w_i|| after the previous update."""
    frozen: Bool[Array, ""]
    """True once schedule_b or schedule_c no longer grows."""


def init_thresholds(
    weight: Float[Array, "neuron token_dim"],
    config: ThresholdConfig,
    scale: Float[Array, ""],
    learning_rate: Float[Array, ""],
    n_features: int,
) -> ThresholdState:
    """Return the state before the first step: thresholds are zero unless they come on at step 0.

    Arguments: as for `update_thresholds`, with weights in place of squared norms.
    """
    square = jnp.sum(weight * weight, axis=1)
    zero = jnp.zeros_like(square)
    norm = jnp.sqrt(square)
    not_yet = jnp.asarray(NOT_YET, jnp.int32)
    state = ThresholdState(zero, not_yet, 2 * jnp.median(square), norm, norm, jnp.asarray(False))
    at_once = config.start == "at_step" and config.start_step == 0
    if not at_once:
        return state
    return update_thresholds(state, square, jnp.asarray(0, jnp.int32), config, scale, learning_rate, n_features)


def update_thresholds(
    state: ThresholdState,
    square: Float[Array, " neuron"],
    n_updates: Integer[Array, ""],
    config: ThresholdConfig,
    scale: Float[Array, ""],
    learning_rate: Float[Array, ""],
    n_features: int,
) -> ThresholdState:
    """Return the thresholds after an update of the weights.

    Args:
        state: the state before.
        square: ||w_i||^2 after the update, shape (neuron,).
        n_updates: number of updates made so far.
        config: rule and start.
        scale: kappa, which multiplies the value that each rule sets at the switch.
        learning_rate: eta, for the growth of schedule_b and schedule_c.
        n_features: d.

    From the switch on, norm_tracking sets b = kappa sqrt(2 log d / d) ||w|| at every step. schedule_b starts with that
    value and multiplies it by max(1 + eta/d, ||w'|| / ||w||) at each step, w' being the updated weights. schedule_c
    starts with kappa sqrt(log d / d) ||w|| and multiplies by 1 + eta/d. Both freeze once every ||w|| is at least
    stop_growth * d times what it was at the switch (theory 4.3).
    """
    norm = jnp.sqrt(square)
    if config.rule == "zero" or config.start == "never":
        return state._replace(previous_norm=norm)
    was_on = state.switch_step != NOT_YET
    turns_on = ~was_on & _switches(state, square, n_updates, config)
    is_on = was_on | turns_on
    unit = jnp.sqrt(2 * jnp.log(jnp.asarray(n_features, norm.dtype)) / n_features)
    frozen = state.frozen
    if config.rule == "norm_tracking":
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
    """Return by what schedule_b or schedule_c multiplies b in this step; `rate` is eta / d."""
    growth = jnp.full_like(norm, 1) * (1 + rate)
    if config.rule == "schedule_c":
        return growth
    return jnp.maximum(growth, norm / jnp.where(state.previous_norm > 0, state.previous_norm, 1))


def _switches(state: ThresholdState, square: Array, n_updates: Array, config: ThresholdConfig) -> Bool[Array, ""]:
    if config.start == "at_step":
        return n_updates >= config.start_step
    # the median of ||w||^2 has doubled once at least half of the neurons reach the level: no sorting at every step
    above = square >= state.online_level
    return 2 * jnp.sum(above.astype(jnp.int32)) >= above.shape[0]
