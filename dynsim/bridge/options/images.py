"""Which long-tailed set of images is used."""

from dataclasses import dataclass
from typing import Literal

from dynsim.config.checks import Section, number, positive_int, require, words_and_flags


@dataclass(frozen=True)
class LongTail(Section):
    """Which long-tailed set of images is used."""

    images: Literal["cifar10", "cifar100", "generated"] = "cifar10"
    """Image set; generated: small striped patterns that need no data, to try things out."""
    imbalance: float = 100.0
    """Imbalance factor: size of the largest class divided by that of the smallest."""
    profile: Literal["exponential", "pareto"] = "exponential"
    """How class sizes fall from the largest to the smallest."""
    balanced: bool = False
    """Train on the balanced subset of the same size (D_b) instead of the long-tailed one (D_i)."""
    split: Literal["drawn", "released"] = "drawn"
    """drawn: the split of a run is drawn with its seed; released: the five published splits of SDCLR in turn (CIFAR,
    imbalance factor 100)."""
    held_out: float = 0.1
    """Share of each class kept for validation, of a drawn split."""
    shuffled: bool = True
    """Draw which class is how frequent; otherwise class 0 is the most frequent, as in supervised work."""
    few_shot: float = 0.01
    """Images of each class of the few-shot set, as a share of the largest class, of a drawn split."""
    labelled: int | None = None
    """Largest number of labelled images of each class for the linear probe; None: all but the validation images."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        number("imbalance", self.imbalance, 1.0)
        number("held_out", self.held_out, 0.0, 1.0)
        number("few_shot", self.few_shot, 0.0, 1.0, open_low=True)
        if self.labelled is not None:
            positive_int("labelled", self.labelled)
        fits = self.split == "drawn" or (
            self.images != "generated"
            and (self.imbalance, self.profile, self.held_out, self.shuffled) == (100.0, "exponential", 0.1, True)
            and self.few_shot == 0.01
        )
        require(fits, "split", "drawn, where images or imbalance are not those of the published splits", self.split)
