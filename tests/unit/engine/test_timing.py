"""Timing: the order of the calls, ratios within rounds, fitted power laws, and steps that leave their runs alone."""

import math

import jax
import numpy as np
import pytest

from dynsim.config.checks import ConfigError
from dynsim.engine.timing import Steps, interleaved, power_law, ratio
from tests.reference import toy


def test_candidates_are_called_in_turn_after_warm_up():
    calls = []
    times = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3, warm_up=2)
    assert "".join(calls) == "aabb" + "ababab"
    assert set(times) == {"a", "b"} and all(len(seconds) == 3 and min(seconds) >= 0 for seconds in times.values())


def test_a_ratio_is_taken_within_each_round():
    # the middle one of 2/1, 30/10 and 8/2; the ratio of the medians would be 8/2 = 4
    assert ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_an_exact_power_law_is_found():
    sizes = (2, 4, 16, 32)
    fit = power_law(sizes, [0.25 * size**1.5 for size in sizes])
    np.testing.assert_allclose([fit.exponent, fit.low, fit.high, fit.factor, fit.last], [1.5, 1.5, 1.5, 0.25, 1.5])


def test_three_points_by_hand():
    # logarithms to base 2: x = 0, 1, 2 and y = 0, 2, 2, so slope 1, residuals -1/3, 2/3, -1/3
    fit = power_law((1, 2, 4), (1.0, 4.0, 4.0))
    error = math.sqrt((6 / 9) / 1 / 2)  # sqrt(residual sum of squares / freedom / sum of (x - mean)^2)
    np.testing.assert_allclose(fit.exponent, 1.0)
    np.testing.assert_allclose(fit.high - fit.exponent, 12.7062 * error, rtol=1e-5)  # t at 97.5 %, one degree
    np.testing.assert_allclose([fit.factor, fit.last], [2 ** (1 / 3), 0.0], atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "seconds", "word"),
    [
        ((1, 2), (1.0, 2.0), "three or more"),
        ((1, 2, 3), (1.0, 2.0), "3 and 2 times"),
        ((1, 3, 2), (1.0, 2.0, 3.0), "growing"),
        ((1, 2, 3), (1.0, 0.0, 3.0), "above 0"),
    ],
)
def test_what_no_law_can_be_fitted_to_is_one_line(sizes, seconds, word):
    with pytest.raises(ConfigError, match=word) as raised:
        power_law(sizes, seconds)
    assert "\n" not in str(raised.value)


def test_steps_start_from_the_same_moment_at_every_call():
    config = toy()
    steps = Steps(config, 2, begin=3)
    before = jax.tree.map(np.asarray, [carry for carry, _ in steps.runs])
    steps.fill(0.001, most=4)
    assert 1 <= steps.n_steps <= 4
    steps()
    jax.tree.map(np.testing.assert_array_equal, before, [carry for carry, _ in steps.runs])
    again = Steps(config, 2, begin=3)  # and that moment is the one asked for
    jax.tree.map(np.testing.assert_array_equal, before, [carry for carry, _ in again.runs])
    assert len(steps.runs) == 2
