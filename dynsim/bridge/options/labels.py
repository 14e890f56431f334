"""How a network is trained with labels: a classifier's loss, and beside it a contrastive loss of the embeddings.

The formulas of the losses are in `LABEL_LOSSES` of dynsim/losses/label_table.py, under the names that are used here.
"""

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from dynsim.bridge.options.network import NetworkShape
from dynsim.bridge.options.pretraining import Masking
from dynsim.bridge.options.views import RECIPES
from dynsim.config.checks import Section, choice, number, positive_int, require, words_and_flags

NO_CONTRAST = "none"
TRAINED_CLASSIFIERS = ("cross_entropy", "balanced_softmax", "logit_adjusted", "focal", "ldam")
TRAINED_CONTRASTS = ("sup_con", "bcl", "rcl", "acl")
NOT_TRAINED = {
    "kcl": "its positives are drawn from a queue of a second network's embeddings",
    "tsc": "its positives are drawn from a queue of a second network's embeddings",
    "paco": "it compares with a queue of a second network's embeddings",
    "gpaco": "it compares with a queue of older embeddings",
}
"""Losses of the table that need more than the views of a batch and a centre per class, which is what there is here."""
PARTS_OF = {
    "logit_adjusted": ("strength",),
    "focal": ("focus",),
    "ldam": ("largest_margin", "scale"),
    "bcl": ("count_anchor",),
    "rcl": ("averaged", "balanced", "feature_scale", "margin_strength", "count_anchor"),
    "acl": ("aligned", "reweighted", "centred", "mean_weight"),
}
"""Which of `LossParts` each loss takes; the others take none."""
VIEWS_BY_SIZE = {"many": 2, "medium": 3, "few": 4}
"""Views of an image whose class has more than 100 images, 20 to 100, or fewer than 20 (arXiv 2506.01071)."""


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
        for name in ("mean_weight", "feature_scale", "scale"):
            number(name, getattr(self, name), 0.0, open_low=True)
        for name in ("margin_strength", "strength", "focus", "largest_margin"):
            number(name, getattr(self, name), 0.0)

    def of(self, loss: str) -> dict[str, bool | float]:
        """Return the parts that a loss takes, by name."""
        return {name: getattr(self, name) for name in PARTS_OF.get(loss, ())}


