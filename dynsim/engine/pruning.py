"""Pruning inside a run: when its mask holds, what is scored, and which gradient the masked network gives (theory 8).

The mask in force at step n is computed from the weights after n updates, and is undone exactly at its stop. Thresholds
b_i, penalty and decay always act on the dense weights. The four gradients (theory 8.4) at dense theta and mask M:

- literal (L): that of the loss at theta * M, in all entries: masked ones move too, and may come back.
- straight_through (S): sum over pairs of dl/dS at the masked similarities times the gradient of the dense ones: a mask
  changes the softmax weights, each neuron's own h_i and its Jacobian are dense.
- one_branch (Q): the query is f(theta * M; X) by the chain rule, so that masked entries get nothing from it, the key
  f(theta; Y); without the loss's stop-gradient this is SDCLR's "each branch in turn" (theory 8.6).
- masked_query: the query as in L, the key f(theta; Y) dense, with the gradient that the loss gives it: none with the
  loss's stop-gradient.

A mask that hides nothing leaves the gradient of the loss, whatever the semantics.

For masks of neurons and the inner product one_branch is literal, with and without the loss's stop-gradient: a masked
neuron adds nothing to a similarity, whichever branch it is masked on.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer, Key, PyTree

from dynsim import prune
from dynsim.config import PruneConfig
from dynsim.engine.encoder import Params
from dynsim.engine.numbers import Numbers
from dynsim.engine.thresholds import NOT_YET
from dynsim.theory.specialists import COVERED, NORM_FLOOR, PURITY


class PruneState(NamedTuple):
    """What pruning carries between steps."""

    mask: PyTree
    """Booleans in the structure of the parameters, True = kept, in force at the next step; None for arrays that take no
    part. Of shape (neuron,) for masks of neurons."""
    start_step: Integer[Array, ""]
    """Number of updates done when the start was seen: the first masked step. -1 while it is not."""
    stop_step: Integer[Array, ""]
    """The same of the stop: the first step without the mask again."""


class Moment(NamedTuple):
    """What the decisions after an update rest on."""

    params: PyTree
    n_updates: Integer[Array, ""]
    switch_step: Integer[Array, ""]
    """Step of the thresholds' switch; -1 while they are off."""
    dictionary: Float[Array, "token_dim feature"]


def n_covered(
    weight: Float[Array, "neuron token_dim"], dictionary: Float[Array, "token_dim feature"]
) -> Integer[Array, ""]:
    """Return the number of features with a specialist as the weights alone show it.

    A neuron counts for its best feature j where |<w_i, M_j>| >= PURITY ||w_i|| and ||w_i|| is at least NORM_FLOOR of
    the largest (theory 5.5 without firing). Stage 2 has ended online where this is at least COVERED of all features.
    The T2 of `stages` is another moment: it knows firing, and which features are covered at the end.
    """
    size = jnp.abs(weight @ dictionary)
    norm = jnp.sqrt(jnp.sum(weight * weight, axis=1))
    best = jnp.max(size, axis=1)
    counts = (best >= PURITY * norm) & (norm >= NORM_FLOOR * jnp.max(norm)) & (norm > 0)
    # one feature per neuron, as the stage detector has it; argmax takes the first of equal ones
    is_best = jnp.arange(size.shape[1])[None, :] == jnp.argmax(size, axis=1)[:, None]
    return jnp.sum(jnp.any(is_best & counts[:, None], axis=0), dtype=jnp.int32)


def _is_covered(now: Moment) -> Bool[Array, ""]:
    least = math.ceil(COVERED * now.dictionary.shape[1] - 1e-9)  # a count, since a share would be rounded
    return n_covered(now.params.weight, now.dictionary) >= least


def _seen(seen: Array, when: str, at_step: Array, now: Moment) -> Integer[Array, ""]:
    """Return the step of a start or stop: `seen` where it has been seen before, else now where it has come."""
    if when == "never":
        return seen
    waits = seen < 0
    if when == "at_step":
        comes = now.n_updates >= at_step.astype(jnp.int32)
    elif when == "switch":
        comes = now.switch_step >= 0
    else:
        comes = lax.cond(waits, _is_covered, lambda _: jnp.asarray(False), now)
    return jnp.where(waits & comes, now.n_updates.astype(jnp.int32), seen)


