"""Rows over levels: what is left out, what three levels give, and totals by hand."""

import math

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import SUPPORTED, UNDECIDED
from paper_checks import costs
from paper_checks.runs import base
from paper_checks.slope_rows import slope_row, totals_ratio


def test_levels_without_two_usable_seeds_are_left_out():
    values = [np.full(4, x**2.0) * [1, 1.01, 0.99, 1] for x in (1, 2, 4, 8)] + [np.array([1e9, np.nan, np.nan, -1])]
    row = slope_row("c", "r", "q", [1, 2, 4, 8, 16], values, (1.9, 2.1))
    assert row.verdict == SUPPORTED and row.measured == pytest.approx(2) and "4 levels" in row.note
    assert slope_row("c", "r", "q", [1, 16], values[3:], (1.9, 2.1)).verdict == UNDECIDED


def test_of_three_levels_the_interval_is_over_the_slopes_of_seeds():
    values = [np.array([1.0, 1.0, 1.0]), np.array([2.0, 3.0, 4.0]), np.array([3.0, 5.0, 7.0])]  # slopes 1, 2, 3
    row = slope_row("c", "r", "q", [0, 1, 2], values, (0, 9), logarithmic=False)
    assert row.measured == pytest.approx(2)
    assert row.interval[1] == pytest.approx(2 + 4.3027 / math.sqrt(3), rel=1e-4)


def test_totals_leave_out_what_a_seed_lacks():
    one = xr.Dataset({"m": (("seed", "point"), [[2.0, 4.0], [3.0, np.nan]]), "p": ("point", [2.0, 1.0])})
    assert totals_ratio(one, "m", "p").tolist() == [2.0, 1.5]


def test_costs_grow_with_width_and_steps():
    config = base(16, 0.5, train__n_steps=4000)
    wide = base(16, 0.5, train__n_steps=4000, encoder__n_neurons=128)
    assert costs.hours(wide, 6) == pytest.approx(2 * costs.hours(config, 6))
    assert "hours" in costs.in_words(3.0) and "years" in costs.in_words(1e6)
