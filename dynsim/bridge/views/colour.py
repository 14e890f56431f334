"""Changes of colour, in whole levels from 0 to 255, as Pillow makes them.

Images have the axes (image, height, channel, width): the colour planes lie behind each other, row by row. Values are
whole numbers in float32. Each change ends with the rounding of Pillow, and every intermediate value is a whole number
or a multiple of a power of two that float32 holds exactly. So the results are equal, bit by bit, in every program and
on every device.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.draws import Draws, below

FACTOR = 2**14  # factors are multiples of 1 / FACTOR: times a level, they are exact
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS = np.array(list(itertools.permutations(range(4))), np.int32)
LUMA = (19595.0, 38470.0, 7471.0)  # weights of red, green and blue in ITU-R 601-2, in 65536ths
CIRCLE = 510.0  # the colour circle, in units that divide both a sixth of it (85) and a level of hue (2)
WHOLE = 255.0 * 85
BELOW_GAP = 1 / 1024  # what a quotient may be short of a whole number by rounding; the least true gap is 1 / 510

Images = Float[Array, "image height 3 width"]
Planes = Float[Array, "image height 1 width"]
PerImage = Float[Array, "image"]


def each(values: Array) -> Array:
    """Return one value per image with the axes of images."""
    return values[:, None, None, None]


def grey_value(x: Images) -> Planes:
    """Return the grey value of each pixel."""
    weighted = sum(weight * x[:, :, channel : channel + 1] for channel, weight in enumerate(LUMA))
    return jnp.floor((weighted + 32768) / 65536)


def mean_grey(grey: Planes) -> PerImage:
    """Return the mean grey value of each image, rounded to a level."""
    n_pixels = grey.shape[1] * grey.shape[3]
    total = grey.sum(axis=(1, 2, 3)).astype(jnp.int32)
    return lax.div(2 * total + n_pixels, jnp.full_like(total, 2 * n_pixels)).astype(jnp.float32)


def blend(x: Images, other: Array, factor: PerImage) -> Images:
    """Return the mixture of two images: the other one at factor 0, `x` at 1, beyond it above 1."""
    return jnp.floor(jnp.clip(other + each(factor) * (x - other), 0, 255))


def shift_hue(x: Images, shift: PerImage) -> Images:
    """Turn the colours of each image by so many 256ths of the colour circle.

    The image goes through hue, saturation and value with 8 bits each, which changes it a little even at a shift of 0.
    """
    red, green, blue = (x[:, :, channel : channel + 1] for channel in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    spread = value - jnp.minimum(jnp.minimum(red, green), blue)
    # position on the colour circle: a sixth of it is the spread
    place = jnp.where(
        red == value, green - blue, jnp.where(green == value, 2 * spread + blue - red, 4 * spread + red - green)
    )
    place = jnp.where(place < 0, place + 6 * spread, place)
    hue = jnp.floor(85 * place / jnp.maximum(2 * spread, 1) + BELOW_GAP)
    saturation = jnp.floor(255 * spread / jnp.maximum(value, 1) + BELOW_GAP)
    hue = hue + each(shift)
    hue = jnp.where(hue >= 256, hue - 256, hue)
    # red, green and blue fall from the value to the lowest level as the hue moves away from theirs
    away = jnp.asarray([425, 255, 85], jnp.float32)[None, None, :, None] + 2 * hue
    away = jnp.where(away >= CIRCLE, away - CIRCLE, away)
    away = jnp.clip(jnp.minimum(away, 340 - away), 0, 85)
    return jnp.floor(value * (WHOLE - saturation * away) / WHOLE + 0.5)


def strengths(draws: Draws, recipe: ViewRecipe) -> tuple[Float[Array, "image 3"], PerImage, Bool[Array, "image"]]:
    """Return the factors of brightness, contrast and saturation, the shift of hue, and whether to change colours."""
    changed = draws.jitter < recipe.jitter
    spans = [round(strength * FACTOR) for strength in (recipe.brightness, recipe.contrast, recipe.saturation)]
    drawn = [
        (below(draws.strength[:, position], 2 * span + 1) + (FACTOR - span)) / FACTOR
        for position, span in enumerate(spans)
    ]
    factors = jnp.where(changed[:, None], jnp.stack(drawn, axis=1), 1)
    turn = (2 * draws.strength[:, HUE] - 1) * (255 * recipe.hue)
    shift = jnp.trunc(turn)
    return factors, jnp.where(shift < 0, shift + 256, shift), changed


def jitter(x: Images, draws: Draws, recipe: ViewRecipe) -> Images:
    """Change brightness, contrast, saturation and hue of each image, or none of them.

    In a random order the hue can come at any place. It is computed once for all images: the mixtures that come before
    it have their factors there and 1 (no change) afterwards, those that come after it the other way round.
    """
    factors, shift, changed = strengths(draws, recipe)
    if not recipe.random_order:
        x = mixtures(x, jnp.broadcast_to(np.arange(3, dtype=np.int32), (len(x), 3)), factors)
        return turned(x, shift, changed) if recipe.hue else x
    chosen = jnp.asarray(ORDERS)[below(draws.order, len(ORDERS)).astype(jnp.int32)]
    place = jnp.argmax(chosen == HUE, axis=1, keepdims=True)
    step = np.arange(3)[None]
    kinds = jnp.where(step < place, chosen[:, :3], chosen[:, 1:])
    ordered = jnp.take_along_axis(factors, kinds, axis=1)
    if not recipe.hue:
        return mixtures(x, kinds, ordered)
    x = mixtures(x, kinds, jnp.where(step < place, ordered, 1))
    x = turned(x, shift, changed)
    return mixtures(x, kinds, jnp.where(step < place, 1, ordered))


def turned(x: Images, shift: PerImage, changed: Bool[Array, "image"]) -> Images:
    """Turn the colours of those images that are changed."""
    return lax.optimization_barrier(jnp.where(each(changed), shift_hue(x, shift), x))


def mixtures(x: Images, kinds: Int[Array, "image 3"], factors: Float[Array, "image 3"]) -> Images:
    """Mix each image with black (brightness), its mean grey (contrast) and its grey values (saturation), in its order.

    Args:
        x: the images.
        kinds: which mixture comes at each of the three steps.
        factors: the factor at each step.
    """

    def mix(step: Array, x: Images) -> Images:
        grey, kind = grey_value(x), each(kinds[:, step])
        other = jnp.where(kind == SATURATION, grey, jnp.where(kind == CONTRAST, each(mean_grey(grey)), 0))
        return blend(x, other, factors[:, step])

    # a loop compiles faster than three steps, and is faster: the steps are not merged, and so none is computed twice
    return lax.fori_loop(0, 3, mix, x)
