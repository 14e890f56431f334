"""Where the three training stages end, found from the record of a run alone, with the evidence.

Training has three stages: all neurons grow along all features (collective growth, up to T1), some neurons specialise in
one feature each (up to T2), and then little changes any more (convergence, from T3 on). Terms:

- w_i are the weights of neuron i, M_j the direction of feature j, and <w_i, M_j> the projection of one on the other.
- A neuron fires on a sample where its output is not zero. It does so only beyond its threshold, once that is on.
- A specialist for feature j is a neuron whose weights point along M_j and which fires when j is active; the exact rule
  is `specialists.is_specialist` (theory 5.5). A feature is covered if it has a specialist.
- The groups of features are majority (frequent), minority (rare) and all. Every group has stage ends of its own.
- The energy of a group is the sum of <w_i, M_j>^2 over all neurons i and the features j of the group.

The three ends of a group:

- T1, the end of collective growth: the first record at which the energy of the neurons that are not specialists has
  grown by their squared norm at the start. Without thresholds this happens at log(1 + d1/d_group) / (2 rate), for token
  dimension d1, d_group features and their common growth rate (theory 6.1): the closed form can be laid beside it.
- T2, specialists on nearly every feature: the first record from which on at least `COVERED` of the features that are
  covered in the end are covered. More neurons specialise afterwards. Theory 6.2 states stage 2 for the neurons that are
  lucky, that is well aligned with one feature by chance, at step 0. Of those there are hardly any at laptop widths
  (theory 5.4), so the neurons that do specialise are counted instead.
- T3, convergence: the first record after T2 from which on the number of specialists and the energy stay within
  `TOLERANCE` of their final values, or within `NOISE` standard deviations of their own scatter where that is wider. At
  least `SETTLED` of the steps must come after it.

There is a stage 2 only beyond chance: in the end at least `MIN_COVERAGE` of the group's features have a specialist that
is purer than random directions explain at this number of neurons and features (`specialists.chance_purity`).

So that single bad records do not decide: every curve is replaced by the median of three neighbouring records; "in the
end" and "final" mean the median over the last `SETTLED` of the steps, or over the last `END_RECORDS` records where that
is more of them (of a short record, its last quarter); and "from which on" allows one record in twenty to miss the
condition, but not three in a row. The scatter is that of second differences over the same records, in which a steady
drift cancels.

For the group "all", T1 says that the squared norms have doubled. The default rule switches the thresholds on at about
the same event, so the T1 of the two groups are the ones to quote.

A stage is not found, with the reason, where the evidence is missing: without specialists there is no stage 2, and
without stage 2 no stage 3. A record that is not finite has no stages in any group, and the reason says where it is not.
Thresholds of these rules are arguments; their defaults are the module's constants.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dynsim.analysis.groups import group_masks
from dynsim.theory.specialists import COVERED, Snapshot, chance_purity, is_specialist

MIN_COVERAGE = 0.1  # share of the features with a specialist beyond chance, without which there is no stage 2
TOLERANCE = 0.1  # how far the energy and the number of specialists may be from their final values, as a share of them
SETTLED = 0.2  # last share of the steps, which is "the end"
END_RECORDS = 10  # or as many records, where that is more
NOISE = 3.0  # standard deviations of the scatter that count as no change
MISSES = 0.05  # share of later records that may miss a condition that lasts
MISSES_IN_A_ROW = 3  # so many misses in a row end it
STAGES = ("T1", "T2", "T3")


class Trajectory(NamedTuple):
    """The record of one run: a stacked `Snapshot` and its step numbers."""

    steps: np.ndarray
    """Numbers of updates, increasing, shape (record,)."""
    snapshot: Snapshot
    """Arrays with a leading axis (record,)."""


class StageEnd(NamedTuple):
    """One stage end: the step, or None and the reason."""

    step: int | None
    reason: str
    """Empty where the stage was found."""
    evidence: dict[str, float]
    """The numbers that the decision rests on. `after` is the step of the record before the end, or -1 at the first
    record: the end lies in (after, step]."""


GroupEnds = dict[str, dict[str, StageEnd]]
"""{group: {stage: its end}} of one run."""


class GroupRecord(NamedTuple):
    """What the detector reads of one group of features, each of shape (record,)."""

    energy: np.ndarray
    """Sum over neurons and the group's features of <w_i, M_j>^2."""
    specialists: np.ndarray
    """Number of specialists."""
    covered: np.ndarray
    """Number of features with a specialist."""
    beyond_chance: np.ndarray
    """Number of features with a specialist that is purer than chance."""
    growth: np.ndarray
    """Energy that the neurons other than specialists have gained since the first record, over their ||w_i||^2 there.

    T1 is where it reaches 1."""
    n_features: int


