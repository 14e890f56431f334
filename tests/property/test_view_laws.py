"""Laws of random views: what an image's view depends on, and what no view changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.bridge.views import RECIPES, ViewRecipe, augment
from dynsim.bridge.views.augment import views_of
from dynsim.bridge.views.draws import draw_views

N_IMAGES, SIDE = 6, 8
RECIPE = ViewRecipe(
    crop_scale=(0.1, 1.0),
    flip=0.5,
    jitter=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    grey=0.2,
    blur=0.5,
)
draws_of = jax.jit(draw_views, static_argnums=1)
compiled = jax.jit(lambda draws, pixels: views_of(draws, pixels, RECIPE))
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8)


def random_images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (N_IMAGES, SIDE, SIDE, 3), np.uint8)


@few
@given(seeds, st.integers(0, N_IMAGES - 1))
def test_a_view_does_not_depend_on_the_other_images(seed, kept):
    draws = draws_of(jax.random.key(np.uint32(seed)), N_IMAGES)
    images, others = random_images(seed), random_images(seed + 1)
    others[kept] = images[kept]
    np.testing.assert_array_equal(compiled(draws, images)[kept], compiled(draws, others)[kept])


@few
@given(seeds)
def test_the_numbers_of_an_image_do_not_depend_on_how_many_there_are(seed):
    key = jax.random.key(np.uint32(seed))
    for few_rows, all_rows in zip(draws_of(key, 2), draws_of(key, N_IMAGES), strict=True):
        np.testing.assert_array_equal(few_rows, all_rows[:2])


@few
@given(seeds)
def test_views_move_with_images_and_their_numbers(seed):
    draws, images = draws_of(jax.random.key(np.uint32(seed)), N_IMAGES), random_images(seed)
    order = np.random.default_rng(seed).permutation(N_IMAGES)
    moved = compiled(jax.tree.map(lambda part: part[order], draws), images[order])
    np.testing.assert_array_equal(moved, np.asarray(compiled(draws, images))[order])


@few
@given(seeds)
def test_a_flip_mirrors_the_view_and_nothing_else(seed):
    draws, images = draws_of(jax.random.key(np.uint32(seed)), N_IMAGES), random_images(seed)
    plain, flipped = (compiled(draws._replace(flip=np.full(N_IMAGES, u, np.float32)), images) for u in (0.9, 0.1))
    np.testing.assert_array_equal(flipped, np.asarray(plain)[:, :, ::-1])


@few
@given(seeds)
def test_grey_images_stay_grey(seed):
    images = np.repeat(random_images(seed)[..., :1], 3, axis=3)
    views = np.asarray(compiled(draws_of(jax.random.key(np.uint32(seed)), N_IMAGES), images))
    np.testing.assert_array_equal(views, np.repeat(views[..., :1], 3, axis=3))


@few
@given(seeds, st.tuples(*[st.integers(0, 255)] * 3))
def test_images_of_one_colour_stay_so(seed, colour):
    images = np.broadcast_to(np.array(colour, np.uint8), (N_IMAGES, SIDE, SIDE, 3))
    views = np.asarray(compiled(draws_of(jax.random.key(np.uint32(seed)), N_IMAGES), images))
    np.testing.assert_array_equal(views, np.broadcast_to(views[:, :1, :1], views.shape))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simclr-blur", "paco-auto"])
def test_all_programs_make_the_same_views(name):
    """Bit by bit: with and without float64, in batches of other sizes, within other programs, uncompiled."""
    key, recipe = jax.random.key(7), RECIPES[name]
    images = np.random.default_rng(8).integers(0, 256, (40, 32, 32, 3), np.uint8)
    expected = np.asarray(jax.jit(augment, static_argnums=2)(key, images, recipe))
    with jax.enable_x64(False):
        single = jax.jit(augment, static_argnums=2)(key, images, recipe)
    fewer = jax.jit(augment, static_argnums=2)(key, images[:7], recipe)

    def larger(key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        views = augment(key, images, recipe)
        return views, (views[:, 1:] * views[:, :-1]).mean(axis=(1, 2, 3))

    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, expected)
    np.testing.assert_array_equal(fewer, expected[:7])
    np.testing.assert_array_equal(jax.jit(larger)(key, images)[0], expected)
    np.testing.assert_array_equal(augment(key, jnp.asarray(images), recipe), expected)
