"""What the contrastive losses with labels compare: views of samples, and one centre per class.

A view is one augmented copy of a sample; a loss sees its embedding and its class. Every valid view is an anchor in
turn. Its candidates are the other views, the memory (embeddings that are kept from before, such as a queue), and, in
some of the losses, the centres of the classes. Candidates of the anchor's own class are its positives, all others its
negatives. An anchor without a positive has no loss and is left out of the mean.

Shapes never depend on the batch: views, memory entries and centres that are not there are marked, and change nothing.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from dynsim.losses.contrastive import LossValue, log_sum_exp

Number: TypeAlias = Float[Array, ""] | float

LEAST_COUNT = 1e-12  # in place of a class size of zero, whose logarithm would not be finite


class Views(NamedTuple):
    """Views of samples.

    The published losses are about embeddings of length one; `contrastive.normalise` makes them so.
    """

    embeddings: Float[Array, "view neuron"]
    labels: Int[Array, "view"]
    is_valid: Bool[Array, "view"] | None = None  # False for padding; None: all are valid
    logits: Float[Array, "view class"] | None = None  # outputs of a classifier, which PaCo and GPaCo compare too


class Classes(NamedTuple):
    """What is known about each class. The centre of a class has its embedding space and belongs to no sample."""

    counts: Shaped[Array, "class"] | None = None  # training samples of each class, or numbers proportional to them
    centres: Float[Array, "class neuron"] | None = None  # prototypes (BCL, RCL), running means (ACL), targets (TSC)
    has_centre: Bool[Array, "class"] | None = None  # False where there is no centre yet; None: all have one


class Pairs(NamedTuple):
    """Every anchor with every candidate: the views, then the memory, then the centres."""

    logits: Float[Array, "view candidate"]  # similarity over temperature
    is_candidate: Bool[Array, "view candidate"]
    is_positive: Bool[Array, "view candidate"]
    labels: Int[Array, "candidate"]
    is_valid: Bool[Array, "candidate"]


def compared(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None,
    *,
    with_centres: bool,
) -> Pairs:
    """Return all pairs of anchors and candidates; no gradient goes into the memory."""
    check_views(views, classes, memory)
    groups = [views]
    if memory is not None:
        groups.append(memory._replace(embeddings=jax.lax.stop_gradient(memory.embeddings)))
    if with_centres and classes.centres is not None:
        own = jnp.arange(len(classes.centres), dtype=views.labels.dtype)
        groups.append(Views(classes.centres, own, classes.has_centre))
    is_valid = jnp.concatenate([valid(group) for group in groups])
    labels = jnp.concatenate([jnp.asarray(group.labels) for group in groups])
    embeddings = jnp.concatenate([_blanked(group) for group in groups])
    n = len(views.labels)
    is_candidate = ~jnp.eye(n, len(labels), dtype=bool)
    if any(group.is_valid is not None for group in groups):  # without padding there is less to compile
        is_candidate = is_valid[:n, None] & is_valid[None, :] & is_candidate
    same = labels[:n, None] == labels[None, :]
    return Pairs(embeddings[:n] @ embeddings.T / temperature, is_candidate, is_candidate & same, labels, is_valid)


def valid(views: Views) -> Bool[Array, "view"]:
    """Return which views are no padding."""
    return jnp.ones(len(views.labels), bool) if views.is_valid is None else jnp.asarray(views.is_valid)


def _blanked(views: Views) -> Array:
    """Return the embeddings, with zeros for padding: a padded row may hold anything, even nan."""
    if views.is_valid is None:
        return views.embeddings
    return jnp.where(valid(views)[:, None], views.embeddings, 0)


def log_counts(classes: Classes, like: Array) -> Float[Array, "class"]:
    """Return the logarithm of the class sizes in the precision of `like`."""
    if classes.counts is None:
        raise ValueError("classes.counts: wanted the number of training samples of each class, got None: pass them")
    return jnp.log(jnp.maximum(jnp.asarray(classes.counts, like.dtype), LEAST_COUNT))


def log_sum(terms: Float[Array, "view candidate"], is_in: Bool[Array, "view candidate"]) -> Float[Array, "view"]:
    """Return per row log sum e^term over what is in: -inf, with a gradient of zero, if nothing is."""
    total = log_sum_exp(jnp.where(is_in, terms, -jnp.inf))
    return jnp.where(jnp.any(is_in, axis=1), total, -jnp.inf)  # the same value, but without 0/0 in its derivative


def shared_equally(is_positive: Bool[Array, "view candidate"], like: Array) -> Float[Array, "view candidate"]:
    """Return one over the number of positives of the row for each of them, zero elsewhere."""
    number = jnp.maximum(jnp.sum(is_positive, axis=1, keepdims=True), 1)
    return jnp.where(is_positive, 1 / number.astype(like.dtype), 0)


def mean_loss(
    log_ratio: Float[Array, "view candidate"],
    log_weight: Float[Array, "view candidate"],
    share: Float[Array, "view candidate"],
) -> LossValue:
    """Return the mean over anchors i of -sum_p share_ip log_ratio_ip, and that of the positives' softmax weights.

    Args:
        log_ratio: logarithm of what the loss asks to be large, for each positive.
        log_weight: logarithm of the part of the candidate in the denominator, its softmax weight.
        share: how much a positive counts; zero for all that are none. An anchor with zeros only is left out.
    """
    total = jnp.sum(share, axis=1)
    counted = total > 0
    n_counted = jnp.maximum(jnp.sum(counted), 1).astype(share.dtype)
    is_in = share > 0
    loss = -jnp.sum(share * jnp.where(is_in, log_ratio, 0), axis=1)
    weight = jnp.sum(share * jnp.exp(jnp.where(is_in, log_weight, 0)), axis=1) / jnp.where(counted, total, 1)
    return LossValue(jnp.sum(loss) / n_counted, jnp.sum(weight) / n_counted)


def softmax_loss(
    terms: Float[Array, "view candidate"],
    is_candidate: Bool[Array, "view candidate"],
    share: Float[Array, "view candidate"],
    numerators: Float[Array, "view candidate"] | None = None,
) -> LossValue:
    """Return `mean_loss` of log( e^numerator / sum_c e^term ) over the candidates c; numerators are terms if None."""
    total = log_sum(terms, is_candidate)[:, None]
    log_weight = terms - total
    return mean_loss(log_weight if numerators is None else numerators - total, log_weight, share)


def check_views(views: Views, classes: Classes, memory: Views | None) -> None:
    """Refuse, in one line, what does not fit together. Values are looked at outside compiled functions only."""
    width = views.embeddings.shape[-1]
    sizes = {len(rows) for rows in (classes.counts, classes.centres, classes.has_centre) if rows is not None}
    if len(sizes) > 1:
        raise ValueError(f"classes: wanted counts, centres and has_centre of one length, got {sorted(sizes)}")
    n_classes = next(iter(sizes), None)
    for name, group in (("views", views), ("memory", memory)):
        if group is not None:
            _check_group(name, group, width, n_classes)
    if views.embeddings.shape[0] == 0:
        raise ValueError("views.embeddings: wanted at least one view, got none: leave the batch out")
    if classes.centres is not None and classes.centres.shape[-1] != width:
        raise ValueError(
            f"classes.centres: wanted {width} columns, as in the embeddings, got {classes.centres.shape[-1]}"
        )
    check_counts(classes.counts)


def _check_group(name: str, group: Views, width: int, n_classes: int | None) -> None:
    if group.embeddings.ndim != 2 or group.embeddings.shape[1] != width:
        raise ValueError(f"{name}.embeddings: wanted the shape (view, {width}), got {group.embeddings.shape}")
    for field in ("labels", "is_valid", "logits"):
        rows = getattr(group, field)
        if rows is not None and len(rows) != len(group.embeddings):
            n_rows = len(group.embeddings)
            raise ValueError(f"{name}.{field}: wanted {n_rows} rows, one per embedding, got {len(rows)}")
    check_labels(f"{name}.labels", group.labels, group.is_valid, n_classes)


def check_labels(name: str, labels: Any, is_valid: Any, n_classes: int | None) -> None:
    """Refuse the label of a valid row for which there is no class, where labels can be seen."""
    if n_classes is None or isinstance(labels, jax.core.Tracer) or isinstance(is_valid, jax.core.Tracer):
        return
    seen = np.asarray(labels)[np.asarray(is_valid) if is_valid is not None else slice(None)]
    wrong = seen[(seen < 0) | (seen >= n_classes)]
    if wrong.size:
        raise ValueError(f"{name}: wanted classes from 0 to {n_classes - 1}, got {wrong[0]}: mark padding in is_valid")


def check_counts(counts: Any) -> None:
    """Refuse class sizes that are not positive, where they can be seen."""
    if counts is None or isinstance(counts, jax.core.Tracer):
        return
    empty = np.flatnonzero(~(np.asarray(counts) > 0))
    if empty.size:
        raise ValueError(
            f"counts: wanted a positive number for each class, got {counts[empty[0]]} for class {empty[0]}"
        )
