"""How many images each class of a long-tailed set has, from the most frequent class (rank 0) to the rarest.

The imbalance factor is the size of the largest class divided by that of the smallest, before fractions are cut off.
"""

import math
from collections.abc import Callable

import numpy as np

from dynsim.bridge.data.images import DataError
from dynsim.config.checks import did_you_mean

PARETO_SHAPE = 6.0  # the exponent that ImageNet-LT states
# Share of a Pareto population that lies above the largest class, fitted to the released ImageNet-100-LT.
PARETO_HEAD = 7e-4


def exponential_counts(n_classes: int, n_max: int, imbalance_factor: float) -> np.ndarray:
    """Return n_i = n_max IF^(-i / (C - 1)) for rank i of C classes, without the fraction: CIFAR-LT.

    Args:
        n_classes: C, at least 2.
        n_max: size of the largest class.
        imbalance_factor: IF, from 1 (balanced) to `n_max`.

    Errors: `DataError` for values out of these ranges.
    """
    _check(n_classes, n_max, imbalance_factor)
    # Python's own power, as in the published generators: the one of NumPy may round otherwise
    return _whole(np.array([n_max * float(imbalance_factor) ** (-rank / (n_classes - 1)) for rank in range(n_classes)]))


def pareto_counts(n_classes: int, n_max: int, imbalance_factor: float) -> np.ndarray:
    """Return class sizes that fall like those of a Pareto population with exponent 6: ImageNet-LT and Places-LT.

    ImageNet-LT is described as a sample of a Pareto distribution with exponent a = 6; how it was drawn is not said.
    Here class i is the quantile of that distribution above which a share u_i of it lies,

        x_i = u_i^(-1/a) - 1,  u_i = u_0 + (1 - u_0) i / (C - 1),

    mapped linearly, so that the largest class has `n_max` images and the smallest n_max / IF:

        n_i = n_max / IF + (n_max - n_max / IF) x_i / x_0, without the fraction.

    With u_0 = 0.0007 all sizes of the released ImageNet-100-LT but one are met to 10 % or one image, and the total of
    ImageNet-LT (115,846) to 4 %. The arguments and errors are those of `exponential_counts`.
    """
    _check(n_classes, n_max, imbalance_factor)
    smallest = n_max / imbalance_factor
    share = PARETO_HEAD + (1 - PARETO_HEAD) * np.arange(n_classes) / (n_classes - 1)
    quantile = share ** (-1 / PARETO_SHAPE) - 1
    counts = smallest + (n_max - smallest) * quantile / quantile[0]
    return _whole(counts)


PROFILES: dict[str, Callable[[int, int, float], np.ndarray]] = {
    "exponential": exponential_counts,
    "pareto": pareto_counts,
}


def class_counts(profile: str, n_classes: int, n_max: int, imbalance_factor: float) -> np.ndarray:
    """Return the size of each class by rank, for the profile "exponential" or "pareto".

    Errors: `DataError` for another profile, and as for `exponential_counts`.
    """
    if profile not in PROFILES:
        near = did_you_mean(profile, PROFILES)
        raise DataError(f"profile: wanted {' or '.join(PROFILES)}, got {profile!r}{near}")
    return PROFILES[profile](n_classes, n_max, imbalance_factor)


def _whole(counts: np.ndarray) -> np.ndarray:
    """Return counts without their fractions; rounding of the computer takes no image from a whole number."""
    return np.floor(counts * (1 + 1e-12)).astype(np.int64)


def _check(n_classes: int, n_max: int, imbalance_factor: float) -> None:
    """Refuse sizes that leave no long tail or an empty class."""
    if n_classes < 2:
        raise DataError(f"number of classes: wanted at least 2, got {n_classes}")
    if not math.isfinite(imbalance_factor) or not 1 <= imbalance_factor <= n_max:
        raise DataError(
            f"imbalance factor: wanted a number from 1 to the size of the largest class, {n_max}, so that the smallest"
            f" keeps an image, got {imbalance_factor}"
        )
