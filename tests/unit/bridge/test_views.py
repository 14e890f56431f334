"""The views against those of Pillow, made from the same random numbers; and what is refused."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dynsim.bridge.views import RECIPES, ViewRecipe, augment, pair
from dynsim.bridge.views.augment import side_of_views, views_of
from dynsim.bridge.views.colour import shift_hue
from dynsim.bridge.views.draws import Draws, draw_views
from dynsim.config import ConfigError
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
# Without a black square, which every image would have.
PLAIN = ViewRecipe(**{**vars(EVERY_STEP), "cutout": 0})
MIXTURES = ViewRecipe(jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4)
HUE = ViewRecipe(jitter=1.0, hue=0.5, random_order=False)
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
    free = {"crop": ("area", "aspect"), "none": ()}.get(step, (step,))
    acts = {name: np.zeros_like(draws.flip) for name in free if name not in ("area", "aspect")}
    return draws._replace(**{name: value for name, value in still.items() if name not in free} | acts)


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
    assert len(draws.flip) == len(images)
    expected = [pillow_view(row, image, recipe) for row, image in zip(rows_of(draws), images, strict=True)]
    return np.abs(levels(compiled(draws, images, recipe)) - np.stack(expected))


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


def test_brightness_contrast_and_saturation_equal_those_of_pillow_in_any_order(images):
    draws = numbers()
    assert against_pillow(draws, images, MIXTURES).max() == 0
    assert len(np.unique((draws.order * 24).astype(int))) > 12


def test_a_fixed_order_is_the_one_of_the_fields(images):
    """Brightness, contrast, saturation; what is mixed here is told from every other order by the tests above."""
    draws = numbers()
    fixed = ViewRecipe(**{**vars(MIXTURES), "random_order": False})
    assert against_pillow(draws, images, fixed).max() == 0
    assert np.any(levels(compiled(draws, images, fixed)) != levels(compiled(draws, images, MIXTURES)))


def hue_reference(pixels: np.ndarray, shift: int) -> np.ndarray:
    """Return one pixel with its hue shifted, in exact fractions: hue and saturation are cut to whole levels."""
    value, least = max(pixels), min(pixels)
    if value == least:
        return np.array(pixels)
    red, green, blue = (Fraction(value - p, value - least) for p in pixels)
    sixths = [blue - green, 2 + red - blue, 4 + green - red][list(pixels).index(value)]
    hue = (int(sixths / 6 % 1 * 255) + shift) % 256
    saturation = Fraction(int(Fraction(value - least, value) * 255), 255)
    sector, rest = divmod(Fraction(6 * hue, 255), 1)
    low, falling, rising = (value * (1 - saturation * f) for f in (1, rest, 1 - rest))
    low, falling, rising = (int(level + Fraction(1, 2)) for level in (low, falling, rising))
    cycle = [value, falling, low, low, rising, value]  # of red; green lags by two sectors, blue by four
    return np.array([cycle[(int(sector) - lag) % 6] for lag in (0, 2, 4)])


def test_hue_is_exact():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (4, 8, 3, 32))
    pixels[0] = rng.integers(0, 3, (8, 3, 32)) * 85  # primary and mixed colours, black and grey
    pixels[1] = rng.integers(0, 18, (8, 3, 32)) * 15  # hues and saturations that are whole levels
    shifts = np.array([0, 25, 131, 255])
    shifted = np.asarray(jax.jit(shift_hue)(pixels.astype(np.float32), shifts.astype(np.float32)))
    listed = pixels.swapaxes(2, 3).reshape(4, -1, 3).tolist()
    expected = [[hue_reference(pixel, shift) for pixel in image] for image, shift in zip(listed, shifts, strict=True)]
    np.testing.assert_array_equal(shifted.swapaxes(2, 3).reshape(4, -1, 3), expected)


def test_hue_is_that_of_pillow_but_for_whole_levels(images):
    """Where hue or saturation is a whole level exactly, Pillow's own rounding may make it the one below."""
    difference = against_pillow(only("jitter", numbers()), images, HUE)
    assert np.mean(difference > 0) < 0.01
    assert difference.max() <= 6


