"""The loss of a batch with labels: that of a classifier, and that of the embeddings.

Which rows feed which loss, and which are embedded by the masked network, is the same in every batch (`Roles`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from dynsim.bridge.networks import Network
from dynsim.bridge.options.loss_parts import (
    NO_CLASSIFIER,
    NO_CONTRAST,
    TRAIN_CLASSIFIER,
    WITH_KEYS,
    WITH_QUEUE,
    LossParts,
)
from dynsim.bridge.supervised.memory import LabelledKeys, candidates_of, drawn_pairs, entered
from dynsim.bridge.supervised.parts import WITH_PROTOTYPES, LabelParams, logits_of, prototypes_of
from dynsim.losses.centres import assigned_in_program, moved_centres
from dynsim.losses.contrastive import LossValue, normalise, with_gradient_of
from dynsim.losses.label_table import label_loss
from dynsim.losses.labelled_views import Classes, Views
from dynsim.losses.supervised import DRAWS_POSITIVES
from dynsim.prune import masks

WITH_CENTRES = ("acl", "tsc")
"""Losses that use running means of the classes."""


class Rows(NamedTuple):
    """The views of a batch."""

    images: Float[Array, "row side side 3"]
    """In [0, 1]."""
    labels: Int[Array, " row"]
    valid: Bool[Array, " row"]
    """False for padding."""
    numbers: Int[Array, " row"]
    """Which image of the set it is a view of."""


class ClassFacts(NamedTuple):
    """What is known about each class."""

    counts: Float[Array, " class"]
    """Training images."""
    weights: Float[Array, " class"]
    """Weight of its images in the classifier's loss."""
    centres: Float[Array, "class neuron"]
    """Running mean of its embeddings, of length one; zeros where it has not been seen."""
    targets: Float[Array, "class neuron"] | None = None
    """TSC: directions that are far apart, in the order in which they were made; else None."""


class Roles(NamedTuple):
    """Which rows of a batch do what: numbers of rows."""

    classified: tuple[int, ...]
    """Rows that feed the classifier's loss."""
    contrasted: tuple[int, ...]
    """Rows whose embeddings by the trained network the contrastive loss compares."""
    masked: tuple[int, ...]
    """Rows that the trained network embeds with the mask."""
    keys: tuple[int, ...] = ()
    """Rows that the second network embeds; the trained one does not."""
    entering: tuple[int, ...] = ()
    """Rows whose embeddings enter the queue."""

    @classmethod
    def of(cls, blocks: tuple[int, ...], roles: str, semantics: str | None, contrastive: str = NO_CONTRAST) -> "Roles":
        """Return the roles of rows that come in these blocks.

        Args:
            blocks: rows of each view.
            roles: shared or apart, see `options.labels.Supervised`.
            semantics: which views are masked, as in `options.pretraining.Masking`; None: nothing is.
            contrastive: the loss, by which there are keys and a queue or not.
        """
        ends = np.cumsum(blocks).tolist()
        view, total = [range(end - size, end) for end, size in zip(ends, blocks, strict=True)], ends[-1]
        compared = view[1].start if roles == "apart" else 0
        entering = tuple(view[2 if roles == "apart" else 1]) if contrastive in WITH_QUEUE else ()
        keys = entering if contrastive in WITH_KEYS else ()
        hidden: range | tuple[()] = ()
        if semantics not in (None, "masked_key"):
            hidden = range(ends[0], total) if semantics == "literal" else view[1]
        masked = tuple(row for row in hidden if row not in keys)
        dense = tuple(row for row in range(total) if row not in masked and row not in keys)
        classified = dense if roles == "shared" else tuple(view[0])
        return cls(classified, tuple(row for row in range(compared, total) if row not in keys), masked, keys, entering)


class Joint(NamedTuple):
    """What is made of the losses."""

    network: Network
    classifier: str
    contrastive: str
    parts: LossParts
    logit_scale: float
    semantics: str | None


class JointLoss(NamedTuple):
    """The loss of a batch, and what goes with it."""

    loss: Float[Array, ""]
    classifier: Float[Array, ""]
    contrastive: Float[Array, ""]
    positive_weight: Float[Array, ""]
    """Mean softmax weight of the positives in the contrastive loss; 0 without one."""
    stats: Any
    """Batch-norm statistics after the batch."""
    centres: Float[Array, "class neuron"]
    """Running means of the classes after the batch."""
    keys: LabelledKeys | None
    """Second network and queue after the batch, where the loss has them."""


