"""S2c on planted counts, and the counting of passages by hand."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, VACUOUS
from paper_checks.check import at_points
from paper_checks.lemma_3_2.s2c_passages import CHECK, passages
from paper_checks.runs import RARE, Point, base


def planted(seed, factor=1.0, power=1.0, paper=0.02):
    """Poisson counts of 4 seeds and 8 features a group about factor * predicted^power."""
    rng, parts = np.random.default_rng(seed), {}
    for ratio in (0.7, 0.5):
        for level in (1, 2, 4, 8, 16):
            predicted = np.array([120.0, 90.0]) / level**0.5 * (0.7 if ratio == 0.5 else 1)
            mean = factor * 15 * (predicted / 15) ** power
            values = {
                "measured": (("seed", "group"), rng.poisson(8 * mean, (4, 2)) / 8),
                "predicted": ("group", predicted),
                "at_switch": ("group", predicted),
                "paper": ("group", np.full(2, paper)),
            }
            parts[Point(RARE, 16, ratio, level, 0.5)] = xr.Dataset(values)
    return at_points(parts)


def found(arrays, words):
    return {row.verdict for row in CHECK.judge(arrays) if words in row.claim}


@pytest.mark.parametrize("seed", range(5))
def test_passages_as_predicted(seed):
    arrays = planted(seed)
    assert found(arrays, "as many neurons") == {SUPPORTED}
    assert NOT_SUPPORTED not in found(arrays, "follow")
    assert found(arrays, "fewer neurons") == {VACUOUS}


@pytest.mark.parametrize("seed", range(5))
def test_passages_that_are_a_half_off(seed):
    assert found(planted(seed, factor=1.5), "as many neurons") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(5))
def test_passages_that_do_not_follow_the_prediction(seed):
    assert found(planted(seed, power=0.2), "follow") == {NOT_SUPPORTED}


def test_a_bound_above_the_prediction_can_be_broken():
    assert found(planted(0, paper=100.0), "fewer neurons") == {SUPPORTED}
    assert found(planted(0, factor=10.0, paper=41.0), "fewer neurons") == {NOT_SUPPORTED}


def test_passages_are_counted_at_the_switch_as_by_hand():
    config = base(16, 0.5)  # the threshold is half of sqrt(2 log 16 / 16) = 0.59 of the norm
    alignment = np.array([[[9.0, 9.0], [9.0, 9.0]], [[0.0, 0.0], [9.0, 9.0]], [[1.0, 0.2], [0.31, 0.28]]])
    result = xr.Dataset(
        {
            "alignment": (("seed", "record", "neuron", "feature"), alignment[None]),
            "weight_norm": (("seed", "record", "neuron"), np.ones((1, 3, 2))),
            "switch_step": ("seed", [5]),
        },
        {"step": ("record", [0, 4, 6])},
    )
    assert passages(config, result).tolist() == [[2.0, 0.0]]
