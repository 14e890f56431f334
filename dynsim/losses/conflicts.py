"""Conflicts of a contrastive loss: positives that an anchor is pushed away from (arXiv 2506.01071, figure 4a).

A positive is an embedding of the anchor's own class. Where the derivative of the loss in their similarity is above 0, a
step down the loss makes them less similar, although they belong together. In SupCon this happens where a positive's
softmax weight is more than its share 1/|P|, since positives compete with each other in the denominator.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynsim.losses.contrastive import LossValue
from dynsim.losses.labelled_views import Classes, Number, Views, valid

SLOPE_ROUNDING = 1e-6  # a derivative below this, in units of 1 / temperature, counts as 0


class Conflicts(NamedTuple):
    """Pairs of an anchor and a positive among the views, by the anchor's class."""

    conflicting: Float[Array, " class"]
    """Number of pairs whose derivative is above 0."""
    pairs: Float[Array, " class"]
    """Number of all pairs."""


def similarity_slopes(
    loss: Callable[..., LossValue], views: Views, classes: Classes, temperature: Number
) -> Float[Array, "view candidate"]:
    """Return the derivative of each anchor's loss in its similarity to each candidate, times the temperature.

    The candidates are the views, then the centres of the classes. An anchor's own column, and all of padding, is 0.

    Args:
        loss: a contrastive function of `LABEL_LOSSES` that needs no logits.
        views: of length one.
        classes, temperature: as for the loss.
    """
    n_views = len(views.labels)
    centres = classes.centres
    n_candidates = n_views + (0 if centres is None else len(centres))
    own = jnp.eye(n_candidates, dtype=views.embeddings.dtype)
    # every candidate gets a dimension of its own, along which the anchor may have a part: that changes one similarity
    wide = jnp.concatenate([views.embeddings, own[:n_views]], axis=1)
    wide_centres = None if centres is None else jnp.concatenate([centres, own[n_views:]], axis=1)
    is_valid = valid(views)

    def loss_of(parts: Array, anchor: Array) -> Array:
        embedding = jnp.concatenate([views.embeddings[anchor], parts])[None]
        alone = Views(embedding, views.labels[anchor][None], is_valid[anchor][None])
        others = Views(wide, views.labels, is_valid & (jnp.arange(n_views) != anchor))
        return loss(alone, classes._replace(centres=wide_centres), temperature, others).loss

    nothing = jnp.zeros((n_candidates,), views.embeddings.dtype)
    slopes = jax.vmap(lambda anchor: jax.grad(loss_of)(nothing, anchor))(jnp.arange(n_views))
    return slopes * jnp.asarray(temperature, slopes.dtype)


def count_conflicts(
    loss: Callable[..., LossValue], views: Views, classes: Classes, temperature: Number, n_classes: int
) -> Conflicts:
    """Return how many positive pairs of views repel each other, by class of the anchor; arguments: `similarity_slopes`.

    Pairs with centres are not counted, so that losses with and without centres are counted over the same pairs.
    """
    n_views = len(views.labels)
    slopes = similarity_slopes(loss, views, classes, temperature)[:, :n_views]
    real = valid(views)
    same = (views.labels[:, None] == views.labels[None, :]) & real[:, None] & real[None, :]
    is_pair = same & ~jnp.eye(n_views, dtype=bool)
    of_class = views.labels[None, :] == jnp.arange(n_classes, dtype=views.labels.dtype)[:, None]
    counts = [
        of_class.astype(slopes.dtype) @ jnp.sum(which, axis=1, dtype=slopes.dtype)
        for which in (is_pair & (slopes > SLOPE_ROUNDING), is_pair)
    ]
    return Conflicts(*counts)