@pytest.mark.parametrize("recipe", [EVERY_STEP, RECIPES["probe"]], ids=["every step", "probe"])
def test_whole_views_are_those_of_pillow(recipe, images):
    difference = against_pillow(numbers(), images, recipe)
    assert np.mean(difference > 0) < (0.03 if recipe.crop_scale else 1e-9)
    assert np.mean(difference > 2) < 0.002


def test_bilinear_views_of_another_size_are_antialiased_as_by_pillow():
    images = np.random.default_rng(2).integers(0, 256, (6, 21, 33, 3), np.uint8)
    recipe = ViewRecipe(crop_scale=(0.2, 1.0), interpolation="bilinear", side=8)
    difference = against_pillow(numbers(6), images, recipe)
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.02


def test_a_pair_is_two_independent_views(images):
    key = jax.random.key(5)
    first, second = (levels(view) for view in jax.jit(pair, static_argnums=2)(key, images, RECIPES["probe"]))
    once = jax.jit(augment, static_argnums=2)
    for view, got in enumerate((first, second)):
        alone = levels(once(jax.random.fold_in(key, view), images, RECIPES["probe"]))
        np.testing.assert_array_equal(got, alone)
    assert np.all(np.any(first != second, axis=(1, 2, 3)))


def test_nothing_is_done_without_a_step(images):
    np.testing.assert_array_equal(levels(compiled(numbers(), images, RECIPES["none"])), images)


def test_views_of_another_size_need_no_random_box():
    images = np.random.default_rng(3).integers(0, 256, (2, 8, 12, 3), np.uint8)
    expected = [np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BICUBIC)) for image in images]
    got = levels(compiled(numbers(2), images, ViewRecipe(side=4)))
    assert np.abs(got - np.stack(expected)).max() <= 1


def test_the_published_recipes():
    """The numbers of the published code."""
    sdclr, simclr, probe = RECIPES["sdclr"], RECIPES["simclr"], RECIPES["probe"]
    assert (sdclr.crop_scale, sdclr.interpolation, sdclr.flip, sdclr.blur) == ((0.1, 1), "bicubic", 0.5, 0)
    assert (sdclr.jitter, sdclr.brightness, sdclr.contrast, sdclr.saturation) == (0.8, 0.4, 0.4, 0.4)
    assert (sdclr.hue, sdclr.grey, sdclr.random_order) == (0.1, 0.2, True)
    assert simclr == ViewRecipe(**{**vars(sdclr), "crop_scale": (0.08, 1.0)})
    assert str(probe) == "pad 4, flip 0.5"
    assert str(RECIPES["none"]) == "unchanged"
    assert all(recipe.source for recipe in RECIPES.values())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flip": 1.5}, "flip: wanted a number from 0 to 1, got 1.5"),
        ({"hue": 0.6}, "hue: wanted a number from 0 to 0.5, got 0.6"),
        (
            {"crop_scale": (0.0, 1.0)},
            "crop_scale: wanted two shares of the area, 0 < smallest <= largest <= 1, got (0.0, 1.0)",
        ),
        ({"interpolation": "nearest"}, "interpolation: wanted one of bilinear, bicubic, got nearest"),
        ({"crop_scale": (0.1, 1.0), "pad": 4}, "pad: wanted 0 where crop_scale is given: one crop at a time, got 4"),
    ],
)
def test_a_recipe_that_makes_no_view_is_refused(fields, message):
    with pytest.raises(ConfigError) as refused:
        ViewRecipe(**fields)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("shape", "dtype", "fields", "message"),
    [
        ((2, 8, 8, 1), np.uint8, {}, "pixels: wanted uint8 of shape (image, height, width, 3), got uint8 of shape"),
        ((2, 8, 8, 3), np.float32, {}, "pixels: wanted uint8 of shape (image, height, width, 3), got float32"),
        ((2, 8, 6, 3), np.uint8, {}, "side: wanted a number of pixels for images of 8 x 6, got None; give one"),
        ((2, 8, 8, 3), np.uint8, {"pad": 1, "side": 12}, "side: wanted at most 10 pixels for images of 8 x 8 with 1"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, dtype, fields, message):
    with pytest.raises(ConfigError) as refused:
        side_of_views(shape, np.dtype(dtype), ViewRecipe(**fields))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)
