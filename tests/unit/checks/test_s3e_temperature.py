"""S3e on planted weights: in proportion to the temperature, and as at rest."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.runs import NOISES, Point
from paper_checks.theorem_3_1.s3e_temperature import CHECK


def planted(exponent, seed):
    """Weights of 6 seeds that scatter by 2 % about tau^exponent."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for tau in (0.25, 0.5, 1.0, 2.0):
            values = {
                kind: (("moment", "seed", "group"), tau**exponent * np.exp(0.02 * rng.standard_normal((2, 6, 2))))
                for kind in ("largest", "median", "total")
            }
            rest = ("group", np.full(2, 2 * tau**0.45))
            parts[Point(noise, 16, 0.5, tau)] = xr.Dataset(values | {"rest": rest, "settled": 1.0})
    return at_points(parts)


def found(arrays, words):
    return {row.verdict for row in CHECK.judge(arrays) if words in row.claim}


@pytest.mark.parametrize("seed", range(3))
def test_weights_in_proportion_to_the_temperature(seed):
    arrays = planted(1.0, seed)
    assert found(arrays, "proportional") == {SUPPORTED} and found(arrays, "state of rest") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_weights_as_at_rest(seed):
    arrays = planted(0.45, seed)
    assert found(arrays, "proportional") == {NOT_SUPPORTED} and found(arrays, "state of rest") == {SUPPORTED}
