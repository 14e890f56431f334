"""Convolutions of images that are fast on CPUs, gradients included. Elsewhere they are those of XLA.

On CPUs XLA computes the gradient with respect to the kernel as a convolution whose window has the size of an image,
which takes 2 to 15 times as long as the forward pass. Here it is a sum of matrix products over blocks of images, small
enough that what is copied for a product stays in the cache (`blocks.py`, `products.py`). With 32 channels or more, 3x3
windows without stride go by Winograd's method in all three passes, with a fourth of the multiplications (`tiles.py`).
With few channels and a stride, the gradient with respect to the images is computed by phases (`phases.py`). What is
left is XLA's: other convolutions forward, those with groups among them, and their gradients with respect to the images.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from dynsim.bridge.networks.blocks import Padding, Pair, block_size, map_blocks, sum_blocks
from dynsim.bridge.networks.phases import images_gradient_phases
from dynsim.bridge.networks.products import convolve_products, kernel_gradient_groups, kernel_gradient_products
from dynsim.bridge.networks.tiles import STEP, convolve_tiles, kernel_gradient_tiles, tiles_of

DimensionNumbers = tuple[str, str, str]

CHANNELS_LAST: DimensionNumbers = ("NHWC", "HWIO", "NHWC")
"""Images (image, row, column, channel), kernels (row, column, input, output): the only layout that `convolve` takes."""
FEW_PIXELS = 4
"""Up to this many output pixels in an image, in the last stage of a network for small images, windows are copied and
multiplied in one product: there XLA takes 15 times as long."""
TILED_CHANNELS = 32
"""From this mean of inputs and outputs on Winograd's method is the faster one: with 16 channels, it transforms for as
long as it saves."""
PHASED_INPUTS = 32
"""With fewer inputs than this XLA's gradient of a strided convolution with respect to the images is the slower one."""
TILED_SHARE = 0.6
"""Tiles are used if at least this share of their output pixels lies inside the images."""


def convolve(
    images: Float[Array, "image row column input"],
    kernel: Float[Array, "window_row window_column inputs_of_group output"],
    strides: Pair,
    padding: Padding,
    dimension_numbers: DimensionNumbers = CHANNELS_LAST,
    feature_group_count: int = 1,
) -> Float[Array, "image row_out column_out output"]:
    """Return the convolved images. It is called like `jax.lax.conv_general_dilated`.

    It has first derivatives in reverse mode only: no `jax.jvp`, and no gradient of a gradient. On CPUs, results in
    single precision differ from those of XLA by some 1e-5 of the largest value where Winograd's method is used.

    Args:
        images: the pixels.
        kernel: the weights, of the same dtype.
        strides: rows and columns from one output pixel to the next.
        padding: rows of zeros (above, below) and columns of zeros (left, right).
        dimension_numbers: `CHANNELS_LAST`.
        feature_group_count: groups of inputs and outputs; the outputs of a group see its inputs only. With more than
            one, all is XLA's but the gradient with respect to the kernel, which takes XLA far longer.

    Raises:
        ValueError: another layout is asked for.
    """
    if tuple(dimension_numbers) != CHANNELS_LAST:
        raise ValueError(f"convolve takes the layout {CHANNELS_LAST}, not {dimension_numbers}: transpose the images")
    if feature_group_count > 1:
        return _convolve_groups(strides, padding, feature_group_count, images, kernel)
    return _convolve(strides, padding, images, kernel)


def _plain(strides: Pair, padding: Padding, images: Array, kernel: Array) -> Array:
    """Return the convolved images as XLA computes them."""
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=CHANNELS_LAST)


def _on_cpu(strides: Pair, padding: Padding, images: Array, kernel: Array) -> Array:
    """Return the convolved images in the way that is fastest on CPUs."""
    shape = jax.eval_shape(partial(_plain, strides, padding), images, kernel).shape
    if _few_pixels(shape):
        return convolve_products(images, kernel, strides, padding)
    if not _tiled(shape, kernel, strides):
        return _plain(strides, padding, images, kernel)
    return map_blocks(lambda block: convolve_tiles(block, kernel, padding), images, block_size(shape))


def _few_pixels(shape: tuple[int, ...]) -> bool:
    """Return whether convolved images of this shape are so small that one matrix product is the fastest way."""
    return shape[1] * shape[2] <= FEW_PIXELS


