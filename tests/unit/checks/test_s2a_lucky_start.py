"""S2a on planted counts: lucky neurons that specialise, that do not, and too few of them."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED, VACUOUS
from paper_checks.check import at_points
from paper_checks.lemma_3_2.s2a_lucky_start import CHECK, needed
from paper_checks.runs import NOISES, Point

SEEDS, NEURONS, FEATURES = 6, 64, 8  # features of a group


def planted(seed, *, fulfil, precision, recall, race, rare=0):
    """Counts of runs at r = 1 and r = 0.85 in which shares of the lucky pairs do as the arguments say."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for ratio in (1.0, 0.85):
            specialists = np.full((SEEDS, 2), 30)
            hits = rng.binomial(specialists, recall)
            lucky = np.round(hits / precision) if precision else rng.poisson(10, (SEEDS, 2))
            hits = hits if precision else 0 * hits
            if ratio < 1:
                lucky[:, 1], hits[:, 1] = rare, min(rare, 1)
            said = rng.binomial(64, race, (SEEDS, 2)) / 2
            numbers = {
                "lucky": lucky,
                "lucky_able": lucky,
                "fulfil": rng.binomial(lucky.astype(int), fulfil),
                "specialists": specialists,
                "lucky_right": hits,
                "race": np.full((SEEDS, 2), 32.0),
                "race_right": np.minimum(said, 30),
                "pairs": np.full((SEEDS, 2), NEURONS * FEATURES),
            }
            parts[Point(noise, 16, ratio)] = xr.Dataset(
                {name: (("seed", "group"), np.asarray(x, float)) for name, x in numbers.items()}
            )
    return at_points(parts)


def verdicts(arrays):
    return [(row.claim, row.verdict) for row in CHECK.judge(arrays)]


@pytest.mark.parametrize("seed", range(5))
def test_lucky_neurons_that_specialise(seed):
    found = verdicts(planted(seed, fulfil=0.97, precision=0.95, recall=0.8, race=0.3))
    assert {v for claim, v in found if "0.85" not in claim} == {SUPPORTED}
    assert {v for claim, v in found if "0.85" in claim} == {VACUOUS}


@pytest.mark.parametrize("seed", range(5))
def test_a_label_that_says_nothing(seed):
    found = verdicts(planted(seed, fulfil=0.5, precision=0.03, recall=0.1, race=0.9))
    assert {v for claim, v in found if "0.85" not in claim} == {NOT_SUPPORTED}


def test_few_lucky_pairs_decide_nothing():
    found = verdicts(planted(0, fulfil=1.0, precision=0.95, recall=0.8, race=0.3, rare=1))
    assert {v for claim, v in found if "0.85" in claim} == {UNDECIDED}


def test_the_size_that_is_needed_grows_as_frequencies_part():
    assert "d = 16" in needed(1.0) and "hours" in needed(1.0) and "years" in needed(0.5)