def _parts(params: PyTree, config: PruneConfig) -> dict[str, PyTree]:
    """Return the scores of what a mask may hide; magnitudes decide (theory 8.1)."""
    if config.unit == "neuron":
        return {"weight": prune.neuron_norm(params.weight)}
    if config.scope == "weight":
        return {"weight": params.weight}
    # W_Q, W_K, W_V one by one; they start at the identity, so their zeros are the first that a global count masks
    return {"weight": params.weight, "attention": tuple(params.attention)}


def _tree(kept: dict[str, PyTree], params: PyTree, config: PruneConfig) -> PyTree:
    """Give masks of `_parts` the structure of the parameters."""
    nothing = type(params)(*(None for _ in params))
    if "attention" in kept:
        kept = kept | {"attention": jnp.stack(kept["attention"])}
    has_bias = isinstance(params, Params) and params.bias is not None
    if has_bias and config.unit == "neuron":
        kept = kept | {"bias": kept["weight"]}
    return nothing._replace(**kept)


def draw_mask(
    params: PyTree, config: PruneConfig, rate: Float[Array, ""], key: Key[Array, ""], refresh: Integer[Array, ""]
) -> PyTree:
    """Return the mask of one refresh, in the structure of the parameters (see `PruneState.mask`).

    Args:
        params: dense parameters, a NamedTuple with a field `weight` (neuron, token_dim).
        config: kind, unit and scope.
        rate: masked share in [0, 1).
        key: the run's pruning stream.
        refresh: number of the refresh, for the kinds that are drawn anew.
    """
    parts, scope = _parts(params, config), "per_array" if config.scope == "per_array" else "global"
    if config.kind == "lowest":
        kept = prune.lowest_mask(parts, rate, scope)
    elif config.kind == "highest":
        kept = prune.highest_mask(parts, rate, scope)
    elif config.kind == "dropout":
        kept = prune.dropout_mask(key, parts, rate, refresh)
    else:
        kept = prune.random_mask(key, parts, rate, scope, None if config.kind == "random_fixed" else refresh)
    return _tree(kept, params, config)


def init_pruning(now: Moment, config: PruneConfig, numbers: Numbers, key: Key[Array, ""]) -> PruneState | None:
    """Return the state before the first step; None for a run without masks, which then costs nothing.

    Arguments: as for `update_pruning`.
    """
    if config.kind == "none":
        return None
    shapes = jax.eval_shape(lambda: draw_mask(now.params, config, numbers.prune_rate, key, jnp.asarray(0)))
    not_yet = jnp.asarray(NOT_YET, jnp.int32)
    return update_pruning(PruneState(prune.all_kept(shapes), not_yet, not_yet), now, config, numbers, key)


def update_pruning(
    state: PruneState, now: Moment, config: PruneConfig, numbers: Numbers, key: Key[Array, ""]
) -> PruneState:
    """Return the state after an update: start and stop where they are seen now, and the mask of the next step.

    Args:
        state: the state before.
        now: parameters and what else is known after the update.
        config: structure of the masks.
        numbers: rate, steps between refreshes, and steps of start and stop.
        key: the run's pruning stream.
    """
    start = _seen(state.start_step, config.start, numbers.prune_start, now)
    stop = _seen(state.stop_step, config.stop, numbers.prune_stop, now)
    every = None if config.refresh is None else numbers.prune_refresh.astype(jnp.int32)
    n_done = now.n_updates.astype(jnp.int32)

    def compute() -> PyTree:
        refresh = prune.refresh_number(n_done, every, start)
        return draw_mask(now.params, config, numbers.prune_rate, key, refresh)

    return PruneState(prune.update_mask(state.mask, compute, n_done, every, start, stop), start, stop)


def kept_share(state: PruneState, dtype: DTypeLike) -> Float[Array, " neuron"]:
    """Return per neuron the share of its weights that the mask keeps at the next step: 0 or 1 for masks of neurons."""
    kept = state.mask.weight
    return jnp.mean(kept.reshape(kept.shape[0], -1).astype(dtype), axis=1)
