"""Recorded weights back in the engine: a run as it stood at a record, and batches that it has not been trained on.

Every measurement that is made after a run, at weights that the run has left, goes through this module.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Integer

from dynsim.config.checks import require
from dynsim.engine import train
from dynsim.engine.data import Batch, batch_at
from dynsim.engine.numbers import Numbers
from dynsim.engine.train import Parts, TrainState, World
from dynsim.results.dataset import config_of, provenance_of

FIRST_HELD_OUT = 2**30
"""Step of the run's own streams that the first held-out batch belongs to; runs have fewer steps than 2^24."""


class Recorded(NamedTuple):
    """What a result holds of one run at one record."""

    weight: Float[np.ndarray, "neuron token_dim"]
    thresholds: Float[np.ndarray, " neuron"]


def recorded(result: xr.Dataset, seed: int, record: int = -1) -> Recorded:
    """Return weights and thresholds of one run at one record.

    Args:
        result: of `simulate`. Weights before the end must have been recorded as `neuron_weight`, by
            `mask_effect.recorder_with_loss` with keep_weights.
        seed, record: positions along these axes; the last record by default.

    Errors:
        `ConfigError` in one line where the result does not hold all that the run has trained or was made of:
        data, encoder or loss of the user's own, trained attention or bias, weights or thresholds not recorded.
    """
    config = config_of(result)
    require(not config.encoder.train_attention, "train_attention", "false", True, "no result can replay it")
    require(not config.encoder.train_bias, "train_bias", "false", True, "no result can replay it")
    # a record function of the user's own changes nothing of the run
    own = [name for name in provenance_of(result).get("own", []) if name.partition("=")[0] != "record_fn"]
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
    """Return a state with other weights and thresholds; the rest of it stays, as that of its optimiser and its mask."""
    params = state.params._replace(weight=weight)
    return state._replace(params=params, thresholds=state.thresholds._replace(value=thresholds))


def restored(
    seed: Integer[Array, ""],
    numbers: Numbers,
    parts: Parts,
    weight: Float[Array, "neuron token_dim"],
    thresholds: Float[Array, " neuron"],
) -> tuple[TrainState, World]:
    """Return state and surroundings of a run with its weights and thresholds of some moment, as in `recorded`.

    For measuring, not for training on: optimiser, masks and the thresholds' own memory are those of the start.

    Args:
        seed, numbers, parts: of the run.
        weight, thresholds: w and b.
    """
    state, world = train.init(seed, numbers, parts)
    return with_weights(state, weight, thresholds), world


def held_out_batch(world: World, parts: Parts, position: Integer[Array, ""]) -> Batch:
    """Return one of the batches of the run's streams that training never sees; positions count from 0."""
    return batch_at(parts.data, world.keys, FIRST_HELD_OUT + position, world.dictionary, world.numbers)


def held_out_batches(world: World, parts: Parts, n_batches: int) -> Batch:
    """Return the first `n_batches` held-out batches, stacked on a leading axis."""
    return jax.vmap(lambda position: held_out_batch(world, parts, position))(jnp.arange(n_batches, dtype=jnp.int32))
