"""Published accuracies beside which ours are set, in percent, with their protocol.

Each row is a quotation. Papers do not share one protocol: the text says what differs.
"""

from typing import NamedTuple


class Published(NamedTuple):
    """One published number."""

    method: str
    images: str
    """cifar10 or cifar100."""
    imbalance: int
    metric: str
    """all (full linear probe), few-shot, ...."""
    value: float
    spread: float | None
    """What the paper gives after the plus-minus sign."""
    source: str
    protocol: str


SDCLR = "SDCLR, Tables 1 and 2"
SDCLR_PROTOCOL = "5 shuffled splits, 4,500 or 450 images in the largest class, 2,000 epochs, SGD probe"
THEORY = "Liao et al. 2026, poster"
THEORY_PROTOCOL = "backbone, epochs and probe not stated"
FOLLOW_UP = "code page of Zhou et al. 2022"
FOLLOW_UP_PROTOCOL = "split 1, 2,000 epochs, Adam probe on cached features"
HARMONY = "Zhou et al. 2023"

PUBLISHED = (
    Published("SimCLR", "cifar10", 100, "all", 75.55, 0.66, SDCLR, SDCLR_PROTOCOL),
    Published("SDCLR", "cifar10", 100, "all", 82.00, 0.68, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR", "cifar100", 100, "all", 47.11, 0.34, SDCLR, SDCLR_PROTOCOL),
    Published("SDCLR", "cifar100", 100, "all", 55.48, 0.62, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR", "cifar10", 100, "few-shot", 67.08, 2.15, SDCLR, SDCLR_PROTOCOL),
    Published("SDCLR", "cifar10", 100, "few-shot", 70.47, 1.38, SDCLR, SDCLR_PROTOCOL),
    Published("SimCLR", "cifar100", 100, "few-shot", 22.96, 0.43, SDCLR, SDCLR_PROTOCOL),
    Published("SDCLR", "cifar100", 100, "few-shot", 25.27, 0.83, SDCLR, SDCLR_PROTOCOL),
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
