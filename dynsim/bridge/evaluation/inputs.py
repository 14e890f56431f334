"""Features of labelled images, and the checks that every judgement of an encoder begins with (NumPy)."""

from typing import NamedTuple

import numpy as np

from dynsim.bridge.data.images import DataError


class FeatureSet(NamedTuple):
    """What a frozen encoder says about labelled images.

    Attributes:
        features: floating-point, shape (image, feature).
        labels: whole numbers, shape (image,): the class of each image, from 0.
    """

    features: np.ndarray
    labels: np.ndarray


def check_feature_set(data: FeatureSet, n_classes: int, where: str, *, every_class: bool = False) -> None:
    """Refuse features and labels that do not fit each other.

    Args:
        data: features and labels.
        n_classes: number of classes, which the labels name by 0 to n_classes - 1.
        where: what the data are, such as "training set"; the message begins with it.
        every_class: each class must have an image, as in a set that a classifier learns from.

    Errors: `DataError` in one line.
    """
    check_features(data.features, where)
    check_classes(data.labels, n_classes, f"{where}: labels")
    check_lengths(f"{where}: labels", data.labels, "features", data.features)
    if every_class:
        check_every_class(data.labels, n_classes, where)


def check_features(features: np.ndarray, where: str) -> None:
    """Refuse anything but finite floating-point numbers of shape (image, feature). Errors: `DataError`."""
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        raise DataError(
            f"{where}: wanted floating-point features of shape (image, feature), got {features.dtype}"
            f" of shape {features.shape}"
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{where}: wanted finite features, got others in {np.sum(~finite):,} of {len(finite):,} images, first in"
            f" image {np.argmin(finite)}; look for a diverged encoder"
        )


def check_classes(classes: np.ndarray, n_classes: int, where: str) -> None:
    """Refuse anything but whole numbers from 0 to n_classes - 1, shape (image,). Errors: `DataError`."""
    if classes.ndim != 1 or classes.dtype.kind not in "iu" or not len(classes):
        raise DataError(
            f"{where}: wanted whole numbers of shape (image,), got {classes.dtype} of shape {classes.shape}"
        )
    wrong = np.flatnonzero((classes < 0) | (classes >= n_classes))
    if wrong.size:
        raise DataError(
            f"{where}: wanted 0 to {n_classes - 1}, got {classes[wrong[0]]} at image {wrong[0]}"
            f" ({wrong.size:,} such images); check the number of classes"
        )


def check_lengths(name: str, first: np.ndarray, other: str, second: np.ndarray) -> None:
    """Refuse two arrays with different numbers of rows. Errors: `DataError`."""
    if len(first) != len(second):
        raise DataError(f"{name}: wanted {len(second):,}, one for each of the {other}, got {len(first):,}")


def check_every_class(labels: np.ndarray, n_classes: int, where: str) -> None:
    """Refuse labels among which a class is missing. Errors: `DataError`."""
    missing = np.flatnonzero(np.bincount(labels, minlength=n_classes) == 0)
    if missing.size:
        raise DataError(
            f"{where}: wanted an image of each of {n_classes} classes, got none of class {missing[0]}"
            f" ({missing.size} such classes); take a set with all classes, or number those that there are"
        )
