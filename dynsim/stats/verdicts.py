"""Verdicts: the words for what results show, and the rules that choose a word from intervals over seeds.

Experiments and checks of the theory share the first table.

=================  ==================================================================================================
`judge`            the verdict on a statement, which says in which range a number lies (theory 8.5)
-----------------  --------------------------------------------------------------------------------------------------
supported          the interval lies inside the range
not supported      the interval lies outside the range
undecided          the interval reaches over an end of the range; fewer than three seeds are left; or the end of the
                   range is a null hypothesis and the p-value is above 0.05 after Holm's correction
not converged      said by the caller: runs behind the number were still changing when they ended
out of regime      said by the caller: the runs break an assumption of the statement, so that they say nothing about it
vacuous here       said by the caller: no outcome at these sizes could break the statement
-----------------  --------------------------------------------------------------------------------------------------
`judge_settings`   the verdict on a statement that is made for each of many settings, without a test over all of them
-----------------  --------------------------------------------------------------------------------------------------
supported          the interval of each setting lies on the stated side of 0
not supported      that of one setting lies on the other side
undecided          neither
-----------------  --------------------------------------------------------------------------------------------------
`judge_contrasts`  the verdict on pruning at one point, from the differences pruned - dense and pruned - placebo (a
                   placebo: runs with random masks of the same size)
-----------------  --------------------------------------------------------------------------------------------------
helps              the intervals against the dense runs and against every usable placebo lie above 0
harms              all of them lie below 0
nothing            the interval against the dense runs holds 0, or that against a placebo does not lie on its side of 0
unstable           too many seeds are lost against the dense runs, or against every placebo that was run
untested           the interval against the dense runs does not hold 0, and no placebo was run
-----------------  --------------------------------------------------------------------------------------------------
`judge_reading`    the verdict on one way of pruning, from the differences pruned - unmasked and pruned - placebo and
                   from an equivalence margin, the largest difference that still counts as none
-----------------  --------------------------------------------------------------------------------------------------
not converged      one of the runs that are compared was still changing when it ended
helps more than    the intervals against the unmasked runs and against every placebo lie above 0
 every placebo
helps, but a       the interval against the unmasked runs lies above 0, and a placebo is at most the margin worse
 placebo helps
 as much
helps, placebos    the interval against the unmasked runs lies above 0, and the placebos allow neither of these
 undecided
harms              the interval against the unmasked runs lies below 0
nothing within     the interval against the unmasked runs lies inside the margin
 the margin
undecided          none of these: too few seeds, or too large a scatter
=================  ==================================================================================================

The caller decides which seeds are lost, that is left out because training failed (`analysis.outcomes.EXCLUSION`).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dynsim.stats import intervals

SIGNIFICANCE = 0.05
"""Largest p-value, after Holm's correction, at which a null hypothesis is rejected."""
SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
NOT_CONVERGED, OUT_OF_REGIME, VACUOUS = "not converged", "out of regime", "vacuous here"
STATEMENT_VERDICTS = (SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_CONVERGED)
"""The words that experiments say of statements."""
CHECK_VERDICTS = (SUPPORTED, NOT_SUPPORTED, UNDECIDED, OUT_OF_REGIME, VACUOUS)
"""The words that `paper_checks/` says of statements of the paper; runs that have not converged are out of regime."""
HELPS, NOTHING, HARMS, UNSTABLE, UNTESTED = "helps", "nothing", "harms", "unstable", "untested"

HELPS_BEYOND, HELPS_ALIKE = "helps more than every placebo", "helps, but a placebo helps as much"
HELPS_UNDECIDED, NOTHING_WITHIN = "helps, placebos undecided", "nothing within the margin"
READING_VERDICTS = (
    *(HELPS_BEYOND, HELPS_ALIKE, HELPS_UNDECIDED, NOTHING_WITHIN, HARMS, UNDECIDED, NOT_CONVERGED, UNSTABLE),
)
"""All words of `judge_reading`, and "unstable" for a caller who lost too many seeds."""

FORMER_WORDS = {
    "as stated": SUPPORTED,
    "not as stated": NOT_SUPPORTED,
    "not at this size": UNDECIDED,
    "helps beyond every placebo": HELPS_BEYOND,
    "helps no more than a placebo": HELPS_ALIKE,
    "helps, beyond placebos undecided": HELPS_UNDECIDED,
}
"""What older summaries call these verdicts, whose rules are the same."""

Span = tuple[float, float]
"""Lower and upper end of an interval."""
Entry = dict[str, Any]
"""What a summary says of one statement, as plain values; None stands for what too few seeds cannot give.

Keys: claim, quantity, measured, interval (two ends), wanted (two ends, None for an open one), p_holm (None if no null
hypothesis is tested), seeds, seeds_left_out, verdict, rival, what_would_refute.
"""


