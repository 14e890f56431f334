"""How a linear probe is trained: named recipes of published protocols (Jiang et al. 2021, Zhou et al. 2022)."""

from dataclasses import dataclass

import numpy as np

from dynsim.config.checks import Section, choice, number, positive_int, require

OPTIMISERS = ("adam", "sgd")
FIRST_WEIGHTS = ("normal", "uniform")


@dataclass(frozen=True)
class ProbeRecipe(Section):
    """How a linear classifier is trained on frozen features.

    Attributes:
        optimiser: "adam", or "sgd" with momentum.
        epochs: passes over the training images.
        batch_size: images of one step. The last batch of an epoch has those that are left, and its loss is their mean.
        learning_rate: that of the beginning.
        final_learning_rate: the learning rate falls by the same factor after every epoch, and would have this value
            after the last; the same as `learning_rate` for none.
        milestones: epochs, counted from 1, at the beginning of which the learning rate is multiplied by
            `milestone_factor`.
        milestone_factor: see `milestones`.
        momentum: of "sgd"; without dampening and not Nesterov's.
        weight_decay: multiple of weights and biases that is added to their gradient, before the optimiser sees it.
        start: "normal" for weights from N(0, 0.01^2) and biases of zero; "uniform" for both from
            (-1/sqrt(d), 1/sqrt(d)) with d features.
        validate_every: validate after every so many epochs.
    """

    optimiser: str
    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float
    milestones: tuple[int, ...] = ()
    milestone_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    start: str = "normal"
    validate_every: int = 1

    def __post_init__(self) -> None:
        """Check the values. Errors: `ConfigError` in one line."""
        choice("optimiser", self.optimiser, OPTIMISERS)
        choice("start", self.start, FIRST_WEIGHTS)
        positive_int("epochs", self.epochs)
        positive_int("batch_size", self.batch_size)
        positive_int("validate_every", self.validate_every)
        number("learning_rate", self.learning_rate, 0.0, open_low=True)
        number("final_learning_rate", self.final_learning_rate, 0.0, self.learning_rate, open_low=True)
        number("milestone_factor", self.milestone_factor, 0.0, 1.0, open_low=True)
        number("momentum", self.momentum, 0.0, 1.0)
        number("weight_decay", self.weight_decay, 0.0)
        require(isinstance(self.milestones, tuple), "milestones", "a tuple of epochs", self.milestones)
        for epoch in self.milestones:
            positive_int("milestones", epoch)
        require(
            self.validate_every <= self.epochs,
            "validate_every",
            f"at most the {self.epochs} epochs",
            self.validate_every,
            "a probe that is never validated has no best epoch",
        )


PROBE_RECIPES = {
    # SDCLR: features of augmented images, recomputed in every epoch; the best epoch on validation images is tested
    "sdclr": ProbeRecipe("sgd", 30, 128, 30.0, 30.0, milestones=(10, 20)),
    "sdclr_few_shot": ProbeRecipe("sgd", 100, 128, 30.0, 30.0, milestones=(40, 60), validate_every=5),
    # the boosted contrastive learning of Zhou et al. 2022: features of clean images, computed once; their code has no
    # validation and tests the last epoch
    "boosted": ProbeRecipe("adam", 500, 1000, 1e-2, 1e-6, weight_decay=5e-6, start="uniform"),
    # ours, for a quick look on a CPU; no published number has been measured with it
    "short": ProbeRecipe("adam", 20, 1000, 1e-2, 1e-4, weight_decay=5e-6),
}


def probe_recipe(name: str) -> ProbeRecipe:
    """Return a named recipe. Errors: `ConfigError` for an unknown name, in one line."""
    choice("probe recipe", name, tuple(PROBE_RECIPES))
    return PROBE_RECIPES[name]


def learning_rates(recipe: ProbeRecipe) -> np.ndarray:
    """Return the learning rate of each epoch, float64, shape (epoch,)."""
    epoch = np.arange(1, recipe.epochs + 1)
    passed = np.sum(epoch[:, None] >= np.array(recipe.milestones, np.int64)[None, :], axis=1)
    decline = (recipe.final_learning_rate / recipe.learning_rate) ** ((epoch - 1) / recipe.epochs)
    return np.asarray(recipe.learning_rate * decline * recipe.milestone_factor**passed)
