"""Which images have how many views: the rows of a batch (NumPy).

A row is one view of one image. The rows of a batch come in blocks: the first block has the first view of every image
of the batch, the second block the second views, and so on. Where rare classes have more views than frequent ones, the
later blocks hold the images that have so many views, one after the other, and are filled up with rows that are marked
as padding. All batches of a run have the same block sizes, so that one program is compiled.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Int

from dynsim.bridge.data.groups import groups_by_size
from dynsim.bridge.options.labels import VIEWS_BY_SIZE, Supervised

Batches = tuple[np.ndarray, np.ndarray]
"""(images of each batch, which of them are no padding), both of shape (step, image)."""
LEAST_ROWS = 16  # of a block; larger ones have twice as many, or four times ..., so that most seeds share a program


def views_of_classes(options: Supervised, counts: np.ndarray) -> Int[np.ndarray, " class"]:
    """Return how many views an image of each class has, for these class sizes."""
    if options.view_counts == "uniform":
        return np.full(len(counts), len(options.views))
    return np.array([VIEWS_BY_SIZE[group] for group in groups_by_size(counts)])


def block_sizes(n_views: Int[np.ndarray, " image"], epochs: Iterable[Batches]) -> tuple[int, ...]:
    """Return the rows of each block, so that every batch of these epochs has room.

    Args:
        n_views: views of each image.
        epochs: the batches of each epoch; those of one are enough where all images have equally many views.
    """
    most = np.zeros(int(n_views.max()), np.int64)
    for order, valid in epochs:
        of_batch = np.where(valid, n_views[order], 0)
        most = np.maximum(most, [np.sum(of_batch > view, axis=1).max() for view in range(len(most))])
        batch = order.shape[1]
    full = [bool(np.all(n_views > view)) for view in range(len(most))]
    doublings = np.ceil(np.log2(np.maximum(most, LEAST_ROWS) / LEAST_ROWS)).astype(int)
    rounded = np.minimum(LEAST_ROWS * 2**doublings, batch)
    return tuple(batch if is_full else int(rows) for is_full, rows in zip(full, rounded, strict=True))


def view_rows(
    order: Int[np.ndarray, "step place"],
    valid: Bool[np.ndarray, "step place"],
    n_views: Int[np.ndarray, " image"],
    blocks: tuple[int, ...],
) -> tuple[Int[np.ndarray, "step row"], Bool[np.ndarray, "step row"]]:
    """Return the image of each row, and which rows are no padding.

    Args:
        order, valid: images of each batch, and which of them are no padding.
        n_views: views of each image.
        blocks: rows of each block, as from `block_sizes`.
    """
    has = np.where(valid, n_views[order], 0)
    images, real = [], []
    for view, size in enumerate(blocks):
        # those that have this view first, in their order; a block as large as the batch keeps all in their places
        wanted = has > view
        place = np.argsort(~wanted, axis=1, kind="stable")[:, :size] if size < order.shape[1] else None
        images.append(order if place is None else np.take_along_axis(order, place, axis=1))
        real.append(wanted if place is None else np.take_along_axis(wanted, place, axis=1))
    return np.concatenate(images, axis=1).astype(np.int32), np.concatenate(real, axis=1)
