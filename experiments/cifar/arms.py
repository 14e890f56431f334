"""The arms of the comparison on images: what differs from the run without a mask.

In the controlled arms it is one thing only: the mask, its placebos, or the weight decay. They share the network, the
projection head, the batch-norm sets, the first weights, and every view of every image. The two published arms differ as
the published comparison does, in the mask, the depth of the head and the batches of batch norm (SDCLR's code).
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

from dynsim.bridge.options import Masking, Pretraining

NO_MASK, MAGNITUDE = "no mask", "magnitude"
LESS_DECAY = 0.1  # weight decay of the arm that has less of it, as a share


Kind = Literal["none", "lowest", "highest", "random_fixed", "random", "dropout"]


class ImageArm(NamedTuple):
    """One arm."""

    text: str
    """What it is, in a few words."""
    change: Callable[[Pretraining], Pretraining]
    """(options with the mask whose share, scope and gradient the masked arms use) -> options of this arm."""


def _masked(kind: Kind) -> Callable[[Pretraining], Pretraining]:
    def change(options: Pretraining) -> Pretraining:
        rate = 0.0 if kind == "none" else options.masking.rate
        return dataclasses.replace(options, masking=dataclasses.replace(options.masking, kind=kind, rate=rate))

    return change


def _less_decay(options: Pretraining) -> Pretraining:
    return dataclasses.replace(_masked("none")(options), weight_decay=LESS_DECAY * options.weight_decay)


def _published_simclr(options: Pretraining) -> Pretraining:
    network = dataclasses.replace(options.network, norm_sets=1, head_layers=2)
    return dataclasses.replace(options, network=network, normalise="together", masking=Masking())


def _published_sdclr(options: Pretraining) -> Pretraining:
    network = dataclasses.replace(options.network, norm_sets=2, head_layers=3)
    masking = Masking(kind="lowest", rate=options.masking.rate, semantics="one_branch")
    return dataclasses.replace(options, network=network, normalise="apart", masking=masking)


ARMS = {
    NO_MASK: ImageArm("SimCLR, no mask", _masked("none")),
    MAGNITUDE: ImageArm("the smallest weights masked in the query's network", _masked("lowest")),
    "random, fixed": ImageArm("a random mask, the same all along", _masked("random_fixed")),
    "random, redrawn": ImageArm("a random mask, drawn anew each time", _masked("random")),
    "largest": ImageArm("the largest weights masked", _masked("highest")),
    "less decay": ImageArm(f"no mask, {LESS_DECAY:g} times the weight decay", _less_decay),
    "published SimCLR": ImageArm("as published: head of 2 layers, both views normalised together", _published_simclr),
    "published SDCLR": ImageArm(
        "as published: smallest weights masked, head of 3 layers, views apart", _published_sdclr
    ),
}
MAIN = (NO_MASK, MAGNITUDE)
IMAGE_PLACEBOS = ("random, fixed", "random, redrawn", "largest", "less decay")
