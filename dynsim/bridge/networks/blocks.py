"""Functions applied to one block of images after another, so that what they need in between stays in the cache."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Pair = tuple[int, int]
"""Of rows and of columns."""
Padding = tuple[Pair, Pair]
"""Rows of zeros (above, below) and columns of zeros (left, right)."""
BLOCK_PIXELS = 4096
"""Output pixels in a block of images; from 1000 to 16000 pixels the times differ by less than a third."""


def block_size(shape: tuple[int, ...]) -> int:
    """Return how many images make up a block, for convolved images of this shape (image, row, column, channel)."""
    n = shape[0]
    most = max(1, min(n, BLOCK_PIXELS // (shape[1] * shape[2])))
    fitting = next(size for size in range(most, 0, -1) if n % size == 0)
    return fitting if 2 * fitting >= most else most  # rather a last block that is not full than many small ones


def map_blocks(
    function: Callable[[Array], Array], images: Float[Array, "image ..."], size: int
) -> Float[Array, "image ..."]:
    """Return the function of all images, computed `size` images at a time."""
    if size == len(images):
        return function(images)
    full = len(images) // size * size
    blocks = lax.map(function, images[:full].reshape(-1, size, *images.shape[1:]))
    done = blocks.reshape(full, *blocks.shape[2:])
    return done if full == len(images) else jnp.concatenate([done, function(images[full:])])


def sum_blocks(
    function: Callable[[Array, Array], Array],
    images: Float[Array, "image ..."],
    cotangent: Float[Array, "image ..."],
    size: int,
) -> Array:
    """Return the sum of the function of blocks of `size` images and their cotangents."""
    if size == len(images):
        return function(images, cotangent)
    full = len(images) // size * size
    last = function(images[full:], cotangent[full:])  # of no images, which gives zero, if all blocks are full
    blocks = tuple(x[:full].reshape(-1, size, *x.shape[1:]) for x in (images, cotangent))
    return lax.scan(lambda total, block: (total + function(*block), None), last, blocks)[0]
