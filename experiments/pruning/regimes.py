"""Where pruning helps minority features: rules that turn paired runs at many points into verdicts (theory 8.5 P4, P5).

A point is a configuration, a reading one way of pruning. At each the pruned runs stand against two others of the same
seeds: the dense runs, and a placebo whose masks are random with the same unit, ratio, semantics, start and stop.
Pruning "helps" only where it has more minority specialists than both, and "harms" only where it has fewer than both.

Claims are found on search seeds and confirmed on fresh ones. With six seeds no sign-flip p-value is below 1/32, so that
nothing would survive Holm's adjustment over the points: the search uses the t-test instead, and the confirmation rests
on BCa intervals alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynsim.analysis import outcomes
from dynsim.analysis.pairs import check_paired
from dynsim.config.checks import require
from dynsim.stats.intervals import FEWEST_SEEDS, holm, paired_difference, t_p_value
from dynsim.stats.verdicts import HARMS, HELPS, NOTHING, SIGNIFICANCE, UNSTABLE, Span, judge_contrasts, side_of_zero
from experiments.pruning.points import Point

PRIMARY = "minority specialists"
GROUP_GAP = "minority - majority specialists"
USABLE = 0.8
"""Least share of seeds that must be finite on both sides of a contrast."""

_NAMES = (
    PRIMARY,
    "majority specialists",
    "minority share of specialists",
    "minority coverage",
    "strength ratio",
    "held-out loss",
)


def _group_gap(result: xr.Dataset) -> np.ndarray:
    return outcomes.specialists("minority")(result) - outcomes.specialists("majority")(result)


POINT_MEASURES: dict[str, outcomes.Measure] = {
    **{name: outcomes.MEASURES[name] for name in _NAMES},
    GROUP_GAP: _group_gap,
}
"""What a point is judged by, `PRIMARY` first; the last one shows the noise where nothing tells the groups apart."""


class Claim(NamedTuple):
    """What the search says of one point under one reading."""

    point: str
    reading: str
    direction: str
    """`HELPS` or `HARMS`."""
    p_value: float
    """Largest t-test p-value over the contrasts, all of which have this direction."""
    p_holm: float
    """The same adjusted over the points of the reading."""


def check_fresh_seeds(search: Sequence[int], confirm: Sequence[int]) -> None:
    """Refuse to confirm on seeds of the search, or with fewer than three of either. Errors: `ConfigError`."""
    shared = sorted(set(search) & set(confirm))
    require(not shared, "seeds", "fresh ones to confirm on", f"{shared} in both")
    for name, seeds in (("search seeds", search), ("confirmation seeds", confirm)):
        require(len(set(seeds)) == len(seeds) >= FEWEST_SEEDS, name, f"at least {FEWEST_SEEDS}, each once", list(seeds))


def contrast(other: xr.Dataset, pruned: xr.Dataset, **options: Any) -> dict[str, Any]:
    """Return the paired differences pruned - other over the seeds that are sound on both sides.

    Args:
        other, pruned: paired results with `held_out_loss` in their record.
        options: n_resamples and the like of `intervals.paired_difference`.

    Returns:
        {"n_seeds", "n_used", "p_value" (t-test of `PRIMARY`), "equal steps": {measure: [estimate, low, high]}, "equal
        loss": the same}; the last three only where `FEWEST_SEEDS` seeds are left.
    """
    check_paired(other, pruned)
    good = np.flatnonzero(outcomes.sound_by_loss(other) & outcomes.sound_by_loss(pruned))
    found: dict[str, Any] = {"n_seeds": int(pruned.sizes["seed"]), "n_used": len(good)}
    if len(good) < FEWEST_SEEDS:
        return found
    first, second = other.isel(seed=good), pruned.isel(seed=good)
    pairs = {
        "equal steps": (outcomes.at_end(first), outcomes.at_end(second)),
        "equal loss": outcomes.at_equal_loss(first, second),
    }
    for level, (one, two) in pairs.items():
        found[level] = {name: _three(fn, one, two, options) for name, fn in POINT_MEASURES.items()}
    one, two = pairs["equal steps"]
    found["p_value"] = t_p_value(POINT_MEASURES[PRIMARY](two) - POINT_MEASURES[PRIMARY](one))
    return found


def _three(fn: Callable[[xr.Dataset], np.ndarray], one: xr.Dataset, two: xr.Dataset, options: Any) -> list[float]:
    values = [np.asarray(fn(result), float) for result in (one, two)]
    known = np.all(np.isfinite(values), axis=0)  # the strength ratio of a run without any strength is none
    if known.sum() < FEWEST_SEEDS:
        return []
    found = paired_difference(values[0][known], values[1][known], **options)
    return [found.estimate, found.low, found.high]


def evidence(dense: xr.Dataset, pruned: xr.Dataset, **options: Any) -> dict[str, Any]:
    """Return what is known of one point under one reading on one set of seeds, still without placebos.

    Args:
        dense, pruned: paired results; options: as for `contrast`.

    Returns:
        {"unsound": {side: runs that diverged or exploded}, "means": {side: {measure: mean of sound runs}}, "contrasts":
        {"dense" or kind of placebo: `contrast`}}.
    """
    found: dict[str, Any] = {
        "unsound": {"pruned": int(np.sum(~outcomes.sound_by_loss(pruned)))},
        "means": {"pruned": _means(pruned)},
        "contrasts": {},
    }
    return with_side(found, "dense", dense, pruned, **options)


def with_side(found: dict[str, Any], name: str, other: xr.Dataset, pruned: xr.Dataset, **options: Any) -> dict:
    """Return `evidence` with one more side that the pruned runs are held against; arguments as for `contrast`."""
    return {
        "unsound": found["unsound"] | {name: int(np.sum(~outcomes.sound_by_loss(other)))},
        "means": found["means"] | {name: _means(other)},
        "contrasts": found["contrasts"] | {name: contrast(other, pruned, **options)},
    }


def _means(result: xr.Dataset) -> dict[str, float]:
    good = np.flatnonzero(outcomes.sound_by_loss(result))
    if not good.size:
        return {}
    end = outcomes.at_end(result.isel(seed=good))
    values = {name: float(np.mean(fn(end))) for name, fn in POINT_MEASURES.items() if name != GROUP_GAP}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def is_usable(one: dict[str, Any]) -> bool:
    """Return whether a contrast has kept enough of its seeds."""
    return one["n_used"] >= max(FEWEST_SEEDS, USABLE * one["n_seeds"])


def usable_contrasts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the contrasts that a verdict may rest on; none where that with the dense runs has lost its seeds."""
    kept = {name: one for name, one in found["contrasts"].items() if is_usable(one)}
    return kept if "dense" in kept else {}


def sign(one: dict[str, Any], level: str = "equal steps") -> int:
    """Return 1 where the interval of `PRIMARY` lies above 0, -1 where it lies below, else 0."""
    return side_of_zero(*_ends_of(one, level))


def _ends_of(one: dict[str, Any], level: str) -> Span:
    _, low, high = one[level][PRIMARY]
    return low, high


def point_verdict(found: dict[str, Any], level: str = "equal steps") -> str:
    """Return the verdict on `PRIMARY` by `judge_contrasts`; a contrast without `USABLE` of its seeds is lost.

    Args:
        found: of `evidence`.
        level: "equal steps" or "equal loss".
    """
    ends = {name: _ends_of(one, level) if is_usable(one) else None for name, one in found["contrasts"].items()}
    return judge_contrasts(ends.pop("dense"), list(ends.values()))


def direction(found: dict[str, Any]) -> str:
    """Return the common direction of the estimates, `HELPS` or `HARMS`, `NOTHING` without one, or `UNSTABLE`."""
    kept = usable_contrasts(found)
    if point_verdict(found) == UNSTABLE:
        return UNSTABLE
    if len(kept) == 1:  # no placebo was wanted, or all exploded beside a difference of zero
        return NOTHING
    estimates = [one["equal steps"][PRIMARY][0] for one in kept.values()]
    if min(estimates) > 0:
        return HELPS
    return HARMS if max(estimates) < 0 else NOTHING


def learned_nothing(found: dict[str, Any]) -> bool:
    """Return whether neither the dense nor the pruned runs have any specialist, so that "nothing" says little."""
    sides = [found["means"][side] for side in ("dense", "pruned")]
    return all(sides) and all(side[name] == 0 for side in sides for name in _NAMES[:2])


def claims(searched: Mapping[str, Mapping[str, dict[str, Any]]]) -> list[Claim]:
    """Return the claims of the search, strongest first: those with an adjusted p-value of at most `SIGNIFICANCE`.

    Both contrasts must show the effect, so the p-value of a point is the largest of its contrasts, and 1 where they
    differ in direction. It is adjusted over all stable points of the same reading.

    Args:
        searched: {point: {reading: `evidence`}} of the search seeds.
    """
    found = []
    for reading in dict.fromkeys(name for of_point in searched.values() for name in of_point):
        ways = {point: direction(of_point[reading]) for point, of_point in searched.items() if reading in of_point}
        raw = {point: _largest_p(searched[point][reading], way) for point, way in ways.items() if way != UNSTABLE}
        for point, p_holm in holm(raw).items():
            if p_holm <= SIGNIFICANCE:
                found.append(Claim(point, reading, ways[point], raw[point], p_holm))
    return sorted(found, key=lambda claim: claim.p_value)


def _largest_p(found: dict[str, Any], way: str) -> float:
    if way == NOTHING:
        return 1.0
    return max(one["p_value"] for one in usable_contrasts(found).values())


def to_confirm(found: Sequence[Claim], most: Mapping[str, int]) -> list[Claim]:
    """Return the strongest claims of each direction, at most `most[direction]` of them."""
    return [claim for way, count in most.items() for claim in [c for c in found if c.direction == way][:count]]


def noise_level(at_balance: dict[str, Any]) -> list[float]:
    """Return [estimate, low, high] of the effect on one group minus that on the other where both are equally frequent.

    Args:
        at_balance: `evidence` of a point with r = 1; empty where the dense contrast has too few seeds.
    """
    one = at_balance["contrasts"]["dense"]
    return one["equal steps"][GROUP_GAP] if "equal steps" in one else []


def point_numbers(point: Point, searched: dict[str, Any], confirmed: dict[str, Any]) -> dict[str, Any]:
    """Return what the summary says of a point; verdicts rest on the confirmation where there is one."""
    readings = {}
    for reading, found in searched.items():
        best = confirmed.get(reading, found)
        readings[reading] = {
            "verdict": point_verdict(best),
            "verdict_at_equal_loss": point_verdict(best, "equal loss"),
            "seeds": "confirmation" if reading in confirmed else "search",
            "nothing_learned": learned_nothing(best),
            "search": found,
            "confirmation": confirmed.get(reading),
        }
    return {
        "name": point.name,
        "axis": point.axis,
        "label": point.label,
        "paper": point.paper,
        "changes": point.changes | point.masks,
        "readings": readings,
    }
