"""Which recipe brings rare features back where training learns none, at equal compute and at no loss of the others?

Claim (Liao et al. 2026, Algorithm 1): hide the smallest weights while training. The sources name no share of weights,
no start and no end. A search over shares, starts, ends and refresh, each beside a twin that hides random weights, and
over ways to train without a mask (noise that fades, lower thresholds, weaker decay, a lower temperature, a higher
learning rate, a longer run, a loss that knows the frequencies) chose the recipes; they are confirmed on fresh seeds.

Command:  python experiments/pruning_recipe.py [--preset search|large|quick] [--redraw]

Time:     about an hour on 2 CPU cores, resumable; search about 40 minutes; quick under a minute.

Expected: see the line on recipes in experiments/README.md.

Writes summary.json and the figures into <out>/pruning_recipe-<preset>/; the last line printed is the path of
summary.json. A stopped run goes on with the same command.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

from dynsim import experiment
from dynsim.config import Config
from dynsim.experiment import Experiment
from experiments.pruning import plan as plans
from experiments.pruning import recipes, two_times
from experiments.pruning.arms import ORACLE, UNMASKED
from experiments.pruning.recipe_plan import RecipePlan, RecipePoint, load_recipe_plan
from experiments.pruning.recipes import Recipe, Schedule
from experiments.pruning.two_times import Ends

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from experiments.pruning.probed_runs import OwnLoss

SEARCHED = Path(__file__).parent.parent / "figures" / "data" / "pruning_recipe_search.json"
"""Summary of the committed search, drawn in grey behind what was confirmed."""
FEW_FADING = tuple(f"noise {height:g} / d that fades in 1,000 steps" for height in (4, 16))
REPORTED = (
    *("minority coverage", "majority coverage", "minority probe, few labels", "majority probe, few labels"),
    *("held-out loss", "held-out loss, temperature refitted"),
)


@dataclass(frozen=True)
class PruningRecipe:
    """Options of this experiment."""

    preset: Literal["default", "search", "large", "quick"] = "default"
    """What is run, and how long it takes on 2 CPU cores.
    - default: the plan, at 64 features; about an hour
    - search: the cheap runs on which the recipes were chosen; about 40 minutes
    - large: four recipes at 128 features, after equal steps; about 10 minutes
    - quick: three recipes at toy size, to see what it prints; about a minute, no evidence"""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw again from the saved summary without simulating."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Where to run; auto takes the fastest that JAX finds."""


def recipe_plan_of(preset: str) -> RecipePlan:
    """Return the plan of a preset: that of the file, or the file's at another shape or cut down."""
    plan = load_recipe_plan()
    if preset == "search":
        return plan._replace(lengths=plan.lengths[:1], seeds=plan.searched, points=[], statements=[])
    if preset == "large":
        known = [one for one in plan.statements if {one[1], one[2]} <= {*plan.large_methods, None}]
        points = [one._replace(shape="double") for one in plan.points]
        return plan._replace(
            points=points,
            lengths=plan.lengths[:1],
            seeds=plan.large_seeds,
            methods=plan.large_methods,
            statements=known,
        )
    if preset == "quick":
        # the noise of the plan is too much for so few features: its variance is in units of 1 / d
        few: list[str | Schedule] = [UNMASKED, *(method for method in plan.methods if isinstance(method, Schedule))]
        return plan._replace(
            points=[RecipePoint("toy", "default", 0.5)],
            lengths=(800,),
            seeds=range(7200, 7204),
            methods=few,
            statements=[one for one in plan.statements if {one[1], one[2]} <= {*few, None}],
        )
    return plan


def searched_recipes() -> list[Recipe]:
    """Return what the search tries, widely at r = 0.5 and low noise, and less so at the other points."""
    plain: list[str | Schedule] = [name for name in recipes.METHODS if name != recipes.LONGER]
    few = [name for name in plain if "fades" not in str(name) or name in FEW_FADING]
    chosen_once = (0.3, 0.7)  # shares at which masks that are chosen once are tried too
    masks = [one for one in recipes.schedules() if not one.once or one.share in chosen_once]
    early = [Schedule(0.7, release=500), Schedule(0.7, release=500).twin]
    found = [Recipe("wide", "1 percent", 0.5, method) for method in [*plain, *masks]]
    half = [Schedule(0.5, release=500), Schedule(0.5, release=500).twin]
    found += [Recipe("wide", "1 percent", 0.3, method) for method in [*few, *half, *early]]
    fewest: list[str | Schedule] = [UNMASKED, "kappa / 2", *FEW_FADING, *early]
    for shape, noise, ratio in (("wide", "default", 0.3), ("wide", "default", 0.5), ("narrow", "1 percent", 0.5)):
        found += [Recipe(shape, noise, ratio, method) for method in fewest]
    return found


def own_loss(recipe: Recipe) -> "OwnLoss | None":
    """Return the loss of a recipe that has another than its configuration's."""
    from experiments.pruning.probed_runs import oracle

    return oracle() if recipe.method == ORACLE else None


