"""The loss of a batch with labels: that of a classifier, and that of the embeddings.

Which rows feed which loss, and which are embedded by the masked network, is the same in every batch (`Roles`).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dynsim.bridge.networks import Network
from dynsim.bridge.options.labels import NO_CONTRAST, LossParts
from dynsim.bridge.supervised.parts import WITH_PROTOTYPES, LabelParams, logits_of, prototypes_of
from dynsim.losses.centres import moved_centres
from dynsim.losses.contrastive import LossValue, normalise, with_gradient_of
from dynsim.losses.label_table import label_loss
from dynsim.losses.labelled_views import Classes, Views
from dynsim.prune import masks


class Rows(NamedTuple):
    """The views of a batch."""

    images: Float[Array, "row side side 3"]
    """In [0, 1]."""
    labels: Int[Array, " row"]
    valid: Bool[Array, " row"]
    """False for padding."""


class ClassFacts(NamedTuple):
    """What is known about each class."""

    counts: Float[Array, " class"]
    """Training images."""
    weights: Float[Array, " class"]
    """Weight of its images in the classifier's loss."""
    centres: Float[Array, "class neuron"]
    """Running mean of its embeddings, of length one; zeros where it has not been seen."""


class Roles(NamedTuple):
    """Which rows of a batch do what: numbers of rows."""

    classified: tuple[int, ...]
    """Rows that feed the classifier's loss."""
    contrasted: tuple[int, ...]
    """Rows that feed the contrastive loss."""
    masked: tuple[int, int]
    """First and behind the last of the rows that the masked network embeds; the others it does not."""

    @classmethod
    def of(cls, blocks: tuple[int, ...], roles: str, semantics: str | None) -> "Roles":
        """Return the roles of rows that come in these blocks.

        Args:
            blocks: rows of each view.
            roles: shared or apart, see `options.labels.Supervised`.
            semantics: which views are masked, as in `options.pretraining.Masking`; None: nothing is.
        """
        ends = np.cumsum(blocks).tolist()
        first, total = ends[0], ends[-1]
        masked = (0, 0) if semantics is None else (first, total if semantics == "literal" else ends[1])
        dense = [row for row in range(total) if not masked[0] <= row < masked[1]]
        apart = roles == "apart"
        return cls(tuple(dense[:first] if apart else dense), tuple(range(first if apart else 0, total)), masked)


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


def joint_loss(
    joint: Joint,
    params: LabelParams,
    stats: Any,
    mask: Any,
    rows: Rows,
    roles: Roles,
    facts: ClassFacts,
    weight: Float[Array, ""],
    temperature: Float[Array, ""],
    centre_momentum: Float[Array, ""],
) -> JointLoss:
    """Return classifier's loss + weight * contrastive loss of a batch.

    Args:
        params, stats: as from `parts.first_params` and the network's `init`.
        mask: Booleans in the structure of the network's parameters, True = kept, None = never masked.
        weight: of the contrastive loss.
        centre_momentum: of the running means, which ACL compares with.
    """
    features, embeddings, stats = _embedded(joint, params["network"], stats, mask, rows, roles)
    classified, contrasted = np.array(roles.classified), np.array(roles.contrasted)
    logits = logits_of(params["classifier"], features[classified], joint.logit_scale)
    of_classifier = label_loss(joint.classifier).function(
        logits,
        rows.labels[classified],
        facts.counts,
        rows.valid[classified],
        class_weights=facts.weights,
        **joint.parts.of(joint.classifier),
    )
    views = Views(normalise(embeddings[contrasted]), rows.labels[contrasted], rows.valid[contrasted])
    zero = jnp.float32(0)
    found, centres = LossValue(zero, zero), facts.centres
    if joint.contrastive != NO_CONTRAST:
        found = contrastive_value(joint, params, views, facts, temperature)
    if joint.contrastive == "acl":
        centres = moved_centres(facts.centres, views, centre_momentum)
    total = of_classifier.loss + weight * found.loss
    return JointLoss(total, of_classifier.loss, found.loss, found.positive_weight, stats, centres)


def contrastive_value(
    joint: Joint, params: LabelParams, views: Views, facts: ClassFacts, temperature: Float[Array, ""]
) -> LossValue:
    """Return the contrastive loss of views, with the centres that it compares them with."""
    centres, has_centre = None, None
    if joint.contrastive in WITH_PROTOTYPES:
        centres = prototypes_of(params)
    elif joint.contrastive == "acl":
        centres, has_centre = facts.centres, jnp.any(facts.centres != 0, axis=1)
    classes = Classes(facts.counts, centres, has_centre)
    return label_loss(joint.contrastive).function(views, classes, temperature, **joint.parts.of(joint.contrastive))


def _embedded(joint: Joint, weights: Any, stats: Any, mask: Any, rows: Rows, roles: Roles) -> tuple[Array, Array, Any]:
    """Return features, embeddings and statistics; views of the masked network have batch norms of their own, if any."""
    begin, end = roles.masked
    dense = np.array([row for row in range(len(rows.labels)) if not begin <= row < end])

    def through(weights: Any, stats: Any, which: np.ndarray, norm_set: int) -> tuple[Array, Array, Any]:
        images, valid = rows.images[which], rows.valid[which]
        found = joint.network.apply(weights, stats, images, train=True, norm_set=norm_set, valid=valid)
        return found.features, found.embeddings, found.stats

    if joint.semantics is None:
        return through(weights, stats, dense, 0)
    kept = masks.apply_mask(weights, mask)
    seen = kept if joint.semantics == "one_branch" else with_gradient_of(kept, weights)
    last_set = joint.network.shape.norm_sets - 1
    *masked, stats = through(seen, stats, np.arange(begin, end), last_set)
    *plain, stats = through(weights, stats, dense, 0)
    features, embeddings = (
        jnp.concatenate([one[:begin], two, one[begin:]]) for one, two in zip(plain, masked, strict=True)
    )
    return features, embeddings, stats
