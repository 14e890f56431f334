"""Views of images in files, which differ in size: what is done before the images have one size (NumPy and Pillow).

The box of a random crop is cut out and resized here, image by image; the other steps of a view follow on the device
(`augment`), for a whole batch. The boxes are those of `crops.random_boxes`: the same random numbers give the same box.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from dynsim.bridge.data.lists import ImageList
from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.crops import central_box
from dynsim.bridge.views.draws import STEPS
from dynsim.config.checks import require

PILLOW_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
CENTRAL_SHARE = 224 / 256
"""Side of the central square of an evaluation, divided by the shorter side of the resized image (Krizhevsky 2012)."""

Box = tuple[int, int, int, int]
"""Left, top, and the first column and row that no longer belong to it."""


class CropNumbers(NamedTuple):
    """The uniform numbers of one crop, see `draws.Draws`."""

    area: Float[np.ndarray, " try"]
    aspect: Float[np.ndarray, " try"]
    place: Float[np.ndarray, "2"]


def check_listed_recipes(names: Sequence[str], recipes: Sequence[ViewRecipe]) -> int:
    """Return the side of the views. Errors: `ConfigError` for a recipe that does not make one size of all images."""
    for name, recipe in zip(names, recipes, strict=True):
        fits = recipe.crop_scale is not None and recipe.side is not None
        require(fits, "views", "recipes with crop_scale and side for images in files, which differ in size", name)
    sides = {recipe.side for recipe in recipes}
    require(len(sides) == 1, "views", "recipes with one and the same side", " ".join(names))
    return int(recipes[0].side or 0)


def after_crop(recipe: ViewRecipe) -> ViewRecipe:
    """Return the recipe of what is left to do on the device."""
    return replace(recipe, crop_scale=None)


def random_box(numbers: CropNumbers, size: tuple[int, int], recipe: ViewRecipe) -> Box:
    """Return the box of a random resized crop, as `crops.random_boxes` chooses it.

    Args:
        size: height and width of the image.
        recipe: with `crop_scale`.
    """
    height, width = size
    (least, most), (narrow, wide) = recipe.crop_scale or (1.0, 1.0), recipe.crop_aspect
    share, tilt = ((np.floor(u * np.float32(STEPS)) + 0.5) / STEPS for u in (numbers.area, numbers.aspect))
    side = np.sqrt(height * width * (least + (most - least) * share.astype(np.float64))).astype(np.float32)
    stretch = np.sqrt(narrow * (wide / narrow) ** tilt.astype(np.float64))
    tried_w, tried_h = np.round(side * stretch.astype(np.float32)), np.round(side * (1 / stretch).astype(np.float32))
    fits = (tried_w > 0) & (tried_w <= width) & (tried_h > 0) & (tried_h <= height)
    if not fits.any():
        box_h, box_w = central_box(size, recipe.crop_aspect)
        left, top = (width - box_w) // 2, (height - box_h) // 2
        return left, top, left + box_w, top + box_h
    box_w, box_h = (int(tried[np.argmax(fits)]) for tried in (tried_w, tried_h))
    places = np.array([height - box_h + 1, width - box_w + 1], np.float32)
    top, left = (int(one) for one in np.floor(numbers.place * places))
    return left, top, left + box_w, top + box_h


def cropped(pixels: UInt8[np.ndarray, "height width 3"], box: Box, side: int, interpolation: str) -> np.ndarray:
    """Return a box of an image, resized, uint8 of shape (side, side, 3): what torchvision does on Pillow images."""
    left, top, right, bottom = box
    image = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return np.asarray(image.resize((side, side), PILLOW_FILTERS[interpolation]))


def central_square(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "side side 3"]:
    """Return the central square of an image whose shorter side is resized to side / `CENTRAL_SHARE` (bilinear)."""
    height, width = pixels.shape[:2]
    short = round(side / CENTRAL_SHARE)
    new_h, new_w = (short * length // min(height, width) for length in (height, width))
    image = Image.fromarray(pixels).resize((new_w, new_h), Image.Resampling.BILINEAR)
    left, top = round((new_w - side) / 2), round((new_h - side) / 2)
    return np.asarray(image.crop((left, top, left + side, top + side)))


def cut_rows(
    images: ImageList,
    rows: Int[np.ndarray, " row"],
    cut: Callable[[np.ndarray, int], np.ndarray],
    side: int,
    pool: ThreadPoolExecutor,
) -> UInt8[np.ndarray, "row side side 3"]:
    """Return what `cut` makes of the image of each row. An image of several rows is decoded once.

    Args:
        rows: the image of each row; a negative number leaves the row black.
        cut: (pixels of the image, number of the row) -> uint8 of shape (side, side, 3).
        pool: threads that share the work; Pillow lets them run side by side.

    Errors: `DataError` in one line for an image that cannot be decoded.
    """
    found = np.zeros((len(rows), side, side, 3), np.uint8)

    def of_image(index: int) -> None:
        pixels = images.decode(index)
        for row in np.flatnonzero(rows == index).tolist():
            found[row] = cut(pixels, row)

    list(pool.map(of_image, np.unique(rows[rows >= 0]).tolist()))
    return found
