"""Published accuracies beside which ours are set, in percent, with their protocol.

Each row is a quotation. Papers do not share one protocol: the text says what differs.
"""

from typing import Any, NamedTuple

from experiments.cifar.arms import MAGNITUDE, NO_MASK, ON_BALANCED


class Published(NamedTuple):
    """One published number."""

    method: str
    images: str
    """cifar10 or cifar100."""
    imbalance: int
    metric: str
    """all (linear probe with all labels), few-shot (with few), or neighbours (the vote of 10)."""
    value: float
    spread: float | None
    """What the paper gives after the plus-minus sign."""
    source: str
    protocol: "Protocol"


class Protocol(NamedTuple):
    """How a number was made, as far as the paper says."""

    text: str
    epochs: int | None
    """Epochs of training; None where they are not stated."""
    probe: str | None
    """Which of our recipes for a linear probe is theirs; None where it is not stated, or there is no linear probe."""


class FilledBy(NamedTuple):
    """Which runs of ours stand beside a published method."""

    arms: tuple[str, ...]
    """The arms that do; of several that were run, the first."""
    options: dict[str, Any]
    """Options of pre-training that they must have, beside those of `PLAIN`."""


PLAIN = {"method": "simclr", "focal": 0.0, "highest_temperature": None}
"""Options of pre-training of a cell that names no others; results from before an option existed have this value."""
_SIMCLR, _SDCLR = ("published SimCLR", NO_MASK), ("published SDCLR", MAGNITUDE)
FILLED_BY = {
    "SimCLR": FilledBy(_SIMCLR, {}),
    "SDCLR": FilledBy(_SDCLR, {}),
    "no pruning": FilledBy((NO_MASK,), {}),
    "pruning": FilledBy((MAGNITUDE,), {}),
    "SimCLR, balanced set": FilledBy((NO_MASK + ON_BALANCED,), {}),
    "SimCLR, decay 5e-4": FilledBy((NO_MASK,), {"weight_decay": 5e-4}),
    "SDCLR, head of 2 layers": FilledBy((MAGNITUDE,), {"weight_decay": 1e-4}),
    "MoCo-v2": FilledBy((NO_MASK,), {"method": "moco"}),
    "SimCLR, focal loss": FilledBy((NO_MASK,), {"focal": 2.0}),
    "SimCLR, dropout 0.9": FilledBy(("dropout",), {}),
    "SimCLR + TS": FilledBy((NO_MASK,), {"highest_temperature": 1.0, "temperature": 0.1}),
}
"""{published method: runs of ours}; a method that is not here has none."""

SDCLR = "SDCLR"
SDCLR_PROTOCOL = Protocol(
    "5 shuffled splits, 4,500 or 450 images in the largest class, 2,000 epochs, SGD probe", 2000, "sdclr"
)
FEW_PROTOCOL = SDCLR_PROTOCOL._replace(probe="sdclr_few_shot")
THEORY = "Liao et al. 2026, poster"
THEORY_PROTOCOL = Protocol("backbone, epochs and probe not stated", None, None)
FOLLOW_UP = "code page of Zhou et al. 2022"
FOLLOW_UP_PROTOCOL = Protocol("split 1, 2,000 epochs, Adam probe on cached features", 2000, "boosted")
SCHEDULE = "code of Kukleva et al. 2023"
SCHEDULE_PROTOCOL = Protocol("split 1, 2,000 epochs, 10 neighbours among the long-tailed images", 2000, None)

PUBLISHED = (
    Published("SimCLR", "cifar10", 100, "all", 75.55, 0.66, SDCLR, SDCLR_PROTOCOL),
    Published("SDCLR", "cifar10", 100, "all", 82.00, 0.68, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR", "cifar100", 100, "all", 47.11, 0.34, SDCLR, SDCLR_PROTOCOL),
    Published("SDCLR", "cifar100", 100, "all", 55.48, 0.62, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR", "cifar10", 100, "few-shot", 67.08, 2.15, SDCLR, FEW_PROTOCOL),
    Published("SDCLR", "cifar10", 100, "few-shot", 70.47, 1.38, SDCLR, FEW_PROTOCOL),
    Published("SimCLR", "cifar100", 100, "few-shot", 22.96, 0.43, SDCLR, FEW_PROTOCOL),
    Published("SDCLR", "cifar100", 100, "few-shot", 25.27, 0.83, SDCLR, FEW_PROTOCOL),
    Published("SimCLR, balanced set", "cifar10", 100, "all", 80.88, 0.16, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR, balanced set", "cifar100", 100, "all", 46.69, 0.63, SDCLR, SDCLR_PROTOCOL),
    Published("MoCo-v2", "cifar100", 100, "all", 48.23, 0.20, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR, focal loss", "cifar100", 100, "all", 46.48, 0.51, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR, dropout 0.9", "cifar100", 100, "all", 21.99, 0.35, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR, dropout 0.9", "cifar100", 100, "few-shot", 15.48, 0.42, SDCLR, FEW_PROTOCOL),
    Published("SimCLR + TS", "cifar10", 100, "neighbours", 61.20, None, SCHEDULE, SCHEDULE_PROTOCOL),
    Published("SimCLR + TS", "cifar100", 100, "neighbours", 28.11, None, SCHEDULE, SCHEDULE_PROTOCOL),
    Published("SimCLR, decay 5e-4", "cifar100", 100, "all", 50.7, None, FOLLOW_UP, FOLLOW_UP_PROTOCOL),
    Published("SDCLR, head of 2 layers", "cifar100", 100, "all", 55.0, None, FOLLOW_UP, FOLLOW_UP_PROTOCOL),
    Published("BCL-I", "cifar100", 100, "all", 55.7, None, FOLLOW_UP, FOLLOW_UP_PROTOCOL),
    Published("BCL-D", "cifar100", 100, "all", 58.7, None, FOLLOW_UP, FOLLOW_UP_PROTOCOL),
    Published("no pruning", "cifar10", 10, "all", 79.25, 1.03, THEORY, THEORY_PROTOCOL),
    Published("pruning", "cifar10", 10, "all", 84.92, 0.67, THEORY, THEORY_PROTOCOL),
    Published("no pruning", "cifar10", 50, "all", 75.58, 0.84, THEORY, THEORY_PROTOCOL),
    Published("pruning", "cifar10", 50, "all", 83.60, 1.02, THEORY, THEORY_PROTOCOL),
    Published("no pruning", "cifar10", 100, "all", 74.24, 0.82, THEORY, THEORY_PROTOCOL),
    Published("pruning", "cifar10", 100, "all", 81.31, 0.94, THEORY, THEORY_PROTOCOL),
    Published("no pruning", "cifar100", 10, "all", 51.21, 1.21, THEORY, THEORY_PROTOCOL),
    Published("pruning", "cifar100", 10, "all", 56.33, 1.51, THEORY, THEORY_PROTOCOL),
    Published("no pruning", "cifar100", 50, "all", 49.32, 0.45, THEORY, THEORY_PROTOCOL),
    Published("pruning", "cifar100", 50, "all", 56.12, 0.32, THEORY, THEORY_PROTOCOL),
    Published("no pruning", "cifar100", 100, "all", 47.12, 0.51, THEORY, THEORY_PROTOCOL),
    Published("pruning", "cifar100", 100, "all", 54.93, 0.50, THEORY, THEORY_PROTOCOL),
)
