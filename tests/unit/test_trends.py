"""Slopes over levels: by hand, against SciPy, coverage of the intervals, and what bends."""

import numpy as np
import pytest
from scipy import stats

from dynsim.config.checks import ConfigError
from dynsim.stats.trends import exponent, trend


def test_a_line_without_scatter_is_found_exactly():
    found = trend([1.0, 2.0, 4.0], [np.full(3, 1 + 2 * x) for x in (1.0, 2.0, 4.0)])
    assert found.slope == pytest.approx(2, abs=1e-12) and found.intercept == pytest.approx(1, abs=1e-12)
    assert (found.low, found.high) == (pytest.approx(2, abs=1e-9), pytest.approx(2, abs=1e-9))
    assert found.r_squared == pytest.approx(1) and found.misfit_p == 1.0


def test_a_power_law_has_its_exponent():
    sizes = np.array([16, 24, 32, 64])
    found = exponent(sizes, [np.array([0.9, 1.0, 1.1]) * 3 * size**-1.5 for size in sizes])
    assert found.slope == pytest.approx(-1.5, abs=1e-9)
    assert found.low < -1.5 < found.high


def test_slope_and_intercept_agree_with_scipy_on_equal_levels():
    rng = np.random.default_rng(0)
    x = np.repeat([1.0, 2.0, 3.0, 5.0], 6)
    y = 0.5 * x + rng.standard_normal(x.size)
    found = trend([1.0, 2.0, 3.0, 5.0], list(y.reshape(4, 6)))
    reference = stats.linregress(x, y)
    assert found.slope == pytest.approx(reference.slope)
    assert found.intercept == pytest.approx(reference.intercept)


def test_the_interval_holds_the_slope_about_as_often_as_it_says():
    rng, held, n = np.random.default_rng(1), 0, 400
    x = np.array([0.0, 1.0, 2.0, 4.0])
    for _ in range(n):
        found = trend(x, [2 * at + rng.standard_normal(8) * (1 + at) for at in x])
        held += found.low <= 2 <= found.high
    assert held / n > 0.93


def test_levels_that_bend_widen_the_interval_and_are_called_a_misfit():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    noise = np.array([-0.01, 0.0, 0.01])
    bent = trend(x, [at**2 + noise for at in x])
    straight = trend(x, [5 * at + noise for at in x])
    assert bent.misfit_p < 1e-6 < straight.misfit_p
    assert bent.high - bent.low > 20 * (straight.high - straight.low)


@pytest.mark.parametrize(
    ("x", "values"),
    [
        ([1.0, 2.0], [np.ones(3)] * 2),
        ([1.0, 1.0, 2.0], [np.ones(3)] * 3),
        ([1.0, 2.0, 3.0], [np.ones(3)] * 2),
        ([1.0, 2.0, 3.0], [np.ones(3), np.ones(3), np.array([np.nan])]),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(x, values):
    with pytest.raises(ConfigError) as caught:
        trend(x, values)
    assert "\n" not in str(caught.value)


def test_an_exponent_needs_numbers_above_zero():
    with pytest.raises(ConfigError, match="above 0"):
        exponent([1.0, 2.0, 3.0], [np.ones(2), np.zeros(2), np.ones(2)])
