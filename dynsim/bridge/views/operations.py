"""Operations of AutoAugment that change levels and move no pixel, as Pillow does them on images of whole levels.

Images have the axes and values that `colour` describes, and here too every intermediate value is exact.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from dynsim.bridge.views.colour import BELOW_GAP, Images, PerImage, each

LEVELS = 256
TENTHS = 10
SMOOTH_CENTRE, SMOOTH_SUM = 5, 13  # Pillow's filter SMOOTH: the pixel counts 5, each of its eight neighbours 1


def smooth(x: Images) -> Images:
    """Return the images smoothed over 3 x 3 pixels, which sharpness mixes with. Pixels at the border stay."""
    wide = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    total = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    inner = x[:, 1:-1, :, 1:-1]
    total = total + (SMOOTH_CENTRE - 1) * inner
    # the half is never reached, since 13 is odd: a quarter more only keeps the quotient away from whole numbers
    level = jnp.floor((2 * total + (SMOOTH_SUM + 0.25)) / (2 * SMOOTH_SUM))
    return lax.dynamic_update_slice(x, level, (0, 1, 0, 1))


def blend_tenths(x: Images, other: Array, tenths: PerImage) -> Images:
    """Return the mixture of two images: the other one at 0 tenths, `x` at 10, beyond it above 10."""
    total = jnp.clip(TENTHS * other + each(tenths) * (x - other), 0, 255 * TENTHS)
    return jnp.floor((total + 0.5) / TENTHS)


def posterize(x: Images, unit: PerImage) -> Images:
    """Return the levels cut to multiples of a power of two."""
    return jnp.floor(x / each(unit)) * each(unit)


def solarize(x: Images, threshold: PerImage) -> Images:
    """Return the images with all levels inverted that are at or above a threshold; 0 inverts the whole image."""
    return jnp.where(x < each(threshold), x, 255 - x)


def autocontrast(x: Images) -> Images:
    """Return the images with each colour stretched to the whole range; a colour of one level stays.

    A level that should be whole may be the one below it in Pillow, which multiplies by a rounded factor.
    """
    least, most = (found(x, axis=(1, 3), keepdims=True) for found in (jnp.min, jnp.max))
    stretched = jnp.floor(255 * (x - least) / jnp.maximum(most - least, 1) + BELOW_GAP)
    return jnp.where(most > least, stretched, x)


def equalize(x: Images) -> Images:
    """Return the images with each colour's levels spread evenly over its pixels.

    A level becomes the number of pixels below it, and half a step, in steps of a 255th of those below the highest.
    """
    n_images, height, _, width = x.shape
    plane = np.arange(n_images * 3, dtype=np.int32).reshape(n_images, 1, 3, 1)
    place = plane * LEVELS + x.astype(jnp.int32)
    count = jnp.zeros(n_images * 3 * LEVELS, jnp.float32).at[place.ravel()].add(1, mode="promise_in_bounds")
    count = lax.optimization_barrier(count.reshape(n_images, 3, LEVELS))
    # numbers of pixels are whole and far below 2^24, so this product is exact
    lower = jnp.asarray(np.triu(np.ones((LEVELS, LEVELS), np.float32), 1))
    below = jnp.einsum("nck,kl->ncl", count, lower, precision="highest").astype(jnp.int32)
    highest = (x == x.max(axis=(1, 3), keepdims=True)).sum(axis=(1, 3), dtype=jnp.int32)
    step = (height * width - highest)[..., None] // 255
    spread = lax.div(below + step // 2, jnp.broadcast_to(jnp.maximum(step, 1), below.shape))
    spread = jnp.where(step > 0, jnp.minimum(spread, 255), np.arange(LEVELS, dtype=np.int32)[None, None])
    table = lax.optimization_barrier(spread.astype(jnp.float32).ravel())
    return table.at[place].get(mode="promise_in_bounds")


def chosen(kind: Int[Array, "image"], options: dict[int, Array], otherwise: Array) -> Array:
    """Return for each image the option with its number, or the last argument where there is none."""
    for number, option in options.items():
        otherwise = jnp.where(each(kind == number), option, otherwise)
    return otherwise
