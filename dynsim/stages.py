"""Where the three training stages end, found from the record alone, with the evidence.

For a group of features (majority, minority, all), and nothing but recorded alignments, norms and firing:

- T1, end of collective growth: the squared projections on the group's features, summed over the neurons that are not
  specialists, have grown by the initial squared norm of those neurons. Without thresholds this happens at
  log(1 + d1/d_group) / (2 rate) (theory 6.1), so that the closed form can be laid beside it.
- T2, specialists on nearly every feature: from here on at least `COVERED` of the group's features that have a
  specialist at the end of the record have one (specialist: theory 5.5). More neurons specialise afterwards. Theory 6.2
  states stage 2 for a set of lucky neurons fixed at t = 0, of which there are hardly any at laptop widths (theory 5.4),
  so the neurons that do specialise are counted instead.
- T3, convergence: from here on the number of the group's specialists and its squared projections stay within
  `TOLERANCE` of their final values, and the record goes on for at least `SETTLED` of its length.

For the group "all", T1 says that ||w||^2 has doubled, which is also when the online rule switches the thresholds on: it
is evidence of the same event, and the T1 of the two groups are the ones to quote.

A stage is not found, with the reason, where the evidence is missing: without specialists there is no stage 2, and
without stage 2 no stage 3. Thresholds are arguments; their defaults are the module's constants.
"""

from typing import NamedTuple

import numpy as np

from dynsim.criteria import COVERED
from dynsim.measure import Snapshot, is_learned

MIN_COVERAGE = 0.1
TOLERANCE = 0.1
SETTLED = 0.2
STAGES = ("T1", "T2", "T3")
GROUPS = ("majority", "minority", "all")


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
    """What the decision rests on; `after` is the record before the end: it lies in (after, step]."""


class GroupRecord(NamedTuple):
    """What the detector reads of one group of features, each of shape (record,)."""

    energy: np.ndarray
    """sum over neurons and the group's features of <w_i, M_j>^2."""
    specialists: np.ndarray
    """Number of specialists."""
    covered: np.ndarray
    """Number of features with a specialist."""
    growth: np.ndarray
    """Energy that the neurons other than specialists have gained since the first record, over their ||w_i||^2 there."""
    n_features: int


