"""Convolutions with a 3x3 window and no stride by Winograd's method, which multiplies a fourth as often.

An output tile of 4x4 pixels depends on 6x6 input pixels. Both are transformed by sums over rows, then columns, so that
the convolution becomes 36 independent products per tile instead of 16 times 9, and the 36 products of all tiles are
matrix products over the channels. This is F(4x4, 3x3) of Lavin and Gray, "Fast algorithms for convolutional neural
networks" (2016). In single precision the result differs from the exact one by some 1e-5 of its largest value, about
20 times as much as a plain sum does.

Images are cut into blocks, so that the transformed tiles stay in the cache of a CPU between their uses.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from dynsim.bridge.networks.blocks import Padding, Pair

STEP = 4
"""Rows and columns of an output tile."""
REACH = 6
"""Rows and columns of the input pixels of a tile."""
FROM_INPUT = np.array(
    [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ]
)
"""The transform of six input pixels in a row (B^T in the source)."""
FROM_KERNEL = np.array(
    [
        [1 / 4, 0.0, 0.0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0.0, 0.0, 1.0],
    ]
)
"""The transform of three weights in a row (G in the source)."""
TO_OUTPUT = np.array(
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ]
)
"""From six products to four output pixels in a row (A^T in the source)."""
OF_WINDOW = np.kron(FROM_KERNEL, FROM_KERNEL)
"""From the nine weights of a window to its 36 factors."""


def convolve_tiles(
    images: Float[Array, "image row column input"],
    kernel: Float[Array, "3 3 input output"],
    padding: Padding,
) -> Float[Array, "image row_out column_out output"]:
    """Return the images convolved with a 3x3 kernel.

    Args:
        images: the pixels of a block of images.
        kernel: the weights.
        padding: rows of zeros (above, below) and columns of zeros (left, right).
    """
    rows, columns = sides = _sides(images, padding)
    down, across = tiles = tiles_of(sides)
    factors = (jnp.asarray(OF_WINDOW, kernel.dtype) @ kernel.reshape(9, -1)).reshape(36, *kernel.shape[2:])
    products = lax.dot_general(_transformed(_framed(images, padding, tiles)), factors, (((2,), (1,)), ((0,), (0,))))
    pixels = _untransformed(products.reshape(REACH, REACH, -1, down, across, kernel.shape[-1]))
    return pixels[:, :rows, :columns]


def kernel_gradient_tiles(
    images: Float[Array, "image row column input"],
    cotangent: Float[Array, "image row_out column_out output"],
    padding: Padding,
) -> Float[Array, "3 3 input output"]:
    """Return the gradient with respect to the kernel: every step of `convolve_tiles` transposed.

    Args:
        images: what was convolved, a block of images.
        cotangent: the gradient with respect to the convolved images.
        padding: as in `convolve_tiles`.
    """
    tiles = tiles_of(cotangent.shape[1:3])
    fill = tuple((0, STEP * n - side) for n, side in zip(tiles, cotangent.shape[1:3], strict=True))
    of_products = _transformed(_pad(cotangent, fill), TO_OUTPUT.T)
    of_factors = lax.dot_general(
        _transformed(_framed(images, padding, tiles)), of_products, (((1,), (1,)), ((0,), (0,)))
    )
    of_kernel = jnp.asarray(OF_WINDOW.T, images.dtype) @ of_factors.reshape(36, -1)
    return of_kernel.reshape(3, 3, images.shape[-1], cotangent.shape[-1])


def tiles_of(sides: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many tiles cover the output pixels of an image, down and across."""
    return tuple(-(-side // STEP) for side in sides)


def _sides(images: Array, padding: Padding) -> Pair:
    """Return rows and columns of the convolved images."""
    rows, columns = (side + sum(widths) - 2 for side, widths in zip(images.shape[1:3], padding, strict=True))
    return rows, columns


def _framed(images: Array, padding: Padding, tiles: tuple[int, ...]) -> Array:
    """Return the images padded so that they hold the input pixels of all tiles."""
    sides = zip(images.shape[1:3], padding, tiles, strict=True)
    return _pad(images, tuple((before, STEP * n + 2 - side - before) for side, (before, _), n in sides))


def _pad(images: Array, widths: tuple[Pair, ...]) -> Array:
    """Return the images with zeros around them; a negative width cuts pixels off."""
    rows, columns = widths
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), (*rows, 0), (*columns, 0), (0, 0, 0)))


def _transformed(images: Array, matrix: np.ndarray = FROM_INPUT) -> Array:
    """Return the 36 transformed values of every tile, shape (36, tile, channel).

    The matrix has one row for each of the six values and one column for each pixel of a tile in a row.
    """
    length = images.shape[1] - matrix.shape[1] + 1, images.shape[2] - matrix.shape[1] + 1
    rows = [images[:, i : i + length[0] : STEP] for i in range(matrix.shape[1])]
    down = _sums(matrix, rows, axis=0)
    columns = [down[:, :, :, j : j + length[1] : STEP] for j in range(matrix.shape[1])]
    return _sums(matrix, columns, axis=1).reshape(36, -1, images.shape[-1])


def _untransformed(products: Array) -> Array:
    """Return the output pixels of products of shape (6, 6, image, tiles down, tiles across, channel)."""
    _, _, n, down, across, channels = products.shape
    rows = _sums(TO_OUTPUT, list(products), axis=3)  # 6, image, down, 4, across, channel
    pixels = _sums(TO_OUTPUT, list(rows), axis=4)  # image, down, 4, across, 4, channel
    return pixels.reshape(n, STEP * down, STEP * across, channels)


def _sums(matrix: np.ndarray, terms: list[Array], axis: int) -> Array:
    """Return the matrix applied to a list of arrays, stacked along a new axis. Zeros and ones are not multiplied."""
    return jnp.stack([_sum(row, terms) for row in matrix], axis)


def _sum(row: np.ndarray, terms: list[Array]) -> Array:
    total, *others = (_times(x, float(a)) for a, x in zip(row, terms, strict=True) if a)
    for term in others:
        total = total + term
    return total


def _times(x: Array, factor: float) -> Array:
    if abs(factor) == 1:
        return x if factor == 1 else -x
    return x * jnp.asarray(factor, x.dtype)
