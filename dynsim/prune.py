"""Magnitude masks and their placebos: what is scored, over which arrays, ties, when, and how a mask is applied.

Algorithm 1 (theory 8.1): rank by magnitude, mask the lowest share `rate` (the paper's alpha), work with theta * mask,
update all of theta. A mask is a pytree of Booleans, True = kept. Every function is pure and works on any pytree of
arrays; a None stands for an array that takes no part. Rate, key and step may be traced, and `vmap` is exact.

Decided in words:
- How many: of n entries, floor(n * rate) are masked, where a rate means the decimal that it was written as: what
  rounding to float32 may have taken from it is given back first (at most 2^-25), so that 0.3 of 10 are 3 in float32
  and in float64. Rate 0 masks nothing, and no rate below 1 masks everything.
- Which: the entries of smallest |score|. Among equal scores the one with the lower position goes first; positions run
  along an array in C order, and from array to array in the order of the tree. So masks nest as the rate grows.
- Sizes are compared by their bits: 0 and -0 are equal, denormals are told apart, nothing overflows. All NaNs are equal
  and larger than infinity: a broken weight is kept by `lowest_mask`, where it shows, and goes first in `highest_mask`.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Integer, Key, PyTree, UInt

Scope = Literal["global", "per_array"]
"""global: one threshold and one count over all arrays; per_array: a quota and a threshold for each array."""

LARGEST_RATE = 1 - 2.0**-24  # the largest float32 below one


# Scores


def neuron_norm(weight: Float[Array, "neuron *fan_in"]) -> Float[Array, " neuron"]:
    """Return ||w_i||, the score of a neuron (theory 8.1), in the unit of the weights.

    The score of a single weight is the weight itself, since masks go by |score|. Each row is divided by its largest
    entry before it is squared: norms neither overflow nor vanish. A row with a NaN or an infinity gets NaN.
    """
    rows = weight.reshape(weight.shape[0], -1)
    largest = jnp.max(jnp.abs(rows), axis=1)
    unit = rows / jnp.where(largest > 0, largest, 1)[:, None]
    return largest * jnp.sqrt(jnp.sum(unit * unit, axis=1))


# How many


def _fixed_point(rate: ArrayLike) -> UInt[Array, ""]:
    """Return floor(rate * 2^32); refuse a concrete rate outside [0, 1), cut a traced one to it."""
    if not isinstance(rate, jax.core.Tracer) and not (np.ndim(rate) == 0 and 0 <= float(np.asarray(rate)) < 1):
        raise ValueError(f"rate: wanted one number in [0, 1), got {' '.join(str(rate).split())[:60]}")
    return (jnp.clip(jnp.asarray(rate, float), 0.0, LARGEST_RATE) * 2.0**32).astype(jnp.uint32)


def masked_number(n: int, rate: ArrayLike) -> Integer[Array, ""]:
    """Return how many of `n` entries a mask of this rate takes: floor(n * rate), see the top of the module.

    Integers throughout, since a float32 product is off by one for some n in the millions. Exact for n below 2^24; for
    more entries, 2^-25 of them may be masked beyond the floor.

    Args:
        n: number of entries, below 2^31.
        rate: masked share in [0, 1), of any float dtype.

    Errors: `ValueError` for a concrete rate outside [0, 1), or n too large.
    """
    if not 0 <= n < 2**31:
        raise ValueError(f"n: wanted a number of entries in [0, 2^31), got {n}")
    fixed = _fixed_point(rate)
    # rate in [2^-j-1, 2^-j) lost at most 2^(7-j) of these units to float32, and one to the floor
    fixed = jnp.where(fixed > 0, fixed + jnp.minimum(fixed >> 24, 126) + 2, 0)
    # n * fixed / 2^32 in halves of 16 bits, so that no product leaves uint32
    (n_high, n_low), (high, low) = divmod(n, 2**16), (fixed >> 16, fixed & 0xFFFF)
    crossed = n_low * high + (n_low * low >> 16)
    middle = n_high * low + (crossed & 0xFFFF)
    return (n_high * high + (crossed >> 16) + (middle >> 16)).astype(jnp.int32)


# Which


def _size_bits(scores: Array) -> UInt[Array, " entry"]:
    """Return unsigned integers in the order of |scores|, flattened: the bits of the float without its sign."""
    if not jnp.issubdtype(scores.dtype, jnp.floating) or scores.dtype.itemsize not in (2, 4, 8):
        raise ValueError(f"scores: wanted floating-point arrays of 16, 32 or 64 bits, got {scores.dtype}")
    unsigned = np.dtype(f"uint{8 * scores.dtype.itemsize}")
    infinity = np.array(np.inf, scores.dtype).view(unsigned)
    bits = lax.bitcast_convert_type(scores.reshape(-1), unsigned)
    return jnp.minimum(bits & np.array(np.iinfo(unsigned).max // 2, unsigned), infinity + np.array(1, unsigned))


@jax.jit
def _lowest(bits: UInt[Array, " entry"], count: Integer[Array, ""]) -> Bool[Array, " entry"]:
    """Return True for exactly `count` entries (fewer than all): the lowest, and of equal ones the first.

    Bit by bit from the top we build the largest threshold with at most `count` entries below it. What is then missing
    to `count` are entries equal to the threshold. One pass per bit: about 20 times faster than sorting.
    """
    n_bits = 8 * bits.dtype.itemsize

    def number_below(threshold: Array) -> Array:
        return jnp.sum(bits < threshold, dtype=jnp.int32)

    def try_bit(position: Array, threshold: Array) -> Array:
        higher = threshold | (jnp.ones((), bits.dtype) << (n_bits - 1 - position).astype(bits.dtype))
        return jnp.where(number_below(higher) <= count, higher, threshold)

    threshold = lax.fori_loop(0, n_bits, try_bit, jnp.zeros((), bits.dtype))
    is_tie = bits == threshold
    is_early = jnp.cumsum(is_tie, dtype=jnp.int32) <= count - number_below(threshold)
    return (bits < threshold) | (is_tie & is_early)


def _leaves(tree: PyTree) -> tuple[list[Array], jax.tree_util.PyTreeDef]:
    leaves, structure = jax.tree.flatten(tree)
    if not leaves:
        raise ValueError("wanted a tree with at least one array to mask, got none")
    return [jnp.asarray(leaf) for leaf in leaves], structure


def _mask_lowest(like: PyTree, flat_bits: list[Array], rate: ArrayLike, scope: str) -> PyTree:
    """Return the mask of the lowest bits; `flat_bits` has one flat array for each array of `like`."""
    if scope not in get_args(Scope):
        raise ValueError(f"scope: wanted one of {', '.join(get_args(Scope))}, got {scope!r}")
    leaves, structure = _leaves(like)
    if scope == "per_array":
        masked = [_lowest(bits, masked_number(bits.size, rate)) for bits in flat_bits]
    else:
        dtypes = {str(bits.dtype): leaf.dtype for bits, leaf in zip(flat_bits, leaves, strict=True)}
        if len(dtypes) > 1 or len({str(leaf.dtype) for leaf in leaves}) > 1 and _is_float(flat_bits, leaves):
            raise ValueError("scores: one threshold wants arrays of one dtype")
        joined = jnp.concatenate(flat_bits)
        masked = _split(_lowest(joined, masked_number(joined.size, rate)), leaves)
    kept = [~flat.reshape(leaf.shape) for flat, leaf in zip(masked, leaves, strict=True)]
    return jax.tree.unflatten(structure, kept)
