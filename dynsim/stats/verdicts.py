"""The statements about pruning that can be judged by numbers, and the numbers (theory 8.5).

A statement says in which range a number lies. Its verdict comes from the 95 % interval over seeds alone: "as stated"
where the interval lies inside the range, "not as stated" where it lies outside, and "not at this size" where it
reaches over an end of the range, or where fewer than three seeds are left. Where the end of the range is a null
hypothesis, a verdict also needs a p-value of at most 0.05 after Holm's correction over the statements of its test.

Straight-through masks can drive weights without bound. Seeds that diverged, or in which the strength S_j of a group
ends above `EXPLODED` times that of the unpruned partner, are counted and left out of both sides of a pair.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dynsim.stats import intervals

FEWEST = 3
LEVEL = 0.05


class Statement(NamedTuple):
    """One sentence that a number can refute."""

    claim: str
    quantity: str
    """What the number is, in words."""
    wanted: tuple[float, float]
    """Range of the number for which the claim holds; infinite ends are open."""
    rival: str
    """What else would explain the number."""
    refuted_by: str


def judge(low: float, high: float, wanted: tuple[float, float], p_holm: float | None = None) -> str:
    """Return the verdict by the rule at the top of the module; NaN ends are those of too few seeds."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "not at this size"
    inside, outside = wanted[0] <= low and high <= wanted[1], high < wanted[0] or low > wanted[1]
    if not (inside or outside) or (p_holm is not None and p_holm > LEVEL):
        return "not at this size"
    return "as stated" if inside else "not as stated"


def _null(wanted: tuple[float, float]) -> float | None:
    finite = [end for end in wanted if math.isfinite(end)]
    return finite[0] if len(finite) == 1 else None


def judged(parts: Sequence[tuple[Statement, np.ndarray]], **options: Any) -> list[dict[str, Any]]:
    """Return one summary entry per statement, with Holm's correction over all of them that test a null hypothesis.

    Args:
        parts: statements with one number per seed; NaN and infinity are left out and counted.
        options: those of `intervals.paired_difference`.
    """
    found: list[intervals.Interval] = []
    p_values: dict[str, float] = {}
    for position, (statement, values) in enumerate(parts):
        kept = np.asarray(values, np.float64)
        kept = kept[np.isfinite(kept)]
        null = _null(statement.wanted)
        if len(kept) == 0:
            found.append(intervals.Interval(math.nan, math.nan, math.nan, math.nan, 0, intervals.CONFIDENCE))
        elif null is None:
            found.append(intervals.bca_interval(kept, **options))
        else:
            tested = intervals.paired_difference(np.full_like(kept, null), kept, **options)
            moved = [null + end for end in tested[:3]]
            found.append(tested._replace(estimate=moved[0], low=moved[1], high=moved[2]))
            p_values[str(position)] = tested.p_value
    adjusted = intervals.holm(p_values) if p_values else {}
    return [
        _entry(statement, np.size(values), one, adjusted.get(str(position)))
        for position, ((statement, values), one) in enumerate(zip(parts, found, strict=True))
    ]


def _entry(statement: Statement, n_given: int, found: intervals.Interval, p_holm: float | None) -> dict[str, Any]:
    plain = found.plain()
    return {
        "claim": statement.claim,
        "quantity": statement.quantity,
        "measured": plain["estimate"],
        "interval": [plain["low"], plain["high"]],
        "wanted": [end if math.isfinite(end) else None for end in statement.wanted],
        "p_holm": p_holm,
        "seeds": found.n_seeds,
        "seeds_left_out": int(n_given) - found.n_seeds,
        "verdict": judge(found.low, found.high, statement.wanted, p_holm),
        "rival": statement.rival,
        "what_would_refute": statement.refuted_by,
    }
