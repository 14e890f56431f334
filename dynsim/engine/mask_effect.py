"""What a mask would do at given weights, without any training: held-out loss, driver and one-step growth (theory 8.5).

All expectations are over held-out batches: steps of the run's own streams that no training reaches.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from dynsim.config import Config, replace
from dynsim.engine.data import Batch, batch_at
from dynsim.engine.encoder import batched
from dynsim.engine.pruning import draw_mask
from dynsim.engine.snapshot import recorder
from dynsim.engine.train import Parts, TrainState, World, objective
from dynsim.losses.contrastive import normalise

FIRST_HELD_OUT = 2**30  # runs have fewer steps than 2^24


class Effect(NamedTuple):
    """Dense and masked values at the same weights."""

    driver: Float[Any, " feature"]
    """D_j = E[zhat_j (zhat_j - sum_c q_c zhat_cj) | j active]: the softmax weights q_c run over all candidates c, the
    positive among them (theory 3.3, 8.5 P3)."""
    growth: Float[Any, "neuron feature"]
    """Component of minus the data gradient of w_i along M_j, signed so that growth of |<w_i, M_j>| is positive."""


def held_out_batches(world: World, parts: Parts, n_batches: int) -> Batch:
    """Return `n_batches` batches of the run's streams that training never sees, stacked on a leading axis."""
    steps = jnp.arange(FIRST_HELD_OUT, FIRST_HELD_OUT + n_batches, dtype=jnp.int32)
    return jax.vmap(lambda step: batch_at(parts.data, world.keys, step, world.dictionary, world.numbers))(steps)


def held_out_loss(state: TrainState, world: World, parts: Parts, n_batches: int) -> Float[Array, ""]:
    """Return the mean contrastive loss of the dense network over held-out batches, without the penalty."""
    embed = batched(parts.encoder)

    def one(batch: Batch) -> Array:
        query, key = (embed(state.params, state.thresholds.value, views) for views in (batch.query, batch.key))
        return parts.loss(query, key, batch, world.numbers).loss

    return jnp.mean(jax.lax.map(one, held_out_batches(world, parts, n_batches)))


def recorder_with_loss(parts: Parts, n_batches: int, *, keep_weights: bool = False) -> Callable[..., dict[str, Array]]:
    """Return a record function: the fields of `snapshot.recorder`, and the loss that runs can be compared by.

    That is `held_out_loss`: contrastive, of the dense network, on held-out batches, without masks and penalty.

    Args:
        parts: the functions of the run.
        n_batches: held-out batches per record.
        keep_weights: also record the weights, as `neuron_weight` (neuron, token_dim).
    """

    base = recorder(parts)

    def record(state: TrainState, world: World) -> dict[str, Array]:
        measured = base(state, world)
        out = dict(measured if isinstance(measured, dict) else measured._asdict())
        out["held_out_loss"] = held_out_loss(state, world, parts, n_batches)
        if keep_weights:
            out["neuron_weight"] = state.params.weight
        return out

    return record


def driver(
    query: Float[Array, "query neuron"],
    key: Float[Array, "candidate neuron"],
    batch: Batch,
    temperature: Float[Array, ""],
    *,
    cosine: bool = False,
) -> tuple[Float[Array, " feature"], Integer[Array, " feature"]]:
    """Return (sum over queries of zhat_j (zhat_j - sum_c q_c zhat_cj), number of queries with j active) (theory 8.5).

    The positive of query n has the code of query n, which holds where no feature is dropped from the second view.
    """
    if cosine:
        query, key = normalise(query), normalise(key)
    logits = jnp.where(batch.is_candidate, query @ key.T / temperature, -jnp.inf)
    expected = jax.nn.softmax(logits, axis=1) @ batch.codes
    own = batch.codes[: query.shape[0]]
    return jnp.sum(own * (own - expected), axis=0), jnp.sum(own != 0, axis=0, dtype=jnp.int32)


def effect(state: TrainState, world: World, parts: Parts, mask: Any, n_batches: int) -> Effect:
    """Return driver and growth of the network under a mask; None for the dense one.

    The driver is that of the network with the mask on both views; the growth is that of `prune.semantics` of the
    structure in `parts`. The penalty is left out.

    Args:
        state, world, parts: a run at some moment; of the state only parameters and thresholds count.
        mask: as `pruning.PruneState.mask`, for masks of neurons; or None.
        n_batches: held-out batches.
    """
    embed, thresholds = batched(parts.encoder), state.thresholds.value
    numbers = world.numbers._replace(l2_penalty=jnp.zeros_like(world.numbers.l2_penalty))
    cosine = parts.structure.loss.similarity == "cosine"

    def one(batch: Batch) -> tuple[Array, Array, Array]:
        query, key = (_show(embed(state.params, thresholds, views), mask) for views in (batch.query, batch.key))
        total, count = driver(query, key, batch, numbers.temperature, cosine=cosine)
        gradient = jax.grad(lambda p: objective(p, thresholds, batch, numbers, parts, mask)[0])(state.params).weight
        return total, count, -gradient @ world.dictionary

    total, count, growth = jax.lax.map(one, held_out_batches(world, parts, n_batches))
    n_active = jnp.maximum(jnp.sum(count, axis=0), 1).astype(total.dtype)
    sign = jnp.sign(state.params.weight @ world.dictionary)
    return Effect(jnp.sum(total, axis=0) / n_active, jnp.mean(growth, axis=0) * sign)


def _show(hidden: Array, mask: Any) -> Array:
    return hidden if mask is None else jnp.where(mask.weight[None, :], hidden, 0)


def with_masks(parts: Parts, semantics: str, kind: str = "lowest") -> Parts:
    """Return the parts of a run that has masks of neurons with these semantics; its encoder and loss are the same."""
    changes = {"prune.kind": kind, "prune.rate": 0.5, "prune.semantics": semantics}
    return parts._replace(structure=replace(parts.structure, **changes))


def neuron_mask(state: TrainState, world: World, kind: str, rate: Float[Array, ""]) -> Any:
    """Return the mask of neurons that a run would draw at this moment, as its first (`pruning.draw_mask`).

    Args:
        kind: as `prune.kind`.
        rate: masked share.
    """
    config = replace(Config(), **{"prune.kind": kind, "prune.rate": 0.5}).prune
    return draw_mask(state.params, config, rate, world.keys.pruning, jnp.asarray(0, jnp.int32))


def amplification(dense: np.ndarray, masked: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """Return A_j: summed growth along j of the specialists of j with the mask over that without it (theory 8.5 P2).

    Args:
        dense, masked: `Effect.growth`, shape (..., neuron, feature).
        learned: which neuron is a specialist for which feature, Boolean, same shape.

    Returns:
        Shape (..., feature); NaN for a feature without a specialist.
    """
    with_mask, without = (masked * learned).sum(axis=-2), (dense * learned).sum(axis=-2)
    return with_mask / np.where(learned.any(axis=-2), without, np.nan)
