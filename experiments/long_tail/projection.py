"""Where the test images of frequent and rare classes lie among each other, in two dimensions.

The dimensions are the first two principal components, by NumPy. No t-SNE is at hand, and it would say less about
distances: principal components are a view of the points, from the side on which they spread the most.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from dynsim.bridge.data.tasks import Task
    from dynsim.bridge.supervised import Classifier

EACH_END = 2  # classes with the most training images, and as many with the fewest
SHOWN_IMAGES = 50  # of a class, at most
DIGITS = 4


def principal_components(
    points: Float[np.ndarray, "point feature"],
) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, "2"]]:
    """Return the points in the plane of their first two principal components, and the share of the variance of each.

    Of the two directions of a component, the one is taken in which its largest entry is positive.
    """
    apart = points - points.mean(axis=0)
    _, lengths, components = np.linalg.svd(apart, full_matrices=False)
    first = components[:2]
    signs = np.sign(first[np.arange(len(first)), np.argmax(np.abs(first), axis=1)])
    return apart @ (first * signs[:, None]).T, lengths[:2] ** 2 / np.sum(lengths**2)


def shown_classes(counts: np.ndarray) -> np.ndarray:
    """Return the classes that are shown, from the most frequent to the rarest."""
    ranked = np.argsort(-counts, kind="stable")
    return np.concatenate([ranked[:EACH_END], ranked[-EACH_END:]]) if len(ranked) > 2 * EACH_END else ranked


def projected_classes(task: "Task", found: "Classifier") -> dict[str, Any]:
    """Return the projected features of test images of frequent and rare classes, as plain values.

    The features are the outputs of the encoder, scaled to length one: the embeddings of a method without a contrastive
    loss are those of an untrained head.

    Returns:
        counts: training images of each shown class; points: by class, two numbers for each image; variance: share of
        each of the two components.
    """
    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.supervised.parts import columns_of, evaluated

    classes, labels = shown_classes(task.counts), task.test.labels
    chosen = [np.flatnonzero(labels == one)[:SHOWN_IMAGES] for one in classes]
    network = evaluated(found.options, found.params, found.stats)
    features, _, _ = columns_of(found.options, extract(network, task.test.pixels[np.concatenate(chosen)]))
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    points, shares = principal_components(features.astype(np.float64) / np.maximum(lengths, 1e-12))
    ends = np.cumsum([len(images) for images in chosen])[:-1]
    return {
        "counts": task.counts[classes].tolist(),
        "points": [part.round(DIGITS).tolist() for part in np.split(points, ends)],
        "variance": shares.round(DIGITS).tolist(),
    }
