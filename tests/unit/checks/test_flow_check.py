"""FLOW on planted errors: a prediction that follows, and one that does not."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.questions.flow import CHECK
from paper_checks.runs import NOISES, Point


def planted(strength, same, error, seed):
    """Errors of six seeds at two points that scatter about the given ones; the last record is the end."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        curves = {"error": error, "upper_error": 2 * error, "strength_error": strength, "same_winner": same}
        values = {
            name: (("seed", "record"), level * (1 + 0.03 * rng.standard_normal((6, 4))))
            for name, level in curves.items()
        }
        single = {"leaving_step": 9.0, "flow_seconds": 20.0, "simulation_seconds": 10.0}
        values |= {name: ("seed", level * (1 + 0.03 * rng.standard_normal(6))) for name, level in single.items()}
        parts[Point(noise, 16, 0.5)] = xr.Dataset(values | {"step": ("record", np.array([0.0, 1.0, 10.0, 100.0]))})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_a_prediction_that_follows_is_supported(seed):
    rows = CHECK.judge(planted(0.04, 0.9, 0.05, seed))
    assert len(rows) == 6 and {row.verdict for row in rows} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_a_prediction_that_fails_is_not(seed):
    rows = CHECK.judge(planted(0.3, 0.2, 0.4, seed))
    assert {row.verdict for row in rows} == {NOT_SUPPORTED}
