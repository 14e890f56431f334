"""Gaussian blur as Pillow computes it: three box filters in a row, with the variance of the Gaussian."""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.colour import each
from dynsim.bridge.views.crops import FINENESS
from dynsim.bridge.views.draws import Draws, looked_up

PASSES = 3


def box_radius(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole part and fraction of the radius of the box, of which three in a row have this standard deviation.

    A box of radius l + a sums the 2 l + 1 pixels around its centre and, with weight a, one more at each end.
    (Gwosdek, Grewenig, Bruhn, Weickert 2011.)
    """
    variance = sigma * sigma / PASSES
    whole = np.floor((np.sqrt(12 * variance + 1) - 1) / 2)
    outer = (whole + 1) * (whole + 1)
    fraction = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - outer))
    return whole, fraction


def inner_weight(sigma: np.ndarray) -> np.ndarray:
    """Return the weight of the pixels around the centre of the box, rounded to a multiple of 2^-15."""
    return np.floor(FINENESS / (2 * sum(box_radius(sigma)) + 1) + 0.5) / FINENESS


def gaussian_blur(x: Float[Array, "image height 3 width"], draws: Draws, recipe: ViewRecipe) -> Array:
    """Blur some of the images, each with a standard deviation of its own. Border pixels continue beyond the border.

    Pillow rounds to whole levels after every box filter. The weights are multiples of 2^-16: all sums are exact.

    Args:
        x: whole levels.
        draws: the random numbers of each image.
        recipe: with `blur` and `blur_sigma`.
    """
    least, most = recipe.blur_sigma
    chosen = draws.blur < recipe.blur
    inner = jnp.where(chosen, looked_up(draws.sigma, lambda u: inner_weight(least + (most - least) * u)), 1)
    whole = jnp.where(chosen, looked_up(draws.sigma, lambda u: box_radius(least + (most - least) * u)[0]), 0)
    outer = (1 - (2 * whole + 1) * inner) / 2
    reach = math.floor((math.sqrt(4 * most * most + 1) - 1) / 2) + 1
    weights = [jnp.where(k <= whole, inner, jnp.where(k == whole + 1, outer, 0)) for k in range(reach + 1)]
    for axis in (3, 1):
        # a loop, since the compiler would otherwise compute a pass anew for every pixel of the next
        x = lax.fori_loop(0, PASSES, lambda _, x, axis=axis: _box_filter(x, weights, axis), x)
    return x


def _box_filter(x: Array, weights: list[Float[Array, "image"]], axis: int) -> Array:
    """Return the weighted sum of each pixel and those at each distance from it, rounded to whole levels."""
    length = x.shape[axis]
    first, last = lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, length - 1, length, axis=axis)
    total = each(weights[0]) * x
    for distance, weight in enumerate(weights[1:], 1):
        kept = max(length - distance, 0)
        before = [first] * (length - kept) + [lax.slice_in_dim(x, 0, kept, axis=axis)]
        after = [lax.slice_in_dim(x, length - kept, length, axis=axis)] + [last] * (length - kept)
        total = total + each(weight) * (jnp.concatenate(before, axis) + jnp.concatenate(after, axis))
    return jnp.floor(total + 0.5)
