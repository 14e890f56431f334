"""The map of regimes: verdict rules, adjusted claims, fresh seeds and lost runs, on numbers made by hand."""

import math

import numpy as np
import pytest

from dynsim import results
from dynsim.analysis import outcomes, pairs
from dynsim.config.checks import ConfigError
from dynsim.config.differences import differing_numbers
from dynsim.stats import intervals
from dynsim.theory import feature_groups
from experiments import pruning_regimes
from experiments.pruning import points as _regime_points
from experiments.pruning import regime_driver, regimes
from tests.reference import toy

SEEDS = np.array([3, 1, 2, 7])
CHANCE = math.log(6)  # the toy has 6 - 1 negatives


def make_runs(minority, majority=(1, 1, 1, 1), loss=1.0, diverged=-1, **prune):
    """Results of four seeds with given numbers of specialists at the end; features 3 and 4 of 5 are the minority."""
    config = toy(**{f"prune__{name}": value for name, value in prune.items()})
    per_seed = {"dictionary": np.stack([np.random.default_rng(int(s)).normal(size=(8, 5)) for s in SEEDS])}
    per_seed["diverged_step"] = np.broadcast_to(diverged, 4)
    alignment, firing = np.zeros((4, 2, 6, 5)), np.zeros((4, 2, 6))
    alignment[:, :, :, 0] = 1.0
    for s in range(4):
        for i in range(minority[s] + majority[s]):
            feature = 3 if i < minority[s] else 0
            alignment[s, 1, i] = 2 * np.eye(5)[feature]
            firing[s, 1, i] = 1.0
    records = {
        "alignment": alignment,
        "weight_norm": np.abs(alignment).max(axis=-1),
        "firing": firing,
        "held_out_loss": np.stack([np.full(4, CHANCE), np.broadcast_to(loss, 4)], axis=1),
    }
    return results.to_dataset(
        config, feature_groups(config.data), SEEDS, np.array([0, 12]), records, per_seed, {"own": {}}
    )


MASK = {"kind": "lowest", "rate": 0.5}
PLACEBO = {"kind": "random_fixed", "rate": 0.5}


def found(n_seeds=10, **contrasts):
    """Evidence with given [estimate, low, high, p_value, n_used] per contrast."""
    return {
        "contrasts": {
            name: {
                "n_seeds": n_seeds,
                "n_used": n_used,
                "p_value": p,
                "equal steps": {regimes.PRIMARY: [estimate, low, high]},
            }
            for name, (estimate, low, high, p, n_used) in contrasts.items()
        }
    }


UP, UP_TOO = (2, 1, 3, 0.01, 10), (1, 0.1, 2, 0.02, 10)
FLAT, DOWN = (0.5, -1, 2, 0.5, 10), (-2, -3, -1, 0.001, 10)
LOST = (9, 8, 10, 0.001, 7)


@pytest.mark.parametrize(
    ("contrasts", "verdict"),
    [
        ({"dense": UP, "random_fixed": UP_TOO}, "helps"),
        ({"dense": DOWN, "random_fixed": DOWN}, "harms"),
        ({"dense": UP, "random_fixed": FLAT}, "nothing"),
        ({"dense": FLAT, "random_fixed": UP}, "nothing"),
        ({"dense": UP, "random_fixed": DOWN}, "nothing"),
        ({"dense": UP, "random_fixed": (1, 0, 2, 0.1, 10)}, "nothing"),  # an end at zero is not above it
        ({"dense": LOST, "random_fixed": UP}, "unstable"),
        ({"dense": UP, "random_fixed": LOST}, "unstable"),
        ({"dense": UP}, "untested"),
        ({"dense": FLAT}, "nothing"),  # no placebo is needed to say so
        ({"dense": FLAT, "random_fixed": LOST}, "nothing"),
        ({"dense": UP, "random_fixed": LOST, "random": UP}, "helps"),  # one placebo is left
        ({"dense": UP, "random_fixed": UP, "random": FLAT}, "nothing"),
        ({"dense": (2, 1, 3, 0.01, 8), "random_fixed": UP}, "helps"),  # four fifths of the seeds are enough
    ],
)
def test_the_verdict(contrasts, verdict):
    assert regimes.point_verdict(found(**contrasts)) == verdict


def test_contrasts_of_two_seeds_are_never_used():
    assert regimes.point_verdict(found(2, dense=(2, 1, 3, 0.01, 2), random_fixed=(2, 1, 3, 0.01, 2))) == "unstable"


