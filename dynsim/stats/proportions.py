"""Intervals of a share that has been counted."""

from typing import NamedTuple

from scipy import stats

from dynsim.config.checks import number, positive_int, require

CONFIDENCE_OF_SHARE = 0.95


class Proportion(NamedTuple):
    """A counted share with the ends of its interval; all numbers are Python ones."""

    share: float
    low: float
    high: float


def exact_proportion(
    hits: int,
    n: int,
    level: float = CONFIDENCE_OF_SHARE,
) -> Proportion:
    """Return hits / n with its exact binomial interval (Clopper and Pearson 1934).

    The low end is the chance at which `hits` or more have probability (1 - level) / 2, the high end that at which
    `hits` or fewer have; 0 without hits, and 1 with nothing but hits. It holds the true chance with at least the
    probability `level`, however small n is, and usually with more.

    Args:
        hits: number of successes among n independent trials of one chance, 0 to n.
        n: number of trials, at least 1.
        level: in (0, 1).
    Errors:
        `ConfigError` in one line for numbers out of range.
    """
    positive_int("n", n)
    positive_int("hits", hits, least=0)
    require(hits <= n, "hits", f"at most the {n} trials", hits)
    number("level", level, 0.0, 1.0, open_low=True)
    require(level < 1, "level", "a number below 1", level)
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return Proportion(hits / n, low, high)