def group_record(trajectory: Trajectory, specialists: np.ndarray, pure: np.ndarray, mask: np.ndarray) -> GroupRecord:
    """Reduce a trajectory to one group.

    Args:
        specialists: the specialists, Boolean (record, neuron, feature); pure: those that are purer than chance.
        mask: the group's features, Boolean (feature,).
    """
    snapshot = trajectory.snapshot
    own = specialists[:, :, mask]
    per_neuron = np.sum(np.square(snapshot.alignment[:, :, mask], dtype=np.float64), axis=2)
    start = np.square(snapshot.weight_norm[0], dtype=np.float64)
    others = ~specialists.any(axis=2)  # a single specialist's own growth is no collective growth
    gained = np.sum((per_neuron - per_neuron[0]) * others, axis=1)
    curves = {
        "energy": per_neuron.sum(axis=1),
        "specialists": own.sum(axis=(1, 2)),
        "covered": own.any(axis=1).sum(axis=1),
        "beyond_chance": pure[:, :, mask].any(axis=1).sum(axis=1),
        "growth": gained / np.maximum(others @ start, np.finfo(float).tiny),
    }
    return GroupRecord(**curves, n_features=int(mask.sum()))


def median_of_three(curve: np.ndarray) -> np.ndarray:
    """Return each value replaced by the median of it and its neighbours; the first stays, the last takes two before."""
    x = np.asarray(curve, np.float64)
    inner = np.median([x[:-2], x[1:-1], x[2:]], axis=0)
    return np.concatenate([x[:1], inner, [np.median(x[-3:])]])