def _tiled(shape: tuple[int, ...], kernel: Array, strides: Pair) -> bool:
    """Return whether Winograd's method is used for convolved images of this shape."""
    if kernel.shape[:2] != (3, 3) or strides != (1, 1) or kernel.dtype not in (jnp.float32, jnp.float64):
        return False
    down, across = tiles_of(shape[1:3])
    covered = shape[1] * shape[2] >= TILED_SHARE * STEP**2 * down * across
    return covered and kernel.shape[2] + kernel.shape[3] >= 2 * TILED_CHANNELS


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolve(strides: Pair, padding: Padding, images: Array, kernel: Array) -> Array:
    cpu, other = partial(_on_cpu, strides, padding), partial(_plain, strides, padding)
    return lax.platform_dependent(images, kernel, cpu=cpu, default=other)


def _forward(strides: Pair, padding: Padding, images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(strides, padding, images, kernel), (images, kernel)


def _backward(strides: Pair, padding: Padding, saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    """Return the gradients with respect to the images and the kernel."""

    def by_xla(images: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
        return jax.vjp(partial(_plain, strides, padding), images, kernel)[1](cotangent)

    def on_cpu(images: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
        of_kernel = _kernel_gradient(images, cotangent, kernel, strides, padding)
        return _images_gradient(images, kernel, cotangent, strides, padding), of_kernel

    return lax.platform_dependent(*saved, cotangent, cpu=on_cpu, default=by_xla)


_convolve.defvjp(_forward, _backward)


def _images_gradient(images: Array, kernel: Array, cotangent: Array, strides: Pair, padding: Padding) -> Array:
    """Return the gradient with respect to the images; without strides it is a convolution with the mirrored kernel."""
    if strides != (1, 1) and _few_pixels(cotangent.shape):
        return jax.vjp(lambda x: convolve_products(x, kernel, strides, padding), images)[1](cotangent)[0]
    if strides != (1, 1):
        small = kernel.shape[0] < strides[0] or kernel.shape[1] < strides[1]  # most phases would be zero
        if small or kernel.shape[2] >= PHASED_INPUTS:
            return jax.vjp(lambda x: _plain(strides, padding, x, kernel), images)[1](cotangent)[0]
        sides = (images.shape[1], images.shape[2])
        gradient = partial(images_gradient_phases, kernel=kernel, sides=sides, strides=strides, padding=padding)
        return map_blocks(gradient, cotangent, block_size(cotangent.shape))
    mirrored = kernel[::-1, ::-1].swapaxes(2, 3)
    (above, below), (left, right) = padding
    rows, columns = kernel.shape[0] - 1, kernel.shape[1] - 1
    widths = (rows - above, rows - below), (columns - left, columns - right)
    return _on_cpu((1, 1), widths, cotangent, mirrored)


def _kernel_gradient(images: Array, cotangent: Array, kernel: Array, strides: Pair, padding: Padding) -> Array:
    """Return the gradient with respect to the kernel, summed over blocks of images."""
    if _tiled(cotangent.shape, kernel, strides):
        gradient = partial(kernel_gradient_tiles, padding=padding)
    else:
        window = (kernel.shape[0], kernel.shape[1])
        gradient = partial(kernel_gradient_products, window=window, strides=strides, padding=padding)
    return sum_blocks(gradient, images, cotangent, block_size(cotangent.shape))


def _plain_groups(strides: Pair, padding: Padding, groups: int, images: Array, kernel: Array) -> Array:
    """Return the images convolved in groups as XLA computes them."""
    return lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=CHANNELS_LAST, feature_group_count=groups
    )


_convolve_groups = jax.custom_vjp(_plain_groups, nondiff_argnums=(0, 1, 2))


def _forward_groups(
    strides: Pair, padding: Padding, groups: int, images: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _plain_groups(strides, padding, groups, images, kernel), (images, kernel)


def _backward_groups(
    strides: Pair, padding: Padding, groups: int, saved: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    """Return the gradients with respect to the images and the kernel of a convolution with groups."""
    convolution = partial(_plain_groups, strides, padding, groups)

    def on_cpu(images: Array, kernel: Array, cotangent: Array) -> Array:
        window = (kernel.shape[0], kernel.shape[1])
        some = partial(kernel_gradient_groups, window=window, strides=strides, padding=padding, groups=groups)
        return sum_blocks(some, images, cotangent, block_size(cotangent.shape))

    def by_xla(images: Array, kernel: Array, cotangent: Array) -> Array:
        return jax.vjp(lambda weights: convolution(images, weights), kernel)[1](cotangent)[0]

    of_kernel = lax.platform_dependent(*saved, cotangent, cpu=on_cpu, default=by_xla)
    images, kernel = saved
    return jax.vjp(lambda pixels: convolution(pixels, kernel), images)[1](cotangent)[0], of_kernel


_convolve_groups.defvjp(_forward_groups, _backward_groups)
