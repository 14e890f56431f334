"""Timing on a noisy machine: all candidates in turn, many rounds, so that a slow moment hits each alike."""

import statistics
import time
from collections.abc import Callable


def interleaved(
    candidates: dict[str, Callable[[], object]], *, rounds: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Return the wall times in seconds of every candidate, one per round, in the order of the rounds.

    Every candidate must wait for its own result. Each is called `warm_up` times first.
    """
    for run in candidates.values():
        for _ in range(warm_up):
            run()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return times


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    """Return how many times faster `fast` is than `slow`: the median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))
