"""The plan of the recipes, written after the search and before the runs that confirm it.

It lies in recipe_plan.toml beside this module: points, recipes, contrasts, seeds. As with the plan of the readings, a
study goes on with no other plan than the one with which it began.
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from dynsim.config.checks import require
from experiments.pruning.arms import NOISES
from experiments.pruning.plan import WANTED, Planned
from experiments.pruning.recipes import METHODS, RECIPE_SHAPES, Recipe, Schedule

RECIPE_PLAN = Path(__file__).with_name("recipe_plan.toml")


class RecipePoint(NamedTuple):
    """Where recipes are compared."""

    shape: str
    noise: str
    ratio: float


class RecipePlan(NamedTuple):
    """What is run and what decides."""

    digest: str
    lengths: tuple[int, ...]
    """Numbers of steps: a recipe that has not settled after one is trained for the next."""
    seeds: range
    searched: range
    """The seeds of the search, on which the recipes were chosen."""
    points: list[RecipePoint]
    methods: list[str | Schedule]
    large_seeds: range
    """Those of the confirmation at 128 features, and its recipes."""
    large_methods: list[str | Schedule]
    margin: float
    statements: list[tuple[Planned, str | Schedule, str | Schedule | None]]
    """(statement, second method, first method): the contrast is second - first."""

    def recipes(self, point: RecipePoint) -> list[Recipe]:
        """Return all recipes at a point, that without a mask first."""
        return [Recipe(*point, method) for method in self.methods]

    def contrasts(self) -> list[tuple[Planned, RecipePoint, Recipe, Recipe | None]]:
        """Return (statement, point, second, first) of every planned contrast."""
        return [
            (one, point, Recipe(*point, second), None if first is None else Recipe(*point, first))
            for one, second, first in self.statements
            for point in self.points
        ]


def method_of(given: str | dict[str, Any]) -> str | Schedule:
    """Return a method from the plan. Errors: `ConfigError` for a name that no method has."""
    if isinstance(given, dict):
        unknown = sorted(set(given) - set(Schedule._fields))
        require(not unknown, "recipe", ", ".join(Schedule._fields), unknown)
        return Schedule(**given)
    require(given in METHODS, "recipe", ", ".join(METHODS), given)
    return given


def load_recipe_plan(path: Path = RECIPE_PLAN) -> RecipePlan:
    """Return the plan of a file. Errors: `ConfigError` in one line for an unknown name or for seeds used twice."""
    text = path.read_bytes()
    given = tomllib.loads(text.decode())
    seeds, searched = range(*given["seeds"]), range(*given["search"]["seeds"])
    large = given["large"]
    fresh = {*seeds, *range(*large["seeds"])}
    require(not fresh & set(searched), "seeds", "seeds that the search has not seen", list(seeds)[:3])
    points = [RecipePoint(one["shape"], one["noise"], float(one["ratio"])) for one in given["point"]]
    for one in points:
        require(one.shape in RECIPE_SHAPES, "shape", ", ".join(RECIPE_SHAPES), one.shape)
        require(one.noise in NOISES, "noise", ", ".join(NOISES), one.noise)
    methods = [method_of(one) for one in given["recipes"]]
    statements = []
    for one in given["statement"]:
        require(one["wanted"] in WANTED, one["name"], ", ".join(WANTED), one["wanted"])
        second, first = method_of(one["second"]), method_of(one["first"]) if "first" in one else None
        require(second in methods and first in (None, *methods), one["name"], "recipes of the plan", one["second"])
        planned = Planned(
            one["name"],
            one["claim"],
            one["said_by"],
            one.get("quantity", "minority coverage"),
            {},
            None,
            one["wanted"],
            float(one.get("margin", given["margin"])),
            one["rival"],
            one["refuted_by"],
        )
        statements.append((planned, second, first))
    return RecipePlan(
        hashlib.sha256(text).hexdigest()[:12],
        tuple(int(n) for n in given["lengths"]),
        seeds,
        searched,
        points,
        methods,
        range(*large["seeds"]),
        [method_of(one) for one in large["recipes"]],
        float(given["margin"]),
        statements,
    )
