"""Contrastive losses that treat frequent and rare classes differently: BCL, RCL and ACL.

All take (views, classes, temperature, memory) and return a `LossValue`. `LABEL_LOSSES` has their formulas and sources.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynsim.losses.contrastive import LossValue
from dynsim.losses.labelled_views import (
    Classes,
    Number,
    Pairs,
    Views,
    compared,
    log_counts,
    log_sum,
    mean_loss,
    shared_equally,
    softmax_loss,
)


def bcl(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    count_anchor: bool = False,
) -> LossValue:
    """Return BCL: the denominator averages within each class, and every class is there through its prototype.

    Args:
        views, temperature, memory: see `labelled_views`.
        classes: their centres are the prototypes, which are trained; their counts are not used.
        count_anchor: count the anchor, which is no candidate, among its class in that average. The released code does
            not. If it is counted, and all classes of the batch have one size, the loss is SupCon minus log(size).
    """
    return rcl(views, classes, temperature, memory, balanced=False, count_anchor=count_anchor)


def rcl(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    averaged: bool = True,
    balanced: bool = True,
    feature_scale: Number = 1.0,
    margin_strength: Number = 0.0,
    count_anchor: bool = False,
) -> LossValue:
    """Return RCL: up to three changes of BCL, or of SupCon, that make room for rare classes.

    The source's formula and its constants were not at hand: this is the closest form consistent with its abstract.

    Args:
        views, temperature, memory: see `labelled_views`.
        classes: counts are used if `balanced` or with margins; centres are the prototypes, None: there are none.
        averaged: average within each class, as BCL does. False: add up, as SupCon does.
        balanced: first part. Class sizes multiply numerator and denominator, as in Balanced Softmax.
        feature_scale: second part, a factor of all embeddings after they were normalised; its value is unknown. It
            does what a division of the temperature by its square does. 1: off.
        margin_strength: third part, its form and strength are unknown. Against a candidate of class j an anchor of
            class y must win by a margin of margin_strength * max(0, log(n_j/n_y)), in units of the temperature: the
            larger, the rarer its class. `balanced` alone has the margins log(n_j/n_y), negative ones too. 0: off.
        count_anchor: as for `bcl`.
    """
    pairs = compared(views, classes, temperature, memory, with_centres=True)
    pairs = pairs._replace(logits=pairs.logits * jnp.square(jnp.asarray(feature_scale, pairs.logits.dtype)))
    terms, numerators = pairs.logits, pairs.logits
    if averaged:
        terms = terms - jnp.log(_class_size(pairs, count_anchor))
    if balanced or not (isinstance(margin_strength, (int, float)) and margin_strength == 0):
        of_class = log_counts(classes, terms)
        of_candidate, of_anchor = of_class[pairs.labels][None, :], of_class[views.labels][:, None]
        if balanced:
            terms, numerators = terms + of_candidate, numerators + of_anchor
        terms = terms + jnp.asarray(margin_strength, terms.dtype) * jnp.maximum(of_candidate - of_anchor, 0)
    share = shared_equally(pairs.is_positive, terms)
    return softmax_loss(terms, pairs.is_candidate, share, numerators)


def _class_size(pairs: Pairs, count_anchor: bool) -> Float[Array, "view candidate"]:
    """Return for each pair how many of the batch, its memory and the prototypes have the candidate's class."""
    same = (pairs.labels[:, None] == pairs.labels[None, :]) & pairs.is_valid[None, :]
    size = jnp.broadcast_to(jnp.sum(same, axis=1)[None, :], pairs.logits.shape)
    if not count_anchor:
        size = jnp.where(pairs.is_positive, size - 1, size)
    return jnp.maximum(size, 1).astype(pairs.logits.dtype)


def _log_inverse_sizes(classes: Classes, mean_weight: Number, like: Array) -> Float[Array, "class"]:
    """Return the logarithms of weights proportional to one over the class sizes, with the given mean over classes."""
    inverse = -log_counts(classes, like)
    mean = jax.nn.logsumexp(inverse) - jnp.log(jnp.asarray(len(inverse), like.dtype))
    return inverse - mean + jnp.log(jnp.asarray(mean_weight, like.dtype))


def acl(
    views: Views,
    classes: Classes,
    temperature: Number,
    memory: Views | None = None,
    *,
    aligned: bool = True,
    reweighted: bool = True,
    centred: bool = True,
    mean_weight: Number = 1.0,
) -> LossValue:
    """Return ACL: positives do not compete with each other, and negatives weigh the more, the rarer their class.

    With all three parts off it is SupCon.

    Args:
        views, temperature, memory: see `labelled_views`.
        classes: counts are used if `reweighted`; centres, if `centred`: running means of the embeddings, see
            `centres.moved_centres`, whose momentum and start the source does not give.
        aligned: first part. The denominator of a positive holds that positive and the negatives.
            False: all positives and the negatives.
        reweighted: second part. A negative of class j has a weight proportional to 1/n_j. False: 1.
        centred: third part. The centre of the anchor's class is one more positive, the others are negatives.
        mean_weight: mean of the weights over the classes, which the source leaves open.
    """
    if centred and classes.centres is None:
        raise ValueError("classes.centres: wanted the centre of each class, got None: pass them or set centred=False")
    pairs = compared(views, classes, temperature, memory, with_centres=centred)
    is_negative = pairs.is_candidate & ~pairs.is_positive
    terms = pairs.logits
    if reweighted:
        of_negative = _log_inverse_sizes(classes, mean_weight, terms)[pairs.labels][None, :]
        terms = terms + jnp.where(is_negative, of_negative, 0)
    if aligned:
        negatives = log_sum(terms, is_negative)[:, None]
        total = jnp.logaddexp(terms, jnp.broadcast_to(negatives, terms.shape))
    else:
        total = log_sum(terms, pairs.is_candidate)[:, None]
    log_weight = jnp.where(pairs.is_positive, pairs.logits - total, 0)
    return mean_loss(log_weight, log_weight, shared_equally(pairs.is_positive, pairs.logits))
