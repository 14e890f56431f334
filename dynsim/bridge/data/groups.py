"""Many, Medium and Few: the three groups of classes that long-tailed results are reported for."""

import numpy as np

from dynsim.bridge.data.images import DataError

CLASS_GROUPS = ("many", "medium", "few")
MANY_ABOVE, FEW_BELOW = 100, 20  # images of a class, for ImageNet-LT and its like


def rarest_first(counts: np.ndarray) -> np.ndarray:
    """Return the classes from the rarest to the most frequent, shape (class,).

    Among classes of equal size the one with the higher number counts as the rarer.
    """
    return np.lexsort((-np.arange(len(counts)), counts))


def groups_by_rank(counts: np.ndarray) -> np.ndarray:
    """Return the group of each class, a third of the classes each: CIFAR-LT.

    The rarest C // 3 of C classes are "few", the next C // 3 "medium", the rest "many": 3, 3 and 4 of 10 classes. Among
    classes of equal size the one with the higher number counts as the rarer.

    Args:
        counts: number of images of each class in the long-tailed set, shape (class,). A model that was trained on the
            balanced set is judged by the groups of the long-tailed one.

    Errors: `DataError` for fewer than 3 classes.
    """
    n_classes = len(counts)
    if n_classes < len(CLASS_GROUPS):
        raise DataError(f"groups of classes: wanted at least {len(CLASS_GROUPS)} classes, got {n_classes}")
    order = rarest_first(counts)
    third = n_classes // 3
    groups = np.full(n_classes, CLASS_GROUPS[0], dtype="U6")
    groups[order[:third]] = CLASS_GROUPS[2]
    groups[order[third : 2 * third]] = CLASS_GROUPS[1]
    return groups


def groups_by_size(counts: np.ndarray) -> np.ndarray:
    """Return the group of each class by its size: more than 100 images, 20 to 100, fewer than 20 (ImageNet-LT).

    A group may be empty.
    """
    return np.where(
        counts > MANY_ABOVE, CLASS_GROUPS[0], np.where(counts < FEW_BELOW, CLASS_GROUPS[2], CLASS_GROUPS[1])
    )
