"""Turns one seed into named random keys, so that paired runs see the same data and start from the same weights.

Every use of randomness has a key of its own, its stream, and the key of a step is made from the stream and the step
number. So a change in one part of a run (its weights, its masks) leaves all other draws as they were, and a run can be
resumed at any step without the keys of earlier ones.
"""

from typing import NamedTuple

import jax
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
    base = jax.random.key(seed)
    return RunKeys(*(jax.random.fold_in(base, position) for position in range(len(RunKeys._fields))))


def step_key(stream: Key[Array, ""], step: Integer[Array, ""]) -> Key[Array, ""]:
    """Return the key of one stream at one step."""
    return jax.random.fold_in(stream, step)
