"""What a network looks like: depth, widths, first layer, projection head, input normalisation.

A residual network has a stem (the first convolution), then stages of blocks, and at the end the mean over all pixels.
Each stage has twice the channels of the one before, at half the resolution. What comes out, one vector per image, are
the features. A projection head, a few linear layers, turns them into the embeddings that a contrastive loss compares;
it is dropped after training.
"""

import dataclasses
import math
from typing import Any, Literal, NamedTuple

from dynsim.config.checks import Section, number, positive_int, require, words_and_flags

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HEAD_LAYERS = (0, 2, 3)


class Layout(NamedTuple):
    """The blocks of one architecture."""

    blocks: tuple[int, ...]
    """Number of blocks in each stage."""
    channels: int
    """Channels of the stem and of the first stage, at width 1."""
    expansion: int
    """How many times more channels come out of a block than its 3x3 convolution has: 1, or 4 for bottlenecks."""
    padded_shortcut: bool
    """Where a block changes size, its shortcut drops every second pixel and adds channels of zeros, without weights."""
    groups: int = 1
    """Groups of the 3x3 convolution of a bottleneck: its outputs and inputs are cut into so many equal parts, and each
    part of the outputs sees one part of the inputs only."""
    group_channels: int = 64
    """Channels of each group in the first stage, at width 1."""


LAYOUTS = {
    "resnet18": Layout((2, 2, 2, 2), 64, 1, False),
    "resnet34": Layout((3, 4, 6, 3), 64, 1, False),
    "resnet50": Layout((3, 4, 6, 3), 64, 4, False),
    "resnet101": Layout((3, 4, 23, 3), 64, 4, False),
    "resnet152": Layout((3, 8, 36, 3), 64, 4, False),
    "resnext50_32x4d": Layout((3, 4, 6, 3), 64, 4, False, groups=32, group_channels=4),
    "resnext101_32x4d": Layout((3, 4, 23, 3), 64, 4, False, groups=32, group_channels=4),
    "resnet20": Layout((3, 3, 3), 16, 1, True),
    "resnet32": Layout((5, 5, 5), 16, 1, True),
}


@dataclasses.dataclass(frozen=True)
class NetworkShape(Section):
    """The sizes of a network (Jiang et al. 2021; He et al. 2016; Xie et al. 2017 for ResNeXt).

    ResNet-18, -34, -50, -101 and -152 and ResNeXt-50 and -101 are laid out as in torchvision: where a block changes
    size, the shortcut is a 1x1 convolution with a batch norm. The 3x3 convolutions of a ResNeXt have 32 groups of 4
    channels in the first stage, and of twice as many in each of the following. ResNet-20 and -32, made for CIFAR, have
    the shortcut without weights ("option A") of the networks in supervised long-tail papers since LDAM-DRW: every
    second pixel, and as many channels of zeros on either side.
    """

    architecture: Literal[
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x4d",
        "resnet20",
        "resnet32",
    ] = "resnet18"
    """Number and kind of the blocks, by torchvision's name where it has one."""
    stem: Literal["cifar", "cifar_strided", "imagenet"] = "cifar"
    """First layer: cifar (3x3), cifar_strided (3x3 with stride 2: a quarter of the work in all stages) or imagenet (7x7
    with stride 2, then a 3x3 max-pool with stride 2)."""
    width: float = 1.0
    """Factor on the channels of every stage. Those of the first are rounded, to at least 1; then they double."""
    norm_sets: int = 1
    """Number of independent batch-norm sets, 1 or 2. With 2, a pruned branch has scales, biases and running statistics
    of its own in the encoder and in the head, while all other weights are shared."""
    head_layers: int = 2
    """Linear layers of the projection head: 2, 3, or 0 for none; then the embeddings are the features."""
    head_width: int | None = None
    """Width of the layers inside the head; None: that of the features."""
    embedding_dim: int = 128
    """Length of an embedding; without a head it is that of the features."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """What the network subtracts from red, green and blue, which come in [0, 1]. Default: means over ImageNet."""
    std: tuple[float, float, float] = IMAGENET_STD
    """What it then divides by. Default: standard deviations over ImageNet."""
    activations: Literal["float32", "bfloat16"] = "float32"
    """Precision of the encoder's activations and products. Parameters, batch statistics, features and the whole head
    are float32 always."""

    def __post_init__(self) -> None:
        """Refuse values that describe no network, with a `ConfigError` of one line."""
        words_and_flags(self)
        number("width", self.width, 0.0, 64.0, open_low=True)
        positive_int("norm_sets", self.norm_sets)
        require(self.norm_sets <= 2, "norm_sets", "1 or 2", self.norm_sets)
        positive_int("head_layers", self.head_layers, 0)
        require(self.head_layers in HEAD_LAYERS, "head_layers", "0, 2 or 3", self.head_layers)
        if self.head_width is not None:
            positive_int("head_width", self.head_width)
        positive_int("embedding_dim", self.embedding_dim)
        for name, positive in (("mean", False), ("std", True)):
            value: Any = getattr(self, name)
            require(isinstance(value, tuple) and len(value) == 3, name, "three numbers: red, green, blue", value)
            for one in value:
                number(name, one, 0.0 if positive else -math.inf, open_low=positive)

    @property
    def layout(self) -> Layout:
        """The blocks of the architecture."""
        return LAYOUTS[self.architecture]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each stage before the expansion: of its 3x3 convolutions, where these have no groups.

        Those of the first stage are the channels of the stem too.
        """
        first = max(1, round(self.layout.channels * self.width))
        return tuple(first * 2**stage for stage in range(len(self.layout.blocks)))

    def inner_channels(self, channels: int) -> int:
        """Return the channels inside a bottleneck of a stage with so many `channels`: a multiple of the groups.

        They are torchvision's at width 1. A group of a narrower network has at least one channel.
        """
        layout = self.layout
        return max(1, channels * layout.group_channels // 64) * layout.groups

    @property
    def feature_dim(self) -> int:
        """Length of the features of an image."""
        return self.channels[-1] * self.layout.expansion

    @property
    def head_widths(self) -> tuple[int, ...]:
        """Widths of the head's layers, from the first to the embedding; empty without a head."""
        inside = self.feature_dim if self.head_width is None else self.head_width
        return (inside,) * (self.head_layers - 1) + (self.embedding_dim,) if self.head_layers else ()
