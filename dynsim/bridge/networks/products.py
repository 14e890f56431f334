"""A convolution, and its gradient with respect to the kernel, as one matrix product over pixels.

Each function takes a block of images; `blocks.py` sums over blocks.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from dynsim.bridge.networks.blocks import Padding, Pair

FEW_INPUTS = 8
"""With fewer channels than this, as in the images of a data set, pixels are the last axis of a product."""


def convolve_products(
    images: Float[Array, "image row column input"],
    kernel: Float[Array, "window_row window_column input output"],
    strides: Pair,
    padding: Padding,
) -> Float[Array, "image row_out column_out output"]:
    """Return the convolved images: the windows of all output pixels times the kernel.

    Args:
        images, kernel: what is convolved.
        strides, padding: as for `kernel_gradient_products`.
    """
    rows, columns, inputs, outputs = kernel.shape
    size = [images.shape[1 + k] + sum(padding[k]) - kernel.shape[k] for k in range(2)]
    sides = (size[0] // strides[0] + 1, size[1] // strides[1] + 1)
    windows = _patches(images, 1, sides, (rows, columns), strides, padding)
    flat = windows.reshape(windows.shape[0] * sides[0] * sides[1], rows * columns * inputs)
    product = jnp.dot(flat, kernel.reshape(rows * columns * inputs, outputs))
    return product.reshape(images.shape[0], *sides, outputs)


def kernel_gradient_products(
    images: Float[Array, "image row column input"],
    cotangent: Float[Array, "image row_out column_out output"],
    window: Pair,
    strides: Pair,
    padding: Padding,
) -> Float[Array, "window_row window_column input output"]:
    """Return the gradient with respect to the kernel, from that with respect to the convolved images.

    Args:
        images: what was convolved.
        cotangent: the gradient with respect to the convolved images.
        window: rows and columns of the kernel.
        strides: rows and columns from one output pixel to the next.
        padding: rows of zeros (above, below) and columns of zeros (left, right).
    """
    inputs, outputs = images.shape[-1], cotangent.shape[-1]
    # What is copied, per pixel, by shifting the images down and the cotangent across, and the images both ways. The
    # first also makes the product squarer. With strides it would be wasteful: most factors would be zero.
    shared, alone = window[0] * inputs + window[1] * outputs, window[0] * window[1] * inputs + outputs
    if strides == (1, 1) and shared < alone:
        return _shared_shifts(images, cotangent, window, padding)
    sides = (cotangent.shape[1], cotangent.shape[2])
    # With pixels last, what is copied at once is a row of pixels, not the few channels of a pixel.
    if inputs < FEW_INPUTS:
        planes = _patches(images.transpose(3, 0, 1, 2), 2, sides, window, strides, padding)
        left = planes.reshape(window[0] * window[1] * inputs, -1)
        return jnp.dot(left, cotangent.reshape(-1, outputs)).reshape(*window, inputs, outputs)
    windows = _patches(images, 1, sides, window, strides, padding)
    return _product(windows, cotangent).reshape(*window, inputs, outputs)


def kernel_gradient_groups(
    images: Float[Array, "image row column input"],
    cotangent: Float[Array, "image row_out column_out output"],
    window: Pair,
    strides: Pair,
    padding: Padding,
    groups: int,
) -> Float[Array, "window_row window_column inputs_of_group output"]:
    """Return the gradient with respect to the kernel of a convolution with groups: one product for each of them.

    Arguments as for `kernel_gradient_products`.
    """
    windows = _patches(images, 1, (cotangent.shape[1], cotangent.shape[2]), window, strides, padding)
    pixels, outputs = cotangent.shape[0] * cotangent.shape[1] * cotangent.shape[2], cotangent.shape[3]
    inputs = images.shape[3] // groups
    left = windows.reshape(pixels, window[0] * window[1], groups, inputs)
    found = jnp.einsum("pwgi,pgo->wigo", left, cotangent.reshape(pixels, groups, outputs // groups))
    return found.reshape(*window, inputs, outputs)


def _patches(images: Array, axis: int, sides: Pair, window: Pair, strides: Pair, padding: Padding) -> Array:
    """Return the pixels in the window of every output pixel, all in one axis, which holds the channels before.

    The rows of the images are along `axis`, the columns along the next one. The channels are last, or else first.
    `sides` are the rows and columns of the output.
    """
    widths: list[Pair] = [(0, 0)] * 4
    widths[axis : axis + 2] = padding
    padded = jnp.pad(images, widths)
    shifted = []
    for i in range(window[0]):
        for j in range(window[1]):
            rows = lax.slice_in_dim(padded, i, i + strides[0] * (sides[0] - 1) + 1, strides[0], axis)
            shifted.append(lax.slice_in_dim(rows, j, j + strides[1] * (sides[1] - 1) + 1, strides[1], axis + 1))
    return jnp.concatenate(shifted, axis=3 if axis == 1 else 0)


def _shared_shifts(images: Array, cotangent: Array, window: Pair, padding: Padding) -> Array:
    """Return the gradient, for strides of one, as one product in which both sides are shifted.

    The weight (i, j) of a kernel takes the pixel (r + i, c) of a padded image to the output pixel (r, c - j). So the
    images shifted by i rows, times the cotangent shifted by j columns, sum to its gradient.
    """
    rows, columns = cotangent.shape[1], images.shape[2]
    down = jnp.pad(images, ((0, 0), padding[0], (0, 0), (0, 0)))
    left, right = (window[1] - 1 - width for width in padding[1])  # negative where padding is wider than the window
    none = (0, 0, 0)
    across = lax.pad(cotangent, jnp.zeros((), cotangent.dtype), (none, none, (left, right, 0), none))
    images_down = [down[:, i : i + rows] for i in range(window[0])]
    cotangents_across = [across[:, :, start : start + columns] for start in reversed(range(window[1]))]
    product = _product(jnp.concatenate(images_down, axis=-1), jnp.concatenate(cotangents_across, axis=-1))
    return product.reshape(window[0], images.shape[-1], window[1], cotangent.shape[-1]).swapaxes(1, 2)


def _product(left: Array, right: Array) -> Array:
    """Return the sum over all pixels of the products of a left and a right channel."""
    left, right = (x.reshape(x.shape[0] * x.shape[1] * x.shape[2], x.shape[3]) for x in (left, right))
    return lax.dot_general(left, right, (((0,), (0,)), ((), ())))