class Statement(NamedTuple):
    """A claim that a measured number can refute."""

    claim: str
    quantity: str
    """What the number is, in words."""
    wanted: tuple[float, float]
    """Range of the number for which the claim holds; infinite ends are open."""
    rival: str
    """Another explanation of the number."""
    refuted_by: str
    """What would refute the claim, in words."""


def judge(low: float, high: float, wanted: tuple[float, float], p_holm: float | None = None) -> str:
    """Return the verdict by the table at the top of the module; NaN ends stand for too few seeds."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDECIDED
    inside, outside = wanted[0] <= low and high <= wanted[1], high < wanted[0] or low > wanted[1]
    if not (inside or outside) or (p_holm is not None and p_holm > SIGNIFICANCE):
        return UNDECIDED
    return SUPPORTED if inside else NOT_SUPPORTED


def judge_settings(n_settings: int, n_supported: int, n_against: int) -> str:
    """Return the verdict on a statement about each of many settings by the table at the top of the module."""
    if n_against:
        return NOT_SUPPORTED
    return SUPPORTED if n_settings and n_supported == n_settings else UNDECIDED


def side_of_zero(low: float, high: float) -> int:
    """Return 1 for an interval above 0, -1 for one below 0, and 0 for one that contains 0."""
    return int(low > 0) - int(high < 0)


def judge_reading(unmasked: Span, placebos: Sequence[Span], margin: float, *, settled: bool) -> str:
    """Return the verdict on one way of pruning by the table at the top of the module.

    "Nothing" is said only inside the margin: a wide interval around 0 is no evidence for it.

    Args:
        unmasked: ends of the interval of pruned - unmasked; NaN where too few seeds are left.
        placebos: the same against each placebo; at least one.
        margin: largest difference that counts as none, above 0.
        settled: whether all of these runs had stopped changing.
    """
    if not settled:
        return NOT_CONVERGED
    if not all(math.isfinite(end) for span in (unmasked, *placebos) for end in span):
        return UNDECIDED
    side = side_of_zero(*unmasked)
    if -margin < unmasked[0] and unmasked[1] < margin:
        return NOTHING_WITHIN
    if side < 0:
        return HARMS
    if side == 0:
        return UNDECIDED
    if all(span[0] > 0 for span in placebos):
        return HELPS_BEYOND
    return HELPS_ALIKE if any(span[1] < margin for span in placebos) else HELPS_UNDECIDED


def judge_contrasts(dense: Span | None, placebos: Sequence[Span | None]) -> str:
    """Return the verdict on pruning at one point by the table at the top of the module.

    Args:
        dense: interval of pruned - dense (dense: unpruned); None if too few seeds are left.
        placebos: interval of pruned - placebo, for each kind of placebo that was run; None as for `dense`.
    """
    if dense is None:
        return UNSTABLE
    side = side_of_zero(*dense)
    if side == 0:  # placebos cannot change this verdict
        return NOTHING
    if not placebos:
        return UNTESTED
    sides = {side_of_zero(*span) for span in placebos if span is not None}
    if not sides:
        return UNSTABLE
    if sides != {side}:
        return NOTHING
    return HELPS if side > 0 else HARMS


def in_present_words(summary: Any) -> Any:
    """Return a summary, or a part of it, with every verdict in the words of today (`FORMER_WORDS`)."""
    if isinstance(summary, list):
        return [in_present_words(one) for one in summary]
    if not isinstance(summary, dict):
        return summary
    return {
        name: FORMER_WORDS.get(one, one) if name == "verdict" and isinstance(one, str) else in_present_words(one)
        for name, one in summary.items()
    }


def _null(wanted: tuple[float, float]) -> float | None:
    finite = [end for end in wanted if math.isfinite(end)]
    return finite[0] if len(finite) == 1 else None


def judged(parts: Sequence[tuple[Statement, np.ndarray]]) -> list[Entry]:
    """Return what a summary says of each statement, with Holm's correction over those that test a null hypothesis.

    A statement tests one if its range has a single finite end: that the number equals this end.

    Args:
        parts: statements with one number per seed; NaN and infinity are left out, and how many is part of the entry.
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
            found.append(intervals.bca_interval(kept))
        else:
            tested = intervals.paired_difference(np.full_like(kept, null), kept)
            moved = [null + end for end in tested[:3]]
            found.append(tested._replace(estimate=moved[0], low=moved[1], high=moved[2]))
            p_values[str(position)] = tested.p_value
    adjusted = intervals.holm(p_values) if p_values else {}
    return [
        _entry(statement, np.size(values), one, adjusted.get(str(position)))
        for position, ((statement, values), one) in enumerate(zip(parts, found, strict=True))
    ]


def _entry(statement: Statement, n_given: int, found: intervals.Interval, p_holm: float | None) -> Entry:
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
