"""Configuration sections of how it is trained: thresholds, optimiser, length. `dynsim.config` joins all sections.

Each field is a command-line option, the docstring below it its help.
"""

import math
from dataclasses import dataclass
from typing import Literal

from dynsim.checks import number, positive_int, require, words_and_flags


@dataclass(frozen=True)
class ThresholdConfig:
    """The dead-zone half-widths b_i, set by a rule and never by a gradient (theory section 4.3)."""

    rule: Literal["zero", "norm_tracking", "schedule_b", "schedule_c"] = "norm_tracking"
    """zero: b = 0; norm_tracking: kappa sqrt(2 log d / d) ||w||; schedule_b, schedule_c: those of Wen & Li 2021 and Sun
    et al. 2025, set at the switch, grown while the norms grow, then frozen."""
    scale: float | None = None
    """kappa: factor on the rule's value; None takes 0.5 for norm_tracking and 1 for the literal schedules."""
    start: Literal["online", "at_step", "never"] = "online"
    """online: when the median of ||w||^2 has doubled; at_step: at start_step; never."""
    start_step: int = 0
    """Step of the switch for start = at_step."""
    stop_growth: float = 1.0
    """The literal schedules freeze once every ||w|| exceeds stop_growth * d * ||w|| at the switch."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        number("scale", self.kappa, 0.0)
        number("stop_growth", self.stop_growth, 0.0, open_low=True)
        positive_int("start_step", self.start_step, 0)
        late = self.start != "at_step" and self.start_step > 0
        require(not late, "start_step", "0 unless start is at_step", self.start_step)

    @property
    def kappa(self) -> float:
        """The factor in use."""
        return (0.5 if self.rule == "norm_tracking" else 1.0) if self.scale is None else self.scale


@dataclass(frozen=True)
class OptimizerConfig:
    """Any optax transformation by name; the default is the theory's plain SGD."""

    name: str = "sgd"
    """Name of a function of optax that takes a learning rate: sgd, adam, adamw, rmsprop, ..."""
    learning_rate: float = 0.5
    """eta."""
    attention_learning_rate: float = 0.01
    """Learning rate of W_Q, W_K, W_V where they are trained."""
    arguments: tuple[tuple[str, float], ...] = ()
    """Further arguments by name, for instance: momentum 0.9."""

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name.isidentifier(), "name", "a name in optax", self.name)
        number("learning_rate", self.learning_rate, 0.0, open_low=True)
        number("attention_learning_rate", self.attention_learning_rate, 0.0)
        pairs = isinstance(self.arguments, tuple) and all(
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in self.arguments
        )
        require(pairs, "arguments", "a tuple of (name, number) pairs", self.arguments)
        names = [name for name, _ in self.arguments]
        require(len(set(names)) == len(names), "arguments", "each name once", names)
        for name, value in self.arguments:
            number(f"arguments {name}", value, -math.inf)
        clash = {"learning_rate", "weight_decay"} & set(names)
        require(not clash, "arguments", "no learning_rate or weight_decay", sorted(clash), "use their own options")


@dataclass(frozen=True)
class TrainConfig:
    """Length, recording and arithmetic of a run."""

    n_steps: int = 4000
    """Training steps."""
    n_records: int = 160
    """Points of the geometric record grid (equal steps are joined, so fewer are kept)."""
    n_probe: int = 16
    """Held-out samples per feature on which firing is measured at each record."""
    precision: Literal["float32", "float64"] = "float32"
    """Arithmetic; float64 needs JAX_ENABLE_X64=1, which the experiments set for you."""
    batching: Literal["auto", "map", "vmap"] = "auto"
    """map: one run after the other, each equal bit for bit to the run alone; vmap: all at once; auto: map on a CPU,
    where it is the faster one, vmap elsewhere."""

    def __post_init__(self) -> None:
        positive_int("n_steps", self.n_steps)
        positive_int("n_records", self.n_records, 2)
        positive_int("n_probe", self.n_probe)
        words_and_flags(self)
