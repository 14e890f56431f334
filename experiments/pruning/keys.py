"""By which keys are the runs of the comparison of pruning found? Each says what was run; its label is for readers.

Labels name the files of finished parts and the lines of progress; nothing is ever read back out of one.
"""

from typing import Literal, NamedTuple

Shape = Literal["main", "small"]
"""The sizes of the command line, or those of the sweeps."""
Masked = Literal["neurons", "weights"]
MASKED: tuple[Masked, ...] = ("neurons", "weights")
"""The two prunings that all tests compare."""


def number_text(number: float) -> str:
    """Return the shortest text that stands for this number and no other, without ".0"."""
    return repr(float(number)).removesuffix(".0")


class RunKey(NamedTuple):
    """A run of the main shape or of the sweeps."""

    shape: Shape
    variant: str
    """"dense" without masks, a pruning ("neurons", "weights", "literal"), or a placebo without a mask."""
    placebo: str = ""
    """Kind of mask that stands in for the lowest norms; empty for the pruning itself."""
    ratio: float | None = None
    """r, the frequency of minority over that of majority features, in the runs that sweep it."""
    implicit: bool = False
    """r = 1 where minority features are kept with a chance below one, an imbalance that no frequency shows."""
    released: bool = False
    """Masks from the first step on that are taken away early."""

    @property
    def label(self) -> str:
        """The key in words, "small/neurons random_fixed released" for instance."""
        swept = "" if self.ratio is None else f"r={number_text(self.ratio)}"
        ends = ("implicit" if self.implicit else "", "released" if self.released else "")
        return f"{self.shape}/" + " ".join(word for word in (self.variant, self.placebo, swept, *ends) if word)


class FactorKey(NamedTuple):
    """A run of P6, in which one choice of the pruning has another level."""

    factor: str
    level: str

    @property
    def label(self) -> str:
        """The key in words, "factor/refresh/50 steps" for instance."""
        return f"factor/{self.factor}/{self.level}"


class DimensionKey(NamedTuple):
    """An unpruned run with d features, for the trend in d of P2."""

    n_features: int

    @property
    def label(self) -> str:
        """The key in words, "d=16/dense" for instance."""
        return f"d={self.n_features}/dense"


Key = RunKey | FactorKey | DimensionKey
MAIN_DENSE = RunKey("main", "dense")
"""The unpruned run of the main shape."""