def test_claims_are_adjusted_over_the_stable_points_of_each_reading():
    def at(p, way=1):
        return found(dense=(2 * way, 1, 3, p / 2, 10), random_fixed=(way, 1, 3, p, 10))

    searched = {
        "a": {"one": at(0.01), "two": at(0.03)},
        "b": {"one": at(0.02, -1), "two": at(0.5)},
        "c": {"one": at(0.5), "two": found(dense=LOST, random_fixed=UP)},
        "d": {"one": found(dense=(1, 0, 2, 1e-9, 10), random_fixed=(-1, -2, 0, 1e-9, 10))},  # the sides disagree
    }
    # one: 4 * 0.01 = 0.04, then 3 * 0.02 = 0.06; two: 2 * 0.03 = 0.06 over the two stable points
    (only,) = regimes.claims(searched)
    assert only == regimes.Claim("a", "one", "helps", 0.01, pytest.approx(0.04))
    del searched["c"]["one"]
    assert [(c.point, c.direction, c.p_holm) for c in regimes.claims(searched)] == [
        ("a", "helps", pytest.approx(0.03)),
        ("b", "harms", pytest.approx(0.04)),
    ]


def test_the_strongest_claims_are_confirmed_first():
    made = [
        regimes.Claim(name, "one", way, p, p)
        for name, way, p in [("a", "harms", 1e-4), ("b", "helps", 1e-3), ("c", "harms", 1e-2), ("d", "helps", 2e-2)]
    ]
    assert [c.point for c in regimes.to_confirm(made, {"helps": 1, "harms": 2})] == ["b", "a", "c"]


def test_search_and_confirmation_share_no_seed():
    regimes.check_fresh_seeds(range(3), range(3, 6))
    for search, confirm, word in [
        (range(4), range(3, 6), "[3] in both"),
        (range(2), range(5, 9), "search seeds"),
        (range(3), (7, 7, 8), "confirmation seeds"),
    ]:
        with pytest.raises(ConfigError) as caught:
            regimes.check_fresh_seeds(search, confirm)
        assert word in str(caught.value) and "\n" not in str(caught.value)
    for preset in ("default", "quick", "large"):
        wanted = pruning_regimes.plan(preset)
        regimes.check_fresh_seeds(wanted.search, wanted.confirm)


def test_the_t_test():
    values = np.array([1.0, 2.0, 4.0])
    t = values.mean() / (values.std(ddof=1) / math.sqrt(3))
    # Student's t with two degrees of freedom has this distribution function in closed form
    assert intervals.t_p_value(values) == pytest.approx(1 - t / math.sqrt(2 + t**2))
    assert intervals.t_p_value(np.zeros(5)) == 1.0 and intervals.t_p_value(np.full(5, 2.0)) == 0.0
    assert intervals.t_p_value(np.array([3.0])) == 1.0


def test_differences_are_paired_and_are_pruned_minus_other():
    one = regimes.contrast(make_runs((0, 1, 2, 3)), make_runs((2, 2, 3, 5), **MASK), n_resamples=200)
    assert one["n_used"] == one["n_seeds"] == 4
    estimate, low, high = one["equal steps"]["minority specialists"]
    assert estimate == pytest.approx(np.mean([2, 1, 1, 2])) and 1 <= low < estimate < high <= 2
    assert one["equal steps"]["majority specialists"] == [0, 0, 0]
    assert one["p_value"] == pytest.approx(intervals.t_p_value(np.array([2.0, 1.0, 1.0, 2.0])))
    # the group gap: nothing changed for the majority
    assert one["equal steps"][regimes.GROUP_GAP][0] == pytest.approx(1.5)


def test_a_seed_that_explodes_is_dropped_from_both_sides():
    loss = np.array([1.0, 3.01 * CHANCE, 1.0, 1.0])
    dense, pruned = make_runs((0, 5, 0, 0)), make_runs((1, 0, 1, 1), loss=loss, **MASK)
    assert outcomes.sound_by_loss(dense).all() and outcomes.sound_by_loss(pruned).tolist() == [True, False, True, True]
    assert outcomes.sound_by_loss(make_runs((0,) * 4, loss=2.99 * CHANCE)).all()
    assert not outcomes.sound_by_loss(make_runs((0,) * 4, loss=np.nan)).any()
    assert outcomes.sound_by_loss(make_runs((0,) * 4, diverged=np.array([5, -1, -1, 0]))).tolist() == [
        False,
        True,
        True,
        False,
    ]
    one = regimes.contrast(dense, pruned, n_resamples=200)
    assert (one["n_used"], one["equal steps"]["minority specialists"]) == (3, [1, 1, 1])


def test_where_too_few_seeds_are_left_there_are_no_numbers():
    one = regimes.contrast(make_runs((1,) * 4), make_runs((1,) * 4, loss=[9, 9, np.inf, 1], **MASK))
    assert one == {"n_seeds": 4, "n_used": 1}


