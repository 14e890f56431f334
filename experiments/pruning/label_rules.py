"""Which class a sample has: the rules by name."""

import jax.numpy as jnp

from dynsim.engine.data import Batch
from dynsim.engine.label_loss import LabelRule, SampleLabels, most_frequent_feature, own_class, rarest_feature
from dynsim.engine.numbers import Numbers


def other_labels(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return for each sample the class of the one before: as many of each class, none of its own content."""
    found = rarest_feature(batch, numbers)
    return found._replace(labels=jnp.roll(found.labels, 1))


LABEL_RULES: dict[str, LabelRule] = {
    "rarest feature": rarest_feature,
    "most frequent feature": most_frequent_feature,
    "other sample": other_labels,
    "own class": own_class,
}
