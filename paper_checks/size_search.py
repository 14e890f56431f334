"""From which size on does something hold?"""

import math
from collections.abc import Callable

LARGEST = 10**9
"""Largest size that is looked at."""


def smallest_size(holds: Callable[[int], bool], *, least: int = 3, largest: int = LARGEST) -> float:
    """Return the smallest d in [least, largest] at which `holds` is true, infinity if there is none.

    `holds` must stay true once it is true.
    """
    if not holds(largest):
        return math.inf
    low, high = least - 1, largest  # true at high; false at low, or below the range
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return float(high)


def from_size_on(d: float) -> str:
    """Return a size of `smallest_size` in words."""
    if math.isinf(d):
        return f"at no d up to {LARGEST:.0e}"
    return f"from d = {d:,.0f} on" if d < 1e6 else f"from d = {d:.1e} on"
