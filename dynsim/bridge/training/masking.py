"""The mask of an epoch, over the convolution weights of the encoder."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from dynsim.bridge.options.pretraining import Masking
from dynsim.prune import masks

KIND_IS_REDRAWN = {"random": True, "dropout": True, "random_fixed": False}


def refresh_of_epoch(masking: Masking, epoch: int) -> int | None:
    """Return the number of the refresh with which an epoch begins, None for an epoch that keeps the mask of before."""
    if masking.refresh is None:
        return 0 if epoch == 0 else None
    return epoch // masking.refresh if epoch % masking.refresh == 0 else None


def next_mask(masking: Masking, weights: Any, mask: Any, key: Key[Array, ""], epoch: int) -> tuple[Any, float]:
    """Return the mask of an epoch, and the share of entries in which it differs from the present one.

    Args:
        weights: the prunable weights at the beginning of the epoch.
        mask: the present mask.
        key: key of the run's pruning stream.
        epoch: counted from 0.
    """
    number = refresh_of_epoch(masking, epoch)
    if number is None or masking.kind == "none":  # a run starts with a mask that keeps all
        return mask, 0.0
    rate, count = jnp.float32(masking.rate), jnp.uint32(number)
    found = make_mask(weights, key, count, rate, kind=masking.kind, scope=masking.scope)
    return found, float(changed_share(found, mask))


@partial(jax.jit, static_argnames=("kind", "scope"))
def make_mask(weights: Any, key: Key[Array, ""], refresh: Array, rate: Array, *, kind: str, scope: str) -> Any:
    """Return the mask over `weights`: Booleans of the same structure, True = kept, None where weights has None.

    Args:
        weights: the prunable weights, None in place of all other parameters (`Network.prunable`).
        key: key of the run's pruning stream.
        refresh: number of the refresh; kinds that are redrawn depend on it.
        rate: masked share.
        kind, scope: as in `options.pretraining.Masking`, without none.
    """
    if kind in ("lowest", "highest"):
        choose = masks.lowest_mask if kind == "lowest" else masks.highest_mask
        return choose(weights, rate, scope)
    if kind == "dropout":
        return masks.dropout_mask(key, weights, rate, refresh)
    return masks.random_mask(key, weights, rate, scope, refresh if KIND_IS_REDRAWN[kind] else None)


def changed_share(mask: Any, before: Any) -> Array:
    """Return the share of entries that one of two masks hides and the other does not, float32."""
    pairs = list(zip(jax.tree.leaves(mask), jax.tree.leaves(before), strict=True))
    n = sum(kept.size for kept, _ in pairs)
    return sum((jnp.sum(kept != was, dtype=jnp.float32) for kept, was in pairs), jnp.float32(0)) / n
