"""MoCo: keys come from a network that follows the trained one, and earlier keys are the negatives.

The trained network embeds the queries. The key network has parameters and batch-norm statistics of its own. Nothing
trains its parameters: they move a little towards those of the trained network at each step. Its embeddings, scaled to
length 1, are the keys. They go into a queue of fixed length, where each takes the place of the oldest. The loss is
InfoNCE: a query is to be recognised by its own key among all keys of the queue (He et al. 2020; a head of several
layers and the temperature 0.2 are those of its version 2, Chen, Fan et al. 2020).

Three things differ from the authors' code. The queue begins empty rather than with random vectors, and places that no
key has filled yet are no candidates. A last batch with fewer images enters as it is. Batch norm sees the whole batch on
one device; they shuffle images between devices, so that the statistics of a batch do not give away which key belongs to
it. The head has batch norms, as in all arms here.

With a mask, queries, keys or both pass through masked weights: the readings are those of `prune.gradients`, for a loss
that takes no gradient from keys.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dynsim.bridge.networks import Network
from dynsim.bridge.training.objective import Objective, ViewPairs, mean_over_valid
from dynsim.losses.contrastive import log_sum_exp, normalise, with_gradient_of
from dynsim.prune import masks


class MomentumKeys(NamedTuple):
    """The key network and its queue, as they go from step to step."""

    params: Any
    """Parameters of the key network, in the structure of the trained ones."""
    stats: Any
    """Its batch-norm statistics."""
    queue: Float[Array, "reading key embedding"]
    """Keys of length 1. With straight_through there are two readings, keys of the dense weights and keys of the masked
    ones; else there is one."""
    place: Int[Array, ""]
    """Where the next key goes."""
    filled: Int[Array, ""]
    """Number of keys in the queue: they lie in its first places until it is full."""


def first_keys(params: Any, stats: Any, length: int, embedding_dim: int, semantics: str) -> MomentumKeys:
    """Return the key network before the first step, equal to the trained one, and an empty queue."""
    n_readings = 2 if semantics == "straight_through" else 1
    queue, none = jnp.zeros((n_readings, length, embedding_dim), jnp.float32), np.zeros((), np.int32)
    # copies, since a compiled epoch uses up what it is given, and each array only once
    own_params, own_stats = (jax.tree.map(jnp.copy, one) for one in (params, stats))
    return MomentumKeys(own_params, own_stats, queue, jnp.array(none), jnp.array(none))


def follow(keys: MomentumKeys, params: Any, momentum: Float[Array, ""]) -> MomentumKeys:
    """Move the key network: momentum times its parameters, plus 1 - momentum times the trained ones."""
    moved = jax.tree.map(lambda old, new: momentum * old + (1 - momentum) * new, keys.params, params)
    return keys._replace(params=moved)


def next_places(keys: MomentumKeys, valid: Bool[Array, " image"]) -> Int[Array, " image"]:
    """Return the place that the key of each image takes in the queue: behind its end for those that are not valid."""
    length, rank = keys.queue.shape[1], jnp.cumsum(valid, dtype=jnp.int32) - 1
    return jnp.where(valid, (keys.place + rank) % length, length)


def enqueued(
    keys: MomentumKeys, new: Float[Array, "reading image embedding"], valid: Bool[Array, " image"]
) -> MomentumKeys:
    """Put the keys of the valid images into the queue, in their order, in place of the oldest.

    Args:
        new: keys of a batch, no more of them than the queue has places.
        valid: false for images that only fill up the batch.
    """
    length, number = keys.queue.shape[1], jnp.sum(valid, dtype=jnp.int32)
    return keys._replace(
        queue=keys.queue.at[:, next_places(keys, valid)].set(new, mode="drop"),
        place=(keys.place + number) % length,
        filled=jnp.minimum(keys.filled + number, length),
    )


def queue_similarities(
    query: Float[Array, "image embedding"], key: Float[Array, "image embedding"], queue: Float[Array, "key embedding"]
) -> Float[Array, "image candidate"]:
    """Return the cosines of each query with its own key, the first candidate, and with all keys of the queue."""
    query = normalise(query)
    return jnp.concatenate([jnp.sum(query * key, axis=1, keepdims=True), query @ queue.T], axis=1)


def queue_loss(
    similarity: Float[Array, "image candidate"],
    valid: Bool[Array, " image"],
    filled: Int[Array, ""],
    temperature: Float[Array, ""],
    focal: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return InfoNCE of the valid images against the queue, and the mean softmax weight q of their own keys.

    Args:
        similarity: as from `queue_similarities`.
        filled: number of keys in the queue.
        temperature: tau > 0.
        focal: gamma of -(1 - q)^gamma log q; 0 for the plain loss.
    """
    scaled = similarity / temperature
    allowed = jnp.arange(similarity.shape[1], dtype=jnp.int32) <= filled  # candidate 0 is the query's own key
    gap = scaled[:, 0] - log_sum_exp(jnp.where(allowed[None, :], scaled, -jnp.inf))
    return mean_over_valid(gap, valid, focal)


def momentum_objective(
    network: Network,
    params: Any,
    stats: Any,
    mask: Any,
    keys: MomentumKeys,
    batch: ViewPairs,
    temperature: Float[Array, ""],
    *,
    semantics: str,
    focal: float,
) -> tuple[Objective, MomentumKeys]:
    """Return the loss of a batch against the queue of before, and the keys after it.

    The gradient in `params` is the one of `semantics` (`options.pretraining.Masking`); keys give none.

    Args:
        params, stats, mask, batch: as for `objective.masked_objective`.
        keys: the key network, which has followed the trained one already, and its queue.
    """
    keys = jax.lax.stop_gradient(keys)

    def embed(weights: Any, stats: Any, images: Array) -> tuple[Array, Any]:
        found = network.apply(weights, stats, images, train=True, norm_set=0, valid=batch.valid)
        return found.embeddings, found.stats

    kept, kept_keys = (masks.apply_mask(weights, mask) for weights in (params, keys.params))
    of_query = params
    if semantics in ("one_branch", "masked_query", "literal"):
        of_query = kept if semantics == "one_branch" else with_gradient_of(kept, params)
    of_key = kept_keys if semantics in ("literal", "masked_key") else keys.params
    query, stats_after = embed(of_query, stats, batch.query)
    key, key_stats = embed(of_key, keys.stats, batch.key)
    new = [normalise(key)]
    similarity = queue_similarities(query, new[0], keys.queue[0])
    if semantics == "straight_through":
        shown, _ = embed(jax.lax.stop_gradient(kept), stats, batch.query)
        new.append(normalise(embed(kept_keys, keys.stats, batch.key)[0]))
        similarity = with_gradient_of(queue_similarities(shown, new[1], keys.queue[1]), similarity)
    loss, weight = queue_loss(similarity, batch.valid, keys.filled, temperature, focal)
    after = enqueued(keys._replace(stats=key_stats), jax.lax.stop_gradient(jnp.stack(new)), batch.valid)
    return Objective(loss, weight, stats_after), after
