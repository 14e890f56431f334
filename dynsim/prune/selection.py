"""Exactly so many of the lowest entries of an array, found without sorting it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Integer, UInt


class _Search(NamedTuple):
    """Where the search for the cut stands: the value of rank `count` lies in [low, high]."""

    low: Array
    high: Array
    below: Array
    """Number of entries below `low`."""
    up_to: Array
    """Number of entries up to `high`."""
    exact: Array
    """Whether `cut` has been found: exactly `count` entries are at most as large."""
    cut: Array
    turn: Array


def _first_bracket(bits: Array, count: Array, before: Array | None) -> tuple[Array, Array]:
    """Return a range that holds the value of rank `count`: all values, or a narrow one from the mask before.

    If as many entries were masked before, that value is at least the smallest of those kept, since at most `count`
    entries lie below it, and at most the larger of that and the largest of those masked.
    """
    low, high = jnp.min(bits), jnp.max(bits)
    if before is None:
        return low, high
    is_same = jnp.sum(before, dtype=jnp.int32) == count
    kept = jnp.min(jnp.where(before, high, bits))
    masked = jnp.max(jnp.where(before, bits, low))
    return jnp.where(is_same, kept, low), jnp.where(is_same, jnp.maximum(kept, masked), high)


@jax.jit
def lowest(
    bits: UInt[Array, " entry"], count: Integer[Array, ""], before: Bool[Array, " entry"] | None = None
) -> Bool[Array, " entry"]:
    """Return True for exactly `count` entries (fewer than all): the lowest ones, and among equal ones the first.

    The cut is sought between a lower and an upper end: where it would be if the entries between them were spread
    evenly, and at every fourth try half-way, so that it cannot get stuck. Weights move little from step to step, so
    that with the mask `before` a handful of passes over the entries is enough; the result is the same without it.
    """

    def number_up_to(cut: Array) -> Array:
        return jnp.sum(bits <= cut, dtype=jnp.int32)

    def go_on(at: _Search) -> Array:
        return ~at.exact & (at.low < at.high)

    def narrow(at: _Search) -> _Search:
        width = at.high - at.low
        share = ((count - at.below).astype(jnp.float32) + 0.5) / (at.up_to - at.below).astype(jnp.float32)
        even = (lax.clamp(np.float32(0), share, np.float32(1)) * width.astype(jnp.float32)).astype(bits.dtype)
        step = jnp.minimum(jnp.where((at.turn & 3) < 3, even, width >> 1), width - 1)
        cut = at.low + step
        n = number_up_to(cut)
        is_high = n > count
        return _Search(
            low=jnp.where(is_high, at.low, cut + 1),
            high=jnp.where(is_high, cut, at.high),
            below=jnp.where(is_high, at.below, n),
            up_to=jnp.where(is_high, n, at.up_to),
            exact=n == count,
            cut=cut,
            turn=at.turn + 1,
        )

    low, high = _first_bracket(bits, count, before)
    below, up_to = jnp.sum(bits < low, dtype=jnp.int32), number_up_to(high)
    start = _Search(low, high, below, up_to, jnp.asarray(False), low, jnp.asarray(0, jnp.int32))
    end = lax.while_loop(go_on, narrow, start)

    def with_ties() -> Array:
        is_tie = bits == end.low
        is_early = lax.cumsum(is_tie.astype(jnp.int32)) <= count - jnp.sum(bits < end.low, dtype=jnp.int32)
        return (bits < end.low) | (is_tie & is_early)

    return lax.cond(end.exact, lambda: bits <= end.cut, with_ties)
