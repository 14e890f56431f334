"""The recipes at toy size: what is written, and that a recipe which has not settled is trained for longer."""

import dataclasses
import json

import pytest

from dynsim import plots, study
from dynsim.experiment import run
from experiments import pruning_recipe
from experiments.pruning import recipe_plan, recipe_plots, recipes
from experiments.pruning.arms import UNMASKED

pytestmark = pytest.mark.slow  # several programs are compiled

LENGTHS = (24, 40)
FADING = "noise 4 / d that fades in 1,000 steps"
METHODS = [UNMASKED, recipes.LONGER, FADING, recipes.Schedule(0.5, release=9), recipes.Schedule(0.5, release=9).twin]
TINY = {
    "data.n_features": 5,
    "data.token_dim": 8,
    "encoder.n_neurons": 6,
    "data.batch_size": 6,
    "data.activation_rate": 0.4,
    "encoder.init_std": 0.3,
    "train.n_records": 16,
}


def toy_plan(preset):
    full = recipe_plan.load_recipe_plan()
    planned = full.statements[0][0]
    return full._replace(
        lengths=LENGTHS,
        seeds=range(3),
        points=[recipe_plan.RecipePoint("tiny", "default", 0.5)],
        methods=METHODS,
        statements=[(planned, FADING, UNMASKED), (planned, METHODS[3], METHODS[4])],
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(output folder, folder of the study)."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots.style, "DPI", 30)
        patch.setitem(recipes.RECIPE_SHAPES, "tiny", TINY)
        patch.setattr(pruning_recipe, "recipe_plan_of", toy_plan)
        patch.setattr(study, "finish", lambda folder: None)
        yield out, run(pruning_recipe.EXPERIMENT, pruning_recipe.PruningRecipe(out=out))


def test_what_is_written(done):
    _, folder = done
    numbers = json.loads((folder / "summary.json").read_text())
    assert numbers["plan"] == recipe_plan.load_recipe_plan().digest and numbers["seeds"] == [0, 1, 2]
    rows = {row["method"]: row for row in numbers["recipes"]}
    assert list(rows) == [UNMASKED, recipes.LONGER, FADING, METHODS[3].label, METHODS[4].label]
    for name, row in rows.items():
        equal, settled = row["equal_steps"], row["settled"]
        assert equal["n_steps"] == LENGTHS[0] * (3 if name == recipes.LONGER else 1)
        # what has settled is not trained for longer; nor is the longer run
        assert (settled["n_steps"] == equal["n_steps"]) == (equal["settled"] or name == recipes.LONGER)
        mine, base = (one["equal_steps"]["ends"]["minority coverage"] for one in (row, rows[UNMASKED]))
        found = equal["against_no_mask"]["minority coverage"]
        if mine["n_seeds"] == base["n_seeds"] == 3:  # where seeds are lost, the difference is over those that are left
            assert found["estimate"] == pytest.approx(mine["estimate"] - base["estimate"], abs=1e-12)
    kept = [row["equal_steps"]["ends"]["minority coverage"]["n_seeds"] for row in rows.values()]
    assert kept.count(3) >= 3
    assert rows[METHODS[3].label]["schedule"]["release"] == 9 and rows[FADING]["schedule"] is None
    assert [row["contrast"] for row in numbers["statements"]] == [
        f"{FADING} - {UNMASKED}",
        f"{METHODS[3].label} - {METHODS[4].label}",
    ]
    assert {"summary.json", "plan.json", "confirmed.png", "confirmed.pdf"} <= {path.name for path in folder.iterdir()}


def test_redrawing_simulates_nothing(done):
    out, folder = done
    before = (folder / "confirmed.png").read_bytes()

    def fails(*unused):
        pytest.fail("simulated or analysed anew")

    drawn_only = dataclasses.replace(pruning_recipe.EXPERIMENT, simulate=fails, analyse=fails)
    run(drawn_only, pruning_recipe.PruningRecipe(out=out, redraw=True))
    assert (folder / "confirmed.png").read_bytes() == before


def test_a_search_draws_the_map_and_a_confirmation_draws_both(done):
    _, folder = done
    numbers = json.loads((folder / "summary.json").read_text())
    assert set(recipe_plots.figures(numbers | {"preset": "search", "searched": []})) == {"map"}
    assert set(recipe_plots.figures(numbers | {"searched": numbers["recipes"]})) == {"confirmed", "map"}
    assert set(recipe_plots.CAPTIONS) == {"confirmed", "map"}
