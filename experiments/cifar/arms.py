"""The arms of the comparison on images: what differs from the run without a mask.

In the controlled arms it is one thing only: the mask, its placebos, or the weight decay. They share the network, the
projection head, the batch-norm sets, the first weights, and every view of every image. The two published arms differ as
the published comparison does, in the mask, the depth of the head and the batches of batch norm (SDCLR's code).

Others are there for comparisons of the SDCLR paper (Jiang et al. 2021): with dropout in place of the mask; trained on
the balanced set of the same size in place of the long-tailed one (its Tables 1 and 2); and with any masked share, where
the masked network has batch norms of its own or shares them with the dense one (its Figure 3).
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dynsim.bridge.options import Masking, Pretraining
from dynsim.config.checks import choice
from dynsim.config.training import MaskKind

NO_MASK, MAGNITUDE = "no mask", "magnitude"
ON_BALANCED = ", balanced set"
LESS_DECAY = 0.1  # weight decay of the arm that has less of it, as a share
NORM_SETS = {"own norms": 2, "shared norms": 1}


class ImageArm(NamedTuple):
    """One arm."""

    text: str
    """What it is, in a few words."""
    change: Callable[[Pretraining], Pretraining]
    """(options with the mask whose share, scope and gradient the masked arms use) -> options of this arm."""
    balanced: bool = False
    """Whether it is trained on the balanced set."""


def _masked(kind: MaskKind) -> Callable[[Pretraining], Pretraining]:
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
    NO_MASK: ImageArm("all weights, for both views", _masked("none")),
    MAGNITUDE: ImageArm("the smallest weights masked in the query's network", _masked("lowest")),
    "random, fixed": ImageArm("a random mask, the same all along", _masked("random_fixed")),
    "random, redrawn": ImageArm("a random mask, drawn anew each time", _masked("random")),
    "largest": ImageArm("the largest weights masked", _masked("highest")),
    "dropout": ImageArm("each weight masked by its own chance, drawn anew each time", _masked("dropout")),
    "less decay": ImageArm(f"no mask, {LESS_DECAY:g} times the weight decay", _less_decay),
    "published SimCLR": ImageArm("as published: head of 2 layers, both views normalised together", _published_simclr),
    "published SDCLR": ImageArm(
        "as published: smallest weights masked, head of 3 layers, views apart", _published_sdclr
    ),
}
ARMS |= {
    f"{arm}{ON_BALANCED}": ImageArm(f"{ARMS[arm].text}, trained on the balanced set", ARMS[arm].change, balanced=True)
    for arm in (NO_MASK, MAGNITUDE)
}
MAIN = (NO_MASK, MAGNITUDE)
IMAGE_PLACEBOS = ("random, fixed", "random, redrawn", "largest", "less decay")


def share_arms(shares: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the arms with these masked shares, each with own and with shared batch norms."""
    return tuple(f"mask {share:g}, {norms}" for share in shares for norms in NORM_SETS)


def share_and_norms(arm: str) -> tuple[float, str] | None:
    """Return the masked share and the batch norms of an arm of `share_arms`, None for another arm."""
    found = re.fullmatch(rf"mask ([0-9.e-]+), ({'|'.join(NORM_SETS)})", arm)
    try:
        return (float(found[1]), found[2]) if found else None
    except ValueError:
        return None


def find_arm(name: str) -> ImageArm:
    """Return an arm by its name. Errors: `ConfigError` in one line for one that there is not."""
    found = share_and_norms(name)
    if found is None:
        choice("arms", name, tuple(ARMS))
        return ARMS[name]
    share, norms = found

    def change(options: Pretraining) -> Pretraining:
        network = dataclasses.replace(options.network, norm_sets=NORM_SETS[norms])
        kind: MaskKind = "lowest" if share else "none"
        masking = dataclasses.replace(options.masking, kind=kind, rate=share)
        return dataclasses.replace(options, network=network, masking=masking)

    return ImageArm(f"the smallest {share:.0%} of the weights masked, {norms.replace('norms', 'batch norms')}", change)
