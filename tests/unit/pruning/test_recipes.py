"""Recipes as configurations, and the plan that says which of them are confirmed."""

import pytest

from dynsim import theory
from dynsim.config.checks import ConfigError
from dynsim.config.serial import config_hash
from experiments import pruning_recipe
from experiments.pruning import recipe_plan, recipes
from experiments.pruning.arms import ORACLE, UNMASKED
from experiments.pruning.recipes import LONGER, Recipe, Schedule


def config(method, noise="1 percent", shape="wide"):
    return recipes.recipe_config(Recipe(shape, noise, 0.5, method), 100)


def test_every_recipe_of_the_search_has_its_own_name_and_its_own_runs():
    searched = pruning_recipe.searched_recipes()
    assert len({(*recipe[:3], recipe.label) for recipe in searched}) == len(searched)
    # the loss that knows the frequencies is an own function, not a field of the configuration
    runs = {config_hash(recipes.recipe_config(recipe, 100)) for recipe in searched if recipe.method != ORACLE}
    assert len(runs) == len([recipe for recipe in searched if recipe.method != ORACLE])


def test_a_twin_hides_as_many_weights_over_the_same_steps():
    for one in recipes.schedules():
        mine, twin = config(one).prune, config(one.twin).prune
        assert (twin.rate, twin.start, twin.stop, twin.stop_step) == (mine.rate, mine.start, mine.stop, mine.stop_step)
        assert twin.kind == "random_fixed" and (one.at_random or mine.kind == "lowest")
        assert mine.semantics == twin.semantics == "one_branch" and mine.unit == twin.unit == "weight"


def test_schedules_in_words():
    assert Schedule(0.3).label == "mask 30% from step 0"
    assert Schedule(0.3, "switch", 500, once=True).label == "mask 30% chosen once from the switch to 500"
    assert Schedule(0.7, release=500).twin.label == "mask 70% at random from step 0 to 500"


def test_methods_change_what_they_say():
    plain = config(UNMASKED)
    assert config(LONGER).train.n_steps == 3 * plain.train.n_steps == 300
    assert config("lambda / 4").loss.l2_penalty == plain.loss.l2_penalty / 4
    assert config("tau / 2").loss.temperature == plain.loss.temperature / 2
    assert config("learning rate x 2").optimizer.learning_rate == 2 * plain.optimizer.learning_rate
    # the default factor kappa of the thresholds is 1/2
    assert config("kappa / 2").threshold.scale == 0.25
    faded = config("noise 4 / d that fades in 1,000 steps").data
    assert (faded.fading_noise, faded.fading_steps) == (4 / 64, 1000)
    assert theory.false_firing_rate(plain) == pytest.approx(0.01)
    assert config(UNMASKED, "default").data.noise_level == "inverse_d"


def test_the_committed_plan_names_known_recipes_and_fresh_seeds():
    plan = recipe_plan.load_recipe_plan()
    assert len(plan.seeds) >= 16 and not set(plan.seeds) & set(plan.searched)
    for _, point, second, first in plan.contrasts():
        assert second in plan.recipes(point) and first in (None, *plan.recipes(point))
    assert {point.noise for point in plan.points} == {"1 percent", "default"}


@pytest.mark.parametrize(
    "old, new, why",
    [
        ('"kappa / 2"', '"kappa / 3"', "recipe: wanted no mask, .* got 'kappa / 3'"),
        ("share = ", "shar = ", "recipe: wanted share, start, .* got \\['shar'\\]"),
        ('shape = "wide"', 'shape = "wider"', "shape: wanted base, .* got 'wider'"),
        ("seeds = [7100", "seeds = [7001", "seeds: wanted seeds that the search has not seen"),
    ],
)
def test_a_plan_that_names_what_is_not_there_is_refused(tmp_path, old, new, why):
    text = recipe_plan.RECIPE_PLAN.read_text()
    assert old in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=why):
        recipe_plan.load_recipe_plan(path)
