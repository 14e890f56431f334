"""The gradient of a strided convolution with respect to its images, as a convolution without stride.

With stride 2, the even and the odd rows and columns of the images each depend on their own weights: there are four
phases, which become the channels of one convolution of the gradient that is given. XLA instead puts zeros between the
pixels of that gradient, so that most of its multiplications are by zero.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from dynsim.bridge.networks.blocks import Padding, Pair


def images_gradient_phases(
    cotangent: Float[Array, "image row_out column_out output"],
    kernel: Float[Array, "window_row window_column input output"],
    sides: Pair,
    strides: Pair,
    padding: Padding,
) -> Float[Array, "image row column input"]:
    """Return the gradient with respect to the images, from that with respect to the convolved images.

    Args:
        cotangent: the gradient with respect to the convolved images.
        kernel: the weights.
        sides: rows and columns of the images.
        strides: rows and columns from one output pixel to the next.
        padding: rows of zeros (above, below) and columns of zeros (left, right).
    """
    n, inputs, outputs = len(cotangent), kernel.shape[2], kernel.shape[3]
    down, across = taps = tuple(-(-size // stride) for size, stride in zip(kernel.shape[:2], strides, strict=True))
    missing = tuple(stride * n - size for stride, n, size in zip(strides, taps, kernel.shape[:2], strict=True))
    filled = jnp.pad(kernel, ((0, missing[0]), (0, missing[1]), (0, 0), (0, 0)))
    # The padded row s a + d gets, from the output row a - t, the weight s t + d: t runs backwards, d is the phase.
    split = filled.reshape(down, strides[0], across, strides[1], inputs, outputs)[::-1, :, ::-1]
    weights = split.transpose(0, 2, 5, 1, 3, 4).reshape(down, across, outputs, strides[0] * strides[1] * inputs)
    margins = ((down - 1, down - 1), (across - 1, across - 1))
    phases = lax.conv_general_dilated(cotangent, weights, (1, 1), margins, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    rows, columns = phases.shape[1:3]
    apart = phases.reshape(n, rows, columns, *strides, inputs).swapaxes(2, 3)
    padded = apart.reshape(n, rows * strides[0], columns * strides[1], inputs)
    (above, _), (left, _) = padding
    ends = sides[0] + above - padded.shape[1], sides[1] + left - padded.shape[2]  # where no window reaches: zeros
    none = (0, 0, 0)
    edges = (none, (-above, ends[0], 0), (-left, ends[1], 0), none)
    return lax.pad(padded, jnp.zeros((), padded.dtype), edges)
