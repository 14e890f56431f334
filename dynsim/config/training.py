"""Configuration sections that say how a run is trained: thresholds, pruning masks, optimiser and length.

Each field is also a command-line option, and the docstring below it is the help text of that option.
"""

import math
from dataclasses import dataclass
from typing import Literal

from dynsim.config.checks import Section, number, positive_int, require, words_and_flags

DECAY, ABOVE_ZERO, NOT_NEGATIVE = "a decay in [0, 1)", "a number above 0", "a number of at least 0"
ARGUMENTS = {
    **dict.fromkeys(("b1", "b2", "b3", "rho", "decay", "decay_rate", "momentum"), DECAY),
    **dict.fromkeys(("eps", "min_norm", "trust_coefficient", "min_step_size", "max_step_size"), ABOVE_ZERO),
    **dict.fromkeys(("eta_minus", "eta_plus", "clipping_threshold"), ABOVE_ZERO),
    **dict.fromkeys(("eps_root", "initial_accumulator_value", "initial_scale", "eta", "gamma"), NOT_NEGATIVE),
}
"""Allowed values of the arguments of optax's optimisers, by name. For others there is only `train.check_optimizer`."""
MaskKind = Literal["none", "lowest", "highest", "random_fixed", "random", "dropout"]
"""What a mask hides; explained at `PruneConfig.kind`."""
EXACT = 2**24  # step numbers are passed to the program as float32, which is exact for integers up to here


@dataclass(frozen=True)
class ThresholdConfig(Section):
    """Thresholds b_i of the neurons, set by a rule and never by a gradient (theory 4.3).

    A neuron is silent where its input lies in [-b_i, b_i], its dead zone (with architecture relu, where it
    lies below b_i). The switch is the step at which the thresholds come on; before it they are zero.
    """

    rule: Literal["zero", "norm_tracking", "masked_norm_tracking", "schedule_b", "schedule_c"] = "norm_tracking"
    """zero: b = 0; norm_tracking: b = kappa sqrt(2 log d / d) ||w|| at every step; masked_norm_tracking: the same, but
    in a network with masked weights ||w|| is the norm of the weights that are left, so that masking does not raise the
    threshold beside the input; schedule_b, schedule_c: those of Wen & Li 2021 and Sun et al. 2025, set at the switch,
    grown while the norms grow, then frozen."""
    scale: float | None = None
    """kappa: factor on the rule's value; None takes 0.5 for the rules that track norms and 1 for the two schedules."""
    start: Literal["online", "at_step", "never"] = "online"
    """When the thresholds come on. online: once the median of ||w||^2 has doubled; at_step: at start_step; or never."""
    start_step: int = 0
    """Step of the switch if start is at_step."""
    stop_growth: float = 1.0
    """schedule_b and schedule_c freeze once every ||w|| is at least stop_growth * d times what it was at the switch."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        number("scale", self.kappa, 0.0)
        number("stop_growth", self.stop_growth, 0.0, open_low=True)
        positive_int("start_step", self.start_step, 0)
        late = self.start != "at_step" and self.start_step > 0
        require(not late, "start_step", "0 unless start is at_step", self.start_step)

    @property
    def kappa(self) -> float:
        """The factor in use: `scale`, or the default of the rule."""
        return (0.5 if self.tracks_norm else 1.0) if self.scale is None else self.scale

    @property
    def tracks_norm(self) -> bool:
        """Whether b follows ||w|| at every step."""
        return self.rule in ("norm_tracking", "masked_norm_tracking")


def check_mask(kind: str, rate: object, refresh: object) -> None:
    """Refuse a share outside [0, 1), a share of no mask, and a period of refresh that is no positive integer."""
    number("rate", rate, 0.0, 1.0)
    require(rate != 1, "rate", "a share in [0, 1)", rate)
    require(rate == 0 or kind != "none", "rate", "0 for kind none", rate, "or choose a kind")
    if refresh is not None:
        positive_int("refresh", refresh)


@dataclass(frozen=True)
class PruneConfig(Section):
    """Pruning masks: some weights count as zero in the loss for a part of the training (theory 8)."""

    kind: MaskKind = "none"
    """What is masked. none: nothing; lowest, highest: the entries lowest or highest in magnitude; random_fixed,
    random: a random subset, always the same or drawn anew at each refresh; dropout: each entry by its own chance, drawn
    anew at each refresh, so that the number varies."""
    unit: Literal["neuron", "weight"] = "neuron"
    """Mask whole neurons with their trained bias, their magnitude being ||w_i||, or single weights."""
    scope: Literal["weight", "per_neuron", "global", "per_array"] = "weight"
    """Which entries a mask of single weights ranks together. weight: all weights of the neurons; per_neuron: those of
    each neuron on its own, so that every neuron loses the same share; global, per_array: also the trained W_Q, W_K,
    W_V, where rate is the share of all entries together (global) or of each array (per_array)."""
    rate: float = 0.0
    """Share of the entries that is masked, in [0, 1); 0 is the unpruned run."""
    refresh: int | None = 1
    """Steps from one computation of the mask (refresh) to the next; None computes it once."""
    start: Literal["at_step", "switch", "coverage"] = "at_step"
    """First masked step. at_step: start_step; switch: when the thresholds come on; coverage: when each of 90 percent of
    the features has a neuron that points mostly along it. That is found while running and from the weights alone, so it
    is not the end of stage 2 (T2) that results report, which also uses firing and the end of the run."""
    start_step: int = 0
    """First masked step if start is at_step."""
    stop: Literal["never", "at_step", "switch", "coverage"] = "never"
    """First step without the mask again: never, stop_step (at_step), or as for start (switch, coverage). Where the stop
    comes before the start there is no mask at all."""
    stop_step: int = 0
    """First step without the mask if stop is at_step; above start_step where both are given."""
    semantics: Literal["literal", "straight_through", "one_branch", "masked_query", "masked_key"] = "literal"
    """Which gradient the weights get. literal: the one at the masked weights, for masked weights too; straight_through:
    the unmasked one, but with the softmax of the masked network; one_branch: only the
    query is masked, and masked weights get no gradient from it; masked_query: only the query is masked, and masked
    weights get from it the gradient at the masked weights; masked_key: only the key is masked, and masked weights get
    from it, where the loss trains keys, the gradient at the masked weights."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        check_mask(self.kind, self.rate, self.refresh)
        positive_int("start_step", self.start_step, 0)
        positive_int("stop_step", self.stop_step, 0)
        for name in ("refresh", "start_step", "stop_step"):
            require((getattr(self, name) or 0) <= EXACT, name, f"at most 2^24 = {EXACT}", getattr(self, name))
        by_neuron = self.unit == "neuron"
        require(not by_neuron or self.scope == "weight", "scope", "weight for unit neuron", self.scope, "or set unit")
        self._check_moments()

    def _check_moments(self) -> None:
        late = self.start != "at_step" and self.start_step > 0
        require(not late, "start_step", "0 unless start is at_step", self.start_step)
        unasked = self.stop != "at_step" and self.stop_step > 0
        require(not unasked, "stop_step", "0 unless stop is at_step", self.stop_step)
        same = self.start == self.stop != "at_step"
        require(not same, "stop", f"another moment than the start, which is {self.start}", self.stop)
        if self.start == self.stop == "at_step":
            above = self.stop_step > self.start_step
            require(above, "stop_step", f"a step above start_step = {self.start_step}", self.stop_step)
        elif self.stop == "at_step":
            require(self.stop_step > 0, "stop_step", "a step above 0", 0)


