"""The exact binomial interval: its defining equation, known values, and its coverage."""

import numpy as np
import pytest
from scipy.stats import binom

from dynsim.config import ConfigError
from dynsim.stats.proportions import exact_proportion


@pytest.mark.parametrize(("hits", "n", "level"), [(1, 1, 0.9), (3, 10, 0.95), (57, 100, 0.99), (99, 100, 0.95)])
def test_ends_are_where_the_tails_have_half_of_the_rest(hits, n, level):
    found, tail = exact_proportion(hits, n, level), (1 - level) / 2
    assert found.share == hits / n
    assert binom.sf(hits - 1, n, found.low) == pytest.approx(tail, rel=1e-9)
    if hits < n:
        assert binom.cdf(hits, n, found.high) == pytest.approx(tail, rel=1e-9)


def test_no_hit_and_nothing_but_hits():
    """Without a hit in n trials the high end solves (1 - p)^n = tail; the other case is its mirror."""
    none, only = exact_proportion(0, 100), exact_proportion(100, 100)
    assert (none.share, none.low, only.share, only.high) == (0.0, 0.0, 1.0, 1.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 100), rel=1e-12)
    assert only.low == pytest.approx(1 - none.high, rel=1e-12)
    assert all(type(value) is float for value in (*none, *only))


@pytest.mark.parametrize("chance", [0.003, 0.3, 0.5, 0.91])
def test_it_holds_the_chance_at_least_as_often_as_it_says(chance):
    n = 20
    ends = [exact_proportion(hits, n, 0.9) for hits in range(n + 1)]
    weight = binom.pmf(np.arange(n + 1), n, chance)
    held = sum(w for w, end in zip(weight, ends, strict=True) if end.low <= chance <= end.high)
    assert held >= 0.9


@pytest.mark.parametrize(
    ("hits", "n", "level", "word"),
    [
        (3, 2, 0.95, "hits: wanted at most"),
        (-1, 2, 0.95, "hits: wanted"),
        (0, 0, 0.95, "n: wanted"),
        (1, 2, 1.0, "level: wanted"),
        (1, 2, 0.0, "level: wanted"),
    ],
)
def test_errors_are_one_line(hits, n, level, word):
    with pytest.raises(ConfigError, match=word) as caught:
        exact_proportion(hits, n, level)
    assert "\n" not in str(caught.value)
