"""Measuring what a mask would do at given weights, without training: the loss, the driver and the growth in one step.

The driver D_j says how strongly the loss pulls on feature j (`driver`); the growth says how fast one step would move
each neuron along each feature (`growth`) (theory 8.5). All means are over held-out batches, which are drawn like those
of the run but never used in training (`engine.replay`).
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
from dynsim.engine.pruning import draw_mask, thresholds_under
from dynsim.engine.replay import held_out_batches
from dynsim.engine.snapshot import recorder
from dynsim.engine.train import Parts, TrainState, World, objective
from dynsim.losses.contrastive import normalise
from dynsim.prune import apply_mask

TEMPERATURES = np.geomspace(1 / 16, 16, 33)
"""Factors on the trained temperature that `refitted_loss` tries: steps of 19 %."""
DENSE_KEY = ("one_branch", "masked_query")
"""Values of `prune.semantics` with which only the query is masked; with the others both query and key are."""


def held_out_loss(state: TrainState, world: World, parts: Parts, n_batches: int) -> Float[Array, ""]:
    """Return the mean contrastive loss over held-out batches, without mask and L2 penalty."""
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
    """Return the dense network's held-out loss after one temperature has been refitted (theory 8.5).

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
    """Return a record function with the fields of `snapshot.recorder` and more, `held_out_loss` at least.

    Unlike the training loss, `held_out_loss` can be compared between runs with and without masks.

    Args:
        parts: the functions of the run.
        n_batches: number of held-out batches per record.
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
    """Return the two parts of the driver (see `driver`): a sum over queries, and a number of queries.

    The key of a query is taken to have the query's code. That is true unless features are dropped from the second view.

    Args:
        query, key: embeddings.
        batch: their codes, and which candidates each query is compared with.
        temperature: tau.
        cosine: normalise the embeddings first.

    Returns:
        For each feature j, the sum over queries of zhat_j (zhat_j - sum_c q_c zhat_cj), and the number of queries in
        which j is active (theory 8.5).
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
    """Return the driver D_j = E[zhat_j (zhat_j - sum_c q_c zhat_cj) | j active] of every feature j under a mask.

    zhat is the code of a sample, summed over its tokens, and q_c the softmax weight of candidate c, the positive
    included. D_j is near 0 if the weight is on candidates that share feature j with the query, and near 1 if it is on
    candidates without j (theory 3.3, 8.5 P3). The weights q_c are those that the loss uses: both views are masked, or
    only the query (`DENSE_KEY`), or only the key (masked_key).

    Args:
        state, world, parts: a run at some moment; of the state, only parameters and thresholds are used.
        mask: as `pruning.PruneState.mask`; None for no mask.
        semantics: as `prune.semantics`; without a mask it does not matter.
        batches: from `replay.held_out_batches`.
    """
    embed, thresholds = batched(parts.encoder), state.thresholds.value
    cosine = parts.structure.loss.similarity == "cosine"
    dense = masked = (state.params, thresholds)
    if mask is not None:
        rule = parts.structure.threshold.rule
        masked = apply_mask(state.params, mask), thresholds_under(mask, thresholds, state.params.weight, rule)
    for_query = dense if semantics == "masked_key" else masked
    for_key = dense if semantics in DENSE_KEY else masked

    def one(batch: Batch) -> tuple[Array, Array]:
        query, key = embed(*for_query, batch.query), embed(*for_key, batch.key)
        return driver_sums(query, key, batch, world.numbers.temperature, cosine=cosine)

    total, count = jax.lax.map(one, batches)
    n_active = jnp.maximum(jnp.sum(count, axis=0), 1).astype(total.dtype)
    return jnp.sum(total, axis=0) / n_active


def growth(
    state: TrainState, world: World, parts: Parts, mask: PyTree, batches: Batch
) -> Float[Array, "neuron feature"]:
    """Return how fast a gradient step would change |<w_i, M_j>|, per unit of learning rate, without the L2 penalty.

    That is -<gradient of w_i, M_j> times the sign of <w_i, M_j>, averaged over the batches: positive where neuron i
    grows along feature j. With a mask, the gradient is that of the option `prune.semantics` of the structure in
    `parts`.

    The arguments are those of `driver`; the mask must be one of whole neurons.
    """
    thresholds = state.thresholds.value
    numbers = world.numbers._replace(l2_penalty=jnp.zeros_like(world.numbers.l2_penalty))

    def one(batch: Batch) -> Array:
        gradient = jax.grad(lambda p: objective(p, thresholds, batch, numbers, parts, mask)[0])(state.params).weight
        return -gradient @ world.dictionary

    sign = jnp.sign(state.params.weight @ world.dictionary)
    return jnp.mean(jax.lax.map(one, batches), axis=0) * sign


def with_masks(parts: Parts, semantics: str, kind: str = "lowest") -> Parts:
    """Return `parts` as those of a run with masks of whole neurons of this kind and semantics."""
    changes = {"prune.kind": kind, "prune.rate": 0.5, "prune.semantics": semantics}
    return parts._replace(structure=replace(parts.structure, **changes))


def neuron_mask(state: TrainState, world: World, kind: str, rate: Float[Array, ""]) -> PyTree:
    """Return the mask of whole neurons that a run would draw if its masking started now (`pruning.draw_mask`).

    Args:
        state, world: a run at some moment.
        kind: as `prune.kind`.
        rate: share of the neurons to mask.
    """
    config = replace(Config(), **{"prune.kind": kind, "prune.rate": 0.5}).prune
    return draw_mask(state.params, config, rate, world.keys.pruning, jnp.asarray(0, jnp.int32))
