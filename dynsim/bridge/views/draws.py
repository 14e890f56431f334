"""The random numbers behind the views: a fixed number for each image, whatever the recipe is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from dynsim.randomness.draws import uniform

TRIES = 10  # at a box, before the central one is taken
STEPS = 2**14  # of a continuous quantity
POLICY = 0x706F6C69  # folded into the key for the numbers of policies, which came later: all others stayed the same


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
        policy: which sub-policy, whether each of its two steps is done, and the sign of each.
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
    policy: Float[Array, "image 5"]


# columns of the table of numbers that each part takes; a part with one column has no axis for it
COLUMNS = {
    **{"area": TRIES, "aspect": TRIES, "place": 2},
    **{"flip": 1, "jitter": 1, "order": 1, "strength": 4, "grey": 1},
    **{"blur": 1, "sigma": 1, "cutout": 2},
}
POLICY_COLUMNS = 5


def draw_views(key: Key[Array, ""], n_images: int) -> Draws:
    """Return the numbers for the views of some images. Those of image n depend on the key and on n only."""
    table = uniform(key, (n_images, sum(COLUMNS.values())), np.dtype(np.float32))
    parts, begin = {}, 0
    for name, n_columns in COLUMNS.items():
        parts[name] = table[:, begin : begin + n_columns] if n_columns > 1 else table[:, begin]
        begin += n_columns
    policy = uniform(jax.random.fold_in(key, POLICY), (n_images, POLICY_COLUMNS), np.dtype(np.float32))
    return Draws(**parts, policy=policy)


def below(u: Float[Array, "*axes"], n: Float[Array, "*axes"] | int) -> Float[Array, "*axes"]:
    """Return whole numbers, uniform in 0 to n - 1, made of uniform numbers.

    The product stays below n after rounding, since u is at most 1 - 2^-23.
    """
    return jnp.floor(u * n)


def looked_up(u: Float[Array, "*axes"], values: Callable[[np.ndarray], np.ndarray]) -> Float[Array, "*axes"]:
    """Return a function of uniform numbers, at the centres of `STEPS` equal parts of [0, 1].

    The values are computed here, in float64. A compiled program only looks them up, so that none rounds them otherwise.

    Args:
        u: uniform numbers in [0, 1).
        values: the function, in NumPy.
    """
    table = np.asarray(values((np.arange(STEPS) + 0.5) / STEPS), np.float32)
    return jnp.asarray(table)[below(u, STEPS).astype(jnp.int32)]
