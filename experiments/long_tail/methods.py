"""The methods of the comparison: which losses each has, and how a published one differs from the others.

The methods that are compared share the network with its head, the first weights, the images, the recipe and number of
views, the optimiser, the weight and the temperature of the contrastive loss. All contrastive ones have Balanced Softmax
as the classifier's loss, so that they differ in the contrastive loss alone. This holds for SupCon too: the joint loss
is what ACL compares itself with (arXiv 2506.01071), and SupCon's own two stages would differ in more than the loss.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from dynsim.bridge.options import LossParts, Masking, Supervised
from dynsim.bridge.options.loss_parts import NO_CONTRAST, parts_known

CROSS_ENTROPY, BALANCED, ONE_VIEW = "cross-entropy", "Balanced Softmax", "Balanced Softmax, one view"
SUP_CON, BCL, RCL, ACL = "SupCon", "BCL", "RCL", "ACL"
NEUTRAL = "balanced_softmax"


class Method(NamedTuple):
    """One method."""

    text: str
    """What it is, in a few words."""
    change: Callable[[Supervised], Supervised]
    """(options that all methods share) -> options of this method."""


def with_losses(options: Supervised, classifier: str, contrastive: str) -> Supervised:
    """Return options with these losses, and of the parts only those that they have; a mask needs embeddings."""
    known = parts_known(classifier, contrastive)
    parts = LossParts(**{name: getattr(options.parts, name) for name in known})
    network, masking = options.network, options.masking
    if contrastive == NO_CONTRAST:
        network, masking = dataclasses.replace(network, norm_sets=1), Masking()
    return dataclasses.replace(
        options, classifier=classifier, contrastive=contrastive, parts=parts, network=network, masking=masking
    )


def _losses(classifier: str, contrastive: str) -> Callable[[Supervised], Supervised]:
    return lambda options: with_losses(options, classifier, contrastive)


def _one_view(options: Supervised) -> Supervised:
    alone = with_losses(options, NEUTRAL, NO_CONTRAST)
    return dataclasses.replace(alone, view_counts="uniform", roles="shared", views=options.views[:1])


def _published_bcl(options: Supervised) -> Supervised:
    return dataclasses.replace(
        with_losses(options, NEUTRAL, "bcl"),
        network=dataclasses.replace(options.network, head_width=512, embedding_dim=128),
        views=("paco-auto", "paco-sim", "paco-sim"),
        view_counts="uniform",
        roles="apart",
        cosine=True,
        weight=0.3,
        temperature=0.1,
        batch_size=256,
        learning_rate=0.15,
        warmup_epochs=5.0,
    )


LOSS_METHODS = {
    CROSS_ENTROPY: Method("cross-entropy alone", _losses("cross_entropy", NO_CONTRAST)),
    ONE_VIEW: Method("Balanced Softmax alone, one view of each image", _one_view),
    BALANCED: Method("Balanced Softmax alone, with as many views as the others", _losses(NEUTRAL, NO_CONTRAST)),
    SUP_CON: Method("Balanced Softmax and SupCon", _losses(NEUTRAL, "sup_con")),
    BCL: Method("Balanced Softmax and BCL", _losses(NEUTRAL, "bcl")),
    RCL: Method("Balanced Softmax and RCL, in the form of dynsim", _losses(NEUTRAL, "rcl")),
    ACL: Method("Balanced Softmax and ACL", _losses(NEUTRAL, "acl")),
    "KCL": Method("Balanced Softmax and KCL, with a queue of a second network's embeddings", _losses(NEUTRAL, "kcl")),
    "TSC": Method("Balanced Softmax and TSC, with a queue of a second network's embeddings", _losses(NEUTRAL, "tsc")),
    "PaCo": Method(
        "Balanced Softmax and PaCo, with a queue of a second network's embeddings", _losses(NEUTRAL, "paco")
    ),
    "GPaCo": Method("Balanced Softmax and GPaCo, with a queue of earlier embeddings", _losses(NEUTRAL, "gpaco")),
    "published BCL": Method(
        "BCL's views, head, classifier and learning rate; the weights of its losses are those of a port",
        _published_bcl,
    ),
}
COMPARED_METHODS = (CROSS_ENTROPY, ONE_VIEW, BALANCED, SUP_CON, BCL, RCL, ACL)
