"""Where the images of a training come from: the memory of the device, or files that are read batch by batch.

Both give one epoch to the same compiled program (`epoch.compiled_label_epoch`): images in memory all of it at once,
files one batch after the other. While the device works on a batch, the next one is decoded and cut.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.bridge.data.lists import ImageList
from dynsim.bridge.data.tasks import LabelledImages
from dynsim.bridge.evaluation.features import extract
from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.options.views import RECIPES, ViewRecipe
from dynsim.bridge.supervised.epoch import LabelEpoch, LabelInputs, LabelLog, LabelState, drawn_views
from dynsim.bridge.views.listed import (
    CropNumbers,
    after_crop,
    central_square,
    check_listed_recipes,
    cropped,
    cut_rows,
    random_box,
)

MOST_THREADS = 32
_drawn = jax.jit(drawn_views, static_argnums=1)


class ResidentImages:
    """Images of one size, all of them on the device."""

    recipes: tuple[ViewRecipe, ...] | None = None
    """Of the views, where they are not those of the options."""

    def __init__(self, images: LabelledImages) -> None:
        self.images, self.side = images, images.pixels.shape[1]
        self.pixels, self.labels = jnp.asarray(images.pixels), jnp.asarray(images.labels, jnp.int32)

    def epoch(
        self, program: LabelEpoch, state: LabelState, inputs: LabelInputs, blocks: tuple[int, ...]
    ) -> tuple[LabelState, LabelLog]:
        """Return the state after an epoch, and the log of its steps."""
        del blocks
        return program(state, self.pixels, self.labels, inputs)


class ListedImages:
    """Images in files."""

    def __init__(self, images: ImageList, options: Supervised) -> None:
        """Errors: `ConfigError` for views that do not make one size of all images."""
        self.images, self.labels = images, jnp.asarray(images.labels, jnp.int32)
        self.given = tuple(RECIPES[name] for name in options.views)
        self.side = check_listed_recipes(options.views, self.given)
        self.recipes = tuple(after_crop(recipe) for recipe in self.given)

    def epoch(
        self, program: LabelEpoch, state: LabelState, inputs: LabelInputs, blocks: tuple[int, ...]
    ) -> tuple[LabelState, LabelLog]:
        """Return the state after an epoch, and the log of its steps. The files are read meanwhile.

        Errors: `DataError` in one line for a file that is no image.
        """
        # random bits are the same on every device, and here they need not wait for the step before
        here = jax.devices("cpu")[0]
        key, order, valid = jax.device_put(inputs.key, here), np.asarray(inputs.order), np.asarray(inputs.valid)
        logs: list[LabelLog] = []
        with threads() as pool:
            for k in range(len(order)):
                with jax.default_device(here):
                    own = jax.random.fold_in(key, k)
                    pixels = self.rows(own, np.where(valid[k], order[k], -1), blocks, pool)
                one = inputs._replace(
                    order=inputs.order[k : k + 1],
                    valid=inputs.valid[k : k + 1],
                    key=jax.random.fold_in(inputs.key, k),
                    learning_rate=inputs.learning_rate[k : k + 1],
                    places=jnp.arange(order.shape[1], dtype=jnp.int32)[None],
                )
                jax.block_until_ready(logs[-1:])  # so that no more than two batches are in memory
                state, log = program(state, jnp.asarray(pixels), self.labels, one)
                logs.append(log)
        return state, jax.tree.map(lambda *steps: jnp.concatenate(steps), *logs)

    def rows(self, key: jax.Array, images: np.ndarray, blocks: tuple[int, ...], pool: ThreadPoolExecutor) -> np.ndarray:
        """Return the random crops of a batch, uint8 of shape (row, side, side, 3).

        Args:
            key: of this step.
            images: the image of each row, -1 for padding.
            blocks: rows of each view.
        """
        drawn = _drawn(jax.random.fold_in(key, 0), blocks)  # the program folds in the number of the step that it is at
        area, aspect, place = (np.asarray(one) for one in (drawn.area, drawn.aspect, drawn.place))
        at = [(view, n) for view, block in enumerate(blocks) for n in range(block)]

        def cut(pixels: np.ndarray, row: int) -> np.ndarray:
            recipe = self.given[at[row][0]]
            numbers = CropNumbers(area[at[row]], aspect[at[row]], place[at[row]])
            box = random_box(numbers, (pixels.shape[0], pixels.shape[1]), recipe)
            return cropped(pixels, box, self.side, recipe.interpolation)

        return cut_rows(self.images, images, cut, self.side, pool)


def threads() -> ThreadPoolExecutor:
    """Return threads that decode images."""
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="images")


def listed_table(network: jax.tree_util.Partial, images: ImageList, options: Supervised) -> np.ndarray:
    """Return the table of `parts.evaluated` of the central square of each image, a batch of files at a time."""
    side = check_listed_recipes(options.views, [RECIPES[name] for name in options.views])
    size, found = options.batch_size, []
    with threads() as pool:
        for start in range(0, len(images), size):
            rows = np.full(size, -1)
            rows[: len(images) - start] = np.arange(start, min(start + size, len(images)))
            squares = cut_rows(images, rows, lambda pixels, row: central_square(pixels, side), side, pool)
            found.append(extract(network, squares, size)[rows >= 0])
    return np.concatenate(found)


def identifying_arrays(images: LabelledImages | ImageList) -> list[np.ndarray]:
    """Return arrays that tell the images of a run from others: pixels and labels; of files names, sizes and labels."""
    if isinstance(images, LabelledImages):
        return [images.pixels, images.labels]
    paths = [images.root / path for path in images.paths]
    sizes = [path.stat().st_size if path.exists() else -1 for path in paths]
    return [np.frombuffer("\n".join(images.paths).encode(), np.uint8), np.array(sizes, np.int64), images.labels]