def _tail(steps: np.ndarray) -> np.ndarray:
    """Return which records are the end (see the top of the module), Boolean (record,)."""
    n = len(steps)
    return (steps >= (1 - SETTLED) * steps[-1]) | (np.arange(n) >= n - min(END_RECORDS, n // 4))


def _scatter(curve: np.ndarray) -> float:
    """Return the standard deviation of independent errors of a curve, from its second differences; 0 for under five."""
    if len(curve) < 5:
        return 0.0
    # x[t-1] - 2 x[t] + x[t+1] has 6 times the variance of x; 1.4826 makes the median of sizes a standard deviation
    return float(1.4826 * np.median(np.abs(np.diff(curve, 2))) / np.sqrt(6))


def _not_found(reason: str, **evidence: float) -> StageEnd:
    return StageEnd(None, reason, evidence)


def _first_lasting(condition: np.ndarray) -> int | None:
    """Return the first index from which on `condition` lasts (see the top of the module), or None."""
    n = len(condition)
    later = np.cumsum(~condition[::-1])[::-1]  # misses from each record on
    for index in np.flatnonzero(condition & (later <= MISSES * (n - np.arange(n)))):
        runs = np.convolve(~condition[index:], np.ones(MISSES_IN_A_ROW, int))
        if condition[-1] and runs.max() < MISSES_IN_A_ROW:
            return int(index)
    return None


def _found(steps: np.ndarray, index: int, **evidence: float) -> StageEnd:
    after = float(steps[index - 1]) if index else -1.0
    return StageEnd(int(steps[index]), "", evidence | {"after": after})


def growth_end(steps: np.ndarray, group: GroupRecord) -> StageEnd:
    """Find T1 of one group, the end of collective growth."""
    grown, covered = median_of_three(group.growth), median_of_three(group.covered)
    if not np.any(grown >= 1):
        return _not_found(f"the group's energy grew by {grown.max():.3g} initial ||w||^2 at most, wanted 1")
    index = int(np.argmax(grown >= 1))
    if index == 0:
        return _not_found("the record starts after the group's energy has grown")
    early = float(covered[index]) / group.n_features
    final = float(covered[-1]) / group.n_features
    if early > 0.5 * final and final >= MIN_COVERAGE:
        return _not_found("specialists were there before the group had grown together", coverage_at_end=early)
    return _found(steps, index, energy_grown=float(grown[index]), coverage_at_end=early)


def specialisation_end(steps: np.ndarray, group: GroupRecord, t1: StageEnd, covered: float = COVERED) -> StageEnd:
    """Find T2 of one group, from which on at least `covered` of its finally covered features have a specialist."""
    tail = _tail(steps)
    final = float(np.median(group.covered[tail]))
    share = float(np.median(group.beyond_chance[tail])) / group.n_features
    evidence = {
        "final_coverage": final / group.n_features,
        "coverage_beyond_chance": share,
        "final_count": float(np.median(group.specialists[tail])),
    }
    if share < MIN_COVERAGE:
        reason = f"no stage 2: {share:.0%} of the features have a specialist beyond chance, wanted {MIN_COVERAGE:.0%}"
        return _not_found(reason, **evidence)
    if t1.step is None:
        return _not_found("no stage 1 before it", **evidence)
    index = _first_lasting(median_of_three(group.covered) >= covered * final)
    if index is None or steps[index] <= t1.step:
        return _not_found("specialists were there before stage 1 ended", **evidence)
    return _found(steps, index, **evidence)


def convergence(steps: np.ndarray, group: GroupRecord, t2: StageEnd, tolerance: float = TOLERANCE) -> StageEnd:
    """Find T3 of one group, from which on the energy and the number of specialists have settled."""
    if t2.step is None:
        return _not_found("no stage 2 before it")
    tail = _tail(steps)
    after = steps > t2.step  # convergence is a stage of its own: it ends after specialisation did
    settled = np.ones(len(steps), bool)
    evidence: dict[str, float] = {"records_in_tail": float(tail.sum())}
    for name, values in (("energy", group.energy), ("count", group.specialists)):
        final = float(np.median(values[tail]))
        scatter = _scatter(values[tail])
        settled &= np.abs(median_of_three(values) - final) <= max(tolerance * abs(final), NOISE * scatter)
        evidence[f"final_{name}"] = final
        evidence[f"tail_drift_{name}"] = float(values[-1] - values[tail][0]) / max(abs(final), 1e-300)
    index = _first_lasting(settled & after)
    if index is None or steps[index] > (1 - SETTLED) * steps[-1]:
        return _not_found(
            f"still moving by more than {tolerance:.0%} in the last {SETTLED:.0%} of the steps", **evidence
        )
    return _found(steps, index, **evidence)


def _why_not_finite(trajectory: Trajectory) -> str:
    """Return where the record is not finite first, "" where it is finite throughout."""
    snapshot = trajectory.snapshot
    for name, part in (("alignment", snapshot.alignment), ("norm", snapshot.weight_norm), ("firing", snapshot.firing)):
        bad = ~np.isfinite(part)
        if bad.any():
            record, neuron = np.argwhere(bad)[0][:2]
            return f"the run diverged: the {name} of neuron {neuron} is not finite at step {trajectory.steps[record]}"
    return ""


def find_stages(
    trajectory: Trajectory,
    minority: np.ndarray,
    *,
    covered: float = COVERED,
    tolerance: float = TOLERANCE,
    norm_floor: float = 0.1,
) -> GroupEnds:
    """Find T1, T2 and T3 of every group in the record of one run.

    Args:
        trajectory: the record; at least three records.
        minority: Boolean mask (feature,).
        covered, tolerance, norm_floor: see the module's docstring and `specialists.is_specialist`.

    Returns:
        {group: {"T1": ..., "T2": ..., "T3": ...}} for the groups that have members.
    Errors:
        `ValueError` for a record that is too short or not increasing.
    """
    snapshot = trajectory.snapshot
    seen = snapshot.alignment, snapshot.weight_norm, snapshot.firing
    least = chance_purity(*snapshot.alignment.shape[1:])
    with np.errstate(invalid="ignore"):  # of a record that is not finite, which has no stages
        specialists = is_specialist(*seen, norm_floor=norm_floor)
        pure = is_specialist(*seen, norm_floor=norm_floor, min_purity=least)
    masks = group_masks(minority)
    return ends_of_groups(trajectory, specialists, pure, masks, covered=covered, tolerance=tolerance)


def ends_of_groups(
    trajectory: Trajectory,
    specialists: np.ndarray,
    pure: np.ndarray,
    masks: dict[str, np.ndarray],
    *,
    covered: float = COVERED,
    tolerance: float = TOLERANCE,
    t1_rule: Callable[[np.ndarray, GroupRecord], StageEnd] = growth_end,
) -> GroupEnds:
    """Find T1, T2 and T3 by the rules of `find_stages`, for any groups of features and any rule for specialists.

    Args:
        specialists: the specialists, Boolean (record, neuron, feature); pure: those that are purer than chance.
        masks: {group: which features belong to it, Boolean (feature,), at least one}.
        t1_rule: finds T1 of a group.

    Errors:
        `ValueError` for a record that is too short or not increasing.
    """
    steps = np.asarray(trajectory.steps)
    if len(steps) < 3 or np.any(np.diff(steps) <= 0):
        raise ValueError(f"steps: wanted at least 3 increasing records, got {len(steps)}: {steps[:5]}")
    if reason := _why_not_finite(trajectory):
        return {name: dict.fromkeys(STAGES, _not_found(reason)) for name in masks}
    ends = {}
    for name, mask in masks.items():
        group = group_record(trajectory, specialists, pure, mask)
        t1 = t1_rule(steps, group)
        t2 = specialisation_end(steps, group, t1, covered)
        ends[name] = {"T1": t1, "T2": t2, "T3": convergence(steps, group, t2, tolerance)}
    return ends
