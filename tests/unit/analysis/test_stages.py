"""Planted trajectories with known stage ends are found; trajectories without stages are answered with the reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dynsim.analysis.stages import GroupRecord, StageEnd, Trajectory, convergence, find_stages, specialisation_end
from dynsim.theory.specialists import CHANCE, PURITY, Snapshot, chance_purity, is_specialist

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


# ----- chance, noise and bad records

T1, T2, T3 = {False: 10, True: 30}, {False: 80, True: 200}, {False: 300, True: 600}
EACH = {False: 3, True: 2}


def changed(trajectory, **arrays):
    """A copy of a trajectory with fields of its snapshot replaced."""
    return trajectory._replace(snapshot=trajectory.snapshot._replace(**arrays))


def all_steps(ends):
    return {group: [found[stage].step for stage in ("T1", "T2", "T3")] for group, found in ends.items()}


@settings(max_examples=40)
@given(d=st.integers(3, 128), m=st.integers(1, 512), seed=st.integers(0, 2**32 - 1))
def test_random_directions_are_no_stage_2(d, m, seed):
    """At every size at most one random network in twenty has any neuron purer than chance, as the rule promises."""
    rng, n_networks = np.random.default_rng(seed), 40
    found = 0
    for _ in range(n_networks):
        w = rng.normal(size=(m, d))
        found += np.any(np.max(np.abs(w), axis=1) >= chance_purity(m, d) * np.linalg.norm(w, axis=1))
    # of 40 networks 2 are expected at most; more than 13 has a chance below 1e-8
    assert found <= stats.binom.isf(1e-8, n_networks, CHANCE)


def test_the_chance_law_by_hand():
    # d = 3: a cosine is uniform on [-1, 1], so that m neurons have 3 m (1 - c) pairs above c
    assert chance_purity(4, 3) == pytest.approx(1 - CHANCE / 12)
    assert chance_purity(256, 64) == PURITY and chance_purity(64, 16) > 0.8


def test_neurons_pure_by_chance_are_no_stage_2():
    """Grown together and left with random directions among four features each: no stage 2, though some look pure."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=(400, 4))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    growth = np.minimum(1.02**STEPS, 20.0)
    alignment = growth[:, None, None] * base
    norm = np.sqrt(np.sum(alignment**2, axis=2) + 0.01)
    ones = np.ones_like(norm)
    trajectory = Trajectory(STEPS, Snapshot(alignment, norm, 0.1 * ones, 0 * ones, ones, 0 * ones, ones[:, 0]))
    assert is_specialist(alignment[-1], norm[-1], ones[-1]).any(axis=0).all()  # each feature has one, by chance
    for found in find_stages(trajectory, np.array([False, False, True, True])).values():
        assert found["T2"].step is None and "beyond chance" in found["T2"].reason


@pytest.mark.parametrize("place", [-40, -20, -7, -2, -1])
@pytest.mark.parametrize("field", ["firing", "alignment"])
def test_one_bad_record_moves_no_stage(field, place):
    """Firing, or all weights, vanish at a single record: the stages stay where they are."""
    whole = planted(T1, T2, T3, EACH)
    part = getattr(whole.snapshot, field).copy()
    part[place] = 0
    got, wanted = (all_steps(find_stages(one, MINORITY)) for one in (changed(whole, **{field: part}), whole))
    assert got == wanted


def test_lost_for_three_records_is_no_single_bad_record():
    whole = planted(T1, T2, T3, EACH)
    firing = whole.snapshot.firing.copy()
    firing[-20:-15] = 0
    ends = find_stages(changed(whole, firing=firing), MINORITY)
    assert all(ends[group]["T2"].step > STEPS[-20] for group in ends)


@pytest.mark.parametrize(("lost", "step"), [([150], 50), ([150, 155, 160], 50), ([150, 151, 152], 153)])
def test_single_records_may_miss_but_not_three_in_a_row(lost, step):
    """Of 250 later records 12 may miss; three in a row are another thing than three apart."""
    steps = np.arange(301)
    covered = np.where((steps >= 50) & ~np.isin(steps, lost), 4.0, 0.0)
    flat = {"energy": 10.0, "specialists": 20.0, "beyond_chance": 4.0, "growth": 2.0}
    group = GroupRecord(covered=covered, n_features=4, **{name: np.full(301, value) for name, value in flat.items()})
    assert specialisation_end(steps, group, StageEnd(3, "", {})).step == step