def joint_loss(
    joint: Joint,
    params: LabelParams,
    stats: Any,
    mask: Any,
    rows: Rows,
    roles: Roles,
    facts: ClassFacts,
    keys: LabelledKeys | None,
    draws: Key[Array, ""],
    weight: Float[Array, ""],
    temperature: Float[Array, ""],
    centre_momentum: Float[Array, ""],
) -> JointLoss:
    """Return classifier's loss + weight * contrastive loss of a batch.

    Args:
        params, stats: as from `parts.first_params` and the network's `init`.
        mask: Booleans in the structure of the network's parameters, True = kept, None = never masked.
        keys: second network, which has followed the trained one already, and queue; None for losses without.
        draws: of the random numbers by which positives are drawn, where they are.
        weight: of the contrastive loss.
        centre_momentum: of the running means, which ACL compares with and by which TSC assigns its targets.
    """
    keys = jax.lax.stop_gradient(keys)
    seen = _embedded(joint, params["network"], stats, mask, rows, roles, keys)
    zero = jnp.float32(0)
    of_classifier, found, centres = LossValue(zero, zero), LossValue(zero, zero), facts.centres
    if joint.classifier != NO_CLASSIFIER:
        of_classifier = _classifier_value(joint, params, seen.features, rows, roles, facts)
    views = _views(seen, rows, roles.contrasted)
    if joint.contrastive in WITH_CENTRES:
        centres = moved_centres(facts.centres, views, centre_momentum)
    if joint.contrastive != NO_CONTRAST:
        # ACL compares with the means of before, TSC assigns by those after the batch, as in its code
        now = facts._replace(centres=centres) if joint.contrastive == "tsc" else facts
        found = _contrastive_value(joint, params, views, seen, rows, roles, now, keys, draws, temperature)
    if keys is not None:
        keys = keys._replace(moving=keys.moving._replace(stats=seen.key_stats))
        keys = entered(keys, _views(seen, rows, roles.entering))
    total = of_classifier.loss + weight * found.loss
    return JointLoss(total, of_classifier.loss, found.loss, found.positive_weight, seen.stats, centres, keys)


def _classifier_value(
    joint: Joint, params: LabelParams, features: Array, rows: Rows, roles: Roles, facts: ClassFacts
) -> LossValue:
    """Return the loss of the classifier."""
    classified = np.array(roles.classified)
    return label_loss(joint.classifier).function(
        logits_of(params["classifier"], features[classified], joint.logit_scale),
        rows.labels[classified],
        facts.counts,
        rows.valid[classified],
        class_weights=facts.weights,
        **joint.parts.of(joint.classifier),
    )


def _views(seen: "_Embedded", rows: Rows, which: tuple[int, ...]) -> Views:
    """Return some rows with embeddings of length one."""
    chosen = np.array(which)
    return Views(normalise(seen.embeddings[chosen]), rows.labels[chosen], rows.valid[chosen])


def _contrastive_value(
    joint: Joint,
    params: LabelParams,
    views: Views,
    seen: "_Embedded",
    rows: Rows,
    roles: Roles,
    facts: ClassFacts,
    keys: LabelledKeys | None,
    draws: Key[Array, ""],
    temperature: Float[Array, ""],
) -> LossValue:
    """Return the contrastive loss of views, with all that it compares them with."""
    name, parts = joint.contrastive, joint.parts
    anchors, more = np.array(roles.contrasted), dict(parts.of(name))
    centres, has_centre, memory = None, None, None
    if name in WITH_PROTOTYPES:
        centres = prototypes_of(params)
    elif name == "acl":
        centres, has_centre = facts.centres, jnp.any(facts.centres != 0, axis=1)
    elif name == "tsc":
        assert facts.targets is not None  # for the type checker: the run makes them for this loss
        centres = assigned_in_program(facts.centres, facts.targets)
    if name in TRAIN_CLASSIFIER:
        logits = logits_of(params["classifier"], seen.features[anchors], joint.logit_scale)
        views = views._replace(logits=logits)
    if keys is not None:
        own = np.array(roles.keys, np.int32)
        of_batch = _views(seen, rows, roles.keys) if roles.keys else None
        found = candidates_of(keys, rows.numbers[anchors], of_batch, rows.numbers[own])
        memory = found.memory
        if name in DRAWS_POSITIVES:
            more |= drawn_pairs(draws, views, found, parts)
    return label_loss(name).function(views, Classes(facts.counts, centres, has_centre), temperature, memory, **more)


class _Embedded(NamedTuple):
    """What the networks make of the rows of a batch; features of keys are of the second network, and feed nothing."""

    features: Float[Array, "row feature"]
    embeddings: Float[Array, "row neuron"]
    stats: Any
    key_stats: Any


def _embedded(
    joint: Joint, weights: Any, stats: Any, mask: Any, rows: Rows, roles: Roles, keys: LabelledKeys | None
) -> _Embedded:
    """Return features and embeddings of all rows; masked ones have batch norms of their own, if there are two sets."""
    others = {*roles.masked, *roles.keys}
    dense = tuple(row for row in range(len(rows.labels)) if row not in others)

    def through(weights: Any, stats: Any, which: tuple[int, ...], norm_set: int) -> tuple[Array, Array, Any]:
        images, valid = rows.images[np.array(which)], rows.valid[np.array(which)]
        found = joint.network.apply(weights, stats, images, train=True, norm_set=norm_set, valid=valid)
        return found.features, found.embeddings, found.stats

    last_set, parts, key_stats = joint.network.shape.norm_sets - 1, [], None
    if roles.masked:
        kept = masks.apply_mask(weights, mask)
        of_masked = kept if joint.semantics == "one_branch" else with_gradient_of(kept, weights)
        *masked, stats = through(of_masked, stats, roles.masked, last_set)
        parts.append((roles.masked, masked))
    *plain, stats = through(weights, stats, dense, 0)
    parts.append((dense, plain))
    if keys is not None and roles.keys:
        moving, hides = keys.moving, joint.semantics in ("literal", "masked_key")
        of_keys = masks.apply_mask(moving.params, mask) if hides else moving.params
        *made, key_stats = through(of_keys, moving.stats, roles.keys, last_set if hides else 0)
        parts.append((roles.keys, made))
    features, embeddings = plain
    if len(parts) > 1:
        place = np.argsort([row for which, _ in parts for row in which])
        features, embeddings = (
            jnp.concatenate(some)[place] for some in zip(*(found for _, found in parts), strict=True)
        )
    return _Embedded(features, embeddings, stats, key_stats)
