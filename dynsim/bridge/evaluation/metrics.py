"""Accuracy by class and by group of classes, as results on long-tailed images are reported (NumPy).

All accuracies and their differences are shares from 0 to 1; papers print them in per cent. Definitions follow the
evaluation of SDCLR (Jiang et al. 2021), which its followers share.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dynsim.bridge.data.groups import CLASS_GROUPS, groups_by_rank, rarest_first
from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.inputs import check_classes, check_every_class, check_lengths

TAIL_SHARE = 5  # one class in so many is in the head, and one in so many in the tail


class BalancedSummary(NamedTuple):
    """How accurate a classifier is over classes of unequal size, as shares from 0 to 1.

    Attributes:
        all_classes: mean accuracy over the classes, each counting alike; papers call it All.
        many, medium, few: the same over the classes of one group; NaN for a group without classes.
        group_std: population standard deviation (ddof 0) of the means of the groups that have classes. Papers call it
            Std, and lower means more balanced.
        class_std: population standard deviation of the accuracy over all classes.
        delta_20: mean accuracy of the most frequent 20 % of classes minus that of the rarest 20 %; see `head_tail_gap`.
    """

    all_classes: float
    many: float
    medium: float
    few: float
    group_std: float
    class_std: float
    delta_20: float


class SplitSummary(NamedTuple):
    """Summaries of several splits of a data set.

    Attributes:
        rows: one summary per split. Means over splits can hide what these show: `group_std` is taken within a split,
            so its mean may fall while the difference between the mean of Many and that of Few grows.
        mean: mean of each number over the splits.
        std: its population standard deviation (ddof 0), which papers print after +-. Splits differ in which classes
            are rare, and this is mostly what it shows: it is no standard error of the mean.
    """

    rows: tuple[BalancedSummary, ...]
    mean: BalancedSummary
    std: BalancedSummary


def per_class_accuracy(predictions: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return for each class the share of its images that are predicted rightly, shape (class,).

    Args:
        predictions: predicted class of each image, shape (image,).
        labels: true class of each image, shape (image,).
        n_classes: number of classes.

    Errors: `DataError` for unequal lengths, a number that is no class, or a class without images.
    """
    check_lengths("predictions", predictions, "labels", labels)
    check_classes(labels, n_classes, "labels")
    check_classes(predictions, n_classes, "predictions")
    check_every_class(labels, n_classes, "test set")
    hits = np.bincount(labels[predictions == labels], minlength=n_classes)
    return np.asarray(hits / np.bincount(labels, minlength=n_classes))


def head_tail_gap(accuracy: np.ndarray, counts: np.ndarray) -> float:
    """Return Delta_20: mean accuracy of the most frequent 20 % of classes minus that of the rarest 20 %.

    The number is reported without a definition (Liao et al. 2026), so that this one is our inference: C // 5
    of C classes at either end, at least one; of equally frequent classes the one with the higher number counts as the
    rarer; the sign is kept, so that it is negative where rare classes are the more accurate.

    Args:
        accuracy: of each class, shape (class,).
        counts: training images of each class, shape (class,).

    Errors: `DataError` for unequal lengths.
    """
    check_lengths("class counts", counts, "classes", accuracy)
    order = rarest_first(counts)
    n = max(1, len(order) // TAIL_SHARE)
    return float(np.mean(accuracy[order[-n:]]) - np.mean(accuracy[order[:n]]))


def balanced_summary(
    predictions: np.ndarray, labels: np.ndarray, counts: np.ndarray, groups: np.ndarray | None = None
) -> BalancedSummary:
    """Return the numbers that results on long-tailed images are reported with.

    Args:
        predictions: predicted class of each test image, shape (image,).
        labels: its true class, shape (image,).
        counts: images of each class in the long-tailed training set, shape (class,). A model that was trained on the
            balanced set is judged by those of the long-tailed set of the same split.
        groups: "many", "medium" or "few" for each class, shape (class,); None for a third of the classes each, by
            rank (`groups_by_rank`).

    Errors: `DataError` in one line for arrays that do not fit each other.
    """
    accuracy = per_class_accuracy(predictions, labels, len(counts))
    groups = groups_by_rank(counts) if groups is None else groups
    check_lengths("groups", groups, "classes", counts)
    unknown = sorted(set(groups.tolist()) - set(CLASS_GROUPS))
    if unknown:
        raise DataError(f"groups: wanted {', '.join(CLASS_GROUPS)}, got {unknown[0]!r}")
    of_group = [accuracy[groups == name] for name in CLASS_GROUPS]
    many, medium, few = means = [float(np.mean(some)) if some.size else float("nan") for some in of_group]
    return BalancedSummary(
        all_classes=float(np.mean(accuracy)),
        many=many,
        medium=medium,
        few=few,
        group_std=float(np.nanstd(means)),
        class_std=float(np.std(accuracy)),
        delta_20=head_tail_gap(accuracy, counts),
    )


def over_splits(rows: Sequence[BalancedSummary]) -> SplitSummary:
    """Return the summaries of some splits together with their mean and standard deviation over the splits.

    A number that is NaN in one split is NaN in both.

    Errors: `DataError` if there is no split.
    """
    if not rows:
        raise DataError("splits: wanted the summary of at least one split, got none")
    table = np.array(rows, np.float64)
    mean, std = table.mean(axis=0).tolist(), table.std(axis=0).tolist()
    return SplitSummary(tuple(rows), BalancedSummary(*mean), BalancedSummary(*std))