@dataclass(frozen=True)
class OptimizerConfig(Section):
    """Any optimiser of optax, by name; the default is plain SGD, as in the theory."""

    name: str = "sgd"
    """Name of a function of optax that takes a learning rate: sgd, adam, adamw, rmsprop, ..."""
    learning_rate: float = 0.5
    """Step size eta."""
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
            wanted = ARGUMENTS.get(name, "")
            ok = {DECAY: 0 <= value < 1, ABOVE_ZERO: value > 0, NOT_NEGATIVE: value >= 0}
            require(ok.get(wanted, True), f"arguments {name}", wanted, value)
        clash = {"learning_rate", "weight_decay"} & set(names)
        require(not clash, "arguments", "no learning_rate or weight_decay", sorted(clash), "use their own options")


@dataclass(frozen=True)
class TrainConfig(Section):
    """Length, recording and number format of a run."""

    n_steps: int = 4000
    """Training steps."""
    n_records: int = 160
    """Number of records, at geometrically spaced steps; those that round to the same step count once."""
    n_probe: int = 8
    """Held-out samples per feature on which it is measured, at each record, how often neurons fire (are not silent)."""
    precision: Literal["float32", "float64"] = "float32"
    """Format of the numbers; float64 needs JAX_ENABLE_X64=1, which the experiments set for you."""
    batching: Literal["auto", "map", "vmap"] = "auto"
    """map: one run after the other, each with the bits it has when run alone; vmap: all runs at once; auto: map on a
    CPU, where it is the faster one, and vmap elsewhere."""

    def __post_init__(self) -> None:
        positive_int("n_steps", self.n_steps)
        positive_int("n_records", self.n_records, 2)
        positive_int("n_probe", self.n_probe)
        words_and_flags(self)
