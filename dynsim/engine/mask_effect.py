"""What a mask would do at given weights, without any training: held-out loss, driver and one-step growth (theory 8.5).

All expectations are over held-out batches: steps of the run's own streams that no training reaches.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

from dynsim.config import Config, replace
from dynsim.engine.data import Batch
from dynsim.engine.encoder import batched
from dynsim.engine.linear_probe import probe_accuracy
from dynsim.engine.pruning import draw_mask
from dynsim.engine.replay import held_out_batches
from dynsim.engine.snapshot import recorder
from dynsim.engine.train import Parts, TrainState, World, objective
from dynsim.losses.contrastive import normalise
from dynsim.prune import apply_mask

TEMPERATURES = np.geomspace(1 / 16, 16, 33)
"""Factors on the trained temperature that `refitted_loss` tries: steps of 19 %."""
DENSE_KEY = ("one_branch", "masked_query")
"""Semantics under which a similarity has the mask on its query only; under the others both views are masked."""


def held_out_loss(state: TrainState, world: World, parts: Parts, n_batches: int) -> Float[Array, ""]:
    """Return the mean contrastive loss of the dense network over held-out batches, without the penalty."""
    embed = batched(parts.encoder)

    def one(batch: Batch) -> Array:
        query, key = (embed(state.params, state.thresholds.value, views) for views in (batch.query, batch.key))
        return parts.loss(query, key, batch, world.numbers).loss

    return jnp.mean(jax.lax.map(one, held_out_batches(world, parts, n_batches)))


class RefittedLoss(NamedTuple):
    """The held-out loss at the temperature that suits the embeddings best."""

    loss: Float[Array, ""]
    """Without the prefactor tau, so that losses at different temperatures compare."""
    temperature: Float[Array, ""]


def refitted_loss(state: TrainState, world: World, parts: Parts, n_batches: int) -> RefittedLoss:
    """Return the dense network's held-out loss after one temperature has been refitted (theory 12.8).

    Two encoders that tell samples apart equally well may differ in the length of their embeddings, and then in their
    loss at one temperature. Here the temperature is chosen from `TEMPERATURES` times the trained one on the first half
    of the held-out batches, and the loss is that of the second half.

    Args:
        state, world, parts: a run at some moment; of the state only parameters and thresholds count.
        n_batches: held-out batches, at least 2.
    """
    embed, trained = batched(parts.encoder), world.numbers.temperature
    prefactor = parts.structure.loss.temperature_prefactor

    def one(batch: Batch) -> Array:
        query, key = (embed(state.params, state.thresholds.value, views) for views in (batch.query, batch.key))

        def at(factor: Array) -> Array:
            tau = trained * factor
            value = parts.loss(query, key, batch, world.numbers._replace(temperature=tau)).loss
            return value / tau if prefactor else value

        return jax.lax.map(at, jnp.asarray(TEMPERATURES, query.dtype))

    losses = jax.lax.map(one, held_out_batches(world, parts, n_batches))  # (batch, temperature)
    half = n_batches // 2
    best = jnp.argmin(jnp.mean(losses[:half], axis=0))
    temperature = trained * jnp.asarray(TEMPERATURES, trained.dtype)[best]
    return RefittedLoss(jnp.mean(losses[half:], axis=0)[best], temperature)


def recorder_with_loss(
    parts: Parts, n_batches: int, *, keep_weights: bool = False, with_probe: bool = False
) -> Callable[..., dict[str, Array]]:
    """Return a record function: the fields of `snapshot.recorder`, and the loss that runs can be compared by.

    That is `held_out_loss`: contrastive, of the dense network, on held-out batches, without masks and penalty.

    Args:
        parts: the functions of the run.
        n_batches: held-out batches per record.
        keep_weights: also record the weights, as `neuron_weight` (neuron, token_dim).
        with_probe: also record `refitted_loss`, `refitted_temperature`, and the accuracies `probe_few` and
            `probe_many` (feature,) of `linear_probe.probe_accuracy`.
    """

    base = recorder(parts)

    def record(state: TrainState, world: World) -> dict[str, Array]:
        measured = base(state, world)
        out = dict(measured if isinstance(measured, dict) else measured._asdict())
        out["held_out_loss"] = held_out_loss(state, world, parts, n_batches)
        if keep_weights:
            out["neuron_weight"] = state.params.weight
        if with_probe:
            refitted = refitted_loss(state, world, parts, 2 * n_batches)
            out["refitted_loss"], out["refitted_temperature"] = refitted
            out["probe_few"], out["probe_many"] = probe_accuracy(state, world, parts)
        return out

    return record


def driver_sums(
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


def driver(
    state: TrainState, world: World, parts: Parts, mask: PyTree, semantics: str, batches: Batch
) -> Float[Array, " feature"]:
    """Return D_j = E[zhat_j (zhat_j - sum_c q_c zhat_cj) | j active] of the network under a mask (theory 3.3, 8.5 P3).

    The softmax weights q_c run over all candidates c, the positive among them. They are those of the similarities that
    the loss sees: of the masked network on both views, of a masked query against the dense keys (`DENSE_KEY`), or of
    dense queries against the masked key. Thresholds are the dense ones.

    Args:
        state, world, parts: a run at some moment; of the state only parameters and thresholds count.
        mask: as `pruning.PruneState.mask`; None for the dense network.
        semantics: as `prune.semantics`; without a mask it does not matter.
        batches: of `replay.held_out_batches`.
    """
    embed, thresholds = batched(parts.encoder), state.thresholds.value
    cosine = parts.structure.loss.similarity == "cosine"
    masked = state.params if mask is None else apply_mask(state.params, mask)
    for_query = state.params if semantics == "masked_key" else masked
    for_key = state.params if semantics in DENSE_KEY else masked

    def one(batch: Batch) -> tuple[Array, Array]:
        query, key = embed(for_query, thresholds, batch.query), embed(for_key, thresholds, batch.key)
        return driver_sums(query, key, batch, world.numbers.temperature, cosine=cosine)

    total, count = jax.lax.map(one, batches)
    n_active = jnp.maximum(jnp.sum(count, axis=0), 1).astype(total.dtype)
    return jnp.sum(total, axis=0) / n_active


def growth(
    state: TrainState, world: World, parts: Parts, mask: PyTree, batches: Batch
) -> Float[Array, "neuron feature"]:
    """Return the component of minus the data gradient of w_i along M_j, positive where |<w_i, M_j>| grows.

    The gradient is that of `prune.semantics` of the structure in `parts`, averaged over the batches. The penalty is
    left out.

    Args: as for `driver`, for masks of neurons.
    """
    thresholds = state.thresholds.value
    numbers = world.numbers._replace(l2_penalty=jnp.zeros_like(world.numbers.l2_penalty))

    def one(batch: Batch) -> Array:
        gradient = jax.grad(lambda p: objective(p, thresholds, batch, numbers, parts, mask)[0])(state.params).weight
        return -gradient @ world.dictionary

    sign = jnp.sign(state.params.weight @ world.dictionary)
    return jnp.mean(jax.lax.map(one, batches), axis=0) * sign


def with_masks(parts: Parts, semantics: str, kind: str = "lowest") -> Parts:
    """Return the parts of a run that has masks of neurons with these semantics; its encoder and loss are the same."""
    changes = {"prune.kind": kind, "prune.rate": 0.5, "prune.semantics": semantics}
    return parts._replace(structure=replace(parts.structure, **changes))


def neuron_mask(state: TrainState, world: World, kind: str, rate: Float[Array, ""]) -> PyTree:
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
        dense, masked: `growth`, shape (..., neuron, feature).
        learned: which neuron is a specialist for which feature, Boolean, same shape.

    Returns:
        Shape (..., feature); NaN for a feature without a specialist.
    """
    with_mask, without = (masked * learned).sum(axis=-2), (dense * learned).sum(axis=-2)
    return with_mask / np.where(learned.any(axis=-2), without, np.nan)
