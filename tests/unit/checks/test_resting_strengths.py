"""S3f, REST and SIZES on planted strengths, sizes and numbers of specialists."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED, UNDECIDED
from paper_checks.check import at_points
from paper_checks.runs import NOISES, Point
from paper_checks.theorem_3_1 import rest_of_several, s3f_rest, sizes_shared


def setting(rng, strength, *, few, many, count, rms, active, at_rest=1.0):
    """Arrays of 6 seeds; strengths and sizes scatter by 2 %."""
    noise = np.exp(0.02 * rng.standard_normal((2, 6, 2)))
    pairs = {"strength": strength * noise[0], "rms": rms * noise[1], "few": few, "many": many, "count": count}
    pairs["shared"] = np.sqrt(many / count) / 0.7
    values = {name: (("seed", "group"), np.broadcast_to(x, (6, 2)).astype(float)) for name, x in pairs.items()}
    return xr.Dataset(values | {"at_rest": at_rest, "active": active})


def rest_runs(seed, factor=1.0, of_frequency=0.0, **more):
    """Settings without noise, strengths `factor` times the formula for one feature, minority times r^of_frequency."""
    rng, parts = np.random.default_rng(seed), {}
    for rate, active in ((0.02, 1.15), (0.15, 2.4)):
        for ratio in (1.0, 0.5):
            few = np.array([5.0, 5.0 * ratio**0.1])
            true = factor * few * np.array([1.0, ratio**of_frequency])
            parts[Point("no noise", 16, ratio, rate)] = setting(
                rng, true, few=few, many=0.8 * few, count=5, rms=1.0, active=active, **more
            )
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_strengths_of_one_feature(seed):
    rows = s3f_rest.CHECK.judge(rest_runs(seed))
    assert {row.verdict for row in rows if "1.15" in row.regime} == {SUPPORTED}
    assert {row.verdict for row in rows if "more active" in row.regime} == {OUT_OF_REGIME}


@pytest.mark.parametrize("seed", range(3))
def test_strengths_that_are_off_or_go_with_the_square_of_the_frequency(seed):
    off = s3f_rest.CHECK.judge(rest_runs(seed, factor=1.3))
    assert {row.verdict for row in off if "1.15" in row.regime and "that of rest" in row.claim} == {NOT_SUPPORTED}
    square = s3f_rest.CHECK.judge(rest_runs(seed, of_frequency=1.9))
    assert [row.verdict for row in square if "1.15" in row.regime and "hardly" in row.claim] == [NOT_SUPPORTED]


def test_settings_that_still_change_decide_nothing():
    rows = s3f_rest.CHECK.judge(rest_runs(0, at_rest=0.0))
    assert {row.verdict for row in rows if "1.15" in row.regime} == {UNDECIDED}


@pytest.mark.parametrize("seed", range(3))
def test_strengths_of_several_features(seed):
    assert {row.verdict for row in rest_of_several.CHECK.judge(rest_runs(seed, factor=0.8))} == {SUPPORTED}
    assert {row.verdict for row in rest_of_several.CHECK.judge(rest_runs(seed, factor=1.0))} == {NOT_SUPPORTED}


def stage_runs(seed, share):
    """Runs with fewer rare specialists; weights as shared (share = 1), or in proportion to frequency (share = 0)."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for ratio in (1.0, 0.85, 0.7, 0.5):
            count = np.array([12 - 6 * ratio**2, 6 * ratio**2])
            many = np.array([4.0, 4.0 * ratio**0.1])
            shared = np.sqrt(many / count)
            of_frequency = np.array([1.0, ratio])
            rms = share * shared + (1 - share) * of_frequency
            parts[Point(noise, 16, ratio)] = setting(rng, many, few=many, many=many, count=count, rms=rms, active=2.4)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_weights_that_are_shared(seed):
    assert {row.verdict for row in sizes_shared.CHECK.judge(stage_runs(seed, 1.0))} == {SUPPORTED}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_few_settings_decide_nothing_about_shares(share):
    arrays = stage_runs(0, share)
    few = arrays.isel(point=np.flatnonzero(arrays["ratio"].values != 0.7))
    assert {row.verdict for row in sizes_shared.CHECK.judge(few)} == {UNDECIDED}


@pytest.mark.parametrize("seed", range(3))
def test_weights_that_go_with_the_frequency(seed):
    assert {row.verdict for row in sizes_shared.CHECK.judge(stage_runs(seed, 0.0))} == {NOT_SUPPORTED}