def test_nine_tenths_of_the_final_coverage_are_wanted():
    """Of ten features five have specialists early and five late: half of the final coverage is not stage 2's end."""
    d, m, early, late = 10, 10, 50, 400
    base = np.random.default_rng(0).choice([-1.0, 1.0], size=(m, d))
    alignment = base * np.minimum(1.2 ** np.minimum(STEPS, 10), 9)[:, None, None]
    for j in range(d):
        alignment[(early if j % 2 else late) <= STEPS, j, j] = 100.0
    norm = np.sqrt(np.sum(alignment**2, axis=2) + 1)
    ones = np.ones_like(norm)
    trajectory = Trajectory(STEPS, Snapshot(alignment, norm, ones, 0 * ones, ones, 0 * ones, ones[:, 0]))
    ends = find_stages(trajectory, np.zeros(d, bool))
    assert ends["all"]["T2"].step == first_at_or_after(late)
    half = find_stages(trajectory, np.zeros(d, bool), covered=0.5)
    assert half["all"]["T2"].step == first_at_or_after(early)


def curves(**changes):
    """The curves of a group of four features that changes nothing over 101 records, but for what is given."""
    flat = {"energy": 10.0, "specialists": 20, "covered": 4, "beyond_chance": 4, "growth": 2.0}
    whole = {name: np.full(101, float(value)) for name, value in flat.items()}
    return GroupRecord(**(whole | changes), n_features=4)


STEPS_101 = np.arange(101)
T2_AT_3 = StageEnd(3, "", {})


def test_the_final_value_is_that_of_the_end_and_not_of_the_last_record():
    """Two bad records at the very end outvote a median of three, but not the last fifth."""
    energy = np.where(STEPS_101 >= 99, 30.0, 10.0)
    end = convergence(STEPS_101, curves(energy=energy), T2_AT_3)
    assert end.evidence["final_energy"] == 10.0
    assert end.step is None  # and a run that moves at its end has not converged
    covered = np.where(STEPS_101 >= 99, 1.0, np.where(STEPS_101 >= 50, 4.0, 0.0))
    end = specialisation_end(STEPS_101, curves(covered=covered), T2_AT_3)
    assert end.evidence["final_coverage"] == 1.0


def test_a_drift_is_no_noise():
    """A count that grows evenly to the end has no scatter that would excuse it; one that scatters has."""
    end = convergence(STEPS_101, curves(specialists=np.geomspace(10, 1000, 101)), T2_AT_3)
    assert end.step is None and "still moving" in end.reason
    noisy = 20 + 4 * np.random.default_rng(0).standard_normal(101)  # a fifth of the count, the tolerance is a tenth
    assert convergence(STEPS_101, curves(specialists=noisy), T2_AT_3).step is not None


def test_convergence_comes_after_specialisation():
    """Counts and energies that are within reach of their final values before T2 have not converged before T2."""
    t2 = {False: 400, True: 400}
    ends = find_stages(planted(T1, t2, t2, EACH), MINORITY, tolerance=3.0)
    for group in ("majority", "minority"):
        assert ends[group]["T3"].step > ends[group]["T2"].step == first_at_or_after(400)


@pytest.mark.parametrize("n_probe", [8, 16])
def test_firing_estimated_from_few_samples_hides_no_convergence(n_probe):
    """Neurons that fire on 0.6 of the samples, seen on a few: each record misjudges some."""
    each, t = {False: 4, True: 4}, {False: 20, True: 20}
    whole = planted(t, {False: 80, True: 80}, {False: 200, True: 200}, each)
    found = {"T2": 0, "T3": 0}
    n_runs = 60
    for seed in range(n_runs):
        firing = np.random.default_rng(seed).binomial(n_probe, 0.6, size=whole.snapshot.firing.shape) / n_probe
        ends = find_stages(changed(whole, firing=firing), MINORITY)
        for stage in found:
            found[stage] += sum(ends[group][stage].step is not None for group in ("majority", "minority"))
    assert found["T2"] == 2 * n_runs and found["T3"] >= 0.95 * 2 * n_runs, found


@pytest.mark.parametrize("field", ["alignment", "weight_norm", "firing"])
def test_a_value_that_is_not_finite_is_named(field):
    whole = planted(T1, T2, T3, EACH)
    part = getattr(whole.snapshot, field).copy()
    where = (50, 3) if part.ndim == 2 else (50, 3, 7)  # feature 7 is a minority feature
    part[where] = np.nan
    for found in find_stages(changed(whole, **{field: part}), MINORITY).values():
        for end in found.values():
            assert end.step is None and f"neuron 3 is not finite at step {STEPS[50]}" in end.reason