def group_masks(minority: np.ndarray) -> dict[str, np.ndarray]:
    """Return Boolean masks (feature,) of the groups that have members."""
    masks = {"majority": ~minority, "minority": minority, "all": np.ones_like(minority)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def group_record(trajectory: Trajectory, learned: np.ndarray, mask: np.ndarray) -> GroupRecord:
    """Reduce a trajectory to one group; `learned` has shape (record, neuron, feature), `mask` (feature,)."""
    snapshot = trajectory.snapshot
    own = learned[:, :, mask]
    per_neuron = np.sum(np.square(snapshot.alignment[:, :, mask], dtype=np.float64), axis=2)
    start = np.square(snapshot.weight_norm[0], dtype=np.float64)
    others = ~learned.any(axis=2)  # a single specialist's own growth is no collective growth
    gained = np.sum((per_neuron - per_neuron[0]) * others, axis=1)
    growth = gained / np.maximum(others @ start, np.finfo(float).tiny)
    return GroupRecord(
        per_neuron.sum(axis=1), own.sum(axis=(1, 2)), own.any(axis=1).sum(axis=1), growth, int(mask.sum())
    )


def _not_found(reason: str, **evidence: float) -> StageEnd:
    return StageEnd(None, reason, evidence)


def _first_lasting(condition: np.ndarray) -> int | None:
    """Return the first index from which `condition` holds to the end, or None where its last value is false."""
    if not condition[-1]:
        return None
    false = np.flatnonzero(~condition)
    return 0 if false.size == 0 else int(false[-1]) + 1


def _found(steps: np.ndarray, index: int, **evidence: float) -> StageEnd:
    after = float(steps[index - 1]) if index else -1.0
    return StageEnd(int(steps[index]), "", evidence | {"after": after})


def growth_end(steps: np.ndarray, group: GroupRecord) -> StageEnd:
    """Find T1 of one group."""
    grown = group.growth
    if not np.any(grown >= 1):
        return _not_found(f"the group's energy grew by {grown.max():.3g} initial ||w||^2 at most, wanted 1")
    index = int(np.argmax(grown >= 1))
    if index == 0:
        return _not_found("the record starts after the group's energy has grown")
    early = float(group.covered[index]) / group.n_features
    final = float(group.covered[-1]) / group.n_features
    if early > 0.5 * final and final >= MIN_COVERAGE:
        return _not_found("specialists were there before the group had grown together", coverage_at_end=early)
    return _found(steps, index, energy_grown=float(grown[index]), coverage_at_end=early)


def specialisation_end(steps: np.ndarray, group: GroupRecord, t1: StageEnd, covered: float = COVERED) -> StageEnd:
    """Find T2 of one group."""
    final = float(group.covered[-1])
    share = final / group.n_features
    evidence = {"final_coverage": share, "final_count": float(group.specialists[-1])}
    if share < MIN_COVERAGE:
        return _not_found(
            f"no stage 2: {share:.0%} of the features have a specialist, wanted {MIN_COVERAGE:.0%}", **evidence
        )
    if t1.step is None:
        return _not_found("no stage 1 before it", **evidence)
    index = _first_lasting(group.covered >= covered * final)
    if index is None or steps[index] <= t1.step:
        return _not_found("specialists were there before stage 1 ended", **evidence)
    return _found(steps, index, **evidence)


def convergence(steps: np.ndarray, group: GroupRecord, t2: StageEnd, tolerance: float = TOLERANCE) -> StageEnd:
    """Find T3 of one group."""
    if t2.step is None:
        return _not_found("no stage 2 before it")
    tail = steps >= (1 - SETTLED) * steps[-1]
    settled = steps > t2.step  # convergence is a stage of its own: it ends after specialisation did
    evidence: dict[str, float] = {"records_in_tail": float(tail.sum())}
    for name, values in (("energy", group.energy), ("count", group.specialists.astype(float))):
        final = float(np.median(values[tail]))
        settled &= np.abs(values - final) <= tolerance * abs(final)
        evidence[f"final_{name}"] = final
        evidence[f"tail_drift_{name}"] = float(values[-1] - values[tail][0]) / max(abs(final), 1e-300)
    index = _first_lasting(settled)
    if index is None or steps[index] > (1 - SETTLED) * steps[-1]:
        return _not_found(
            f"still moving by more than {tolerance:.0%} in the last {SETTLED:.0%} of the steps", **evidence
        )
    return _found(steps, index, **evidence)


def find_stages(
    trajectory: Trajectory,
    minority: np.ndarray,
    *,
    covered: float = COVERED,
    tolerance: float = TOLERANCE,
    norm_floor: float = 0.1,
) -> dict[str, dict[str, StageEnd]]:
    """Find T1, T2 and T3 of every group in the record of one run.

    Args:
        trajectory: the record; at least three records.
        minority: Boolean mask (feature,).
        covered, tolerance, norm_floor: see the module's docstring and `measure.is_learned`.

    Returns:
        {group: {"T1": ..., "T2": ..., "T3": ...}} for the groups that have members.
    Errors:
        `ValueError` for a record that is too short or not increasing.
    """
    steps = np.asarray(trajectory.steps)
    if len(steps) < 3 or np.any(np.diff(steps) <= 0):
        raise ValueError(f"steps: wanted at least 3 increasing records, got {len(steps)}: {steps[:5]}")
    snapshot = trajectory.snapshot
    learned = is_learned(snapshot.alignment, snapshot.weight_norm, snapshot.firing, norm_floor=norm_floor)
    ends = {}
    for name, mask in group_masks(minority).items():
        group = group_record(trajectory, learned, mask)
        if not np.all(np.isfinite(group.energy)):
            lost = _not_found("the run diverged")
            ends[name] = dict.fromkeys(STAGES, lost)
            continue
        t1 = growth_end(steps, group)
        t2 = specialisation_end(steps, group, t1, covered)
        ends[name] = {"T1": t1, "T2": t2, "T3": convergence(steps, group, t2, tolerance)}
    return ends
