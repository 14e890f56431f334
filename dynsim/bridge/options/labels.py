"""How a network is trained with labels: a classifier's loss, and beside it a contrastive loss of the embeddings.

The formulas of the losses are in `LABEL_LOSSES` of dynsim/losses/label_table.py, under the names that are used here.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from dynsim.bridge.options.loss_parts import (
    NO_CLASSIFIER,
    NO_CONTRAST,
    OF_THE_QUEUE,
    TRAIN_CLASSIFIER,
    TRAINED_CLASSIFIERS,
    TRAINED_CONTRASTS,
    WITH_KEYS,
    WITH_QUEUE,
    LossParts,
    parts_known,
)
from dynsim.bridge.options.network import NetworkShape
from dynsim.bridge.options.pretraining import Masking
from dynsim.bridge.options.views import RECIPES
from dynsim.config.checks import Section, choice, number, positive_int, require, words_and_flags

VIEWS_BY_SIZE = {"many": 2, "medium": 3, "few": 4}
"""Views of an image whose class has more than 100 images, 20 to 100, or fewer than 20 (arXiv 2506.01071)."""


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
    literal, of all views that the contrastive loss compares; with masked_key, for kcl, tsc and paco, of the view that
    the second network embeds. The classifier's loss takes only views without the mask. But paco and gpaco train
    the classifier too, through its outputs for all views that the trained network embeds, masked ones included."""
    classifier: str = "balanced_softmax"
    """Loss of the classifier: cross_entropy, balanced_softmax, logit_adjusted, focal or ldam. paco and gpaco train the
    classifier themselves: with them it may be none, as in their sources; set weight to 1 then."""
    contrastive: str = "acl"
    """Loss of the embeddings: sup_con, kcl, tsc, paco, gpaco, bcl, rcl or acl; none: only the classifier is trained. In
    kcl, tsc and paco a second network embeds one view of each image, its key; the trained one embeds the others."""
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
    """ACL and TSC: weight of the past in the running mean of each class. The source of ACL leaves it open; it is 0.9 in
    the code of TSC."""
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
    (BCL). The key of an image is the second of the views that feed the contrastive loss, and feeds nothing else."""
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
        room = f"at least the batch size, {self.batch_size}, since one view of each image enters it"
        fits = self.contrastive not in WITH_QUEUE or self.parts.queue >= self.batch_size
        require(fits, "parts.queue", room, self.parts.queue)
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
        """Refuse losses that are unknown or do not go together, and parts that they do not have."""
        words_and_flags(self)
        choice("contrastive", self.contrastive, (NO_CONTRAST, *TRAINED_CONTRASTS))
        trains = self.contrastive in TRAIN_CLASSIFIER
        choice("classifier", self.classifier, (*TRAINED_CLASSIFIERS, *((NO_CLASSIFIER,) if trains else ())))
        self.parts.check_for(self.classifier, self.contrastive)
        require(self.classifier != "ldam" or self.cosine, "cosine", "true for ldam, which needs cosines", False)
        other = f"another than ldam with {self.contrastive}, whose softmax needs outputs that have their factor already"
        require(not (trains and self.classifier == "ldam"), "classifier", other, "ldam")
        contrasts = self.contrastive != NO_CONTRAST
        require(not contrasts or self.network.head_layers > 0, "network.head_layers", "a projection head", 0)
        require(self.network.norm_sets == 1 or self.is_masked, "network.norm_sets", "1 where nothing is masked", 2)
        if self.classifier == NO_CLASSIFIER:
            none = f"for classifier none with {self.contrastive}"
            require(self.weight > 0, "weight", f"above 0 {none}, which is all that is trained", self.weight)
            require(self.roles == "shared", "roles", f"shared {none}, since no loss needs views of its own", self.roles)
            weighed = f"None {none}, since only a loss of the classifier weighs classes"
            require(self.reweight_from is None, "reweight_from", weighed, self.reweight_from)

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
        least, of_queue = 3 if apart else 2, self.contrastive in WITH_QUEUE
        entering = f"at least {least} for {self.contrastive} with roles {self.roles}, one of which enters the queue"
        require(not of_queue or len(self.views) >= least, "views", entering, self.views)
        if self.is_masked:
            self._check_mask()

    def _check_mask(self) -> None:
        """Refuse a mask of views that do not exist, or that leaves none for the classifier."""
        contrastive, semantics = self.contrastive, self.masking.semantics
        apart, alone = self.roles == "apart", self.classifier == NO_CLASSIFIER
        require(len(self.views) > 1, "views", "at least 2 where the second is masked", self.views)
        contrasts = contrastive != NO_CONTRAST
        require(contrasts, "contrastive", "a loss that compares masked views", contrastive)
        if contrastive in WITH_KEYS:
            taken = "literal, one_branch, masked_query or masked_key"
            require(semantics != "straight_through", "masking.semantics", taken, semantics)
            of_queries = semantics != "masked_key"
            views = f"for classifier none with {contrastive}: else only masked views would train the classifier"
            require(not (of_queries and alone), "masking.semantics", f"masked_key {views}", semantics)
            own = "the classifier's loss needs a view of its own, without the mask"
            wanted = f"apart for semantics {semantics} with {contrastive}: {own}"
            require(apart or not of_queries, "roles", wanted, self.roles, "or masking.semantics masked_key")
            sets = "1 for semantics masked_key: the second network has batch norms of its own"
            require(of_queries or self.network.norm_sets == 1, "network.norm_sets", sets, 2)
            return
        keys = f"{contrastive} has no second network" if semantics == "masked_key" else ""
        taken = "literal, one_branch or masked_query"
        require(semantics in ("literal", "one_branch", "masked_query"), "masking.semantics", taken, semantics, keys)
        literal = semantics == "literal"
        others = f"one_branch or masked_query for classifier none with {contrastive}"
        why = "literal would mask all views that train the classifier"
        require(not (literal and alone), "masking.semantics", f"{others}: {why}", semantics)
        require(apart or not literal, "roles", "apart for semantics literal, which masks all shared views", self.roles)

    def values(self) -> dict[str, Any]:
        """Return the options as plain values, by which a run is told from others.

        Parts that losses with a queue have are left out with other losses, and `trained` where all is trained, so that
        runs from before there was a choice are known again.
        """
        found, known = dataclasses.asdict(self), parts_known(self.classifier, self.contrastive)
        parts = {name: one for name, one in found["parts"].items() if name in known or name not in OF_THE_QUEUE}
        plain = {name: value for name, value in found.items() if (name, value) != ("trained", "all")}
        return plain | {"parts": parts}

    @property
    def is_masked(self) -> bool:
        """Whether weights are masked in the forward pass of some views."""
        return self.masking.kind != "none"
