"""Measuring how long functions take on a noisy machine, and how the time grows with a size.

Candidates are timed in turn, over many rounds, and compared by the ratio of their times within a round. A slow moment
of the machine then affects all of them alike.
"""

import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import stats

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.engine.numbers import resolve
from dynsim.engine.program import program, runs_one_by_one

_Name = TypeVar("_Name", bound=Hashable)


def interleaved(
    candidates: dict[_Name, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[_Name, list[float]]:
    """Return the times of each candidate in seconds, one per round.

    Args:
        candidates: functions to time, by name. Each must wait until its result is computed.
        rounds: how often each is timed; a round times all candidates once.
        warm_up: how often each is called before that, without being timed.
        clock: returns the time in seconds; wall time unless another clock is given.
    """
    for run in candidates.values():
        for _ in range(warm_up):
            run()
    times: dict[_Name, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            began = clock()
            run()
            times[name].append(clock() - began)
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Return how many times as long `slow` takes as `fast`: the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


class Steps:
    """A function that makes a few training steps of a set of runs, each time from the same moment of training."""

    def __init__(self, config: Config, n_seeds: int, *, begin: int) -> None:
        """Compile the program, and train the runs of seeds 0, 1, ..., n_seeds - 1 for `begin` updates."""
        resolved = resolve(config)
        self.compiled = program(resolved.structure, runs_one_by_one(config))
        runs = self.compiled.init(np.arange(n_seeds, dtype=np.uint32), [resolved.numbers] * n_seeds)
        self.runs = self.compiled.advance(runs, 0, begin)
        self.begin = begin
        self.n_steps = 1

    def __call__(self) -> None:
        """Make `n_steps` updates of every run and wait for them. The result is dropped, so each call does the same."""
        self.compiled.advance(self.runs, self.begin, self.begin + self.n_steps)

    def fill(self, seconds: float, most: int = 1000) -> "Steps":
        """Choose `n_steps` so that a call takes about `seconds`, with `most` steps at most, and return self."""
        self.n_steps = 1
        self()
        for _ in range(2):  # the second estimate is made from more steps
            began = time.perf_counter()
            self()
            took = (time.perf_counter() - began) / self.n_steps
            self.n_steps = max(1, min(most, round(seconds / took)))
        return self


class PowerLaw(NamedTuple):
    """The law time = factor * size ** exponent, fitted to the logarithms by least squares."""

    exponent: float
    low: float
    """Lower end of the 95 % interval of the exponent (Student t). Points that do not lie on a line widen it."""
    high: float
    """Upper end of that interval."""
    factor: float
    """Seconds at size 1."""
    last: float
    """Exponent computed from the two largest sizes alone."""


def power_law(sizes: Sequence[float], seconds: Sequence[float]) -> PowerLaw:
    """Fit a power law to times in seconds at several sizes in increasing order.

    Errors: `ConfigError` for fewer than three sizes (too few for an interval), sizes that are not positive and
    increasing, or times that are not positive.
    """
    x, y = np.asarray(sizes, np.float64), np.asarray(seconds, np.float64)
    require(len(x) >= 3 and len(x) == len(y), "sizes", "three or more, one per time", f"{len(x)} and {len(y)} times")
    require(bool(x[0] > 0 and np.all(np.diff(x) > 0)), "sizes", "growing numbers above 0", list(sizes))
    require(bool(np.all(y > 0)), "seconds", "numbers above 0", list(seconds))
    x, y = np.log(x), np.log(y)
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    exponent = float(line.slope)
    return PowerLaw(exponent, exponent - half, exponent + half, float(np.exp(line.intercept)), float(last))
