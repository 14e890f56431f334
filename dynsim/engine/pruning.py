"""Pruning during training: when the mask starts and stops, and which weights it hides (theory 8).

A mask makes some weights count as zero in the loss. It does not change the weights themselves, so when masking stops
the whole network is back. The thresholds b_i, the L2 penalty and the weight decay use the dense weights, that is, the
weights without the mask. The mask of step n is computed from the weights after n updates.

`prune.masks` chooses the entries, `prune.schedule` says at which steps a mask applies, and `prune.gradients` says which
gradient a masked network has.
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

_RANKED = {"per_array": "per_array", "per_neuron": "per_row"}  # how `prune.masks` calls scopes other than global


class PruneState(NamedTuple):
    """The pruning state that one step passes to the next."""

    mask: PyTree
    """The mask of the next step: Booleans in the structure of the parameters, True = kept. An array that is never
    masked has None. A mask of whole neurons has shape (neuron,)."""
    start_step: Integer[Array, ""]
    """First masked step (step n is the update made after n earlier ones); -1 until masking starts."""
    stop_step: Integer[Array, ""]
    """First step without the mask after that; -1 until masking stops."""


class Moment(NamedTuple):
    """The values after an update that decide whether masking starts or stops, and what the next mask is."""

    params: PyTree
    n_updates: Integer[Array, ""]
    switch_step: Integer[Array, ""]
    """Step at which the thresholds came on; -1 while they are off."""
    dictionary: Float[Array, "token_dim feature"]


def n_covered(
    weight: Float[Array, "neuron token_dim"], dictionary: Float[Array, "token_dim feature"]
) -> Integer[Array, ""]:
    """Return how many features have a specialist neuron, judged by the weights alone.

    Let M_j be the direction of feature j, and j the feature with which neuron i is aligned most. The neuron is a
    specialist for j if |<w_i, M_j>| >= PURITY ||w_i|| and ||w_i|| is at least NORM_FLOOR times the largest norm. The
    constants are in `theory.specialists`; how often a neuron fires, the third condition there, is not used here.

    The options start = coverage and stop = coverage wait until the share COVERED of all features has a specialist. This
    is not T2, the end of stage 2 that `analysis.stages` finds in the record of a whole run: T2 also uses firing, and
    looks only at features that have a specialist at the end of the run.
    """
    size = jnp.abs(weight @ dictionary)
    norm = jnp.sqrt(jnp.sum(weight * weight, axis=1))
    best = jnp.max(size, axis=1)
    counts = (best >= PURITY * norm) & (norm >= NORM_FLOOR * jnp.max(norm)) & (norm > 0)
    # one feature per neuron, as in `theory.specialists.is_specialist`; on a tie argmax takes the first
    is_best = jnp.arange(size.shape[1])[None, :] == jnp.argmax(size, axis=1)[:, None]
    return jnp.sum(jnp.any(is_best & counts[:, None], axis=0), dtype=jnp.int32)


def _is_covered(now: Moment) -> Bool[Array, ""]:
    least = math.ceil(COVERED * now.dictionary.shape[1] - 1e-9)  # compare counts: a share would be rounded
    return n_covered(now.params.weight, now.dictionary) >= least


def _seen(seen: Array, when: str, at_step: Array, now: Moment) -> Integer[Array, ""]:
    """Return the step of a start or stop: `seen` if it has come already, the present step if it comes now, else -1."""
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
    """Return the arrays that a mask may hide, by name; the magnitude of an entry decides whether it is hidden.

    For masks of whole neurons there is one array, the norms ||w_i|| (theory 8.1).
    """
    if config.unit == "neuron":
        return {"weight": prune.neuron_norm(params.weight)}
    if config.scope in ("weight", "per_neuron"):
        return {"weight": params.weight}
    # W_Q, W_K and W_V as separate arrays. They start at the identity, so with scope "global" a mask of the lowest
    # entries hides their zeros first.
    return {"weight": params.weight, "attention": tuple(params.attention)}


def _masks_of(mask: PyTree, config: PruneConfig) -> dict[str, PyTree]:
    """Return the parts of a mask in the structure of `_parts`."""
    if config.unit == "neuron" or config.scope in ("weight", "per_neuron"):
        return {"weight": mask.weight}
    return {"weight": mask.weight, "attention": tuple(mask.attention)}


def _tree(kept: dict[str, PyTree], params: PyTree, config: PruneConfig) -> PyTree:
    """Return the masks of `_parts` in the structure of the parameters."""
    nothing = type(params)(*(None for _ in params))
    if "attention" in kept:
        kept = kept | {"attention": jnp.stack(kept["attention"])}
    has_bias = isinstance(params, Params) and params.bias is not None
    if has_bias and config.unit == "neuron":
        kept = kept | {"bias": kept["weight"]}
    return nothing._replace(**kept)


def draw_mask(
    params: PyTree,
    config: PruneConfig,
    rate: Float[Array, ""],
    key: Key[Array, ""],
    refresh: Integer[Array, ""],
    before: PyTree = None,
) -> PyTree:
    """Return a newly computed mask in the structure of the parameters (see `PruneState.mask`).

    Args:
        params: dense parameters, a NamedTuple with a field `weight` (neuron, token_dim).
        config: kind, unit and scope of the mask.
        rate: share of the entries to mask, in [0, 1).
        key: random key that the run keeps for pruning.
        refresh: how many masks were computed before this one; the random kinds draw anew for each number.
        before: the last mask, if there is one: the search for the next starts there, which changes nothing else.
    """
    old = None if before is None else _masks_of(before, config)
    parts, scope = _parts(params, config), _RANKED.get(config.scope, "global")
    if config.kind == "lowest":
        kept = prune.lowest_mask(parts, rate, scope, old)
    elif config.kind == "highest":
        kept = prune.highest_mask(parts, rate, scope, old)
    elif config.kind == "dropout":
        kept = prune.dropout_mask(key, parts, rate, refresh)
    else:
        kept = prune.random_mask(key, parts, rate, scope, None if config.kind == "random_fixed" else refresh)
    return _tree(kept, params, config)


def init_pruning(now: Moment, config: PruneConfig, numbers: Numbers, key: Key[Array, ""]) -> PruneState | None:
    """Return the state before the first step, or None for a run without masks.

    The arguments are those of `update_pruning`.
    """
    if config.kind == "none":
        return None
    shapes = jax.eval_shape(lambda: draw_mask(now.params, config, numbers.prune_rate, key, jnp.asarray(0)))
    not_yet = jnp.asarray(NOT_YET, jnp.int32)
    return update_pruning(PruneState(prune.all_kept(shapes), not_yet, not_yet), now, config, numbers, key)


def update_pruning(
    state: PruneState, now: Moment, config: PruneConfig, numbers: Numbers, key: Key[Array, ""]
) -> PruneState:
    """Return the state after an update: whether masking has started or stopped, and the mask of the next step.

    Args:
        state: the state before the update.
        now: the values after the update.
        config: the mask options. Its numbers are not used; they come from `numbers`.
        numbers: share of masked entries, steps between refreshes, and the start and stop steps where they are given.
        key: random key that the run keeps for pruning.
    """
    start = _seen(state.start_step, config.start, numbers.prune_start, now)
    stop = _seen(state.stop_step, config.stop, numbers.prune_stop, now)
    every = None if config.refresh is None else numbers.prune_refresh.astype(jnp.int32)
    n_done = now.n_updates.astype(jnp.int32)

    def compute() -> PyTree:
        refresh = prune.refresh_number(n_done, every, start)
        return draw_mask(now.params, config, numbers.prune_rate, key, refresh, state.mask)

    return PruneState(prune.update_mask(state.mask, compute, n_done, every, start, stop), start, stop)


def thresholds_under(
    mask: PyTree, thresholds: Float[Array, " neuron"], weight: Float[Array, "neuron token_dim"], rule: str
) -> Float[Array, " neuron"]:
    """Return the thresholds b_i of the masked network: the dense ones, or smaller ones that follow the masked norm.

    With the rule masked_norm_tracking and masks of single weights they are b_i ||w_i * mask|| / ||w_i||. No gradient
    goes through that ratio.
    """
    if rule != "masked_norm_tracking" or mask.weight.ndim == 1:
        return thresholds
    fixed = lax.stop_gradient(weight)
    left = jnp.where(mask.weight, fixed, 0)
    square, of = jnp.sum(left * left, axis=1), jnp.sum(fixed * fixed, axis=1)
    return thresholds * jnp.where(of > 0, jnp.sqrt(square / jnp.where(of > 0, of, 1)), 1)


def kept_share(state: PruneState, dtype: DTypeLike) -> Float[Array, " neuron"]:
    """Return, for each neuron, the share of its weights that the mask of the next step keeps.

    For masks of whole neurons it is 0 or 1.
    """
    kept = state.mask.weight
    return jnp.mean(kept.reshape(kept.shape[0], -1).astype(dtype), axis=1)
