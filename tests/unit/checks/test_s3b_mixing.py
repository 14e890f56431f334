"""S3b on planted numbers of features per neuron, and the mean by hand."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.runs import NOISES, Point
from paper_checks.theorem_3_1.s3b_mixing import CHECK, mean_candidates


def planted(extra, seed):
    """Numbers of 6 seeds that scatter by 1.5 % about d^(1 - r^2 + extra)."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for ratio in (1.0, 0.7, 0.5):
            for d in (16, 24, 32, 64):
                mean = d ** (1 - ratio**2 + extra)
                values = ("moment", "seed"), mean * np.exp(0.015 * rng.standard_normal((2, 6)))
                parts[Point(noise, d, ratio)] = xr.Dataset({"candidates": values, "settled": 1.0})
    return at_points(parts)


def found(arrays, words):
    return {row.verdict for row in CHECK.judge(arrays) if words in row.claim}


@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_the_theorem(seed):
    assert {row.verdict for row in CHECK.judge(planted(0.0, seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_more_mixing_breaks_the_bound_and_less_does_not(seed):
    assert found(planted(0.3, seed), "at most") == {NOT_SUPPORTED}
    assert found(planted(-0.3, seed), "at most") == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_numbers_that_do_not_depend_on_r_are_no_equality(seed):
    arrays = planted(0.0, seed)
    arrays["candidates"] = arrays["candidates"] * arrays["d"] ** (arrays["ratio"] ** 2 - 0.9)  # d^0.1 at every r
    assert found(arrays, "the rarer the minority") == {NOT_SUPPORTED}


def test_inactive_neurons_do_not_count():
    alignment = np.array([[[1.0, 0.6, 0.1], [1.0, 0.0, 0.0], [0.01, 0.01, 0.01]]])
    assert mean_candidates(alignment, np.array([[1.2, 1.0, 0.02]])).tolist() == [1.5]
