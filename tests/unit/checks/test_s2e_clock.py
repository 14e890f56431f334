"""S2e on planted lengths with the right and with wrong exponents, and T2 by count on a small record."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.check import at_points
from paper_checks.lemma_3_2.s2e_clock import CHECK, SETS, count_end
from paper_checks.runs import NOISES, Point


def planted(seed, *, scale=1.0, of_ratio=0.0):
    """Lengths of 6 seeds with `scale` times the exponents of the lemma, and r^of_ratio."""
    rng, parts = np.random.default_rng(seed), {}
    settings = [("clock", "eta", f, {"eta": 0.25 * f}) for f in (0.5, 1.0, 2.0)]
    settings += [("clock", "rate", f, {"chance": 0.1 * f}) for f in (0.5, 1.0, 2.0)]
    settings += [("temperature", str(tau), 0, {"tau": tau}) for tau in (0.25, 0.5, 1.0, 2.0)]
    settings += [("stages", "0", d, {"clock": float(c), "d": d}) for d, c in ((16, 35), (24, 52), (32, 70), (64, 150))]
    settings += [("stages", "0", r, {"ratio": r}) for r in (1.0, 0.85, 0.7, 0.3)]
    for noise in NOISES:
        for name, level, second, own in settings:
            one = {"eta": 0.25, "chance": 0.1, "tau": 1.0, "clock": 35.0, "d": 16, "ratio": 0.5} | own
            power = (0.25 / one["eta"]) * (0.1 / one["chance"]) * one["tau"] * (one["clock"] / 35)
            mean = 100 * power**scale * one["ratio"] ** of_ratio
            ends = {kind: ("seed", mean * np.exp(0.06 * rng.standard_normal(6))) for kind in ("coverage", "count")}
            numbers = {key: one[key] for key in ("eta", "chance", "tau", "clock")} | {"set": float(SETS.index(name))}
            parts[Point(noise, one["d"], one["ratio"], level, f"{name} {second}")] = xr.Dataset(ends | numbers)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_lengths_of_the_lemma(seed):
    assert {row.verdict for row in CHECK.judge(planted(seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_lengths_with_half_the_exponents_and_set_by_the_minority(seed):
    assert {row.verdict for row in CHECK.judge(planted(seed, scale=0.4, of_ratio=-1.0))} == {NOT_SUPPORTED}


def test_the_end_by_count_is_the_last_time_it_is_reached():
    steps, counts = np.array([0, 1, 4, 16, 64, 256]), np.array([0, 10, 2, 9, 10, 10])
    assert count_end(steps, counts) == 8.0  # between 4 and 16, as it falls below 9 again at step 4
    assert np.isnan(count_end(steps, np.zeros(6)))
