"""A set of small images in memory, and the error of everything that reads images."""

from typing import NamedTuple

import numpy as np

from dynsim.config import ConfigError

IMAGE_SIDE = 32  # height and width of a CIFAR image
CHANNELS = 3


class DataError(ConfigError):
    """Images or lists of images cannot be used. The message is one line: what was wanted, what came, what to do."""


class ImageSet(NamedTuple):
    """Labelled images of one size.

    Attributes:
        pixels: uint8, shape (image, height, width, channel), channels in the order red, green, blue.
        labels: int64, shape (image,): the class of each image, from 0.
        coarse: int64, shape (image,): the superclass of each image; None for a data set without superclasses.
        n_classes: number of classes, all of which a label may name.
    """

    pixels: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray | None
    n_classes: int


def check_label_range(labels: np.ndarray, n_classes: int, where: str) -> None:
    """Refuse labels that name no class. Errors: `DataError`, which begins with `where`."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(
            f"{where}: wanted labels from 0 to {n_classes - 1}, got {labels[wrong[0]]} at image {wrong[0]}"
            f" ({wrong.size:,} such labels); the file is damaged or belongs to another data set"
        )


def image_set(
    pixels: np.ndarray, labels: np.ndarray, coarse: np.ndarray | None, n_classes: tuple[int, int], where: str
) -> ImageSet:
    """Return an `ImageSet` whose arrays fit each other.

    Args:
        pixels: uint8, shape (image, 32, 32, 3).
        labels: class of each image.
        coarse: superclass of each image, or None.
        n_classes: number of classes and of superclasses.
        where: the file or folder, which begins the message of an error.

    Errors: `DataError` for other shapes, another type of pixels, or labels out of range.
    """
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE, CHANNELS):
        raise DataError(f"{where}: wanted uint8 images of 32 x 32 x 3, got {pixels.dtype} of shape {pixels.shape}")
    for name, values, most in (("labels", labels, n_classes[0]), ("coarse labels", coarse, n_classes[1])):
        if values is None:
            continue
        if values.shape != (len(pixels),) or values.dtype.kind not in "iu":
            raise DataError(f"{where}: wanted {len(pixels):,} whole-numbered {name}, got shape {values.shape}")
        check_label_range(values, most, where)
    return ImageSet(pixels, labels.astype(np.int64), None if coarse is None else coarse.astype(np.int64), n_classes[0])
