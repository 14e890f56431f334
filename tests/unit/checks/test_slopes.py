"""Slopes over levels with missing numbers, and the jackknife of a logarithm."""

import numpy as np

from paper_checks import slopes


def test_power_is_found_without_the_missing_numbers():
    sizes = [2.0, 4.0, 8.0, 16.0]
    values = [s**-0.5 * np.array([1.0, 1.01, np.nan]) for s in sizes]
    assert np.isclose(slopes.power(sizes, values).slope, -0.5)


def test_too_few_levels_or_numbers_are_unknown():
    both = np.array([1.0, 2.0])
    assert np.isnan(slopes.line([1.0, 2.0], [both, both]).slope)
    assert np.isnan(slopes.line([1.0, 2.0, 3.0], [both, both, np.array([1.0])]).slope)
    assert np.isnan(slopes.power([1.0, 2.0, 4.0], [both, both, -both]).slope)
    assert slopes.goodness(slopes.UNKNOWN) == "too few numbers are left for a slope"


def test_pseudo_values_estimate_the_logarithm_of_the_mean():
    rng = np.random.default_rng(0)
    means = [slopes.log_of_mean(2 + rng.standard_normal(8)).mean() for _ in range(2000)]
    assert abs(np.mean(means) - np.log(2)) < 0.01
    assert np.isnan(slopes.log_of_mean(np.array([-1.0, 0.2, 0.3]))).all()
    assert np.allclose(slopes.log_of_mean(np.array([np.nan, 3.0, 3.0, 3.0])), [np.log(3)] * 3)


def test_of_three_levels_the_interval_is_over_the_slopes_of_seeds():
    values = [np.array([1.0, 1.0, 1.0]), np.array([2.0, 3.0, 4.0]), np.array([3.0, 5.0, 7.0])]  # slopes 1, 2, 3
    fit = slopes.line([0.0, 1.0, 2.0], values)
    assert np.allclose(fit.span, [2.0, 2 - 4.3027 / np.sqrt(3), 2 + 4.3027 / np.sqrt(3)], rtol=1e-4)
    bent = [np.array([0.0, 0.1, -0.1]) + mean for mean in (0.0, 1.5, 2.0)]  # means off the line by a quarter
    assert slopes.line([0.0, 1.0, 2.0], bent).high - 1 < 0.1


def test_of_three_levels_with_other_seeds_the_interval_is_that_of_the_line():
    values = [np.array([1.0, 1.2]), np.array([2.0, 2.2, 2.1]), np.array([3.0, 3.2])]
    assert slopes.line([0.0, 1.0, 2.0], values) == slopes.trend([0.0, 1.0, 2.0], values)
