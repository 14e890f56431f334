"""Turns one seed into named random keys, so that paired runs see the same data and start from the same weights.

Every use of randomness has a key of its own, its stream, and the key of a step is made from the stream and the step
number. So a change in one part of a run (its weights, its masks) leaves all other draws as they were, and a run can be
resumed at any step without the keys of earlier ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, Key


class RunKeys(NamedTuple):
    """The named streams of one run; each field is one typed key."""

    dictionary: Key[Array, ""]
    weights: Key[Array, ""]
    codes: Key[Array, ""]
    noise: Key[Array, ""]
    probe: Key[Array, ""]
    pruning: Key[Array, ""]


def run_keys(seed: Integer[Array, ""]) -> RunKeys:
    """Return the streams of the run with this seed.

    Args:
        seed: a uint32 scalar; it may be traced, so that `vmap` runs many seeds.
    """
    positions = jnp.arange(len(RunKeys._fields), dtype=jnp.uint32)
    # hashed side by side: one by one, the hash would be compiled once per stream
    return RunKeys(*jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), positions))


def step_key(stream: Key[Array, ""], step: Integer[Array, ""]) -> Key[Array, ""]:
    """Return the key of one stream at one step."""
    return jax.random.fold_in(stream, step)


def step_keys(streams: Sequence[Key[Array, ""]], step: Integer[Array, ""]) -> list[Key[Array, ""]]:
    """Return the keys of several streams at one step, in one operation: those of `step_key`."""
    return list(jax.vmap(step_key, (0, None))(jnp.stack(streams), step))