def ends_of(folder: Path, plan: RecipePlan, recipe: Recipe, partner: "xr.Dataset | None") -> tuple[Ends, "xr.Dataset"]:
    """Train until settled or until the plan's last length is reached; return the outcomes and the first result."""
    from experiments.pruning.probed_runs import probed_run

    judged = {method for _, *sides in plan.statements for method in sides} - {recipes.LONGER}
    lengths = plan.lengths if recipe.method in judged else plan.lengths[:1]

    def run(n_steps: int) -> "xr.Dataset":
        return probed_run(folder, recipes.recipe_config(recipe, n_steps), plan.seeds, loss=own_loss(recipe))

    return two_times.until_settled(run, lengths, partner)


def simulate_all(options: PruningRecipe, folder: Path) -> dict[Recipe, Ends]:
    """Run every recipe of the plan."""
    from dynsim import study
    from experiments.pruning.probed_runs import run_name

    plan = recipe_plan_of(options.preset)
    if options.preset == "search":
        todo = searched_recipes()
    else:
        plans.hold(folder, plan.digest)
        todo = [Recipe(*point, method) for method in plan.methods for point in plan.points]
    known = [(recipes.recipe_config(recipe, plan.lengths[0]), own_loss(recipe)) for recipe in todo]
    study.announce({run_name(config, plan.seeds, loss): (config, plan.seeds) for config, loss in known})
    found: dict[Recipe, Ends] = {}
    partners: dict[Recipe, xr.Dataset] = {}
    for k, recipe in enumerate(todo):
        where = f"{recipe.shape}, noise {recipe.noise}, r = {recipe.ratio:g}"
        study.say(f"recipe {k + 1} of {len(todo)}: {where}, {recipe.label}")
        found[recipe], result = ends_of(folder, plan, recipe, partners.get(recipe.partner))
        if recipe.method == UNMASKED:
            partners[recipe] = result
    return found


def recipe_row(recipe: Recipe, found: dict[Recipe, Ends]) -> dict[str, Any]:
    """Return what the summary says of one recipe at equal steps and settled: where it ends, how far from no mask."""
    one, base = found[recipe], found.get(recipe.partner)
    schedule = recipe.method._asdict() if isinstance(recipe.method, Schedule) else None
    return {
        **recipe._replace(method=recipe.label)._asdict(),
        "schedule": schedule,
        **two_times.rows(one, base or one, REPORTED, REPORTED[:4]),
    }


def analyse(found: dict[Recipe, Ends], options: PruningRecipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (summary, nothing more for the figures)."""
    from dynsim import results, theory
    from dynsim.config import serial

    plan = recipe_plan_of(options.preset)
    points = list(dict.fromkeys(RecipePoint(*recipe[:3]) for recipe in found))
    configs = {point: recipes.recipe_config(Recipe(*point, UNMASKED), plan.lengths[0]) for point in points}
    known = options.preset == "default" and SEARCHED.is_file()
    numbers: dict[str, Any] = {
        "plan": plan.digest,
        "preset": options.preset,
        "seeds": list(plan.seeds),
        "margin": plan.margin,
        "points": [
            {
                **point._asdict(),
                "false_firing_rate": theory.false_firing_rate(configs[point]),
                "config": serial.to_dict(configs[point]),
            }
            for point in points
        ],
        "recipes": [recipe_row(recipe, found) for recipe in found],
        **two_times.statements(plan.contrasts(), found),
        "searched": results.load_json(SEARCHED)["recipes"] if known else [],
    }
    return numbers, {}


def opening_recipe(options: PruningRecipe) -> tuple[Config, range]:
    """Return the first configuration and the seeds; all others follow from the plan."""
    plan = recipe_plan_of(options.preset)
    point = plan.points[0] if plan.points else RecipePoint(*searched_recipes()[0][:3])
    return recipes.recipe_config(Recipe(*point, UNMASKED), plan.lengths[0]), plan.seeds


def draw(numbers: dict[str, Any], reduced: dict[str, Any]) -> dict[str, "Figure"]:
    """Return the figures by name; `reduced` is not used, all numbers are in the summary."""
    from experiments.pruning import recipe_plots

    return recipe_plots.figures(numbers)


def words() -> tuple[dict[str, str], Callable[[dict[str, Any]], str]]:
    """Return (captions by name of the figure, function that says a summary as a table)."""
    from experiments.pruning import recipe_plots, recipe_table

    return recipe_plots.CAPTIONS, recipe_table.table_text


EXPERIMENT = Experiment(
    name="pruning_recipe",
    about=__doc__ or "",
    command="python experiments/pruning_recipe.py",
    statements="Algorithm 1, Theorem 3.2",
    presets={"": PruningRecipe()},
    folder=lambda options: options.out / f"pruning_recipe-{options.preset}",
    configuration=opening_recipe,
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=lambda: words()[0],
    table=lambda numbers: words()[1](numbers),
    curves=False,
)


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
