"""Pruning inside a run: when its mask starts and stops, and what the mask covers (theory 8).

The mask of step n is computed from the weights after n updates (conventions: `prune.schedule`). Masking changes no
weight: at its stop the whole network is back. Thresholds b_i, penalty and decay always use the dense weights, those
without the mask. Which gradient a masked network gives is explained in `prune.gradients`.
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
    """What pruning hands from one step to the next."""

    mask: PyTree
    """Booleans in the structure of the parameters, True = kept, in force at the next step; None for arrays that take no
    part. Of shape (neuron,) for masks of neurons."""
    start_step: Integer[Array, ""]
    """First masked step, which is the number of updates done when the start was noticed; -1 before that."""
    stop_step: Integer[Array, ""]
    """First step without the mask again; -1 until the stop has been noticed."""


class Moment(NamedTuple):
    """What is known after an update, from which start, stop and the next mask are decided."""

    params: PyTree
    n_updates: Integer[Array, ""]
    switch_step: Integer[Array, ""]
    """Step of the thresholds' switch; -1 while they are off."""
    dictionary: Float[Array, "token_dim feature"]


def n_covered(
    weight: Float[Array, "neuron token_dim"], dictionary: Float[Array, "token_dim feature"]
) -> Integer[Array, ""]:
    """Return how many features have a specialist, judged by the weights alone (theory 5.5 without firing).

    A neuron is a specialist for the feature j with which it is aligned most if |<w_i, M_j>| >= PURITY ||w_i|| and
    ||w_i|| is at least NORM_FLOOR of the largest norm (constants: `theory.specialists`). The moment called coverage has
    come when the share COVERED of all features has one. That is not the T2 which `analysis.stages` finds in the record
    of a whole run: T2 also uses firing, and only counts features that have a specialist in the end.
    """
    size = jnp.abs(weight @ dictionary)
    norm = jnp.sqrt(jnp.sum(weight * weight, axis=1))
    best = jnp.max(size, axis=1)
    counts = (best >= PURITY * norm) & (norm >= NORM_FLOOR * jnp.max(norm)) & (norm > 0)
    # one feature per neuron, as in `theory.specialists.is_specialist`; argmax takes the first of equal ones
    is_best = jnp.arange(size.shape[1])[None, :] == jnp.argmax(size, axis=1)[:, None]
    return jnp.sum(jnp.any(is_best & counts[:, None], axis=0), dtype=jnp.int32)


def _is_covered(now: Moment) -> Bool[Array, ""]:
    least = math.ceil(COVERED * now.dictionary.shape[1] - 1e-9)  # a count, since shares would be rounded
    return n_covered(now.params.weight, now.dictionary) >= least


def _seen(seen: Array, when: str, at_step: Array, now: Moment) -> Integer[Array, ""]:
    """Return the step of a start or stop: `seen` if it came before, the present step if it comes now, else -1."""
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
    # W_Q, W_K, W_V one by one; they start at the identity, so that a global count masks their zeros first
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
        refresh: number of the refresh, which gives random kinds a new draw each time.
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
    """Return the state after an update: start and stop if they have come, and the mask of the next step.

    Args:
        state: the state before.
        now: parameters and what else is known after the update.
        config: the mask options; their numbers are taken from `numbers`.
        numbers: rate, steps between refreshes, and the steps of start and stop if they are given.
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
