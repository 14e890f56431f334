"""The plan of pruning_labels: points, methods, contrasts and seeds, from label_plan.toml beside this module."""

import hashlib
import tomllib
from pathlib import Path
from typing import NamedTuple

from dynsim.config.checks import require
from experiments.pruning.arms import ARM_SHAPES, NOISES
from experiments.pruning.label_methods import FORMS, LABEL_METHODS, NO_LABELS, LabelRun
from experiments.pruning.plan import WANTED, Planned

LABEL_PLAN = Path(__file__).with_name("label_plan.toml")


class LabelPoint(NamedTuple):
    """Where methods are compared."""

    form: str
    shape: str
    noise: str
    ratio: float


class LabelPlan(NamedTuple):
    """What is run and what decides."""

    digest: str
    lengths: dict[str, tuple[int, ...]]
    """Numbers of steps by shape: a method in a statement that has not settled after one is trained for the next."""
    seeds: range
    points: list[LabelPoint]
    methods: list[str]
    """That without labels first."""
    margin: float
    statements: list[tuple[Planned, str, str, str]]
    """(statement, form, second method, first method): the contrast is second - first."""

    def contrasts(self) -> list[tuple[Planned, LabelPoint, LabelRun, LabelRun]]:
        """Return (statement, point, second, first) of every planned contrast."""
        return [
            (one, point, LabelRun(*point, second), LabelRun(*point, first))
            for one, form, second, first in self.statements
            for point in self.points
            if point.form == form
        ]

    def judged(self, point: LabelPoint) -> set[str]:
        """Return the methods that stand in a contrast at a point."""
        return {run.method for _, at, *sides in self.contrasts() if at == point for run in sides}


def load_label_plan(path: Path = LABEL_PLAN) -> LabelPlan:
    """Return the plan of a file. Errors: `ConfigError` in one line for a name that is not known."""
    text = path.read_bytes()
    given = tomllib.loads(text.decode())
    points = [LabelPoint(one["form"], one["shape"], one["noise"], float(one["ratio"])) for one in given["point"]]
    for point in points:
        require(point.form in FORMS, "form", ", ".join(FORMS), point.form)
        require(point.shape in ARM_SHAPES, "shape", ", ".join(ARM_SHAPES), point.shape)
        require(point.noise in NOISES, "noise", ", ".join(NOISES), point.noise)
    methods: list[str] = given["methods"]
    for method in methods:
        require(method in LABEL_METHODS, "method", ", ".join(LABEL_METHODS), method)
    require(methods[0] == NO_LABELS, "methods", f"{NO_LABELS} first", methods[0])
    statements = []
    for one in given["statement"]:
        require(one["wanted"] in WANTED, one["name"], ", ".join(WANTED), one["wanted"])
        require(one["form"] in FORMS, one["name"], ", ".join(FORMS), one["form"])
        for side in (one["second"], one["first"]):
            require(side in methods, one["name"], "methods of the plan", side)
        quantity, margin = one.get("quantity", "minority coverage"), float(one.get("margin", given["margin"]))
        words = (one["name"], one["claim"], one["said_by"], quantity)
        planned = Planned(*words, {}, None, one["wanted"], margin, one["rival"], one["refuted_by"])
        statements.append((planned, one["form"], one["second"], one["first"]))
    lengths, small = tuple(given["lengths"]), tuple(given["lengths_small"])
    return LabelPlan(
        hashlib.sha256(text).hexdigest()[:12],
        {shape: lengths if shape == "wide" else small for shape in ARM_SHAPES},
        range(*given["seeds"]),
        points,
        methods,
        float(given["margin"]),
        statements,
    )
