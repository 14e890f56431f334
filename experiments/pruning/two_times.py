"""How a set of runs ends at two times: after as many steps as all others, and once it has settled."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.pruning import answers
from experiments.pruning.answers import KeyT, Outcome, PointT
from experiments.pruning.plan import Planned

if TYPE_CHECKING:
    import xarray as xr


class Ends(NamedTuple):
    """The outcomes of a set of runs."""

    equal_steps: Outcome
    """After the number of steps that all sets have."""
    settled: Outcome
    """After the first number of steps at which it had settled, or after the largest that was tried."""


def until_settled(
    run: "Callable[[int], xr.Dataset]", lengths: Sequence[int], partner: "xr.Dataset | None"
) -> "tuple[Ends, xr.Dataset]":
    """Train for each number of steps until the runs have settled; return the outcomes and the first result.

    Args:
        run: number of steps -> result.
        lengths: the numbers of steps, the smallest first.
        partner: the runs without the change at the first length, which say what has grown without bound; None: itself.
    """
    first = run(lengths[0])
    tried = [answers.outcome(first, partner)]
    for n_steps in lengths[1:]:
        if tried[-1].settled:
            break
        tried.append(answers.outcome(run(n_steps), partner))
    return Ends(tried[0], tried[-1]), first


def rows(one: Ends, base: Ends, reported: Sequence[str], compared: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what a summary says of a set of runs at either time.

    Args:
        one, base: the set, and the one that it is held against.
        reported: quantities whose means are given.
        compared: quantities whose paired differences one - base are given.
    """
    return {
        when: {
            "settled": mine.settled,
            "n_steps": mine.n_steps,
            "ends": {name: answers.ends(mine, name) for name in reported},
            "against_no_mask": {name: answers.paired_contrast(mine, other, name).plain() for name in compared},
        }
        for when, mine, other in zip(Ends._fields, one, base, strict=True)
    }


def statements(
    contrasts: Sequence[tuple[Planned, PointT, KeyT, KeyT | None]], found: Mapping[KeyT, Ends]
) -> dict[str, list[dict[str, Any]]]:
    """Return the verdicts on planned contrasts at either time; what holds at equal compute needs no end of training."""
    settled = {key: one.settled for key, one in found.items()}
    equal = {key: one.equal_steps._replace(settled=True) for key, one in found.items()}
    return {
        "statements": answers.judge_statements(contrasts, settled),
        "statements_at_equal_steps": answers.judge_statements(contrasts, equal),
    }
