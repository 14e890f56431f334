"""S2f on planted counts of the race and of its rivals, and single neurons by hand."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from paper_checks.check import at_points
from paper_checks.lemma_3_2.s2f_race import CHECK, RIVALS, SETS, share_right
from paper_checks.runs import NOISES, Point


def planted(truth, seed, settled=1.0, right=0.9):
    """Counts of 6 seeds, from 640 times a feature's number, about the prediction named `truth`."""
    rng, parts = np.random.default_rng(seed), {}
    for place, name in enumerate(SETS):
        for noise in NOISES:
            for ratio in (1.0, 0.85, 0.7, 0.5, 0.3):
                rare = ratio**2
                predicted = {
                    "race": np.array([12.0 - 6 * rare, 6 * rare]),
                    "paper": np.array([6.0, 6 * 16 ** (1 - 1 / ratio**2)]),
                    "passages": np.array([20.0, 20 * ratio]),
                    "frequency": np.array([12 / (1 + ratio), 12 * ratio / (1 + ratio)]),
                }
                values = {key: ("group", value) for key, value in predicted.items()}
                measured = rng.poisson(640 * predicted[truth], (6, 2)) / 640
                shares = ("seed", rng.binomial(200, right, 6) / 200)
                parts[Point(noise, 16, ratio, f"{name} 0")] = xr.Dataset(
                    {"measured": (("seed", "group"), measured), "right": shares, "chance": ("seed", np.full(6, 0.1))}
                    | {"settled": settled, "d1": 2.0, "set": float(place)}
                    | values
                )
    return at_points(parts)


def found(arrays, words):
    return {row.verdict for row in CHECK.judge(arrays) if words in row.claim}


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_the_race(seed):
    assert {row.verdict for row in CHECK.judge(planted("race", seed))} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rival", ["passages", "frequency", "paper"])
def test_counts_of_a_rival(seed, rival):
    arrays = planted(rival, seed)
    closer = [row for row in CHECK.judge(arrays) if "closer" in row.claim]
    assert {row.verdict for row in closer} == {NOT_SUPPORTED}
    assert all(RIVALS[rival] in row.rival for row in closer)
    assert NOT_SUPPORTED in found(arrays, "the number of minority")


def test_neurons_that_change_the_lead():
    assert found(planted("race", 0, right=0.4), "led at the switch") == {NOT_SUPPORTED}


def test_counts_that_still_change_decide_nothing():
    assert found(planted("race", 0, settled=0.0), "the race gives") == {UNDECIDED}


@pytest.mark.parametrize("truth", ["race", "frequency"])
def test_few_settings_decide_nothing_over_settings(truth):
    arrays = planted(truth, 0)
    few = arrays.isel(point=np.flatnonzero(arrays["ratio"].values > 0.3))
    over = [row for row in CHECK.judge(few) if "led at the switch" not in row.claim]
    assert {row.verdict for row in over} == {UNDECIDED}
    assert all(row.note.startswith("4 settings cannot decide this") for row in over)


def test_winners_are_compared_with_specialists_as_by_hand():
    ends = np.array([[True, False], [False, True], [True, False], [False, False]])
    share, chance = share_right(np.array([0, 0, -1, 1]), ends)
    assert share == pytest.approx(1 / 3) and chance == pytest.approx(2 / 3 * 2 / 3)
