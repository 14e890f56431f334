"""Planted trajectories with known stage ends are found; trajectories without stages are answered with the reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.measure import Snapshot
from dynsim.stages import Trajectory, find_stages

D, D1, M = 8, 16, 32
MINORITY = np.arange(D) >= D // 2
N_STEPS = 1000
STEPS = np.unique(np.concatenate([[0], np.rint(np.geomspace(1, N_STEPS, 120)).astype(int)]))


def planted(t1, t2, t3, n_specialists, *, specialise=True):
    """Build a record in which group g grows at a known rate, gets specialists between T1 and T2 and settles at T3.

    Args: dictionaries by Boolean "is minority" of step numbers, and of specialists per feature.
    Neurons are assigned feature by feature; each assigned neuron's own alignment jumps at its time, the others vanish.
    """
    rng = np.random.default_rng(0)
    base = rng.choice([-1.0, 1.0], size=(M, D1))  # flat, so that no neuron is pure by chance
    alignment = np.zeros((len(STEPS), M, D))
    residual2 = np.sum(base[:, D:] ** 2, axis=1)
    norm0 = np.sum(base**2)
    neuron = 0
    alignment[:] = base[:, :D]
    for j in range(D):
        late = bool(MINORITY[j])
        group = late == MINORITY
        e0 = np.sum(base[:, :D][:, group] ** 2)
        rate = np.log(1 + norm0 / e0) / (2 * t1[late])  # the group's energy has grown by norm0 at t1
        growth = np.exp(rate * np.minimum(STEPS, t1[late]) * (1 + 1e-9))
        alignment[:, :, j] *= growth[:, None]
    if specialise:
        for j in range(D):
            late = bool(MINORITY[j])
            birth = t1[late] + (t2[late] - t1[late]) * ((j % (D // 2)) + 1) / (D // 2)
            for _ in range(n_specialists[late]):
                on = birth <= STEPS
                size = 40.0 + 60.0 * np.minimum(1, (STEPS[on] - birth) / max(t3[late] - birth, 1))
                alignment[on, neuron, j] = size
                neuron += 1
    weight_norm = np.sqrt(np.sum(alignment**2, axis=2) + residual2)
    ones = np.ones((len(STEPS), M))
    snapshot = Snapshot(alignment, weight_norm, np.sqrt(residual2) * ones, 0 * ones, ones, 0 * ones, ones[:, 0])
    return Trajectory(STEPS, snapshot)


def first_at_or_after(step):
    return int(STEPS[np.flatnonzero(step <= STEPS)[0]])


def test_planted_stages_are_found_where_they_were_put():
    t1, t2, t3 = {False: 10, True: 30}, {False: 80, True: 200}, {False: 300, True: 600}
    ends = find_stages(planted(t1, t2, t3, {False: 3, True: 2}), MINORITY)
    for late, group in ((False, "majority"), (True, "minority")):
        assert ends[group]["T1"].step == first_at_or_after(t1[late])
        # 90 % of 4 features means all 4: the last feature's specialists come exactly at t2
        assert ends[group]["T2"].step == first_at_or_after(t2[late])
        t3_found = ends[group]["T3"].step
        assert t2[late] < t3_found <= first_at_or_after(t3[late])
    assert ends["minority"]["T2"].step > ends["majority"]["T2"].step


def test_energy_within_tolerance_defines_t3():
    t1, t2, t3 = {False: 10, True: 10}, {False: 40, True: 40}, {False: 500, True: 500}
    trajectory = planted(t1, t2, t3, {False: 2, True: 2})
    ends = find_stages(trajectory, MINORITY, tolerance=0.1)
    energy = np.sum(trajectory.snapshot.alignment[:, :, ~MINORITY] ** 2, axis=(1, 2))
    outside = np.abs(energy - energy[-1]) > 0.1 * energy[-1]
    assert ends["majority"]["T3"].step == STEPS[np.flatnonzero(outside)[-1] + 1]


def test_growth_without_specialists_has_no_stage_2():
    t = {False: 10, True: 20}
    ends = find_stages(planted(t, t, t, {False: 0, True: 0}, specialise=False), MINORITY)
    for group in ("majority", "minority", "all"):
        assert ends[group]["T2"].step is None and "no stage 2" in ends[group]["T2"].reason
        assert ends[group]["T3"].step is None and "stage 2" in ends[group]["T3"].reason
    assert ends["majority"]["T1"].step == first_at_or_after(10)


def test_random_walk_has_no_stages():
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(scale=1e-3, size=(len(STEPS), M, D)), axis=0) + rng.normal(size=(M, D))
    norm = np.sqrt(np.sum(walk**2, axis=2) + 8.0)
    ones = np.ones_like(norm)
    ends = find_stages(
        Trajectory(STEPS, Snapshot(walk, norm, np.sqrt(8.0) * ones, 0 * ones, ones, ones, ones[:, 0])), MINORITY
    )
    assert all(ends[group][stage].step is None for group in ends for stage in ("T1", "T2", "T3"))
    assert "grew by" in ends["all"]["T1"].reason


def test_specialists_of_one_group_only():
    t1, t2, t3 = {False: 10, True: 30}, {False: 80, True: 200}, {False: 300, True: 600}
    ends = find_stages(planted(t1, t2, t3, {False: 4, True: 0}), MINORITY)
    assert ends["majority"]["T2"].step is not None
    assert ends["minority"]["T2"].step is None and "no stage 2" in ends["minority"]["T2"].reason


def test_still_moving_at_the_end_is_not_convergence():
    t1, t2, t3 = {False: 10, True: 10}, {False: 100, True: 100}, {False: 3000, True: 3000}
    ends = find_stages(planted(t1, t2, t3, {False: 2, True: 2}), MINORITY, tolerance=0.02)
    assert ends["majority"]["T3"].step is None and "still moving" in ends["majority"]["T3"].reason


def test_specialists_from_the_start_are_no_stage_1():
    t1, t2, t3 = {False: 10, True: 10}, {False: 2, True: 2}, {False: 300, True: 300}
    ends = find_stages(planted(t1, t2, t3, {False: 2, True: 2}), MINORITY)
    assert ends["majority"]["T1"].step is None or ends["majority"]["T2"].step is None


def test_a_diverged_run_has_no_stages():
    t = {False: 10, True: 20}
    trajectory = planted(t, t, t, {False: 0, True: 0}, specialise=False)
    trajectory.snapshot.alignment[-1] = np.nan
    ends = find_stages(trajectory, MINORITY)
    assert all(end.step is None and "diverged" in end.reason for end in ends["all"].values())


def test_missing_groups_are_left_out():
    t = {False: 10, True: 20}
    ends = find_stages(planted(t, t, t, {False: 0, True: 0}, specialise=False), np.zeros(D, bool))
    assert set(ends) == {"majority", "all"}


def test_bad_records_are_refused():
    trajectory = planted({False: 10, True: 20}, {False: 80, True: 90}, {False: 300, True: 300}, {False: 1, True: 1})
    with pytest.raises(ValueError, match="increasing"):
        find_stages(trajectory._replace(steps=STEPS[::-1]), MINORITY)


@settings(max_examples=20)
@given(keep=st.lists(st.booleans(), min_size=len(STEPS), max_size=len(STEPS)))
def test_thinning_the_record_does_not_reorder_the_stages(keep):
    t1, t2, t3 = {False: 10, True: 30}, {False: 80, True: 200}, {False: 300, True: 600}
    full = planted(t1, t2, t3, {False: 3, True: 2})
    kept = np.asarray(keep)
    kept[[0, -1]] = True
    kept[np.searchsorted(STEPS, 700) :] = True  # the settled end must stay visible
    thin = Trajectory(STEPS[kept], Snapshot(*(part[kept] for part in full.snapshot)))
    fine, coarse = find_stages(full, MINORITY), find_stages(thin, MINORITY)
    for group in fine:
        found = [coarse[group][stage].step for stage in ("T1", "T2", "T3")]
        steps = [step for step in found if step is not None]
        assert steps == sorted(steps)
        for stage in ("T1", "T2", "T3"):
            if coarse[group][stage].step is not None:
                assert coarse[group][stage].step >= fine[group][stage].step
