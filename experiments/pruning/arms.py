"""Which runs answer whether pruning helps rare features: readings, placebos, and noise by its rate of false firing.

A reading is one way to understand "train with the smallest weights masked". An arm is a reading, or a way to perturb
training without any mask, at one noise level and one frequency ratio r. Each arm has a partner without a mask.
"""

from typing import Any, NamedTuple

from dynsim import theory
from dynsim.config import Config, replace

BASE_SHAPE: dict[str, Any] = {
    "data.n_features": 16,
    "data.token_dim": 32,
    "encoder.n_neurons": 64,
    "data.batch_size": 64,
    "data.activation_rate": 0.15,
    "loss.temperature_prefactor": False,
    "train.n_records": 24,
}
TOY_SHAPE: dict[str, Any] = BASE_SHAPE | {
    "data.n_features": 8,
    "data.token_dim": 16,
    "encoder.n_neurons": 24,
    "data.batch_size": 32,
    "data.activation_rate": 0.25,
}
NARROW: dict[str, Any] = BASE_SHAPE | {
    "data.n_features": 64,
    "data.token_dim": 128,
    "encoder.n_neurons": 64,
    "data.activation_rate": 0.1,
}
WIDE: dict[str, Any] = NARROW | {"encoder.n_neurons": 256}
ARM_SHAPES = {"base": BASE_SHAPE, "toy": TOY_SHAPE, "narrow": NARROW, "wide": WIDE}
"""narrow: as many neurons as features, so that neurons are scarce; wide: four times as many."""

NOISES: dict[str, float | None] = {"none": 0.0, "1 percent": 0.01, "default": None}
"""Noise levels by the rate of false firing; the default is whatever 1/d of noise variance gives: 24 % at d = 16."""

MASK = {"prune.kind": "lowest", "prune.unit": "weight", "prune.rate": 0.6}
BOTH = {"loss.stop_gradient": False}
NT_XENT = BOTH | {
    "loss.kind": "nt_xent",
    "loss.similarity": "cosine",
    "loss.symmetric": True,
    "loss.temperature": 0.2,
    "optimizer.learning_rate": 0.1,
}


class Reading(NamedTuple):
    """One way to mask; the changes are fields of the configuration."""

    mask: dict[str, Any]
    loss: dict[str, Any]
    """Changes beside the mask; those of the loss the unmasked partner has too."""


def _masks(loss: dict[str, Any] | None = None, **fields: Any) -> Reading:
    """Return a reading from fields of the section `prune`."""
    return Reading(MASK | {f"prune.{name}": value for name, value in fields.items()}, loss or {})


MASK_READINGS: dict[str, Reading] = {
    "one branch": _masks(semantics="one_branch"),
    "one branch, 30 %": _masks(semantics="one_branch", rate=0.3),
    "one branch, 90 %": _masks(semantics="one_branch", rate=0.9),
    "one branch, masked norm": _masks({"threshold.rule": "masked_norm_tracking"}, semantics="one_branch"),
    "one branch, from the switch": _masks(semantics="one_branch", start="switch"),
    "one branch, computed once": _masks(semantics="one_branch", refresh=None),
    "both branches trained": _masks(BOTH, semantics="one_branch"),
    "literal": _masks(),
    "literal, masked norm": _masks({"threshold.rule": "masked_norm_tracking"}),
    "literal, per neuron": _masks(scope="per_neuron"),
    "masked query": _masks(semantics="masked_query"),
    "masked key": _masks(semantics="masked_key"),
    "NT-Xent, one branch": _masks(NT_XENT, semantics="one_branch"),
    "literal, neurons 30 %": _masks(unit="neuron", rate=0.3),
    "straight-through, neurons 50 %": _masks(unit="neuron", rate=0.5, semantics="straight_through"),
}
"""Readings by name; masks of 60 % of all single weights, anew at each step, where the name says nothing else."""

MASK_KINDS = {"lowest": "lowest", "fixed random": "random_fixed", "redrawn random": "random"}
"""What is masked, by the name that tables use; the last two are the placebos of every reading."""
RANDOM_KINDS = ("fixed random", "redrawn random")
UNMASKED = "no mask"
RELEASE_STEP = 1000

LAMBDA, KAPPA = "lambda / 4", "kappa / 2"
FADING, ORACLE = "fading noise", "inverse-frequency loss"
PERTURBATIONS: dict[str, dict[str, Any]] = {
    LAMBDA: {"loss.l2_penalty": 5e-4},
    KAPPA: {"threshold.scale": 0.25},
    FADING: {"data.fading_noise": 4.0, "data.fading_steps": 1000},
    ORACLE: {},
}
"""Ways to perturb or reweigh training without a mask, as changes of the default. The fading noise starts with a
variance of 4 / d and is gone after 1,000 steps; the oracle is the loss whose anchors weigh by inverse frequency."""


def changes_loss(reading: str) -> bool:
    """Return whether a reading needs an unmasked partner of its own, since its loss is another one."""
    return reading in MASK_READINGS and any(name.startswith("loss.") for name in MASK_READINGS[reading].loss)


class Arm(NamedTuple):
    """The key of one set of runs."""

    noise: str
    ratio: float
    reading: str
    """A reading, a perturbation, or `UNMASKED`."""
    kind: str = "lowest"
    """What a reading masks; `UNMASKED` for its partner without a mask."""
    released: bool = False
    """Whether the mask is taken away at `RELEASE_STEP`."""

    @property
    def label(self) -> str:
        """The arm in words, without its point."""
        words = [self.reading] + [self.kind] * (self.reading in MASK_READINGS and self.kind != "lowest")
        return ", ".join(words + ["released"] * self.released)

    @property
    def partner(self) -> "Arm":
        """The arm without a mask that it is compared with: its loss, data and thresholds are the same."""
        own = changes_loss(self.reading)
        return Arm(self.noise, self.ratio, self.reading if own else UNMASKED, UNMASKED)


def point_config(shape: str, noise: str, ratio: float, n_steps: int) -> Config:
    """Return the configuration without a mask at one point."""
    config = replace(Config(), **ARM_SHAPES[shape], **{"data.minority_ratio": ratio, "train.n_steps": n_steps})
    rate = NOISES[noise]
    return config if rate is None else theory.with_false_firing_rate(config, rate)


def arm_config(arm: Arm, shape: str, n_steps: int) -> Config:
    """Return the configuration of an arm; that of the oracle is its partner's, and its loss is another function."""
    config = point_config(shape, arm.noise, arm.ratio, n_steps)
    if arm.reading in PERTURBATIONS:
        changes = dict(PERTURBATIONS[arm.reading])
        if "data.fading_noise" in changes:
            changes["data.fading_noise"] /= config.data.n_features
        return replace(config, **changes)
    if arm.reading == UNMASKED:
        return config
    reading = MASK_READINGS[arm.reading]
    if arm.kind == UNMASKED:
        return replace(config, **reading.loss)
    changes = reading.loss | reading.mask | {"prune.kind": MASK_KINDS[arm.kind]}
    if arm.released:
        changes |= {"prune.stop": "at_step", "prune.stop_step": RELEASE_STEP}
    return replace(config, **changes)


def placebos(arm: Arm) -> list[Arm]:
    """Return the placebos of a reading: random masks of the same size, and perturbations without a mask.

    Those without a mask have the default loss, so a reading with another loss has the random masks alone.
    """
    own = [arm._replace(kind=kind) for kind in RANDOM_KINDS]
    if changes_loss(arm.reading):
        return own
    return own + [Arm(arm.noise, arm.ratio, name, UNMASKED) for name in PERTURBATIONS if name != ORACLE]
