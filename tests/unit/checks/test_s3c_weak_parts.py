"""S3c on planted ratios and purities, and the weak parts of one neuron by hand."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.runs import NOISES, Point
from paper_checks.theorem_3_1.s3c_weak_parts import CHECK, PARTS, weak_parts


def planted(exponent, fall, seed):
    """Ratios of 6 seeds about 0.2 d^exponent, and purities that fall by `fall` per unit of log r."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for ratio in (1.0, 0.7, 0.5):
            for d in (16, 24, 32, 64):
                ratios = {name: ("seed", 0.2 * d**exponent * np.exp(0.03 * rng.standard_normal(6))) for name in PARTS}
                pure = ("seed", 0.9 + fall * np.log(ratio) + 0.005 * rng.standard_normal(6))
                parts[Point(noise, d, ratio)] = xr.Dataset(ratios | {"purity": pure, "settled": 1.0})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_weak_parts_that_fall_and_purity_that_falls_with_r(seed):
    assert {row.verdict for row in CHECK.judge(planted(-0.6, 0.1, seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_a_floor_and_purity_that_rises_as_r_falls(seed):
    assert {row.verdict for row in CHECK.judge(planted(0.0, -0.1, seed))} == {NOT_SUPPORTED}


def test_the_weak_parts_of_one_neuron():
    parts = weak_parts(np.array([[[-3.0, -10.0, 4.0]]]), np.array([[6.0]]), 4)
    assert parts["others"].item() == pytest.approx(np.sqrt(12.5) / 10)
    assert parts["largest_other"].item() == 0.4 and parts["outside"].item() == 0.3
