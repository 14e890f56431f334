"""Random views of a batch of images, computed together on the device.

The steps are those of torchvision on Pillow images, rounding to whole levels included: box and resize, or crop of the
padded image; flip; a policy of AutoAugment; brightness, contrast, saturation and hue; grey; blur; cutout.

The view of image n depends on the key, on n and on the image, not on the others or on how many there are.

Which values are exact, and so the same in all programs, is said in `crops`; how close they are to Pillow's, in the map
of dynsim (README.md), section Views.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, UInt8

from dynsim.bridge.options.policies import POLICIES
from dynsim.bridge.options.views import ViewRecipe
from dynsim.bridge.views.blur import gaussian_blur
from dynsim.bridge.views.colour import each, grey_value, jitter
from dynsim.bridge.views.crops import axis_weights, padded_boxes, random_boxes, resampled, shifts, whole_boxes
from dynsim.bridge.views.draws import Draws, below, draw_views
from dynsim.bridge.views.policy import follow_policy
from dynsim.config import ConfigError

LEVEL = np.float32(1 / 255)


def augment(
    key: Key[Array, ""], pixels: UInt8[Array, "image height width 3"], recipe: ViewRecipe
) -> Float[Array, "image side side 3"]:
    """Return a random view of each image, float32 in [0, 1].

    Pure, and made to be compiled: `jax.jit(augment, static_argnums=2)`.

    Args:
        key: one typed key. The same key gives the same views, bit by bit.
        pixels: the images, red, green and blue.
        recipe: what a view is.

    Errors: `ConfigError` for images of another type, and for a recipe that they do not fit.
    """
    return views_of(draw_views(key, len(pixels)), pixels, recipe)


def pair(
    key: Key[Array, ""], pixels: UInt8[Array, "image height width 3"], recipe: ViewRecipe
) -> tuple[Float[Array, "image side side 3"], Float[Array, "image side side 3"]]:
    """Return two independent views of each image: those of `augment` with the key folded with 0 and with 1."""
    n_images = len(pixels)
    draws = [draw_views(jax.random.fold_in(key, view), n_images) for view in range(2)]
    both = views_of(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *draws), jnp.concatenate([pixels] * 2), recipe)
    return both[:n_images], both[n_images:]


def views_of(
    draws: Draws, pixels: UInt8[Array, "image height width 3"], recipe: ViewRecipe
) -> Float[Array, "image side side 3"]:
    """Return the view of each image for these random numbers; arguments and errors as for `augment`."""
    side = side_of_views(pixels.shape, pixels.dtype, recipe)
    steps: list[Callable[[Array, Draws], Array]] = [partial(_framed, recipe=recipe, side=side)]
    if recipe.policy:
        policy = POLICIES[recipe.policy]
        steps.append(lambda x, draws: follow_policy(x, draws.policy, policy))
    if recipe.jitter:
        steps.append(partial(jitter, recipe=recipe))
    if recipe.grey:
        steps.append(lambda x, draws: jnp.where(each(draws.grey < recipe.grey), grey_value(x), x))
    if recipe.blur:
        steps.append(partial(gaussian_blur, recipe=recipe))
    if recipe.cutout:
        steps.append(partial(black_square, side=recipe.cutout))
    x = pixels.swapaxes(2, 3).astype(jnp.float32)
    for step in steps:
        # the barrier keeps the compiler from merging two steps and computing the first anew for each use of it
        x = step(lax.optimization_barrier(x), draws)
    return x.swapaxes(2, 3) * LEVEL


def side_of_views(shape: tuple[int, ...], dtype: np.dtype, recipe: ViewRecipe) -> int:
    """Return the side of the views of images of this shape and type. Errors: `ConfigError` where they do not fit."""
    if len(shape) != 4 or shape[3] != 3 or dtype != np.uint8:
        raise ConfigError(f"pixels: wanted uint8 of shape (image, height, width, 3), got {dtype} of shape {shape}")
    height, width = shape[1:3]
    side = recipe.side or height
    if recipe.side is None and height != width:
        raise ConfigError(f"side: wanted a number of pixels for images of {height} x {width}, got None; give one")
    if recipe.pad and side > min(height, width) + 2 * recipe.pad:
        raise ConfigError(
            f"side: wanted at most {min(height, width) + 2 * recipe.pad} pixels for images of {height} x {width} with"
            f" {recipe.pad} more on each side, got {side}; take a smaller side or a larger pad"
        )
    return side


def _framed(x: Array, draws: Draws, recipe: ViewRecipe, side: int) -> Array:
    """Cut out, resize and flip: (image, height, channel, width) to (image, side, channel, side)."""
    height, width = x.shape[1], x.shape[3]
    flipped = draws.flip < recipe.flip
    upright = jnp.zeros_like(flipped)
    if recipe.pad:
        boxes = padded_boxes(draws, (height, width), side, recipe.pad)
        return resampled(x, shifts(boxes.top, upright, (side, height)), shifts(boxes.left, flipped, (side, width)))
    if recipe.crop_scale is None and (height, width) == (side, side):
        return jnp.where(each(flipped), x[..., ::-1], x) if recipe.flip else x
    boxes = random_boxes(draws, (height, width), recipe) if recipe.crop_scale else whole_boxes(len(x), (height, width))
    rows = axis_weights(boxes.top, boxes.height, upright, (side, height), recipe.interpolation)
    columns = axis_weights(boxes.left, boxes.width, flipped, (side, width), recipe.interpolation)
    return resampled(x, rows, columns)


def black_square(x: Float[Array, "image height 3 width"], draws: Draws, side: int) -> Array:
    """Return the images with a black square in each, cut off at the border (Cutout, DeVries and Taylor 2017)."""
    inside = []
    for axis, length in enumerate((x.shape[1], x.shape[3])):
        begin = below(draws.cutout[:, axis], length) - side // 2
        pixel = np.arange(length, dtype=np.float32)[None]
        inside.append((pixel >= begin[:, None]) & (pixel < begin[:, None] + 2 * (side // 2)))
    return jnp.where(inside[0][:, :, None, None] & inside[1][:, None, None, :], 0, x)
