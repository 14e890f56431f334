"""What a pre-training run is made of. The defaults are SDCLR's recipe for CIFAR (Jiang et al. 2021)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from dynsim.bridge.options.network import NetworkShape
from dynsim.bridge.options.views import RECIPES
from dynsim.config.checks import Section, number, positive_int, require, words_and_flags
from dynsim.config.training import MaskKind, check_mask

OF_MOCO = ("method", "key_momentum", "queue")
DENSE_TOO = {"simclr": ("one_branch", "masked_query", "straight_through"), "moco": ("straight_through", "masked_key")}
"""Readings in which the trained network is run with all of its weights too, by method."""


@dataclass(frozen=True)
class Masking(Section):
    """The pruning mask over the convolution weights of the encoder; the same words as `PruneConfig` of the simulation.

    Each image has two views, the query and the key. The dense network is the one without the mask.
    """

    kind: MaskKind = "none"
    """What is masked. none: nothing; lowest, highest: the weights lowest or highest in magnitude; random_fixed,
    random: a random subset, always the same or drawn anew at each refresh; dropout: each weight by its own chance,
    drawn anew at each refresh."""
    rate: float = 0.0
    """Share of the weights that is masked, in [0, 1)."""
    scope: Literal["global", "per_array"] = "global"
    """Rank the weights of all convolutions together, or those of each convolution on its own."""
    refresh: int | None = 1
    """Epochs from one computation of the mask (refresh) to the next; None computes it once, from the first weights."""
    semantics: Literal["literal", "straight_through", "one_branch", "masked_query", "masked_key"] = "one_branch"
    """Which views are masked, and which gradient the weights get. one_branch: the query only, from which masked weights
    get no gradient (SDCLR); masked_query: the query only, and masked weights get the gradient at the masked weights;
    literal: both views, and the gradient at the masked weights goes to masked weights too; straight_through: the
    gradient of the dense network, with the softmax of the masked one; masked_key, where a second network makes the
    keys: the key only, which gives no gradient."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        check_mask(self.kind, self.rate, self.refresh)


@dataclass(frozen=True)
class Pretraining(Section):
    """Everything that decides a pre-training run but its images and its seed."""

    network: NetworkShape = field(default_factory=NetworkShape)
    """Encoder and projection head."""
    masking: Masking = field(default_factory=Masking)
    """The mask of the forward pass."""
    views: str = "sdclr"
    """Augmentation that makes the two views of an image: a name in `RECIPES` of dynsim/bridge/options/views.py."""
    normalise: Literal["apart", "together"] = "apart"
    """ViewPairs norm over the images of each view apart, or over those of both views together. Views that pass through
    different weights cannot be normalised together."""
    epochs: int = 2000
    """Passes over the images."""
    batch_size: int = 512
    """Images in a batch, each of them with two views. The last batch of an epoch has what is left."""
    optimizer: Literal["sgd", "lars"] = "sgd"
    """SGD with momentum, or LARS, which scales the step of each array by the ratio of its norm to its gradient's."""
    learning_rate: float = 0.5
    """Largest learning rate: reached after the warm-up, then lowered to `last_learning_rate` along a cosine."""
    last_learning_rate: float = 1e-6
    """Learning rate at the end."""
    warmup_epochs: float = 10
    """Epochs in which the learning rate grows from 0 in proportion to the step."""
    momentum: float = 0.9
    """Momentum of SGD and LARS."""
    weight_decay: float = 1e-4
    """Coefficient of the L2 penalty, on all parameters including biases and batch norm."""
    temperature: float = 0.2
    """Temperature tau of the loss; with a temperature schedule its lower end."""
    highest_temperature: float | None = None
    """None for a constant temperature; else tau starts at this value and swings between both along a cosine (TS)."""
    temperature_period: int = 400
    """Epochs of one full swing."""
    focal: float = 0.0
    """Exponent gamma of the focal form -(1 - q)^gamma log q, q being the softmax weight of the positive; 0: none."""
    method: Literal["simclr", "moco"] = "simclr"
    """simclr: either view of an image is recognised by the other among all other views of the batch. moco: the query is
    recognised by its key among earlier keys, which come from a network that follows the trained one."""
    key_momentum: float = 0.999
    """moco: share of its parameters that the key network keeps at each step; the rest comes from the trained one."""
    queue: int = 4096
    """moco: number of earlier keys, at least the batch size. With more than the images there are, an image has its own
    earlier keys among its negatives."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        for name in ("epochs", "batch_size", "temperature_period"):
            positive_int(name, getattr(self, name))
        require(self.batch_size > 1, "batch_size", "at least 2 images, since others are the negatives", self.batch_size)
        for name in ("learning_rate", "temperature"):
            number(name, getattr(self, name), 0.0, open_low=True)
        for name in ("last_learning_rate", "warmup_epochs", "weight_decay", "focal"):
            number(name, getattr(self, name), 0.0)
        number("momentum", self.momentum, 0.0, 1.0)
        require(self.views in RECIPES, "views", f"one of {', '.join(RECIPES)}", self.views)
        if self.highest_temperature is not None:
            number("highest_temperature", self.highest_temperature, self.temperature)
        require(self.network.head_layers > 0, "network.head_layers", "a projection head of 2 or 3 layers", 0)
        self._check_method()
        same_weights = self.masking.semantics in ("literal", "straight_through") or self.masking.kind == "none"
        require(
            self.normalise == "apart" or (same_weights and self.network.norm_sets == 1),
            "normalise",
            "apart where the views have weights or batch-norm sets of their own",
            self.normalise,
            "or choose another network.norm_sets or masking.semantics",
        )

    def _check_method(self) -> None:
        number("key_momentum", self.key_momentum, 0.0, 1.0)
        positive_int("queue", self.queue)
        if self.method == "simclr":
            semantics = self.masking.semantics
            other = "another one with simclr: its loss is symmetric in the views, so that masked_query says the same"
            require(semantics != "masked_key", "masking.semantics", other, semantics)
            return
        sets, own = self.network.norm_sets, "1 with moco, whose key network has batch norms of its own"
        require(sets == 1, "network.norm_sets", own, sets)
        require(self.normalise == "apart", "normalise", "apart with moco: views have networks of their own", "together")
        room = f"at least the batch size, {self.batch_size}, since all keys of a batch enter it"
        require(self.queue >= self.batch_size, "queue", room, self.queue)

    @property
    def trains_dense(self) -> bool:
        """Whether the trained network also runs without its mask, so that it has batch-norm statistics of that too."""
        return self.masking.rate == 0 or self.masking.semantics in DENSE_TOO[self.method]

    def values(self) -> dict[str, Any]:
        """Return the options as plain values, by which a run is told from others.

        Those of moco are left out with simclr, so that runs from before there was a choice are known again.
        """
        found = dataclasses.asdict(self)
        return found if self.method == "moco" else {name: found[name] for name in found if name not in OF_MOCO}
