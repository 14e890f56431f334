"""LUCKY on planted counts, and its counting of sampled weights against the exact law."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks.definition_3_1 import lucky_counts
from paper_checks.definition_3_1.lucky_counts import BLOCKS, CHECK, RATIOS, SIZES


def planted(tail, seed):
    """Counts of 1e9 pairs a block whose share is `tail(d, r)`."""
    rng, pairs = np.random.default_rng(seed), 10**9
    share = np.array([[tail(d, r) for r in RATIOS] for d in SIZES])
    lucky = rng.binomial(pairs, share, size=(BLOCKS, *share.shape)).astype(float)
    values = {
        "lucky": (("block", "d", "ratio"), lucky),
        "pairs": (("block", "d"), np.full((BLOCKS, len(SIZES)), pairs)),
    }
    return xr.Dataset(values, {"d": list(SIZES), "ratio": list(RATIOS)})


def verdicts(arrays):
    return {(row.claim, row.regime): row.verdict for row in CHECK.judge(arrays)}


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_the_exact_law(seed):
    found = verdicts(planted(lucky_counts._exact, seed))
    assert {v for (claim, _), v in found.items() if "Beta" in claim} == {SUPPORTED}
    assert {v for (claim, _), v in found.items() if "at least" in claim} == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_the_papers_power(seed):
    found = verdicts(planted(lucky_counts._power, seed))
    assert {v for (claim, _), v in found.items() if "Beta" in claim} == {NOT_SUPPORTED}
    assert {v for (claim, _), v in found.items() if "falls as" in claim} == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_counts_with_another_exponent(seed):
    found = verdicts(planted(lambda d, r: lucky_counts._power(d, r) ** 1.2, seed))
    assert {v for (claim, _), v in found.items() if "falls as" in claim} == {NOT_SUPPORTED}


def test_pairs_are_counted_as_by_hand():
    counts = lucky_counts._lucky_pairs(np.random.default_rng(3), 50, 16)
    g = np.random.default_rng(3).standard_normal((50, 16), dtype=np.float32).astype(float)
    cosine = abs(g) / np.sqrt((g**2).sum(axis=1))[:, None]
    cut = np.sqrt(2 * np.log(16) / 16)
    assert counts.tolist() == [float((cosine >= cut / r).sum()) for r in RATIOS]
