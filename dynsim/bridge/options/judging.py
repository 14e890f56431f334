"""With which probes a frozen encoder is judged."""

from dataclasses import dataclass

from dynsim.bridge.options.probes import PROBE_RECIPES
from dynsim.config.checks import Section, choice, positive_int


@dataclass(frozen=True)
class Judging(Section):
    """The probes of a frozen encoder.

    A recipe with the optimiser Adam learns from features of clean images, which are computed once; one with SGD from
    those of images that are cropped and flipped at random in every epoch.
    """

    linear: str = "boosted"
    """Recipe of the linear probe on all labelled images (`PROBE_RECIPES` of dynsim/bridge/options/probes.py): boosted
    (Adam, 500 epochs), sdclr (SGD, 30 epochs) or short (Adam, 20 epochs)."""
    few_shot: str = "boosted"
    """Recipe of the linear probe on the few-shot set: boosted, sdclr_few_shot (SGD, 100 epochs) or short."""
    neighbours: int = 10
    """Training images, of the long-tailed set, that vote for the class of a test image."""

    def __post_init__(self) -> None:
        for name in ("linear", "few_shot"):
            choice(name, getattr(self, name), tuple(PROBE_RECIPES))
        positive_int("neighbours", self.neighbours)
