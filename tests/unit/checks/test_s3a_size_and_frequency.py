"""S3a on planted weights: in proportion to the frequency, and independent of it."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from paper_checks.check import at_points
from paper_checks.runs import NOISES, Point
from paper_checks.theorem_3_1.s3a_size_and_frequency import CHECK


def planted(exponent, seed, scale=0.8, settled=1.0):
    """Weights of 6 seeds that scatter by 3 % about scale * r^exponent."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for d in (16, 64):
            for ratio in (1.0, 0.85, 0.7, 0.5, 0.3):
                mean = scale * np.array([1.0, ratio**exponent])
                values = {
                    kind: (("moment", "seed", "group"), mean * np.exp(0.03 * rng.standard_normal((2, 6, 2))))
                    for kind in ("largest", "median")
                }
                parts[Point(noise, d, ratio)] = xr.Dataset(
                    values | {"settled": settled, "tau": 1.0, "step": ("moment", [64, 4000])}
                )
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_weights_in_proportion_to_the_frequency(seed):
    assert {row.verdict for row in CHECK.judge(planted(1.0, seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_weights_that_ignore_the_frequency(seed):
    assert {row.verdict for row in CHECK.judge(planted(0.0, seed))} == {NOT_SUPPORTED}


def test_at_the_end_unsettled_settings_are_left_out():
    rows = [row for row in CHECK.judge(planted(1.0, 0, settled=0.0)) if "proportional" in row.claim]
    assert {row.verdict for row in rows if "at the end" in row.regime} == {UNDECIDED}
    assert {row.verdict for row in rows if "window" in row.regime} == {SUPPORTED}


def test_a_size_with_two_ratios_has_no_part_in_the_slope_but_in_the_bound():
    arrays = planted(1.0, 0)
    at_64 = arrays["d"].values == 64
    arrays["largest"][at_64] *= np.where(arrays["ratio"].values[at_64] < 1, 3.0, 1.0)[:, None, None, None]
    arrays = arrays.isel(point=np.flatnonzero(~at_64 | np.isin(arrays["ratio"].values, (1.0, 0.5))))
    rows = CHECK.judge(arrays)
    assert {row.verdict for row in rows if "proportional" in row.claim} == {SUPPORTED}
    bounds = [row for row in rows if "at most" in row.claim]
    assert {row.verdict for row in bounds} == {NOT_SUPPORTED}
    assert all("d = 64, r = 0.5" in row.note for row in bounds)


def test_rows_are_few_and_the_same_whatever_has_settled():
    names = [[(row.claim, row.regime) for row in CHECK.judge(planted(1.0, 0, settled=x))] for x in (1.0, 0.0)]
    assert names[0] == names[1] and len(names[0]) == len(set(names[0])) == 12
