"""The loss of a batch of pairs of views, with the mask in the forward pass.

Every image has two views, the query and the key. The encoder and the head turn a view into an embedding; the loss is
NT-Xent (Chen et al. 2020), in which either view of an image is to be recognised by the other among the views of all
other images. It is symmetric: which of the two views is called query makes no difference to the loss.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dynsim.bridge.networks import Network
from dynsim.losses.contrastive import log_positive_weight, normalise, with_gradient_of
from dynsim.prune import masks


class ViewPairs(NamedTuple):
    """The views of a batch, in [0, 1], shape (image, side, side, 3), and which images are more than padding."""

    query: Float[Array, "image side side 3"]
    key: Float[Array, "image side side 3"]
    valid: Bool[Array, " image"]


class Objective(NamedTuple):
    """Loss of a batch, mean softmax weight of the positives, and the batch-norm statistics after it."""

    loss: Float[Array, ""]
    positive_weight: Float[Array, ""]
    stats: Any


def pair_loss(
    query: Float[Array, "image embedding"],
    key: Float[Array, "image embedding"],
    valid: Bool[Array, " image"],
    temperature: Float[Array, ""],
    focal: float = 0.0,
    shown: tuple[Array, Array] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return NT-Xent of a batch with padding, and the mean softmax weight q of the positives.

    Each of the 2 n embeddings of the n valid images is an anchor; its candidates are the other 2 n - 1.

    Args:
        query, key: embeddings of the two views, normalised here.
        valid: false for images that only fill up the batch; they are neither anchors nor candidates.
        temperature: tau > 0.
        focal: gamma of -(1 - q)^gamma log q (Jiang et al. 2021); 0 for the plain loss.
        shown: other embeddings from which the similarities are computed; their gradient still is that of `query` and
            `key` (straight-through, see `prune.gradients`).
    """
    similarity = _similarities(query, key)
    if shown is not None:
        similarity = with_gradient_of(_similarities(*shown), similarity)
    real = jnp.concatenate([valid, valid])
    itself = jnp.roll(jnp.eye(real.size, dtype=bool), valid.size, axis=1)
    # the positive is a candidate of padding too, so that no sum is empty
    allowed = (real[:, None] & real[None, :] & ~itself) | jnp.eye(real.size, dtype=bool)
    return mean_over_valid(log_positive_weight(similarity, allowed, temperature), real, focal)


def mean_over_valid(
    log_weight: Float[Array, " anchor"], valid: Bool[Array, " anchor"], focal: float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the means of -(1 - q)^gamma log q and of q over the valid anchors.

    Args:
        log_weight: log q, q being the softmax weight of the positive of an anchor.
        focal: gamma; 0 for -log q.
    """
    weight, n_valid = jnp.exp(log_weight), jnp.sum(valid, dtype=log_weight.dtype)
    each = -log_weight * (1 - weight) ** focal if focal else -log_weight
    return jnp.sum(jnp.where(valid, each, 0)) / n_valid, jnp.sum(jnp.where(valid, weight, 0)) / n_valid


def _similarities(query: Array, key: Array) -> Float[Array, "anchor candidate"]:
    """Return the cosines of all views with all views; candidate n is the positive of anchor n."""
    query, key = normalise(query), normalise(key)
    return jnp.concatenate([query, key]) @ jnp.concatenate([key, query]).T


def masked_objective(
    network: Network,
    params: Any,
    stats: Any,
    mask: Any,
    batch: ViewPairs,
    temperature: Float[Array, ""],
    *,
    semantics: str,
    sets: tuple[int, int],
    together: bool,
    focal: float,
) -> Objective:
    """Return the loss of a batch; its gradient in `params` is the one of `semantics` (`options.pretraining.Masking`).

    Args:
        params, stats: dense parameters and batch-norm statistics, as `Network.init` returns them.
        mask: Booleans in the structure of `params`, True = kept, None = never masked.
        semantics: literal, straight_through, one_branch or masked_query.
        sets: the batch-norm set that normalises queries, and the one that normalises keys.
        together: normalise queries and keys in one batch, with the first of these sets.
    """

    def embed(weights: Any, stats: Any, images: Array, which: int) -> tuple[Array, Any]:
        valid = jnp.concatenate([batch.valid] * (images.shape[0] // batch.valid.size))
        found = network.apply(weights, stats, images, train=True, norm_set=sets[which], valid=valid)
        return found.embeddings, found.stats

    def embed_both(weights: Any, stats: Any) -> tuple[tuple[Array, Array], Any]:
        if together:
            both, stats = embed(weights, stats, jnp.concatenate([batch.query, batch.key]), 0)
            return (both[: batch.valid.size], both[batch.valid.size :]), stats
        query, stats = embed(weights, stats, batch.query, 0)
        key, stats = embed(weights, stats, batch.key, 1)
        return (query, key), stats

    kept, shown = masks.apply_mask(params, mask), None
    if semantics == "literal":
        (query, key), stats = embed_both(with_gradient_of(kept, params), stats)
    elif semantics == "straight_through":
        shown, _ = embed_both(jax.lax.stop_gradient(kept), stats)
        (query, key), stats = embed_both(params, stats)
    else:
        query, stats = embed(
            kept if semantics == "one_branch" else with_gradient_of(kept, params), stats, batch.query, 0
        )
        key, stats = embed(params, stats, batch.key, 1)
    loss, weight = pair_loss(query, key, batch.valid, temperature, focal, shown)
    return Objective(loss, weight, stats)
