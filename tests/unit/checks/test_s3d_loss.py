"""S3d on planted losses that vanish and that grow with d, and the mean over the window by hand."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from paper_checks.check import at_points
from paper_checks.runs import NOISES, Point
from paper_checks.theorem_3_1.s3d_loss import CHECK, mean_between


def planted(exponent, seed, settled=1.0):
    """Losses of 6 seeds that scatter by 2 % about d^exponent."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for ratio in (1.0, 0.5):
            for d in (16, 24, 32, 64):
                values = {
                    name: ("seed", d**exponent * np.exp(0.02 * rng.standard_normal(6))) for name in ("window", "end")
                }
                parts[Point(noise, d, ratio)] = xr.Dataset(values | {"chance": np.log(4 * d), "settled": settled})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_losses_that_vanish_and_losses_that_grow(seed):
    assert {row.verdict for row in CHECK.judge(planted(-0.3, seed))} == {SUPPORTED}
    assert {row.verdict for row in CHECK.judge(planted(0.2, seed))} == {NOT_SUPPORTED}


def test_at_the_end_only_settled_runs_decide():
    rows = CHECK.judge(planted(-0.3, 0, settled=0.0))
    assert {row.verdict for row in rows if "at the end" in row.regime} == {UNDECIDED}


def test_the_mean_between_two_steps_is_over_time():
    steps, curve = np.array([0, 10, 20]), np.array([[0.0, 10.0, 10.0]])
    assert mean_between(steps, curve, 5, 15).tolist() == [8.75]
    assert mean_between(steps, curve, 10, 1000).tolist() == [10.0]  # as far as the run goes
    assert np.isnan(mean_between(steps, curve, 30, 40)).all()
