"""S2b on planted counts: the paper's bound as an equality, the exact law, and counts that ignore r."""

import numpy as np
import pytest
import xarray as xr

from dynsim import theory
from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED, VACUOUS
from paper_checks.check import at_points
from paper_checks.lemma_3_2.s2b_width import CHECK, needed
from paper_checks.runs import NOISES, Point

RATIOS = (1.0, 0.9, 0.8, 0.7, 0.6)


def planted(law, seed, settled=1.0, ratios=RATIOS):
    """Counts per feature of 6 seeds that scatter by 3 % about law(m, d, r)."""
    rng, parts = np.random.default_rng(seed), {}
    places = [(16, 16 * 64, r, 0.0) for r in ratios] + [
        (16, m, r, 1.0) for r in ratios for m in (256, 512, 1024, 2048, 4096)
    ]
    for noise in NOISES:
        for d, m, r, axis in places:
            cut = np.sqrt(2 * np.log(d) / d) / r
            count = law(m, d, r) * (1 + 0.03 * rng.standard_normal(6))
            exact, bound = m * float(theory.lucky_tail(d, cut)), m * d ** (-1 / r**2)
            values = {"count": ("seed", count), "exact": exact, "bound": bound, "settled": settled, "in_width": axis}
            parts[Point(noise, d, r, m, axis)] = xr.Dataset(values)
    return at_points(parts)


def found(arrays, words):
    return {row.verdict for row in CHECK.judge(arrays) if words in row.claim}


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_twice_the_bound(seed):
    arrays = planted(lambda m, d, r: 2 * m * d ** (-1 / r**2), seed)
    for words in ("fall with r", "proportional", "at least"):
        assert found(arrays, words) == {SUPPORTED}
    assert found(arrays, "exact law") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_the_exact_law(seed):
    arrays = planted(lambda m, d, r: m * float(theory.lucky_tail(d, np.sqrt(2 * np.log(d) / d) / r)), seed)
    assert found(arrays, "exact law") == {SUPPORTED}
    assert found(arrays, "at least") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_counts_that_ignore_r_and_grow_with_the_root_of_m(seed):
    arrays = planted(lambda m, d, r: np.sqrt(m), seed)
    assert found(arrays, "fall with r as") == {NOT_SUPPORTED} and found(arrays, "no faster") == {SUPPORTED}
    assert found(arrays, "proportional") == {NOT_SUPPORTED}


def test_runs_that_still_change_decide_no_slope():
    arrays = planted(lambda m, d, r: m / d, 0, settled=0.0)
    assert found(arrays, "fall with r") == found(arrays, "proportional") == {UNDECIDED}


def test_a_bound_below_one_neuron_is_vacuous():
    arrays = planted(lambda m, d, r: m / d, 0, ratios=(1.0, 0.7, 0.5))
    (row, *_) = [row for row in CHECK.judge(arrays) if "at least" in row.claim and "0.5" in row.claim]
    assert row.verdict == VACUOUS and "m = 65536" in row.note
    assert "m = 65536" in needed(16, 0.5)
