"""S2d on planted ratios that stay and that grow with d, and the ratio by hand."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.lemma_3_2.s2d_ordinary import CHECK, best_ratio
from paper_checks.runs import NOISES, Point


def planted(exponent, seed):
    """Ratios of 6 seeds that scatter by 4 % about 0.5 (d/16)^exponent."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for ratio in (1.0, 0.7, 0.5):
            for d in (16, 24, 32, 64):
                values = {
                    name: (("seed", "group"), 0.5 * (d / 16) ** exponent * np.exp(0.04 * rng.standard_normal((6, 2))))
                    for name in ("specialist", "lucky")
                }
                parts[Point(noise, d, ratio)] = xr.Dataset(values)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_ratios_that_fall_or_stay_are_bounded(seed):
    assert {row.verdict for row in CHECK.judge(planted(-0.1, seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_ratios_that_grow_are_not(seed):
    assert {row.verdict for row in CHECK.judge(planted(0.8, seed))} == {NOT_SUPPORTED}


def test_the_best_of_the_others_over_the_best_by_hand():
    size = np.array([[4.0, 1.0], [2.0, 3.0], [1.0, 6.0]])
    chosen = np.array([[True, False], [False, False], [False, False]])
    assert best_ratio(size, chosen).tolist()[0] == 0.5 and np.isnan(best_ratio(size, chosen)[1])
