"""Losses that an image network can be trained with, by their names in dynsim/losses/label_table.py, and constants.

Some losses compare with embeddings of earlier batches, which a queue of fixed length keeps: each new one takes the
place of the oldest. In KCL, TSC and PaCo these are keys, the embeddings that a second network makes. Its parameters are
not trained: they follow those of the trained network slowly. GPaCo keeps embeddings of the trained network.
"""

from dataclasses import dataclass, fields
from typing import Any

from dynsim.config.checks import Section, number, positive_int, require, words_and_flags

NO_CONTRAST = "none"
NO_CLASSIFIER = "none"
TRAINED_CLASSIFIERS = ("cross_entropy", "balanced_softmax", "logit_adjusted", "focal", "ldam")
TRAINED_CONTRASTS = ("sup_con", "kcl", "tsc", "paco", "gpaco", "bcl", "rcl", "acl")
WITH_KEYS = ("kcl", "tsc", "paco")
"""Losses that compare with keys of a second network."""
WITH_QUEUE = (*WITH_KEYS, "gpaco")
"""Losses that compare with a queue."""
TRAIN_CLASSIFIER = ("paco", "gpaco")
"""Contrastive losses that train the classifier too: its outputs are candidates beside the embeddings."""
PARTS_OF = {
    "logit_adjusted": ("strength",),
    "focal": ("focus",),
    "ldam": ("largest_margin", "scale"),
    "tsc": ("target_weight",),
    "paco": ("pair_weight", "class_weight"),
    "gpaco": ("pair_weight", "class_weight", "smoothing"),
    "bcl": ("count_anchor",),
    "rcl": ("averaged", "balanced", "feature_scale", "margin_strength", "count_anchor"),
    "acl": ("aligned", "reweighted", "centred", "mean_weight"),
}
"""Which of `LossParts` are arguments of the function of a loss; the others have none."""
QUEUE_PARTS_OF = {
    "kcl": ("queue", "key_momentum", "positives", "from_batch"),
    "tsc": ("queue", "key_momentum", "positives", "from_batch"),
    "paco": ("queue", "key_momentum"),
    "gpaco": ("queue",),
}
"""Which of `LossParts` decide what a loss compares with; the others have none."""
OF_THE_QUEUE = {
    *(name for names in QUEUE_PARTS_OF.values() for name in names),
    *(name for loss in WITH_QUEUE for name in PARTS_OF.get(loss, ())),
}
"""Those of `LossParts` that only losses with a queue have."""


def parts_known(*losses: str) -> set[str]:
    """Return the names of those of `LossParts` that at least one of these losses has."""
    return {name for loss in losses for parts in (PARTS_OF, QUEUE_PARTS_OF) for name in parts.get(loss, ())}


@dataclass(frozen=True)
class LossParts(Section):
    """Parts and constants of the losses. One that the chosen losses do not have must stay as it is."""

    aligned: bool = True
    """ACL: the denominator of a positive holds that positive and the negatives, not the other positives."""
    reweighted: bool = True
    """ACL: a negative weighs the more, the rarer its class."""
    centred: bool = True
    """ACL: the running mean of each class is one more positive or negative."""
    mean_weight: float = 1.0
    """ACL: mean of the weights of negatives over the classes; its source leaves it open."""
    averaged: bool = True
    """RCL: average within each class of the denominator, as BCL does."""
    balanced: bool = True
    """RCL: class sizes multiply numerator and denominator."""
    feature_scale: float = 1.0
    """RCL: factor of the embeddings of length one; its source leaves it open. 1: off."""
    margin_strength: float = 0.0
    """RCL: strength of margins against more frequent classes; its source leaves it open. 0: off."""
    count_anchor: bool = False
    """BCL and RCL: count the anchor among its class in the average."""
    queue: int = 1024
    """KCL, TSC, PaCo, GPaCo: number of earlier embeddings, at least the batch size. The scripts of PaCo have 1024 for
    CIFAR; those of KCL and TSC, which are for ImageNet only, have 65536."""
    key_momentum: float = 0.999
    """KCL, TSC, PaCo: share of its parameters that the second network keeps at each step; the rest comes from the
    trained one."""
    positives: int = 6
    """KCL and TSC: how many positives are drawn for an anchor beside the other views of its own image; all there are,
    where there are fewer."""
    from_batch: bool = True
    """KCL and TSC: other images of the batch are candidates too. False: an anchor is compared with the other views of
    its own image and the queue alone, as in the code of TSC; the formula of KCL (Kang et al. 2021) leaves it open."""
    target_weight: float = 0.2
    """TSC: how much the target of its class counts among the positives of an anchor."""
    pair_weight: float = 0.01
    """PaCo and GPaCo: how much each positive counts (alpha in their sources)."""
    class_weight: float = 1.0
    """PaCo and GPaCo: how much the output of the classifier for the true class counts (beta in their code)."""
    smoothing: float = 0.0
    """GPaCo: part of the class weight that is spread evenly over the other classes. Its scripts for CIFAR were not
    released, so the value for them is open; 0: off."""
    strength: float = 1.0
    """Logit adjustment: factor of the logarithms of the class sizes."""
    focus: float = 1.0
    """Focal loss: exponent of 1 - q."""
    largest_margin: float = 0.5
    """LDAM: margin of the rarest class."""
    scale: float = 30.0
    """LDAM: factor of the logits."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        for name in ("mean_weight", "feature_scale", "class_weight", "scale"):
            number(name, getattr(self, name), 0.0, open_low=True)
        for name in ("margin_strength", "target_weight", "pair_weight", "strength", "focus", "largest_margin"):
            number(name, getattr(self, name), 0.0)
        for name in ("key_momentum", "smoothing"):
            number(name, getattr(self, name), 0.0, 1.0)
        positive_int("queue", self.queue)
        positive_int("positives", self.positives, 0)

    def of(self, loss: str) -> dict[str, Any]:
        """Return the parts that the function of a loss takes, by name."""
        return {name: getattr(self, name) for name in PARTS_OF.get(loss, ())}

    def check_for(self, classifier: str, contrastive: str) -> None:
        """Refuse a part that neither of the losses has, unless it is as it was. Errors: `ConfigError` in one line."""
        known, plain = parts_known(classifier, contrastive), LossParts()
        for one in fields(plain):
            value = getattr(self, one.name)
            fits = one.name in known or value == getattr(plain, one.name)
            wanted = f"its default, since {classifier} and {contrastive} have no such part"
            require(fits, f"parts.{one.name}", wanted, value, f"name the loss too, as in {_option_for(one.name)}")


def _option_for(part: str) -> str:
    """Return the option that chooses the first loss with a part."""
    loss = next(one for one in (*TRAINED_CLASSIFIERS, *TRAINED_CONTRASTS) if part in parts_known(one))
    return f"--{'classifier' if loss in TRAINED_CLASSIFIERS else 'contrastive'} {loss}"
