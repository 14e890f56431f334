"""When a mask holds and when it is drawn anew."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Integer, PyTree


def is_active(step: ArrayLike, start: ArrayLike, stop: ArrayLike) -> Bool[Array, ""]:
    """Return whether `step` lies in [start, stop).

    A negative number means "not yet", as for a stage not yet detected: start = -1 has not begun, stop = -1 goes on.
    """
    step, start, stop = (jnp.asarray(number, jnp.int32) for number in (step, start, stop))
    return (start >= 0) & (step >= start) & ((stop < 0) | (step < stop))


def _since(step: ArrayLike, every: ArrayLike | None, start: ArrayLike) -> tuple[Array, Array]:
    """Return (whole periods, steps left over) since start; the period of every = None never ends."""
    since = jnp.asarray(step, jnp.int32) - jnp.asarray(start, jnp.int32)
    if every is None:
        return jnp.zeros_like(since), since
    if not isinstance(every, jax.core.Tracer) and np.min(np.asarray(every)) < 1:
        raise ValueError(f"every: wanted at least 1 step between refreshes, or None for once, got {every}")
    period = jnp.asarray(every, jnp.int32)
    return since // period, since % period


def refresh_number(step: ArrayLike, every: ArrayLike | None, start: ArrayLike) -> Integer[Array, ""]:
    """Return the number, 0, 1, ..., of the refresh whose mask is in force at `step` >= start.

    Args:
        step, start: step numbers.
        every: steps between refreshes: 1 for each step, the steps of an epoch for each epoch, None for once.

    Errors: `ValueError` for a concrete `every` below 1.
    """
    return _since(step, every, start)[0]


def is_refresh(step: ArrayLike, every: ArrayLike | None, start: ArrayLike, stop: ArrayLike) -> Bool[Array, ""]:
    """Return whether the mask is computed anew at `step`: at start, and every `every` steps until stop.

    A detected start must be set to the step at which it is found, not to one before: the first refresh is at start.
    """
    return is_active(step, start, stop) & (_since(step, every, start)[1] == 0)


def update_mask(
    mask: PyTree,
    compute: Callable[[], PyTree],
    step: ArrayLike,
    every: ArrayLike | None,
    start: ArrayLike,
    stop: ArrayLike,
) -> PyTree:
    """Return the mask in force at `step`: `compute()` at a refresh, else `mask`; all True outside [start, stop)."""
    mask = lax.cond(is_refresh(step, every, start, stop), compute, lambda: mask)
    is_released = ~is_active(step, start, stop)
    return jax.tree.map(lambda kept: kept | is_released, mask)
