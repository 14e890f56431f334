"""The views against those of Pillow, made from the same random numbers; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.views import ViewRecipe
from dynsim.bridge.views.augment import views_of
from dynsim.bridge.views.draws import Draws, draw_views
from tests.pillow_views import pillow_view, rows_of

N_IMAGES, SIDE = 24, 16
EVERY_STEP = ViewRecipe(
    crop_scale=(0.1, 1.0),
    flip=0.5,
    jitter=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.5,
    grey=0.2,
    blur=0.5,
    cutout=6,
)
compiled = jax.jit(views_of, static_argnums=2)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth images, as photographs are, but for a few of noise."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-80, 335, (N_IMAGES, 4, 4, 3))
    smooth = np.kron(coarse, np.ones((1, 4, 4, 1))) + rng.normal(0, 12, (N_IMAGES, SIDE, SIDE, 3))
    noise = rng.uniform(0, 255, smooth.shape)
    chosen = np.arange(N_IMAGES)[:, None, None, None] % 4 == 0
    return np.clip(np.where(chosen, noise, smooth), 0, 255).astype(np.uint8)


def numbers(n_images: int = N_IMAGES, seed: int = 0) -> Draws:
    """Return the numbers of some images, drawn here."""
    return jax.tree.map(np.asarray, jax.jit(draw_views, static_argnums=1)(jax.random.key(seed), n_images))


def only(step: str, draws: Draws) -> Draws:
    """Return numbers with which no step but one changes the image."""
    last = np.float32(1 - 2**-23)
    still = {
        "area": np.full_like(draws.area, last),
        "aspect": np.full_like(draws.aspect, 0.5),
        "flip": np.full_like(draws.flip, last),
        "jitter": np.full_like(draws.jitter, last),
        "grey": np.full_like(draws.grey, last),
        "blur": np.full_like(draws.blur, last),
    }
    free = {"crop": ("area", "aspect"), "jitter": ("jitter",)}.get(step, (step,))
    acts = {name: np.zeros_like(draws.flip) for name in free if name not in ("area", "aspect")}
    return draws._replace(**{name: value for name, value in still.items() if name not in free}, **acts)


def levels(views: jax.Array) -> np.ndarray:
    """Return the views in whole levels; they are such, and within [0, 1]."""
    assert views.dtype == jnp.float32
    views = np.asarray(views)
    whole = np.rint(views * 255)
    np.testing.assert_array_equal(views, whole.astype(np.float32) * np.float32(1 / 255))
    assert views.min() >= 0 and views.max() <= 1
    return whole.astype(int)


def against_pillow(draws: Draws, images: np.ndarray, recipe: ViewRecipe) -> np.ndarray:
    """Return by how many levels the views differ from those of Pillow."""
    expected = [pillow_view(row, image, recipe) for row, image in zip(rows_of(draws), images, strict=True)]
    return np.abs(levels(compiled(draws, images, recipe)) - np.stack(expected))


# Without a black square, which every image would have.
PLAIN = ViewRecipe(**{**vars(EVERY_STEP), "cutout": 0})


@pytest.mark.parametrize("step", ["none", "flip", "grey"])
def test_a_step_equals_that_of_pillow(step, images):
    assert against_pillow(only(step, numbers()), images, PLAIN).max() == 0


def test_resized_crops_are_those_of_pillow_up_to_rounding(images):
    """The weights are rounded to 2^-15 here and to 2^-22 in Pillow: a value near a half may be rounded otherwise."""
    difference = against_pillow(only("crop", numbers()), images, PLAIN)
    assert difference.max() <= 2
    assert np.mean(difference > 0) < 0.01
    assert np.mean(difference > 1) < 0.0005


def test_blur_is_that_of_pillow_up_to_rounding(images):
    difference = against_pillow(only("blur", numbers()), images, PLAIN)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.01


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation"])
def test_a_mixture_equals_that_of_pillow(change, images):
    draws = only("jitter", numbers())
    position = ("brightness", "contrast", "saturation").index(change)
    ...
