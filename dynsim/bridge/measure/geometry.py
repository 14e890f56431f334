"""How features of labelled images lie: how close together those of a class, and how far apart the classes (NumPy)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class ClassGeometry(NamedTuple):
    """Features of each class on the unit sphere; NaN for a class without images."""

    compactness: Float[np.ndarray, " class"]
    """Mean cosine of the features of the class with their mean: 1 where all point the same way."""
    margin: Float[np.ndarray, " class"]
    """Angle between the mean of the class and the nearest mean of another class, in degrees."""


def class_geometry(
    features: Float[np.ndarray, "image feature"], labels: Int[np.ndarray, " image"], n_classes: int
) -> ClassGeometry:
    """Return compactness and margin of each class, from features that are scaled to length one first.

    Averages over classes are `np.nanmean` of the results, so that each class counts alike.
    """
    unit = _unit(features.astype(np.float64))
    of_class = labels[None, :] == np.arange(n_classes)[:, None]
    means = _unit(of_class.astype(np.float64) @ unit)
    size = of_class.sum(axis=1)
    there = size > 0
    cosines = np.sum(unit * means[labels], axis=1)
    compactness = np.where(there, (of_class @ cosines) / np.maximum(size, 1), np.nan)
    between = np.where(there[None, :] & ~np.eye(n_classes, dtype=bool), means @ means.T, -np.inf)
    nearest = between.max(axis=1)
    angle = np.degrees(np.arccos(np.clip(nearest, -1, 1)))
    return ClassGeometry(compactness, np.where(there & np.isfinite(nearest), angle, np.nan))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Return the rows scaled to length one; a row of zeros stays."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))
