"""Published accuracies of classifiers on long-tailed images, beside which ours are set, in percent.

Each row is a quotation. Papers do not share one protocol: the text says what differs.
"""

from typing import NamedTuple

from experiments.long_tail.methods import ACL, BCL, ONE_VIEW


class PublishedAccuracy(NamedTuple):
    """One published number."""

    method: str
    images: str
    """cifar10 or cifar100."""
    imbalance: int
    value: float
    source: str
    protocol: str
    ours: str | None = None
    """The method of ours that is the nearest to it."""


TABLE = "table of arXiv 2506.01071 (ACL)"
RESNET_32 = "ResNet-32, AutoAugment and Cutout; epochs and how one was chosen not stated"
PROCO = "code page of ProCo"
PROCO_PROTOCOL = "ResNet-32, 200 epochs"
SADE = "code page of SADE"
SADE_PROTOCOL = "ResNet-32, three experts; outside runs 0.6 to 0.9 lower until its learning rate was corrected"

FROM_ACL = {
    "Balanced Softmax": ((50.8, 54.2, 63.0), ONE_VIEW),
    "PaCo": ((52.0, 56.0, 64.2), "PaCo"),
    "BCL": ((51.9, 56.6, 64.9), BCL),
    "GPaCo": ((52.3, 56.4, 65.4), "GPaCo"),
    "ACL": ((52.6, 56.9, 66.4), ACL),
}
"""CIFAR-100-LT with imbalance 100, 50 and 10."""

PUBLISHED_ACCURACIES = (
    *(
        PublishedAccuracy(method, "cifar100", imbalance, value, TABLE, RESNET_32, ours)
        for method, (values, ours) in FROM_ACL.items()
        for imbalance, value in zip((100, 50, 10), values, strict=True)
    ),
    PublishedAccuracy("several views and SupCon", "cifar100", 10, 65.6, TABLE, RESNET_32, "SupCon"),
    PublishedAccuracy("ProCo", "cifar100", 100, 52.8, PROCO, PROCO_PROTOCOL),
    PublishedAccuracy("ProCo", "cifar100", 50, 57.1, PROCO, PROCO_PROTOCOL),
    PublishedAccuracy("ProCo", "cifar100", 10, 65.5, PROCO, PROCO_PROTOCOL),
    PublishedAccuracy("ProCo", "cifar10", 100, 85.9, PROCO, PROCO_PROTOCOL),
    PublishedAccuracy("ProCo", "cifar10", 50, 88.2, PROCO, PROCO_PROTOCOL),
    PublishedAccuracy("SADE", "cifar10", 100, 83.8, SADE, SADE_PROTOCOL),
    PublishedAccuracy("SADE", "cifar10", 10, 90.8, SADE, SADE_PROTOCOL),
)
