"""What KCL, TSC, PaCo and GPaCo compare with beside the views of a batch: keys of a second network, and a queue.

The network that follows, and the queue, are those of MoCo (`training.momentum`); here the queue has labels too. It
begins empty. Places that nothing has filled yet are no candidates, so that the first loss is that of the batch alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.options.loss_parts import WITH_KEYS, WITH_QUEUE, LossParts
from dynsim.bridge.training.momentum import MomentumKeys, enqueued, first_keys, follow, next_places
from dynsim.losses.labelled_views import Views, valid
from dynsim.losses.supervised import draw_positives


class LabelledKeys(NamedTuple):
    """The second network and the queue, as they go from step to step."""

    moving: MomentumKeys
    """For GPaCo without a network: its parameters and statistics are None."""
    labels: Int[Array, " key"]
    """Class of each place of the queue; that of a place that is not filled yet says nothing."""


class Candidates(NamedTuple):
    """What the anchors of a batch are compared with, beside each other."""

    memory: Views
    """Keys of the batch, if there are some, then the queue."""
    images: Int[Array, " candidate"]
    """Image of each view, then of each entry of the memory; -1 in the queue."""


def first_labelled_keys(
    contrastive: str, parts: LossParts, network: Any, stats: Any, shape: NetworkShape
) -> LabelledKeys | None:
    """Return a second network that equals the trained one, and an empty queue; None for a loss without a queue.

    Args:
        contrastive, parts: the loss, and its parts.
        network, stats: first parameters and batch-norm statistics of the trained network.
        shape: that of the network.
    """
    if contrastive not in WITH_QUEUE:
        return None
    if contrastive not in WITH_KEYS:
        network, stats = None, None
    moving = first_keys(network, stats, parts.queue, shape.embedding_dim, "one_branch")
    return LabelledKeys(moving, jnp.zeros(parts.queue, jnp.int32))


def followed(keys: LabelledKeys | None, network: Any, parts: LossParts) -> LabelledKeys | None:
    """Return the keys with a second network, if there is one, that has moved towards the trained parameters."""
    if keys is None or keys.moving.params is None:
        return keys
    return keys._replace(moving=follow(keys.moving, network, jnp.float32(parts.key_momentum)))


def entered(keys: LabelledKeys, new: Views) -> LabelledKeys:
    """Return the keys after valid views have entered the queue in their order, each in place of the oldest.

    Args:
        new: embeddings of length one with their labels, no more of them than the queue has places.
    """
    real, rows = valid(new), jax.lax.stop_gradient(new.embeddings)
    labels = keys.labels.at[next_places(keys.moving, real)].set(new.labels, mode="drop")
    return LabelledKeys(enqueued(keys.moving, rows[None], real), labels)


def candidates_of(
    keys: LabelledKeys, images: Int[Array, " view"], batch: Views | None, images_of_batch: Int[Array, " key"]
) -> Candidates:
    """Return what the views of a batch are compared with: its keys and the queue of before.

    Args:
        keys: the queue before this batch.
        images: number of the image of each view.
        batch: keys of the batch; None where no second network makes some.
        images_of_batch: number of the image of each of these keys.
    """
    queue, length = keys.moving.queue[0], len(keys.labels)
    kept = Views(queue, keys.labels, jnp.arange(length, dtype=jnp.int32) < keys.moving.filled)
    no_image = jnp.full(length, -1, images.dtype)
    if batch is None:
        return Candidates(kept, jnp.concatenate([images, no_image]))
    joined = Views(
        jnp.concatenate([batch.embeddings, kept.embeddings]),
        jnp.concatenate([batch.labels, kept.labels]),
        jnp.concatenate([valid(batch), valid(kept)]),
    )
    return Candidates(joined, jnp.concatenate([images, images_of_batch, no_image]))


def drawn_pairs(
    key: Key[Array, ""], views: Views, found: Candidates, parts: LossParts
) -> dict[str, Bool[Array, "view candidate"]]:
    """Return the arguments `is_drawn` and `may_compare` of KCL and TSC.

    Args:
        key: of JAX's random numbers.
        views: the anchors.
        found: what they are compared with beside each other.
    """
    images = found.images
    is_own = images[: len(views.labels), None] == images[None, :]
    in_queue = jnp.broadcast_to(images[None, :] < 0, is_own.shape)
    may = jnp.ones_like(is_own) if parts.from_batch else is_own | in_queue
    drawn = draw_positives(key, views, found.memory, is_own, parts.positives, may)
    return {"is_drawn": drawn, "may_compare": may}
