"""Intervals of a number that is made of means over seeds, such as the width at which mean coverage is one half."""

from collections.abc import Callable

import numpy as np

from paper_checks.check import Numbers, over_seeds


def jackknife(number: Callable[[np.ndarray], float], values: np.ndarray) -> Numbers:
    """Return number(values) with a 95 % interval by leaving out one seed at a time (Tukey's pseudo-values).

    Args:
        number: (values of some seeds) -> a number that depends smoothly on means over seeds.
        values: first axis (seed,); seeds that are not finite throughout are left out.
    """
    kept = values[np.isfinite(values).reshape(len(values), -1).all(axis=1)]
    n = len(kept)
    if n < 3:
        return (float(number(kept)) if n else float("nan")), float("nan"), float("nan")
    whole = number(kept)
    without = np.array([number(np.delete(kept, k, axis=0)) for k in range(n)])
    _, low, high = over_seeds(n * whole - (n - 1) * without)
    half = (high - low) / 2
    return float(whole), float(whole) - half, float(whole) + half
