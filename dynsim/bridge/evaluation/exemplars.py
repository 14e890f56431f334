"""Images whose features change most where the network is pruned, and how many of them are of rare classes.

If a network holds what it knows about rare classes in its small weights, pruning moves the features of their images
most. Such images are called pruning-identified exemplars (SDCLR, Jiang et al. 2021, Figure 2). The paper
ranks test images by the cosine similarity of features before and after pruning, and takes the lowest 1 %. Its script is
not released; that the features are those of the encoder, of images that are not augmented, each network with its own
batch statistics, is our reading, and up to the caller.
"""

from typing import NamedTuple

import numpy as np

from dynsim.bridge.data.groups import CLASS_GROUPS
from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.inputs import check_classes, check_features, check_lengths
from dynsim.config.checks import number, require
from dynsim.stats.proportions import CONFIDENCE_OF_SHARE, exact_proportion

LOWEST = 0.01


class GroupShare(NamedTuple):
    """How often a group of classes occurs among the exemplars.

    Attributes:
        group: "many", "medium" or "few".
        n: number of exemplars of its classes.
        share: the same as a share of all exemplars.
        low, high: ends of the exact binomial interval of the share, the chance that an exemplar is of the group.
        by_chance: share of the group among all images, which is what exemplars chosen at random would have on average.
    """

    group: str
    n: int
    share: float
    low: float
    high: float
    by_chance: float


class Exemplars(NamedTuple):
    """The images that pruning changes most.

    Attributes:
        images: their indices, int64, shape (exemplar,), the most changed one first.
        similarity: cosine similarity before and after pruning of every image, float64, shape (image,).
        groups: one row for each of "many", "medium" and "few".
    """

    images: np.ndarray
    similarity: np.ndarray
    groups: tuple[GroupShare, ...]


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between rows at the same place, float64, shape (image,).

    Two rows of zeros are equally directed, so their similarity is 1: nothing has changed. Zeros beside something else
    have similarity 0.

    Args:
        first, second: features of the same images, shape (image, feature).

    Errors: `DataError` for features that are not finite, or of different shapes.
    """
    rows = []
    for name, features in (("before pruning", first), ("after pruning", second)):
        check_features(features, f"features {name}")
        largest = np.abs(features).max(axis=1, keepdims=True).astype(np.float64)
        scaled = features / np.where(largest > 0, largest, 1.0)  # so that no square overflows
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        rows.append(scaled / np.where(length > 0, length, 1.0))
    if first.shape != second.shape:
        raise DataError(f"features after pruning: wanted shape {first.shape}, as before it, got {second.shape}")
    both_zero = ~rows[0].any(axis=1) & ~rows[1].any(axis=1)
    return np.where(both_zero, 1.0, np.clip(np.sum(rows[0] * rows[1], axis=1), -1.0, 1.0))


def find_exemplars(
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    lowest: float = LOWEST,
    level: float = CONFIDENCE_OF_SHARE,
) -> Exemplars:
    """Return the images whose features change most under pruning, and the share of each group among them.

    Args:
        before, after: features of the same images from the dense and the pruned network, shape (image, feature).
        labels: class of each image, shape (image,).
        groups: group of each class, shape (class,): `groups_by_rank` of the long-tailed training set.
        lowest: share of the images that are exemplars, in (0, 1]: the nearest whole number of them, at least one. Of
            equally similar images the earlier ones are taken.
        level: of the intervals. They treat exemplars as independent; those of one class may well not be.

    Errors: in one line, `DataError` for arrays that do not fit each other, `ConfigError` for options out of range.
    """
    number("lowest", lowest, 0.0, 1.0, open_low=True)
    similarity = cosine_similarity(before, after)
    check_classes(labels, len(groups), "labels")
    check_lengths("labels", labels, "images", similarity)
    unknown = sorted(set(groups.tolist()) - set(CLASS_GROUPS))
    require(not unknown, "groups", " or ".join(CLASS_GROUPS), unknown)
    n_chosen = max(1, round(lowest * len(similarity)))
    chosen = np.argsort(similarity, kind="stable")[:n_chosen]
    of_image = groups[labels]
    rows = []
    for name in CLASS_GROUPS:
        n = int(np.sum(of_image[chosen] == name))
        share, low, high = exact_proportion(n, n_chosen, level)
        rows.append(GroupShare(name, n, share, low, high, float(np.mean(of_image == name))))
    return Exemplars(chosen, similarity, tuple(rows))
