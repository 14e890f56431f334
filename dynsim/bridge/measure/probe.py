"""The images on which channels are measured: equally many of each class, the same ones at every record (NumPy)."""

from typing import NamedTuple

import numpy as np

from dynsim.bridge.data import DataError


class Probe(NamedTuple):
    """Images of a class-balanced set, class after class.

    Attributes:
        images: indices into the full training set, int64, shape (class * per_class,).
        labels: class of each, int64, the same shape.
        preferred: number of images of each class that come from the preferred list, shape (class,).
    """

    images: np.ndarray
    labels: np.ndarray
    preferred: np.ndarray


def balanced_probe(
    labels: np.ndarray, preferred: np.ndarray, spare: np.ndarray, *, n_classes: int, per_class: int, seed: int = 0
) -> Probe:
    """Draw equally many images of each class, for measuring; they are to be shown without augmentation.

    A class takes images from the preferred list first. Where that has too few of it, as the long-tailed set has of a
    rare class, all of these are taken and the rest comes from the spare list. With the long-tailed set as the preferred
    list and the other images of the training set as the spare one (`Split.long_tailed`, `Split.train`), the images of a
    frequent class have thus been trained on, and most of a rare class have not. What a network does better on images
    that it has seen then looks like a difference between frequent and rare classes. With the held-out images as the
    preferred list (`Split.validation`) no image has been seen, of any class; that is the fairer set where it is large
    enough.

    Args:
        labels: class of each image of the full training set, shape (image,).
        preferred, spare: indices of images; one that is in both counts as preferred.
        n_classes: number of classes.
        per_class: images of each class. Class means of n images have a noise variance of 1/n of that within the class;
            100 or more are advised, and more images in all than channels.
        seed: number of the draw.

    Errors: `DataError` if a class has too few images in both lists together.
    """
    random = np.random.default_rng(seed)
    chosen, n_preferred = [], np.zeros(n_classes, np.int64)
    others = np.setdiff1d(spare, preferred)
    for label in range(n_classes):
        first, second = (np.sort(images[labels[images] == label]) for images in (preferred, others))
        if len(first) + len(second) < per_class:
            raise DataError(
                f"class {label}: wanted {per_class} images to measure on, got {len(first) + len(second)};"
                " take fewer per class"
            )
        first = random.permutation(first)[:per_class]
        n_preferred[label] = len(first)
        chosen.append(np.concatenate([first, random.permutation(second)[: per_class - len(first)]]))
    images = np.concatenate(chosen).astype(np.int64)
    return Probe(images, np.repeat(np.arange(n_classes, dtype=np.int64), per_class), n_preferred)


def shuffled_labels(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the labels in another order, shape (image,): a placebo, in which no channel knows the classes.

    The whole measurement made with these labels shows what it finds where there is nothing.
    """
    return np.random.default_rng(seed).permutation(labels)
