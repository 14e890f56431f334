"""The random numbers behind the views: a fixed number for each image, drawn in one call whatever the recipe is."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from dynsim.randomness.draws import uniform

TRIES = 10  # at a box, before the central one is taken


class Draws(NamedTuple):
    """Uniform numbers in [0, 1), one row for each image; a step takes its own, so that no step changes another's.

    Attributes:
        area, aspect: of the boxes that are tried.
        place: top and left of the crop.
        flip, jitter, grey, blur: each decides whether the step is done.
        order: of the four changes of colour.
        strength: of the changes in brightness, contrast, saturation and hue.
        sigma: of the blur.
        cutout: row and column of the centre of the black square.
    """

    area: Float[Array, "image 10"]
    aspect: Float[Array, "image 10"]
    place: Float[Array, "image 2"]
    flip: Float[Array, "image"]
    jitter: Float[Array, "image"]
    order: Float[Array, "image"]
    strength: Float[Array, "image 4"]
    grey: Float[Array, "image"]
    blur: Float[Array, "image"]
    sigma: Float[Array, "image"]
    cutout: Float[Array, "image 2"]


WIDTHS = Draws(TRIES, TRIES, 2, 0, 0, 0, 4, 0, 0, 0, 2)  # columns of each; 0 for a single one, without an axis


def draw_views(key: Key[Array, ""], n_images: int) -> Draws:
    """Return the numbers for the views of some images. Those of image n depend on the key and on n only."""
    columns = [max(width, 1) for width in WIDTHS]
    table = uniform(key, (n_images, sum(columns)), np.dtype(np.float32))
    parts = jnp.split(table, np.cumsum(columns)[:-1], axis=1)
    return Draws(*(part if width else part[:, 0] for part, width in zip(parts, WIDTHS, strict=True)))


def below(u: Float[Array, "*axes"], n: Float[Array, "*axes"] | int) -> Float[Array, "*axes"]:
    """Return whole numbers, uniform in 0 to n - 1, made of uniform numbers.

    The product stays below n after rounding, since u is at most 1 - 2^-23.
    """
    return jnp.floor(u * n)
