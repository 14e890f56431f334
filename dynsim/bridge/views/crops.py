"""Random crops: boxes as torchvision draws them, and the weights that cut out, resize and flip as Pillow does.

Rows and columns are resized one after the other, so each image needs two small matrices, (output, input). A flip
reverses the rows of one of them, and black pixels around the image are rows of zeros.

The weights are rounded to multiples of 2^-15. Then every product of a weight and a byte, and every sum of such
products, is exact in float32: the order of summation does not matter. The weights themselves are the same in all
programs and on all devices where boxes are enlarged to a side that is a power of two. Then distances are multiples of
a power of two, and the cubic is exact as well. Elsewhere a weight may be rounded otherwise by another program.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.draws import Draws, below, looked_up

FINENESS = 2.0**15


class Boxes(NamedTuple):
    """One box for each image, in whole pixels: the pixels from `top` to `top + height`, without the last.

    Attributes:
        top, left: first row and first column; negative where the box begins before the image.
        height, width: numbers of rows and columns.
    """

    top: Float[Array, "image"]
    left: Float[Array, "image"]
    height: Float[Array, "image"]
    width: Float[Array, "image"]


def random_boxes(draws: Draws, shape: tuple[int, int], recipe: ViewRecipe) -> Boxes:
    """Return the boxes of a random resized crop, as torchvision's `RandomResizedCrop` chooses them.

    The share of the area is uniform and so is the logarithm of the aspect; the sides are rounded to pixels. The first
    of ten boxes that fits into the image is placed at random. If none fits, the largest central box with an allowed
    aspect is taken.

    Args:
        draws: the random numbers of each image.
        shape: height and width of the images.
        recipe: with `crop_scale`.
    """
    height, width = shape
    (least, most), (narrow, wide) = recipe.crop_scale or (1.0, 1.0), recipe.crop_aspect
    # width sqrt(area x aspect) and height sqrt(area / aspect)
    size = looked_up(draws.area, lambda u: np.sqrt(height * width * (least + (most - least) * u)))
    stretch = looked_up(draws.aspect, lambda u: np.sqrt(narrow * (wide / narrow) ** u))
    shrink = looked_up(draws.aspect, lambda u: 1 / np.sqrt(narrow * (wide / narrow) ** u))
    tried_w, tried_h = jnp.round(size * stretch), jnp.round(size * shrink)
    fits = (tried_w > 0) & (tried_w <= width) & (tried_h > 0) & (tried_h <= height)
    central_h, central_w = central_box(shape, recipe.crop_aspect)
    box_w, box_h = jnp.full_like(size[:, 0], central_w), jnp.full_like(size[:, 0], central_h)
    for attempt in reversed(range(fits.shape[1])):
        box_w = jnp.where(fits[:, attempt], tried_w[:, attempt], box_w)
        box_h = jnp.where(fits[:, attempt], tried_h[:, attempt], box_h)
    placed = fits.any(axis=1)
    top = jnp.where(placed, below(draws.place[:, 0], height - box_h + 1), (height - central_h) // 2)
    left = jnp.where(placed, below(draws.place[:, 1], width - box_w + 1), (width - central_w) // 2)
    return Boxes(top, left, box_h, box_w)


def central_box(shape: tuple[int, int], aspects: tuple[float, float]) -> tuple[int, int]:
    """Return height and width of the box taken where no drawn box fits: the whole image, cut to an allowed aspect."""
    height, width = shape
    if width / height < aspects[0]:
        return round(width / aspects[0]), width
    if width / height > aspects[1]:
        return height, round(height * aspects[1])
    return height, width


def padded_boxes(draws: Draws, shape: tuple[int, int], side: int, pad: int) -> Boxes:
    """Return boxes of side x side pixels, anywhere in an image that has `pad` more pixels on each side."""
    top = below(draws.place[:, 0], shape[0] + 2 * pad - side + 1) - pad
    left = below(draws.place[:, 1], shape[1] + 2 * pad - side + 1) - pad
    sides = jnp.full_like(top, side)
    return Boxes(top, left, sides, sides)


def whole_boxes(n_images: int, shape: tuple[int, int]) -> Boxes:
    """Return boxes that hold the whole image."""
    zero, one = jnp.zeros(n_images, jnp.float32), jnp.ones(n_images, jnp.float32)
    return Boxes(zero, zero, one * shape[0], one * shape[1])


def axis_weights(
    begin: Float[Array, "image"],
    length: Float[Array, "image"],
    reverse: Bool[Array, "image"],
    sizes: tuple[int, int],
    interpolation: str,
) -> Float[Array, "image output input"]:
    """Return the weights with which each output pixel sums the pixels of a box, along one axis, for each image.

    They are those of Pillow: a triangle or a cubic (a = -0.5) around the centre of the output pixel, stretched where
    the box shrinks so that every pixel counts; cut off at the border of the box, where the others are scaled up to a
    sum of 1.

    Args:
        begin: first pixel of the box.
        length: number of its pixels.
        reverse: whether the output runs backwards.
        sizes: numbers of output and input pixels.
        interpolation: "bilinear" or "bicubic".
    """
    n_out, n_in = sizes
    out, pixel = np.arange(n_out, dtype=np.float32), np.arange(n_in, dtype=np.float32)
    begin, length = begin[:, None, None], length[:, None, None]
    position = jnp.where(reverse[:, None], n_out - 1 - out, out[None])[:, :, None]
    inside = pixel[None, None] - begin
    # from centre to centre, |inside + 1/2 - (position + 1/2) length / n_out|, in units of a pixel of the larger side
    distance = jnp.abs((2 * inside + 1) * n_out - (2 * position + 1) * length) / (2 * jnp.maximum(length, n_out))
    weight = _triangle(distance) if interpolation == "bilinear" else _cubic(distance)
    weight = jnp.where((inside >= 0) & (inside < length), weight, 0)
    weight = weight / weight.sum(axis=2, keepdims=True)
    return jnp.floor(weight * FINENESS + 0.5) / FINENESS


def shifts(
    begin: Float[Array, "image"], reverse: Bool[Array, "image"], sizes: tuple[int, int]
) -> Float[Array, "image output input"]:
    """Return the weights of a crop without resizing; a pixel outside the image has none, and becomes black."""
    n_out, n_in = sizes
    out, pixel = np.arange(n_out, dtype=np.float32), np.arange(n_in, dtype=np.float32)
    position = jnp.where(reverse[:, None], n_out - 1 - out, out[None])[:, :, None]
    return (pixel[None, None] == position + begin[:, None, None]).astype(jnp.float32)


def resampled(
    x: Float[Array, "image height 3 width"],
    rows: Float[Array, "image side height"],
    columns: Float[Array, "image side width"],
) -> Float[Array, "image side 3 side"]:
    """Return the weighted sums along the rows, and then along the columns; levels are rounded after each, as by Pillow.

    "highest" keeps an accelerator from rounding the factors first.
    """
    rows, columns = lax.optimization_barrier((rows, columns))  # computed once each, not for every product
    x = jnp.einsum("nhcw,now->nhco", x, columns, precision="highest")
    x = jnp.einsum("nph,nhco->npco", rows, _level(x), precision="highest")
    return _level(x)


def _level(x: Array) -> Array:
    return jnp.clip(jnp.floor(x + 0.5), 0, 255)


def _triangle(distance: Array) -> Array:
    return jnp.maximum(1 - distance, 0)


def _cubic(x: Array) -> Array:
    """Return Keys's cubic with a = -0.5, for x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return jnp.where(x < 1, near, jnp.where(x < 2, far, 0))
