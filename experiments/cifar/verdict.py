"""What the plan of the comparison on images concludes: its question, its rules, and the verdict on a summary.

The rules stand in words in plan.toml, which was written before the first run and is not changed; here they are code.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dynsim.stats.verdicts import HARMS, HELPS_BEYOND, NOTHING_WITHIN, SIGNIFICANCE, UNDECIDED

PLAN_FILE = Path(__file__).with_name("plan.toml")
MARGIN = 0.02
"""Largest difference in accuracy that counts as none."""
HELPS_NOT_BEYOND = "helps, but not beyond every placebo"

PlannedDifference = dict[str, Any]


class PlanVerdict(NamedTuple):
    """What came out of the planned question."""

    verdict: str
    difference: PlannedDifference
    """The difference that the plan asks about, as the summary has it."""
    placebos: dict[str, PlannedDifference]
    """Magnitude against each placebo, under the same probe and for the same classes."""


def planned_question() -> dict[str, str]:
    """Return which arms, probe and classes the plan asks about."""
    return tomllib.loads(PLAN_FILE.read_text(encoding="utf-8"))["question"]


def planned_verdict(summary: Mapping[str, Any]) -> PlanVerdict | None:
    """Return the verdict on a summary, None where an arm of the plan was not run or seeds are too few."""
    plan = tomllib.loads(PLAN_FILE.read_text(encoding="utf-8"))
    asked, names = plan["question"], plan["placebos"]["arms"]
    found = {
        one["second"]: one
        for one in summary["contrasts"]
        if (one["first"], one["probe"], one["metric"]) == (asked["first"], asked["probe"], asked["classes"])
    }
    if any(name not in found or found[name]["low"] is None for name in (asked["second"], *names)):
        return None
    difference, placebos = found[asked["second"]], {name: found[name] for name in names}
    return PlanVerdict(_verdict(difference, placebos), difference, placebos)


def _verdict(difference: PlannedDifference, placebos: Mapping[str, PlannedDifference]) -> str:
    """Return the word of the first rule that holds, in the order of the plan."""
    from dynsim.stats.intervals import equivalence_p_value

    if difference["low"] > 0:
        return HELPS_BEYOND if all(one["low"] > 0 for one in placebos.values()) else HELPS_NOT_BEYOND
    if difference["high"] < 0:
        return HARMS
    # two one-sided tests at 5 %: the same as a 90 % interval within the margin
    within = equivalence_p_value(np.array(difference["values"]), MARGIN) < SIGNIFICANCE
    return NOTHING_WITHIN if within else UNDECIDED
