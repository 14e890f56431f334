"""At which points is pruning tried? The table behind `pruning_regimes`: one factor at a time around a base point.

The last points lie where the paper's own assumptions do (theory 1.1, 3.7, 4.3, 6.3): rare minority features, many more
token dimensions than features and many more negatives, a temperature above 1 without the prefactor, noise of variance
sqrt(log d)/d, and thresholds that grow with the weights. Two of its assumptions are out of reach: widths near m = d,
and times between d^1.01/eta and d^1.99/eta, which at d = 16 is the range of 33 to 500 steps.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from dynsim import config as configs
from dynsim.config import Config

SMALL = {
    "data.n_features": 16,
    "data.token_dim": 32,
    "encoder.n_neurons": 64,
    "data.batch_size": 128,
    "data.activation_rate": 0.15,
    "train.n_steps": 2000,
    "train.n_records": 40,
}
ANYWHERE = {"data.minority_ratio": 0.4, "loss.temperature_prefactor": False}

READINGS: dict[str, dict[str, Any]] = {
    "straight-through, neurons 0.5": {"prune.rate": 0.5, "prune.unit": "neuron", "prune.semantics": "straight_through"},
    "one branch, weights 0.6": {"prune.rate": 0.6, "prune.unit": "weight", "prune.semantics": "one_branch"},
    "literal, neurons 0.3": {"prune.rate": 0.3, "prune.unit": "neuron", "prune.semantics": "literal"},
}
"""Ways of pruning by magnitude, by name."""
READING_PLACEBOS: dict[str, tuple[str, ...]] = {
    "straight-through, neurons 0.5": ("random_fixed", "random"),
    "one branch, weights 0.6": ("random_fixed",),
    "literal, neurons 0.3": ("random_fixed",),
}
"""Kinds of random masks to hold each reading against. A later kind is tried only where the runs of all earlier kinds
failed: with a fixed random mask the hidden neurons of the straight-through reading can grow without bound."""


@dataclass(frozen=True)
class Point:
    """A configuration at which all readings are tried."""

    axis: str
    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the base configuration that differ here."""
    masks: dict[str, Any] = field(default_factory=dict)
    """Fields of the section `prune` that differ here, the same for all readings."""
    paper: bool = False
    """Whether the point lies where the paper's assumptions do."""
    always: bool = False
    """Whether it is confirmed whatever the search says."""

    @property
    def name(self) -> str:
        """Axis and label in one."""
        return f"{self.axis}: {self.label}"


def base_config(sizes: dict[str, Any]) -> Config:
    """Return the base point's configuration for given sizes."""
    return configs.replace(Config(), **sizes, **ANYWHERE)


def _numbers(axis: str, name: str, values: tuple[float, ...], label: str) -> list[Point]:
    return [Point(axis, f"{label} = {value:g}", {name: value}) for value in values]


def _sizes(base: Config) -> list[Point]:
    data, neurons = base.data, base.encoder.n_neurons
    K, d, d1 = data.batch_size, data.n_features, data.token_dim
    return [
        *(Point("negatives", f"K = {n}", {"data.batch_size": n}) for n in (K // 4, 2 * K)),
        *(Point("width", f"m = {m}", {"encoder.n_neurons": m}) for m in (neurons // 2, 4 * neurons)),
        *(Point("token dimension", f"d1/d = {n // d}", {"data.token_dim": n}) for n in (d, 4 * d) if n != d1),
    ]


def _thresholds() -> list[Point]:
    kappas = _numbers("threshold", "threshold.scale", (0.0, 0.25, 0.75), "kappa")
    return [*kappas, Point("threshold", "schedule B", {"threshold.rule": "schedule_b"})]


def _times(base: Config) -> list[Point]:
    n = base.train.n_steps
    steps = [n // 4, 2 * n]
    return [
        *(Point("length", f"{k} steps", {"train.n_steps": k}) for k in steps),
        Point("masked", "from the switch on", masks={"prune.start": "switch"}),
        Point("masked", "from coverage on", masks={"prune.start": "coverage"}),
        Point("masked", f"until step {n // 2}", masks={"prune.stop": "at_step", "prune.stop_step": n // 2}),
    ]


def _corner(base: Config) -> list[Point]:
    changes = {
        "data.minority_ratio": 0.3,
        "data.token_dim": 8 * base.data.n_features,
        "data.batch_size": 2 * base.data.batch_size,
        "data.noise_level": "sqrt_log_d",
        "loss.temperature": 2.0,
    }
    literal = {**changes, "threshold.rule": "schedule_b"}
    return [
        Point("paper's corner", "b tracks the norms", changes, paper=True, always=True),
        Point("paper's corner", "b by schedule B", literal, paper=True, always=True),
    ]


def all_points(base: Config) -> list[Point]:
    """Return the base point and every point around it, in the order in which the figure shows them.

    A value that is that of the base itself is left out.
    """
    d = base.data.n_features
    quiet = {"data.noise_level": "given", "data.noise_variance": 0.0}
    loud = {"data.noise_level": "given", "data.noise_variance": 4 / d}
    ratios = _numbers("imbalance", "data.minority_ratio", (1.0, 0.7, 0.5, 0.3, 0.2), "r")
    around = [
        replace(ratios[0], always=True),
        *ratios[1:],
        *_numbers("sparsity", "data.activation_rate", (0.05, 0.1, 0.3), "L p"),
        Point("noise", "variance 0", quiet),
        Point("noise", "variance 4/d", loud),
        *_numbers("temperature", "loss.temperature", (0.2, 0.5, 2.0, 5.0), "tau"),
        *_thresholds(),
        *_sizes(base),
        *_times(base),
        *_corner(base),
    ]
    others = [point for point in around if point.masks or configs.replace(base, **point.changes) != base]
    return [Point("base", "as given", always=True), *others]


def few_points(base: Config) -> list[Point]:
    """Return four points that differ in numbers only, so that hardly anything compiles."""
    wanted = ("base: as given", "imbalance: r = 1", "imbalance: r = 0.2", "temperature: tau = 2")
    return [point for point in all_points(base) if point.name in wanted]
