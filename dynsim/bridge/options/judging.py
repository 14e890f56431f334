"""With which probes a frozen encoder is judged."""

from dataclasses import dataclass

from dynsim.bridge.options.probes import probe_recipe
from dynsim.config.checks import Section, positive_int, require


@dataclass(frozen=True)
class Judging(Section):
    """The probes of a frozen encoder, on features of clean images that are computed once."""

    linear: str = "boosted"
    """Recipe of the linear probe on all labelled images (`PROBE_RECIPES` of dynsim/bridge/options/probes.py)."""
    few_shot: str = "boosted"
    """Recipe of the linear probe on the few-shot set."""
    neighbours: int = 10
    """Training images, of the long-tailed set, that vote for the class of a test image."""

    def __post_init__(self) -> None:
        for name in ("linear", "few_shot"):
            found = probe_recipe(getattr(self, name))
            require(found.optimiser == "adam", name, "a recipe with the optimiser adam", getattr(self, name))
        positive_int("neighbours", self.neighbours)
