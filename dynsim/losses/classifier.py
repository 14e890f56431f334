"""Losses of a classifier for classes of very different sizes.

All take (logits, labels, counts, is_valid): one row of logits per sample and one column per class, the class of each
sample, the number of training samples of each class, and which samples are no padding. All return a `LossValue`: the
mean loss, and the mean probability of the true class in the softmax that the loss has. `class_weights` weigh the
samples of a class, and the means are weighted means; `deferred_weights` are the usual ones. `LABEL_LOSSES` has formulas
and sources.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from dynsim.losses.contrastive import LossValue
from dynsim.losses.labelled_views import LEAST_COUNT, Number, check_counts, check_labels


def cross_entropy(
    logits: Float[Array, "sample class"],
    labels: Int[Array, "sample"],
    counts: Shaped[Array, "class"],
    is_valid: Bool[Array, "sample"] | None = None,
    *,
    class_weights: Float[Array, "class"] | None = None,
) -> LossValue:
    """Return cross-entropy; class sizes are not used. The arguments are those of the module."""
    log_p, weight = _true_class(logits, labels, counts, is_valid, class_weights)
    return _weighted_mean(-log_p, log_p, weight)


def balanced_softmax(
    logits: Float[Array, "sample class"],
    labels: Int[Array, "sample"],
    counts: Shaped[Array, "class"],
    is_valid: Bool[Array, "sample"] | None = None,
    *,
    class_weights: Float[Array, "class"] | None = None,
) -> LossValue:
    """Return Balanced Softmax: cross-entropy of the logits plus log n_c. The arguments are those of the module."""
    return logit_adjusted(logits, labels, counts, is_valid, class_weights=class_weights)


def logit_adjusted(
    logits: Float[Array, "sample class"],
    labels: Int[Array, "sample"],
    counts: Shaped[Array, "class"],
    is_valid: Bool[Array, "sample"] | None = None,
    *,
    class_weights: Float[Array, "class"] | None = None,
    strength: Number = 1.0,
) -> LossValue:
    """Return cross-entropy of the logits plus strength * log pi_c, pi_c being the share of class c in training.

    A common number added to all logits changes nothing, so strength 1 is Balanced Softmax. The other arguments are
    those of the module.
    """
    moved = logits + jnp.asarray(strength, logits.dtype) * _log_share(counts, logits)
    log_p, weight = _true_class(moved, labels, counts, is_valid, class_weights)
    return _weighted_mean(-log_p, log_p, weight)


def post_hoc_logits(
    logits: Float[Array, "sample class"], counts: Shaped[Array, "class"], strength: Number = 1.0
) -> Float[Array, "sample class"]:
    """Return logits minus strength * log pi_c, to predict with after plain training (logit adjustment, post-hoc)."""
    return logits - jnp.asarray(strength, logits.dtype) * _log_share(counts, logits)


def focal(
    logits: Float[Array, "sample class"],
    labels: Int[Array, "sample"],
    counts: Shaped[Array, "class"],
    is_valid: Bool[Array, "sample"] | None = None,
    *,
    class_weights: Float[Array, "class"] | None = None,
    focus: Number = 1.0,
) -> LossValue:
    """Return the focal loss -(1-p)^focus log p, p being the probability of the true class; class sizes are not used.

    The released code of LDAM reads p from a loss that class weights have multiplied already; here p is a probability.
    The other arguments are those of the module.
    """
    log_p, weight = _true_class(logits, labels, counts, is_valid, class_weights)
    missing = -jnp.expm1(log_p)  # 1-p without cancellation
    # where p rounds to 1 the loss is zero anyway, and a power of zero would have an infinite derivative
    factor = jnp.where(missing > 0, jnp.power(jnp.where(missing > 0, missing, 1), jnp.asarray(focus, log_p.dtype)), 0)
    return _weighted_mean(-factor * log_p, log_p, weight)


def ldam(
    logits: Float[Array, "sample class"],
    labels: Int[Array, "sample"],
    counts: Shaped[Array, "class"],
    is_valid: Bool[Array, "sample"] | None = None,
    *,
    class_weights: Float[Array, "class"] | None = None,
    largest_margin: Number = 0.5,
    scale: Number = 30.0,
) -> LossValue:
    """Return LDAM: cross-entropy of scale * (logits, less a margin for the true class), margins growing as n^(-1/4).

    Args:
        logits: cosines of features and class weights, between -1 and 1.
        labels, counts, is_valid: those of the module.
        class_weights: those of the module; `deferred_weights` makes it LDAM-DRW.
        largest_margin: margin of the rarest class.
        scale: factor of all logits after the margin.
    """
    check_batch(logits, labels, counts, is_valid)
    size = _sizes(counts, logits)
    margins = jnp.asarray(largest_margin, logits.dtype) * jnp.power(jnp.min(size) / size, 0.25)
    moved = jnp.asarray(scale, logits.dtype) * (logits - jnp.where(_is_true(logits, labels), margins[None, :], 0))
    log_p, weight = _true_class(moved, labels, counts, is_valid, class_weights)
    return _weighted_mean(-log_p, log_p, weight)


def effective_number_weights(counts: Shaped[Array, "class"], base: float = 0.9999) -> Float[Array, "class"]:
    """Return class weights proportional to (1-b)/(1-b^n), b being the base, with mean 1 over the classes.

    They go from all equal, for a base of 0, to one over the class sizes, for a base near 1.
    """
    if not 0 <= base < 1:
        raise ValueError(f"base: wanted a number from 0 up to but not 1, got {base}")
    size = jnp.asarray(counts, jnp.result_type(float))
    inverse = 1 / -jnp.expm1(size * math.log(base)) if base > 0 else jnp.ones_like(size)
    return inverse / jnp.mean(inverse)


def deferred_weights(
    counts: Shaped[Array, "class"], epoch: Int[Array, ""] | int, *, first_epoch: int = 160, base: float = 0.9999
) -> Float[Array, "class"]:
    """Return ones before the first epoch of re-weighting, and `effective_number_weights` from it on (DRW)."""
    weights = effective_number_weights(counts, base)
    return jnp.where(epoch >= first_epoch, weights, jnp.ones_like(weights))


def _log_share(counts: Array, logits: Array) -> Float[Array, "1 class"]:
    """Return log pi_c as one row, in the precision of the logits."""
    sizes = jnp.log(_sizes(counts, logits))
    return (sizes - jax.nn.logsumexp(sizes))[None, :]


def _sizes(counts: Array, logits: Array) -> Float[Array, "class"]:
    """Return the class sizes in the precision of the logits. Errors: not one per column, in one line."""
    n_classes = logits.shape[1]
    if counts is None or len(counts) != n_classes:
        got = "None" if counts is None else len(counts)
        raise ValueError(f"counts: wanted {n_classes} numbers, one per column of the logits, got {got}")
    return jnp.maximum(jnp.asarray(counts, logits.dtype), LEAST_COUNT)


def _is_true(logits: Array, labels: Array) -> Bool[Array, "sample class"]:
    return labels[:, None] == jnp.arange(logits.shape[1], dtype=labels.dtype)[None, :]


def _true_class(
    logits: Array, labels: Array, counts: Array, is_valid: Array | None, class_weights: Array | None
) -> tuple[Float[Array, "sample"], Float[Array, "sample"]]:
    """Return log-probability and weight of the true class of each sample; padding has weight zero."""
    check_batch(logits, labels, counts, is_valid)
    valid = jnp.ones(len(labels), bool) if is_valid is None else is_valid
    is_true = _is_true(logits, labels)
    log_p = jax.nn.log_softmax(jnp.where(valid[:, None], logits, 0), axis=1)  # padding may hold anything, even nan
    of_class = (
        jnp.ones(logits.shape[1], logits.dtype) if class_weights is None else jnp.asarray(class_weights, logits.dtype)
    )
    weight = jnp.sum(jnp.where(is_true & valid[:, None], of_class[None, :], 0), axis=1)
    return jnp.sum(jnp.where(is_true, log_p, 0), axis=1), weight


def _weighted_mean(loss: Array, log_p: Array, weight: Array) -> LossValue:
    total = jnp.sum(weight)
    total = jnp.where(total > 0, total, 1)
    return LossValue(jnp.sum(weight * loss) / total, jnp.sum(weight * jnp.exp(log_p)) / total)


def check_batch(logits: Array, labels: Array, counts: Array, is_valid: Array | None) -> None:
    """Refuse, in one line, what does not fit together. Values are looked at outside compiled functions only."""
    n_samples, n_classes = logits.shape
    if n_samples == 0:
        raise ValueError("logits: wanted at least one sample, got none: leave the batch out")
    for name, rows in (("labels", labels), ("is_valid", is_valid)):
        if rows is not None and len(rows) != n_samples:
            raise ValueError(f"{name}: wanted {n_samples} values, one per row of the logits, got {len(rows)}")
    _sizes(counts, logits)
    check_labels("labels", labels, is_valid, n_classes)
    check_counts(counts)
