"""When a mask applies, and when it is computed anew.

Conventions of all functions:

- Step n is the update made after n earlier ones; its mask is computed from the weights after those n updates.
- start is the first step with a mask, and stop the first step without it again: the mask applies at the steps in
  [start, stop). A negative number means "not yet", as for a stage that has not been detected: with start = -1 there is
  no mask, with stop = -1 the mask does not end.
- A refresh is a step at which the mask is computed anew. Refreshes are at start and then every `every` steps; with
  every = None there is only the one at start. They are numbered 0, 1, ....
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Integer, PyTree


def is_active(step: ArrayLike, start: ArrayLike, stop: ArrayLike) -> Bool[Array, ""]:
    """Return whether a mask applies at `step`: whether step lies in [start, stop), see the top of the module."""
    step, start, stop = (jnp.asarray(number, jnp.int32) for number in (step, start, stop))
    return (start >= 0) & (step >= start) & ((stop < 0) | (step < stop))


def _since(step: ArrayLike, every: ArrayLike | None, start: ArrayLike) -> tuple[Array, Array | None]:
    """Return (steps since start, steps of a period); the latter is None for every = None."""
    since = jnp.asarray(step, jnp.int32) - jnp.asarray(start, jnp.int32)
    if every is None:
        return since, None
    if not isinstance(every, jax.core.Tracer) and np.min(np.asarray(every)) < 1:
        raise ValueError(f"every: wanted at least 1 step between refreshes, or None for only one, got {every}")
    since, period = jnp.broadcast_arrays(since, jnp.asarray(every, jnp.int32))
    return since, period


def refresh_number(step: ArrayLike, every: ArrayLike | None, start: ArrayLike) -> Integer[Array, ""]:
    """Return the number, 0, 1, ..., of the refresh at which the mask of `step` >= start was computed.

    Before start the number means nothing.

    Args:
        step, start: step numbers.
        every: steps between refreshes, for instance the steps of an epoch; None for one refresh only.

    Errors: `ValueError` for a concrete `every` below 1.
    """
    since, period = _since(step, every, start)
    return jnp.zeros_like(since) if period is None else lax.div(since, period)


def is_refresh(step: ArrayLike, every: ArrayLike | None, start: ArrayLike, stop: ArrayLike) -> Bool[Array, ""]:
    """Return whether the mask is computed anew at `step`: at start, and then every `every` steps until stop.

    A start that is detected must be set to the step at which that happens: an earlier one would miss its first refresh.
    """
    since, period = _since(step, every, start)
    # before start the remainder is not used, so lax.rem will do: % would add a correction of signs
    return is_active(step, start, stop) & ((since if period is None else lax.rem(since, period)) == 0)


def update_mask(
    mask: PyTree,
    compute: Callable[[], PyTree],
    step: ArrayLike,
    every: ArrayLike | None,
    start: ArrayLike,
    stop: ArrayLike,
) -> PyTree:
    """Return the mask of `step`: `compute()` at a refresh, `mask` between them, and all True outside [start, stop)."""
    mask = lax.cond(is_refresh(step, every, start, stop), compute, lambda: mask)
    is_released = ~is_active(step, start, stop)
    return jax.tree.map(lambda kept: kept | is_released, mask)
