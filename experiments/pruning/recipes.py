"""Which schedules of a mask, and which ways to train without one, are compared as recipes for rare features?

A recipe is what a practitioner would do differently: hide a share of the weights on one branch, from some step on,
until some step, chosen anew or once; or train without any mask but with other settings. Each mask of the smallest
weights has a twin that hides as many at random, always the same ones, over the same steps.
"""

from typing import Any, NamedTuple

from dynsim import theory
from dynsim.config import Config, replace
from experiments.pruning.arms import ARM_SHAPES, NOISES, ORACLE, UNMASKED, WIDE

DOUBLE: dict[str, Any] = WIDE | {"data.n_features": 128, "data.token_dim": 256}
RECIPE_SHAPES = ARM_SHAPES | {"double": DOUBLE}
"""narrow: 64 features and 64 neurons; wide: 256 neurons; double: 128 features and 256 neurons."""

SHARES = (0.1, 0.3, 0.5, 0.7)
STARTS = ("at_step", "switch")
"""From step 0 on, or from the step at which the thresholds come on."""
RELEASES = (500, None)
"""Step at which the mask is taken away; None: never."""


class Schedule(NamedTuple):
    """Which weights a mask on one branch hides, and when."""

    share: float
    start: str = "at_step"
    release: int | None = None
    once: bool = False
    """Whether the mask is chosen once, when it starts, instead of anew at each step."""
    at_random: bool = False
    """Whether the mask hides random weights, always the same, instead of the smallest."""

    @property
    def twin(self) -> "Schedule":
        """The schedule that hides as many weights at random over the same steps."""
        return self._replace(at_random=True, once=False)

    @property
    def label(self) -> str:
        """The schedule in words."""
        start = "the switch" if self.start == "switch" else "step 0"
        end = "" if self.release is None else f" to {self.release}"
        kind = " at random" if self.at_random else " chosen once" if self.once else ""
        return f"mask {self.share:.0%}{kind} from {start}{end}"

    def changes(self) -> dict[str, Any]:
        """Return the fields of the configuration that it changes."""
        return {
            "prune.kind": "random_fixed" if self.at_random else "lowest",
            "prune.unit": "weight",
            "prune.semantics": "one_branch",
            "prune.rate": self.share,
            "prune.start": self.start,
            "prune.refresh": None if self.once else 1,
        } | ({} if self.release is None else {"prune.stop": "at_step", "prune.stop_step": self.release})


LONGER = "no mask, three times as long"
METHODS: dict[str, dict[str, Any]] = {
    UNMASKED: {},
    LONGER: {},
    "lambda / 4": {"loss.l2_penalty": 5e-4},
    "kappa / 2": {"threshold.scale": 0.25},
    "tau / 2": {"loss.temperature": 0.5},
    "learning rate x 2": {"optimizer.learning_rate": 1.0},
    ORACLE: {},
} | {
    f"noise {height:g} / d that fades in {steps:,} steps": {"data.fading_noise": height, "data.fading_steps": steps}
    for height in (1.0, 4.0, 16.0)
    for steps in (300, 1000, 3000)
}
"""Ways to train without a mask, as changes of the default; fading noise is in units of 1 / d."""
RECIPE_WORDS = {
    "lambda / 4": "a quarter of the decay (λ / 4)",
    "kappa / 2": "half the threshold (κ / 2)",
    "tau / 2": "half the temperature (τ / 2)",
    "learning rate x 2": "twice the learning rate",
}
"""What figures and documents call some of them."""


class Recipe(NamedTuple):
    """The key of one set of runs."""

    shape: str
    noise: str
    ratio: float
    method: str | Schedule

    @property
    def label(self) -> str:
        """The recipe in words, without its point."""
        return self.method if isinstance(self.method, str) else self.method.label

    @property
    def partner(self) -> "Recipe":
        """The runs without a mask at the same point."""
        return self._replace(method=UNMASKED)


def schedules() -> list[Schedule]:
    """Return the schedules of the map: shares x starts x releases x (anew, once, at random)."""
    plain = [Schedule(share, start, release) for share in SHARES for start in STARTS for release in RELEASES]
    return [one for each in plain for one in (each, each._replace(once=True), each.twin)]


def recipe_config(recipe: Recipe, n_steps: int) -> Config:
    """Return the configuration of a recipe.

    Args:
        n_steps: the steps that every recipe has, but for `LONGER`, which has three times as many. The configuration of
            `ORACLE` is its partner's, and its loss is another function.
    """
    config = replace(
        Config(),
        **RECIPE_SHAPES[recipe.shape],
        **{"data.minority_ratio": recipe.ratio, "train.n_steps": n_steps * (3 if recipe.method == LONGER else 1)},
    )
    rate = NOISES[recipe.noise]
    config = config if rate is None else theory.with_false_firing_rate(config, rate)
    changes = dict(METHODS[recipe.method]) if isinstance(recipe.method, str) else recipe.method.changes()
    if "data.fading_noise" in changes:
        changes["data.fading_noise"] /= config.data.n_features
    return replace(config, **changes)