def test_what_is_known_of_a_point():
    dense, pruned = make_runs((1,) * 4), make_runs((2,) * 4, **MASK)
    placebo = make_runs((0, 0, 1, 1), loss=[1, 1, 1, 99], **PLACEBO)
    alone = regimes.evidence(dense, pruned, n_resamples=200)
    known = regimes.with_side(alone, "random_fixed", placebo, pruned, n_resamples=200)
    assert known["unsound"] == {"dense": 0, "pruned": 0, "random_fixed": 1}
    assert known["means"]["random_fixed"]["minority specialists"] == pytest.approx(1 / 3)
    assert known["means"]["pruned"]["minority share of specialists"] == pytest.approx(2 / 3)
    assert regimes.point_verdict(known) == "unstable"  # 3 of 4 seeds are fewer than four fifths
    good = regimes.with_side(alone, "random_fixed", make_runs((0, 0, 1, 1), **PLACEBO), pruned, n_resamples=200)
    assert regimes.point_verdict(good) == regimes.point_verdict(good, "equal loss") == "helps"
    assert not regimes.learned_nothing(good)
    nobody = make_runs((0,) * 4, (0,) * 4)
    assert regimes.learned_nothing(regimes.evidence(nobody, make_runs((0,) * 4, (0,) * 4, **MASK), n_resamples=200))
    assert not regimes.learned_nothing(regimes.evidence(nobody, pruned, n_resamples=200))
    assert regimes.noise_level(good) == good["contrasts"]["dense"]["equal steps"][regimes.GROUP_GAP] == [1, 1, 1]


def test_runs_that_are_no_pair_are_refused():
    with pytest.raises(ConfigError, match=r"data\.minority_ratio"):
        other = make_runs((1,) * 4, **MASK)
        other.attrs["config"] = other.attrs["config"].replace('"minority_ratio": 0.5', '"minority_ratio": 0.4')
        regimes.contrast(make_runs((1,) * 4), other)


def test_the_driver_of_both_groups():
    dense = np.array([[1.0, 0.8, 0.4, 0.2], [1.0, 0.8, 0.4, 0.2], [1.0, 0.8, 0.4, 0.2]])
    masked = dense + np.array([[0.0, 0.0, 0.3, 0.1], [0.1, 0.1, 0.2, 0.2], [0.2, 0.0, 0.4, 0.0]])
    made = regime_driver.driver_summary({"dense": dense, "one": masked}, np.array([False, False, True, True]))
    assert made["dense"] == {"minority": pytest.approx(0.3), "majority": pytest.approx(0.9)}
    # changes of the minority 0.2, 0.2, 0.2 and of the majority 0, 0.1, 0.1
    assert made["one"]["effect"][0] == pytest.approx((0.2 + 0.1 + 0.1) / 3)
    assert made["one"]["effect"][1] <= made["one"]["effect"][0] <= made["one"]["effect"][2]


def test_the_rank_correlation():
    # ranks 1 2 3 4 against 2 1 4 3: rho = 1 - 6 * 4 / (4 * 15)
    found = regime_driver.rank_correlation([(0.1, 20.0), (0.2, 10.0), (5.0, 40.0), (9.0, 30.0)])
    assert found["rho"] == pytest.approx(0.6) and found["n_points"] == 4 and 0 < found["p_value"] < 1
    assert regime_driver.rank_correlation([(0.1, 2.0), (0.2, 2.0), (0.3, 2.0)])["rho"] is None
    assert regime_driver.rank_correlation([])["n_points"] == 0


@pytest.mark.parametrize("sizes", [_regime_points.SMALL, {}])
def test_every_point_can_run_under_every_reading_and_is_a_pair(sizes):
    base = _regime_points.base_config(sizes)
    points = _regime_points.all_points(base)
    assert len({point.name for point in points}) == len(points) > 30
    assert sum(point.paper for point in points) == 2 and all(point.always for point in points if point.paper)
    for point in points:
        dense = pruning_regimes.replace(base, **point.changes)
        differing = differing_numbers(base, dense)
        assert point.paper or len([name for name in differing if name != "data.noise_level"]) <= 1, point.name
        assert bool(differing) != bool(point.masks) or point.axis == "base"
        for reading in _regime_points.READINGS:
            pruned = pruning_regimes.reading_config(base, point, reading)
            pairs.check_pair(dense, pruned)
            assert pruned.prune.kind == "lowest" and pruned.prune.rate > 0
            for kind in _regime_points.READING_PLACEBOS[reading]:
                placebo = pruning_regimes.reading_config(base, point, reading, kind)
                assert differing_numbers(pruned, placebo) == ["prune.kind"]
    assert {point.name for point in _regime_points.few_points(base)} <= {point.name for point in points}
    assert len(_regime_points.few_points(base)) == 4


def test_the_correlation_is_over_points_that_are_stable():
    def point(effect, measured, n_used=10):
        one = {regimes.PRIMARY: [measured, 0, 0], "minority share of specialists": [-measured, 0, 0]}
        dense = {"n_seeds": 10, "n_used": n_used, "equal steps": one}
        return {
            "readings": {"one": {"search": {"contrasts": {"dense": dense}}}},
            "driver": {"one": {"effect": [effect, effect, effect]}},
        }

    points = [point(1, 5), point(2, 6), point(3, 9), point(4, -100, n_used=7), point(5, 1) | {"driver": {}}]
    made = regime_driver.correlations(points, "one")
    assert made[regimes.PRIMARY]["rho"] == pytest.approx(1) and made[regimes.PRIMARY]["n_points"] == 3
    assert made["minority share of specialists"]["rho"] == pytest.approx(-1)