@dataclass(frozen=True)
class Supervised(Section):
    """Everything that decides a training with labels but its images, their class sizes and its seed.

    The loss is that of the classifier plus `weight` times the contrastive one. The defaults are those of ACL on
    CIFAR-100-LT as far as they are published (arXiv 2506.01071); batch size, temperature, and the same crop for all
    views are those of the code of PaCo (Cui et al. 2021), to which it refers.
    """

    network: NetworkShape = field(
        default_factory=lambda: NetworkShape(architecture="resnet32", head_width=64, embedding_dim=32)
    )
    """Encoder, and the projection head whose embeddings the contrastive loss compares."""
    trained: Literal["all", "last_block", "last_block_and_norms"] = "all"
    """What of the encoder is trained: all; last_block, the last block of its last stage; last_block_and_norms, also the
    scales and biases of all its batch norms (Places-LT in the code of PaCo). The rest stays as it began; head and
    classifier are trained always, and all batch norms go on normalising by the batch."""
    masking: Masking = field(default_factory=Masking)
    """A mask over the encoder in the forward pass of the second view of each image, as in pre-training; with semantics
    literal, of all views that the contrastive loss compares. Masked views do not feed the classifier."""
    classifier: str = "balanced_softmax"
    """Loss of the classifier: cross_entropy, balanced_softmax, logit_adjusted, focal or ldam."""
    contrastive: str = "acl"
    """Loss of the embeddings: sup_con, bcl, rcl or acl; none: only the classifier is trained."""
    weight: float = 0.1
    """Weight of the contrastive loss."""
    temperature: float = 0.05
    """Temperature of the contrastive loss."""
    parts: LossParts = field(default_factory=LossParts)
    """Parts and constants of the losses."""
    cosine: bool = False
    """The classifier's logits are cosines of features and class weights, as LDAM's are; otherwise it is linear."""
    cosine_scale: float = 30.0
    """Factor of these cosines; LDAM has its own, `parts.scale`."""
    centre_momentum: float = 0.9
    """ACL: weight of the past in the running mean of each class, which its source leaves open."""
    reweight_from: int | None = None
    """Epoch, counted from 0, from which classes weigh by their effective numbers of images in the classifier's loss
    (deferred re-weighting; 160 of 200 in LDAM-DRW); None: never."""
    views: tuple[str, ...] = ("paco-auto", "paco-auto", "paco-auto", "paco-auto")
    """Views of an image: a name in `RECIPES` of dynsim/bridge/options/views.py for each."""
    view_counts: Literal["uniform", "by_size"] = "by_size"
    """uniform: all images have all views; by_size: the first 2 if their class has more than 100 images, the first 3 if
    it has 20 to 100, and 4 if it has fewer (ACL)."""
    roles: Literal["shared", "apart"] = "shared"
    """shared: all views feed both losses (ACL); apart: the first feeds the classifier, the others the contrastive loss
    (BCL)."""
    epochs: int = 200
    """Passes over the images."""
    batch_size: int = 128
    """Images in a batch, each with its views. The last batch of an epoch has what is left."""
    learning_rate: float = 0.07
    """Largest learning rate of SGD, reached after the warm-up."""
    schedule: Literal["steps", "cosine"] = "steps"
    """After the warm-up: steps, the learning rate falls by `step_factor` at each of `milestones`; cosine, it falls to 0
    along a cosine."""
    milestones: tuple[int, ...] = (160, 180)
    """Numbers of finished epochs at which the learning rate falls."""
    step_factor: float = 0.1
    """Factor of the learning rate at each milestone."""
    warmup_epochs: float = 10
    """Epochs in which the learning rate grows from 0 in proportion to the step."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Coefficient of the L2 penalty, on all parameters including biases and batch norm."""
    validate_every: int = 1
    """Epochs from one validation to the next; the last epoch is validated always. The epoch with the best accuracy, all
    classes counting alike, is kept. Without validation images it is the last one."""

    def __post_init__(self) -> None:
        self._check_losses()
        self._check_views()
        for name in ("epochs", "batch_size", "validate_every"):
            positive_int(name, getattr(self, name))
        require(self.batch_size > 1, "batch_size", "at least 2 images", self.batch_size)
        for name in ("learning_rate", "temperature", "step_factor", "cosine_scale"):
            number(name, getattr(self, name), 0.0, open_low=True)
        for name in ("weight", "warmup_epochs", "weight_decay"):
            number(name, getattr(self, name), 0.0)
        for name in ("momentum", "centre_momentum"):
            number(name, getattr(self, name), 0.0, 1.0)
        require(isinstance(self.milestones, tuple), "milestones", "a tuple of epochs", self.milestones)
        for epoch in self.milestones:
            positive_int("milestones", epoch)
        if self.reweight_from is not None:
            positive_int("reweight_from", self.reweight_from, 0)

    def _check_losses(self) -> None:
        """Refuse losses that are unknown or cannot be trained here, and parts that they do not have."""
        words_and_flags(self)
        choice("classifier", self.classifier, TRAINED_CLASSIFIERS)
        taken = (NO_CONTRAST, *TRAINED_CONTRASTS)
        for name, why in NOT_TRAINED.items():
            require(self.contrastive != name, "contrastive", f"one of {', '.join(taken)}", self.contrastive, why)
        choice("contrastive", self.contrastive, taken)
        known = {*PARTS_OF.get(self.classifier, ()), *PARTS_OF.get(self.contrastive, ())}
        plain = LossParts()
        for one in fields(plain):
            value = getattr(self.parts, one.name)
            fits = one.name in known or value == getattr(plain, one.name)
            losses = f"{self.classifier} and {self.contrastive}"
            require(fits, f"parts.{one.name}", f"its default, since {losses} have no such part", value)
        require(self.classifier != "ldam" or self.cosine, "cosine", "true for ldam, which needs cosines", False)
        contrasts = self.contrastive != NO_CONTRAST
        require(not contrasts or self.network.head_layers > 0, "network.head_layers", "a projection head", 0)
        require(self.network.norm_sets == 1 or self.is_masked, "network.norm_sets", "1 where nothing is masked", 2)

    def _check_views(self) -> None:
        """Refuse views that the losses cannot be computed from."""
        wanted = "the name of a recipe for each view, at least one"
        require(isinstance(self.views, tuple) and len(self.views) > 0, "views", wanted, self.views)
        for name in self.views:
            choice("views", name, tuple(RECIPES))
        by_size, most = self.view_counts == "by_size", max(VIEWS_BY_SIZE.values())
        require(not by_size or len(self.views) == most, "views", f"{most} for view_counts by_size", self.views)
        apart = self.roles == "apart"
        require(not (apart and by_size), "roles", "shared for view_counts by_size", self.roles)
        require(not apart or len(self.views) > 1, "views", "at least 2 for roles apart", self.views)
        require(not self.is_masked or len(self.views) > 1, "views", "at least 2 where the second is masked", self.views)
        literal = self.masking.semantics in ("literal", "straight_through") and self.is_masked
        contrasts = self.contrastive != NO_CONTRAST
        require(not self.is_masked or contrasts, "contrastive", "a loss that compares masked views", self.contrastive)
        straight = self.masking.semantics == "straight_through" and self.is_masked
        require(not straight, "masking.semantics", "literal, one_branch or masked_query", "straight_through")
        require(apart or not literal, "roles", "apart for semantics literal, which masks all shared views", self.roles)

    def values(self) -> dict[str, Any]:
        """Return the options as plain values, by which a run is told from others.

        `trained` is left out where all is trained, so that runs from before there was a choice are known again.
        """
        found = dataclasses.asdict(self)
        return {name: value for name, value in found.items() if (name, value) != ("trained", "all")}

    @property
    def is_masked(self) -> bool:
        """Whether weights are masked in the forward pass of some views."""
        return self.masking.kind != "none"
