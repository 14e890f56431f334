"""S1a on planted arrays: rates that agree with the closed form, that are off, and that grow with the square."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.lemma_3_1.s1a_growth import CHECK
from paper_checks.runs import Point


def planted(power, factor, seed):
    """Rates of 8 seeds and two sizes that are `factor` times the closed form and go as frequency^power."""
    rng, parts = np.random.default_rng(seed), {}
    for d in (16, 32):
        chance = np.geomspace(0.2, 0.04, d)
        predicted = 0.1 * chance
        true = factor * 0.1 * chance * (chance / chance.mean()) ** (power - 1)
        noise = 1 + 0.02 * rng.standard_normal((8, d))
        values = {"predicted": ("feature", predicted), "probability": ("feature", chance)}
        parts[Point("", d)] = xr.Dataset({"measured": (("seed", "feature"), true * noise), **values})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(5))
def test_rates_of_the_closed_form_are_supported(seed):
    assert {row.verdict for row in CHECK.judge(planted(1.0, 1.0, seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(5))
def test_rates_that_are_off_by_a_tenth_are_not(seed):
    *sizes, exponent = CHECK.judge(planted(1.0, 1.1, seed))
    assert {row.verdict for row in sizes} == {NOT_SUPPORTED}
    assert exponent.verdict == SUPPORTED  # a constant factor leaves the exponent


@pytest.mark.parametrize("seed", range(5))
def test_growth_with_the_square_of_the_frequency_is_not_supported(seed):
    assert CHECK.judge(planted(2.0, 1.0, seed))[-1].verdict == NOT_SUPPORTED
