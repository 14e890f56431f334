"""A contact sheet: images, and beside each its random views by several recipes."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.augment import augment
from dynsim.config import ConfigError

_WIDTH, _TEXT = 6.8, 7.0  # of the figure in inches, of its text in points
_LETTER = 0.065  # about the width of a letter, in inches
_GAP, _WIDE_GAP = 2, 8  # between views and between recipes, in pixels


def contact_sheet(
    key: Key[Array, ""],
    pixels: np.ndarray,
    recipes: Mapping[str, ViewRecipe],
    n_views: int = 4,
    names: Sequence[str] = (),
) -> Figure:
    """Return a figure with one row for each image: the image, and then its views by each recipe.

    All recipes have the same key. So the first view of an image has the same box, the same changes of colour and so on
    in all recipes that draw them from the same range.

    Args:
        key: one typed key.
        pixels: the images, uint8 of shape (image, height, width, 3).
        recipes: {words above the views: recipe}.
        n_views: number of views of each image by each recipe.
        names: words at the left of each image; none, or as many as images.

    Errors: `ConfigError` for another number of names, no image, no recipe or no view, and as for `augment`.
    """
    if not len(pixels) or not recipes or n_views < 1 or len(names) not in (0, len(pixels)):
        raise ConfigError(
            f"contact sheet: wanted images, recipes, views and a name for each image or none, got {len(pixels)} images,"
            f" {len(recipes)} recipes, {n_views} views and {len(names)} names"
        )
    blocks = [(pixels / np.float32(255))[:, None]]
    repeated = jnp.asarray(np.repeat(pixels, n_views, axis=0))
    for recipe in recipes.values():
        views = np.asarray(jax.jit(augment, static_argnums=2)(key, repeated, recipe))
        blocks.append(views.reshape(len(pixels), n_views, *views.shape[1:]))
    return _drawn(blocks, ["image", *recipes], names)


def _drawn(blocks: list[np.ndarray], titles: list[str], names: Sequence[str]) -> Figure:
    """Return the figure of blocks of views, each of shape (image, view, height, width, 3), beside each other."""
    cell = max(size for block in blocks for size in block.shape[2:4])
    parts, centres, begin = [], [], 0
    for block in blocks:
        part = _mosaic(block, cell)
        centres.append(begin + part.shape[1] / 2)
        parts += [part, np.ones((len(part), _WIDE_GAP, 3), np.float32)]
        begin += part.shape[1] + _WIDE_GAP
    canvas = np.concatenate(parts[:-1], axis=1)
    height, width = canvas.shape[:2]
    longest = max(map(len, names), default=0)
    left, right, top, bottom = 0.1 + _LETTER * longest, 0.05, 0.25, 0.05  # margins in inches
    drawn = _WIDTH - left - right
    tall = drawn * height / width + top + bottom
    figure = Figure(figsize=(_WIDTH, tall))
    axes = figure.add_axes((left / _WIDTH, bottom / tall, drawn / _WIDTH, 1 - (top + bottom) / tall))
    axes.imshow(canvas, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for title, centre in zip(titles, centres, strict=True):
        axes.annotate(title, (centre, 0), (0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=_TEXT)
    for row, name in enumerate(names):
        middle = row * (cell + _GAP) + cell / 2
        axes.annotate(name, (0, middle), (-4, 0), textcoords="offset points", ha="right", va="center", fontsize=_TEXT)
    return figure


def _mosaic(block: np.ndarray, cell: int) -> np.ndarray:
    """Return the views as one picture: each in the middle of its cell, with gaps between the cells and none around."""
    n_rows, n_columns, height, width = block.shape[:4]
    picture = np.ones((n_rows, cell + _GAP, n_columns, cell + _GAP, 3), np.float32)
    top, left = (cell - height) // 2, (cell - width) // 2
    picture[:, top : top + height, :, left : left + width] = block.swapaxes(1, 2)
    return picture.reshape(n_rows * (cell + _GAP), n_columns * (cell + _GAP), 3)[:-_GAP, :-_GAP]
