"""A loss with labels as the loss of a run, in one line:

    from dynsim.engine.label_loss import with_labels
    run = simulate(config, seeds=range(3), loss=with_labels("acl"))

The features are known here, so they are the classes: the class of a sample is the rarest feature that is active in it
(`rarest_feature`). Other rules are `most_frequent_feature`, `own_class` (no two samples alike, so that labels tell
nothing) and any function of one's own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dynsim.engine.data import Batch
from dynsim.engine.numbers import Numbers
from dynsim.losses.centres import moved_centres
from dynsim.losses.contrastive import LossValue, normalise
from dynsim.losses.label_table import label_loss
from dynsim.losses.labelled_views import Classes, Views

WITH_OUTPUTS = ("paco", "gpaco")


class SampleLabels(NamedTuple):
    """The classes of the samples of a batch."""

    labels: Int[Array, " candidate"]
    """Class of each candidate of the batch; -1 for none: the sample is left out."""
    counts: Float[Array, " class"]
    """Numbers proportional to the sizes of the classes."""


LabelRule = Callable[[Batch, Numbers], SampleLabels]


def with_labels(
    name: str, *, labels: LabelRule | None = None, unit_length: bool = True, **parts: Any
) -> Callable[..., LossValue]:
    """Return a loss for `simulate(loss=...)`: a contrastive loss of `LABEL_LOSSES` on both views of every sample.

    The temperature is that of the configuration. The other options of its loss are not used: all views are candidates
    of all others, and gradients flow into both.

    Args:
        name: sup_con, kcl, bcl, rcl or acl; or tsc with centres in `parts`.
        labels: (batch, numbers) -> `SampleLabels`; None: `rarest_feature`.
        unit_length: scale embeddings to length one, as the sources do; False: similarities are their inner products, as
            in the theory. Means of classes have length one in both cases.
        parts: named arguments of the loss, such as `aligned=False`; and `centres`, an array (class, neuron) of fixed
            centres. Without it BCL and RCL have no prototypes, and the centres of ACL are the means of the batch.

    Errors: `ValueError` in one line for an unknown loss, or one that needs a classifier.
    """
    row = label_loss(name)
    if row.family == "classifier" or name in WITH_OUTPUTS:
        raise ValueError(f"loss: wanted one that compares embeddings alone, such as sup_con or acl, got {name!r}")
    return partial(_loss, name=name, rule=labels or rarest_feature, unit_length=unit_length, **parts)


def rarest_feature(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return the rarest active feature of each sample as its class; among equally rare ones the last.

    A class is as large as its feature is often the rarest one, p_j times the product of 1 - p_i over all i that are
    rarer; so it is for features that are active independently of each other.
    """
    # stable: from the most frequent to the rarest, equally frequent ones in their order
    return _last_active(batch, numbers, jnp.argsort(-numbers.active_probability))


def most_frequent_feature(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return the most frequent active feature of each sample as its class; among equally frequent ones the last.

    Class sizes as in `rarest_feature`, with the order turned round.
    """
    return _last_active(batch, numbers, jnp.argsort(numbers.active_probability))


def own_class(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return a class of its own for each sample, all of one size: a loss with these labels learns nothing from them."""
    n_samples = batch.codes.shape[0]
    return SampleLabels(jnp.arange(n_samples, dtype=jnp.int32), jnp.ones(n_samples, numbers.active_probability.dtype))


def _last_active(batch: Batch, numbers: Numbers, order: Int[Array, " feature"]) -> SampleLabels:
    """Return as class the active feature that comes last in an order, -1 where none is active."""
    frequency = numbers.active_probability
    active = (batch.codes != 0)[:, order]
    place = jnp.where(active, jnp.arange(len(order)), -1).max(axis=1)
    labels = jnp.where(place >= 0, order[jnp.maximum(place, 0)], -1)
    absent = jnp.log1p(-jnp.minimum(frequency[order], 1 - 1e-6))
    later = jnp.cumsum(absent[::-1])[::-1] - absent
    share = frequency[order] * jnp.exp(later)
    return SampleLabels(labels.astype(jnp.int32), jnp.zeros_like(share).at[order].set(share))


def _loss(
    query: Array,
    key: Array,
    batch: Batch,
    numbers: Numbers,
    *,
    name: str,
    rule: LabelRule,
    unit_length: bool,
    centres: Array | None = None,
    **parts: Any,
) -> LossValue:
    found = rule(batch, numbers)
    n_queries, n_classes = len(query), len(found.counts)
    labels = jnp.concatenate([found.labels[:n_queries], found.labels])
    embeddings = jnp.concatenate([query, key])
    views = Views(normalise(embeddings) if unit_length else embeddings, jnp.maximum(labels, 0), labels >= 0)
    has_centre = None
    if centres is None and name == "acl" and parts.get("centred", True):
        start = jnp.zeros((n_classes, views.embeddings.shape[1]), views.embeddings.dtype)
        centres = moved_centres(start, views, 0.0)  # with no weight on the past: the means of this batch
        has_centre = jnp.any(centres != 0, axis=1)
    classes = Classes(found.counts, centres, has_centre)
    return label_loss(name).function(views, classes, numbers.temperature, **parts)
