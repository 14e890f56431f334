"""Measuring after a run: putting recorded weights back into the engine, and batches that training never used.

Every measurement made after a run, at weights that its result has kept, goes through this module.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Integer

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.engine import initial, train
from dynsim.engine.data import Batch, batch_at
from dynsim.engine.numbers import Numbers
from dynsim.engine.train import Parts, TrainState, World
from dynsim.results.dataset import config_of, provenance_of

FIRST_HELD_OUT = 2**30
"""Step number of the first held-out batch. Batches are drawn by step number, and no run has that many steps."""


class Recorded(NamedTuple):
    """The weights and thresholds of one run at one record."""

    weight: Float[np.ndarray, "neuron token_dim"]
    thresholds: Float[np.ndarray, " neuron"]


def recorded(result: xr.Dataset, seed: int, record: int = -1) -> Recorded:
    """Return the weights and thresholds of one run at one record.

    Args:
        result: the result of `simulate`. It has the weights at the end of each run. Earlier ones must have been
            recorded as `neuron_weight`, which `mask_effect.recorder_with_loss` does with keep_weights = True.
        seed, record: positions along these dimensions; by default the last record.

    Errors:
        `ConfigError` in one line if the result does not determine the network: if data, encoder or loss were the
        user's own, attention or bias was trained, or weights or thresholds were not recorded.
    """
    config = config_of(result)
    require(not config.encoder.train_attention, "train_attention", "false", True, "such runs cannot be replayed")
    require(not config.encoder.train_bias, "train_bias", "false", True, "such runs cannot be replayed")
    # a record function of the user's own does not change the run
    own = sorted(set(provenance_of(result).get("own", {})) - {"record_fn"})
    require(not own, "own functions", "the built-in data, encoder and loss", own)
    name = "neuron_weight" if "neuron_weight" in result else "weight"
    is_last = record in (-1, result.sizes["record"] - 1)
    advice = "record them by mask_effect.recorder_with_loss with keep_weights"
    there = name in result and (is_last or name == "neuron_weight")
    require(there, "record", "one with its weights", record, advice)
    require("threshold" in result, "record", "one with its thresholds", "a record function without `threshold`", advice)
    weight = result[name].isel(record=record) if name == "neuron_weight" else result[name]
    thresholds = result["threshold"].isel(record=record)
    return Recorded(weight.isel(seed=seed).values, thresholds.isel(seed=seed).values)


def with_weights(
    state: TrainState, weight: Float[Array, "neuron token_dim"], thresholds: Float[Array, " neuron"]
) -> TrainState:
    """Return the state with other weights and thresholds; the rest, such as optimiser and mask, stays as it is."""
    params = state.params._replace(weight=weight)
    return state._replace(params=params, thresholds=state.thresholds._replace(value=thresholds))


def restored(
    seed: Integer[Array, ""],
    numbers: Numbers,
    parts: Parts,
    weight: Float[Array | np.ndarray, "neuron token_dim"],
    thresholds: Float[Array | np.ndarray, " neuron"],
) -> tuple[TrainState, World]:
    """Return the state of a run with the given weights and thresholds, and its `World`.

    This is for measuring, not for further training: the optimiser, the masks and the memory of the threshold rule are
    those of the start of the run.

    Args:
        seed, numbers, parts: what the run was started with.
        weight, thresholds: from `recorded`.
    """
    state, world = initial.init(seed, numbers, parts)
    return with_weights(state, jnp.asarray(weight), jnp.asarray(thresholds)), world


def held_out_batch(world: World, parts: Parts, position: Integer[Array, ""]) -> Batch:
    """Return a batch that is drawn like those of the run but never used in training; `position` counts from 0."""
    return batch_at(parts.data, world.keys, FIRST_HELD_OUT + position, world.dictionary, world.numbers)


def held_out_batches(world: World, parts: Parts, n_batches: int) -> Batch:
    """Return the first `n_batches` held-out batches, stacked on a leading axis."""
    return jax.vmap(lambda position: held_out_batch(world, parts, position))(jnp.arange(n_batches, dtype=jnp.int32))


@functools.lru_cache(maxsize=32)
def mean_pull(structure: Config, n_batches: int) -> Callable[..., Array]:
    """Return the function (seed, weight, thresholds, numbers) -> pull, compiled once for a structure.

    The pull, (neuron, feature), is <-grad_i, M_j>: the mean over held-out batches of the gradient of the loss with its
    penalty in w_i, along each feature.
    """
    parts = train.built_in_parts(structure)

    @jax.jit
    def at_state(state: TrainState, world: World) -> Array:
        def of_batch(position: Array) -> Array:
            batch = held_out_batch(world, parts, position)
            gradient = jax.grad(train.objective, has_aux=True)
            grads, _ = gradient(state.params, state.thresholds.value, batch, world.numbers, parts)
            return -grads.weight @ world.dictionary

        return jnp.mean(jax.lax.map(of_batch, jnp.arange(n_batches, dtype=jnp.int32)), axis=0)

    def of_run(seed: Array, weight: Array | np.ndarray, thresholds: Array | np.ndarray, numbers: Numbers) -> Array:
        return at_state(*restored(seed, numbers, parts, weight, thresholds))

    return of_run
