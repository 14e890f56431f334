"""The plan that was written before the data: which contrast decides each statement, on which seeds, with which margin.

It lies in plan.toml beside this module. A study keeps the digest of the plan that it began with, and goes on with no
other: what was decided after the first result is no plan.

The names P1 to P8 in that file are older than the tests P1 to P8 of theory 8.5 and are others. What people read has the
words of `TITLES` for them.
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from dynsim.config.checks import ConfigError, require
from experiments.pruning.arms import MASK_KINDS, MASK_READINGS, NOISES, PERTURBATIONS, UNMASKED, Arm

PLAN = Path(__file__).with_name("plan.toml")
WANTED = {"above 0": (0.0, float("inf")), "within the margin": None}
MEASURED_ON_ONE = ("masked share of minority specialists", "amplification gap", "driver change")
"""Quantities of the unmasked arm alone, at its recorded weights."""
TITLES = {
    "P1": "minority among the smallest",
    "P2": "minority amplified more",
    "P3": "driver unchanged at first",
    "P4": "strength as if balanced",
    "P5": "literal beyond random",
    "P6": "share of 90 %",
    "P7": "equal frequencies",
    "P8": "mask taken away",
}
"""The statements of the file that bear a letter and a number there, in words; the others are named in words already."""


def title(name: str) -> str:
    """Return the words by which a statement of a plan is called wherever it is shown."""
    return TITLES.get(name, name)


class PlanPoint(NamedTuple):
    """Noise level and frequency ratio at which readings are compared."""

    noise: str
    ratio: float


class Planned(NamedTuple):
    """One statement and the one contrast that decides it, at each of the points of the plan."""

    name: str
    claim: str
    said_by: str
    """Who predicts it."""
    quantity: str
    second: dict[str, Any]
    first: dict[str, Any] | None
    """The contrast is second - first; None where the quantity is that of one arm."""
    wanted: str
    """One of `WANTED`."""
    margin: float
    rival: str
    refuted_by: str

    def arms(self, point: PlanPoint) -> tuple[Arm, Arm | None]:
        """Return (second, first) at a point."""
        return _arm(self.second, point), None if self.first is None else _arm(self.first, point)


class AnswerPlan(NamedTuple):
    """What is run and what decides."""

    digest: str
    shape: str
    lengths: tuple[int, ...]
    """Numbers of steps: an arm that has not settled after one is trained for the next."""
    seeds: range
    searched: range
    """The seeds of the search, on which the points were chosen."""
    points: list[PlanPoint]
    readings: list[str]
    redrawn: list[str]
    """The readings that also stand against masks drawn anew at each step."""
    margin: float
    statements: list[Planned]

    def arms(self, point: PlanPoint) -> list[Arm]:
        """Return all arms at a point, each once, those without a mask first."""
        noise, ratio = point
        found = [Arm(noise, ratio, UNMASKED, UNMASKED)]
        found += [Arm(noise, ratio, name, UNMASKED) for name in PERTURBATIONS]
        for name in self.readings:
            arm = Arm(noise, ratio, name)
            found += [arm.partner, arm, arm._replace(kind="fixed random")]
            found += [arm._replace(kind="redrawn random")] if name in self.redrawn else []
        for one in self.statements:
            second, first = one.arms(point)
            found += [second, second.partner] + ([first] if first else [])
        unique = list(dict.fromkeys(found))
        return sorted(unique, key=lambda arm: arm.kind != UNMASKED)

    def contrasts(self) -> list[tuple[Planned, PlanPoint, Arm, Arm | None]]:
        """Return (statement, point, second, first) of every planned contrast."""
        return [(one, point, *one.arms(point)) for one in self.statements for point in self.points]


def _arm(given: dict[str, Any], point: PlanPoint) -> Arm:
    reading = given.get("reading", UNMASKED)
    masked = reading in MASK_READINGS and given.get("masked", True)
    kind = given.get("kind", "lowest") if masked else UNMASKED
    return Arm(point.noise, given.get("ratio", point.ratio), reading, kind, given.get("released", False))


def _range(pair: list[int], name: str) -> range:
    require(len(pair) == 2 and pair[0] < pair[1], name, "first seed and the one after the last", pair)
    return range(*pair)


def load_plan(path: Path = PLAN) -> AnswerPlan:
    """Return the plan of a file. Errors: `ConfigError` in one line for a name that no arm has, or seeds used twice."""
    text = path.read_bytes()
    given = tomllib.loads(text.decode())
    points = [PlanPoint(one["noise"], float(one["ratio"])) for one in given["point"]]
    statements = [
        Planned(
            one["name"],
            one["claim"],
            one["said_by"],
            one["quantity"],
            one.get("second", {}),
            one.get("first"),
            one["wanted"],
            float(one.get("margin", given["margin"])),
            one["rival"],
            one["refuted_by"],
        )
        for one in given["statement"]
    ]
    seeds, searched = _range(given["seeds"], "seeds"), _range(given["search"]["seeds"], "search.seeds")
    require(not set(seeds) & set(searched), "seeds", "seeds that the search has not seen", list(seeds)[:3])
    for name in given["readings"] + given["redrawn"]:
        require(name in MASK_READINGS, "readings", ", ".join(MASK_READINGS), name)
    for one in points:
        require(one.noise in NOISES, "noise", ", ".join(NOISES), one.noise)
    for planned in statements:
        where = f"{path.name}, statement {planned.name}"
        require(planned.wanted in WANTED, where, ", ".join(WANTED), planned.wanted)
        for side in (planned.second, planned.first or {}):
            known = {*MASK_READINGS, *PERTURBATIONS, UNMASKED}
            require(side.get("reading", UNMASKED) in known, where, "a reading", side.get("reading"))
            require(side.get("kind", "lowest") in MASK_KINDS, where, ", ".join(MASK_KINDS), side.get("kind"))
    digest = hashlib.sha256(text).hexdigest()[:12]
    lengths = tuple(int(n) for n in given["lengths"])
    return AnswerPlan(
        digest,
        given["shape"],
        lengths,
        seeds,
        searched,
        points,
        given["readings"],
        given["redrawn"],
        float(given["margin"]),
        statements,
    )


def hold(folder: Path, digest: str) -> None:
    """Keep the plan's digest in a study's folder before its first run; refuse another plan from then on.

    Errors: `ConfigError` in one line for a plan that was edited after the study had begun.
    """
    from dynsim import results

    kept = folder / "plan.json"
    if kept.is_file():
        began = results.load_json(kept)["plan"]
        if began != digest:
            raise ConfigError(
                f"plan: wanted the one that {folder} began with ({began}), got an edited one ({digest}); "
                "undo the edit, or take fresh seeds and another --out"
            )
        return
    results.save_json({"plan": digest}, kept)
