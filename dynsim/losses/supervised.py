"""Contrastive losses that learn from labels and treat all classes alike: SupCon, KCL, TSC, PaCo and GPaCo.

All take (views, classes, temperature, memory) and return a `LossValue`; s_ia is the similarity of anchor i and
candidate a, T the temperature. `LABEL_LOSSES` has their formulas and sources.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from dynsim.losses.contrastive import LossValue
from dynsim.losses.labelled_views import (
    Classes,
    Number,
    Pairs,
    Views,
    compared,
    log_counts,
    shared_equally,
    softmax_loss,
)

DRAWS_POSITIVES = ("kcl", "tsc")
"""Losses whose positives are drawn, see `draw_positives`."""


def sup_con(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    base_temperature: Number | None = None,
) -> LossValue:
    """Return SupCon: every positive competes with all candidates, the other positives among them.

    Args:
        views, classes, temperature, memory: see `labelled_views`; nothing about the classes is used.
        base_temperature: multiply the loss by temperature / base_temperature, as the released code does with 0.07.
            None: do not.
    """
    pairs = compared(views, classes, temperature, memory, with_centres=False)
    value = softmax_loss(pairs.logits, pairs.is_candidate, shared_equally(pairs.is_positive, pairs.logits))
    return value if base_temperature is None else value._replace(loss=value.loss * (temperature / base_temperature))


def draw_positives(
    key: Array,
    views: Views,
    memory: Views | None,
    is_own: Bool[Array, "view candidate"],
    n_drawn: int,
    may_compare: Bool[Array, "view candidate"] | None = None,
) -> Bool[Array, "view candidate"]:
    """Return the positives of KCL: of every anchor the other views of its sample, and some more of its class.

    Args:
        key: of JAX's random numbers.
        is_own: which candidates (the views, then the memory) are views of the anchor's own sample.
        n_drawn: how many others are drawn, without replacement; all of them where there are fewer.
        may_compare: which candidates an anchor has, as for `kcl`; no other is drawn. None: all.
    """
    numbers = jax.random.uniform(key, is_own.shape, jnp.float32)
    return lowest_positives(numbers, views, memory, is_own, n_drawn, may_compare)


def lowest_positives(
    numbers: Float[Array, "view candidate"],
    views: Views,
    memory: Views | None,
    is_own: Bool[Array, "view candidate"],
    n_drawn: int,
    may_compare: Bool[Array, "view candidate"] | None = None,
) -> Bool[Array, "view candidate"]:
    """Return the positives as `draw_positives` does, but the others are those with the smallest of these numbers.

    Args:
        numbers: in [0, 1); of equal ones the candidate that stands first is taken.
        views, memory, is_own, n_drawn, may_compare: as for `draw_positives`.
    """
    pairs = _restricted(compared(views, Classes(), 1.0, memory, with_centres=False), None, may_compare)
    may_be_drawn = pairs.is_positive & ~is_own
    order = jnp.argsort(jnp.where(may_be_drawn, numbers, 2), axis=1)
    rank = jnp.argsort(order, axis=1)
    return pairs.is_positive & (is_own | (rank < n_drawn))


def kcl(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    is_drawn: Bool[Array, "view candidate"] | None = None,
    may_compare: Bool[Array, "view candidate"] | None = None,
) -> LossValue:
    """Return KCL: SupCon with as many positives for a frequent class as for a rare one.

    Args:
        views, classes, temperature, memory: see `labelled_views`; nothing about the classes is used.
        is_drawn: which candidates (the views, then the memory) are positives, see `draw_positives` (6 in the source).
            None: all of the class, which is SupCon.
        may_compare: which candidates an anchor has. None: all. In the released code, where the memory holds a queue and
            the keys of the batch, they are the queue and the anchor's own key.
    """
    pairs = _restricted(compared(views, classes, temperature, memory, with_centres=False), is_drawn, may_compare)
    return softmax_loss(pairs.logits, pairs.is_candidate, shared_equally(pairs.is_positive, pairs.logits))


def tsc(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    is_drawn: Bool[Array, "view candidate"] | None = None,
    may_compare: Bool[Array, "view candidate"] | None = None,
    target_weight: Number = 0.2,
) -> LossValue:
    """Return TSC: KCL in which a fixed target of its class is one more positive, and those of the others negatives.

    Args:
        views, temperature, memory: see `labelled_views`.
        classes: their centres are the targets, in the order of the classes (`centres.assign_targets`).
        is_drawn, may_compare: as for `kcl`; targets are always candidates.
        target_weight: how much the target counts among the positives, whose number it joins as a whole.
    """
    pairs = compared(views, classes, temperature, memory, with_centres=True)
    n_views = len(views.labels) + (0 if memory is None else len(memory.labels))
    n_targets = len(pairs.labels) - n_views
    more = [jnp.ones((len(views.labels), n_targets), bool)]
    chosen = (None if mask is None else jnp.concatenate([mask, *more], axis=1) for mask in (is_drawn, may_compare))
    pairs = _restricted(pairs, *chosen)
    is_target = jnp.arange(len(pairs.labels)) >= n_views
    weight = jnp.where(is_target, jnp.asarray(target_weight, pairs.logits.dtype), 1)[None, :]
    share = shared_equally(pairs.is_positive, pairs.logits) * weight
    return softmax_loss(pairs.logits, pairs.is_candidate, share)


def _restricted(pairs: Pairs, is_drawn: Array | None, may_compare: Array | None) -> Pairs:
    """Return the pairs with fewer candidates and fewer positives; a positive that is not drawn stays a candidate."""
    is_candidate = pairs.is_candidate if may_compare is None else pairs.is_candidate & may_compare
    is_positive = pairs.is_positive & is_candidate
    is_positive = is_positive if is_drawn is None else is_positive & is_drawn
    return pairs._replace(is_candidate=is_candidate, is_positive=is_positive)


def paco(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    pair_weight: Number = 0.01,
    class_weight: Number = 1.0,
) -> LossValue:
    """Return PaCo: one softmax over the outputs of a classifier, moved by the class sizes, and all candidates.

    Args:
        views: the queries, with the outputs of the classifier on their features (`logits`).
        classes: their counts are used.
        temperature: divides the similarities only, not the outputs of the classifier.
        memory: the keys, which a momentum encoder makes, and the queue.
        pair_weight, class_weight: how much each positive, and the true class, counts (alpha and beta of the source).
    """
    return gpaco(views, classes, temperature, memory, pair_weight=pair_weight, class_weight=class_weight)


def gpaco(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    pair_weight: Number = 0.01,
    class_weight: Number = 1.0,
    smoothing: Number = 0.0,
) -> LossValue:
    """Return GPaCo: PaCo without a momentum encoder, so both views of a sample are anchors and have a gradient.

    Args:
        views: both views of each sample, with the outputs of the classifier (`logits`).
        classes, temperature, pair_weight, class_weight: as for `paco`.
        memory: the queue.
        smoothing: part of the class weight that is spread evenly over the other classes.
    """
    if views.logits is None:
        raise ValueError("views.logits: wanted the outputs of a classifier, one row per view, got None: pass them")
    pairs = compared(views, classes, temperature, memory, with_centres=False)
    sizes, is_anchor = log_counts(classes, pairs.logits), pairs.is_valid[: len(views.labels), None]
    if views.logits.shape[1] != len(sizes):
        raise ValueError(f"views.logits: wanted {len(sizes)} columns, one per class, got {views.logits.shape[1]}")
    outputs = jnp.where(is_anchor, views.logits, 0) + (sizes - jax.nn.logsumexp(sizes))[None, :]
    is_true = views.labels[:, None] == jnp.arange(len(sizes), dtype=views.labels.dtype)[None, :]
    dtype, n_others = pairs.logits.dtype, max(len(sizes) - 1, 1)
    smooth, of_class, of_pair = (jnp.asarray(one, dtype) for one in (smoothing, class_weight, pair_weight))
    for_class = of_class * jnp.where(is_true, 1 - smooth, smooth / n_others)
    share = jnp.concatenate([for_class, jnp.where(pairs.is_positive, of_pair, 0)], axis=1)
    share = jnp.where(is_anchor, share, 0)
    total = jnp.sum(share, axis=1, keepdims=True)
    terms = jnp.concatenate([outputs, pairs.logits], axis=1)
    is_candidate = jnp.concatenate([jnp.broadcast_to(is_anchor, outputs.shape), pairs.is_candidate], axis=1)
    return softmax_loss(terms, is_candidate, share / jnp.where(total > 0, total, 1))
