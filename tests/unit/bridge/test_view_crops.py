"""Boxes against an independent sampler, weights against what makes the sums exact."""

import math

import jax
import numpy as np
import pytest

from dynsim.bridge.views import ViewRecipe
from dynsim.bridge.views.crops import FINENESS, axis_weights, central_box, padded_boxes, random_boxes
from dynsim.bridge.views.draws import draw_views
from tests.pillow_views import box_of, rows_of

N_BOXES = 6000
SHAPE = (12, 16)
RECIPE = ViewRecipe(crop_scale=(0.08, 1.0), crop_aspect=(0.5, 2.0), side=8)
draws_of = jax.jit(draw_views, static_argnums=1)
boxes_of = jax.jit(random_boxes, static_argnums=(1, 2))


@pytest.fixture(scope="module")
def draws():
    return draws_of(jax.random.key(11), N_BOXES)


def sampled_boxes(n: int, seed: int) -> np.ndarray:
    """Return top, left, height and width of boxes, drawn one number at a time as torchvision draws them."""
    rng = np.random.default_rng(seed)
    height, width = SHAPE
    boxes = []
    for _ in range(n):
        for _ in range(10):
            target = height * width * rng.uniform(*RECIPE.crop_scale)
            ratio = math.exp(rng.uniform(*(math.log(a) for a in RECIPE.crop_aspect)))
            w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < w <= width and 0 < h <= height:
                boxes.append((rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w))
                break
        else:
            boxes.append((0, 0, height, width))
    return np.array(boxes)


def test_boxes_are_distributed_as_those_of_an_independent_sampler(draws):
    """Area, aspect and each coordinate by themselves: Kolmogorov's distance between two samples of this size.

    It exceeds 2.2 sqrt(2 / n) with probability 1e-4 where both come from one distribution (and less for whole numbers).
    """
    top, left, height, width = np.asarray(boxes_of(draws, SHAPE, RECIPE)).astype(int)
    other = sampled_boxes(N_BOXES, 12).T
    ours = [top, left, height, width, height * width, width / height, SHAPE[0] - height - top, SHAPE[1] - width - left]
    theirs = [
        *other,
        other[2] * other[3],
        other[3] / other[2],
        SHAPE[0] - other[2] - other[0],
        SHAPE[1] - other[3] - other[1],
    ]
    for mine, his in zip(ours, theirs, strict=True):
        values = np.unique(np.concatenate([mine, his]))
        distance = np.abs(np.mean(mine[None] <= values[:, None], 1) - np.mean(his[None] <= values[:, None], 1)).max()
        assert distance < 2.2 * math.sqrt(2 / N_BOXES)
    assert np.all((top >= 0) & (left >= 0) & (top + height <= SHAPE[0]) & (left + width <= SHAPE[1]))


def test_boxes_equal_those_computed_one_by_one_in_float64(draws):
    ours = np.stack(boxes_of(draws, SHAPE, RECIPE), axis=1)
    rows = rows_of(jax.tree.map(lambda part: part[:2000], draws))
    theirs = np.array([box_of(row, SHAPE, RECIPE.crop_scale, RECIPE.crop_aspect) for row in rows])
    # a side near a half may be rounded otherwise in float32
    assert np.mean(np.any(ours[:2000] != theirs, axis=1)) < 0.001


@pytest.mark.parametrize(
    ("shape", "aspects", "box"),
    [((8, 8), (3.0, 4.0), (3, 8)), ((8, 8), (0.2, 0.25), (8, 2)), ((9, 7), (0.5, 2.0), (9, 7))],
)
def test_the_box_that_is_taken_where_none_fits(shape, aspects, box):
    """By hand: 8 / 3 is 2.7 rows, 8 x 0.25 are 2 columns; a whole image of an allowed aspect stays whole."""
    assert central_box(shape, aspects) == box


def test_an_image_that_no_box_fits_is_cut_in_the_middle():
    recipe = ViewRecipe(crop_scale=(1.0, 1.0), crop_aspect=(3.0, 4.0))
    boxes = boxes_of(draws_of(jax.random.key(0), 5), (8, 8), recipe)
    np.testing.assert_array_equal(np.stack(boxes, axis=1), [[2, 0, 3, 8]] * 5)


def test_padded_crops_begin_anywhere(draws):
    boxes = padded_boxes(draws, (8, 8), 8, 4)
    corners = np.stack([boxes.top, boxes.left], axis=1).astype(int)
    counts = np.zeros((9, 9), int)
    np.add.at(counts, tuple((corners + 4).T), 1)
    expected = N_BOXES / 81
    # the sum is chi-square with 80 degrees of freedom: mean 80, deviation 12.6
    assert ((counts - expected) ** 2 / expected).sum() < 80 + 5 * 12.6


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_sums_of_weighted_levels_are_exact_in_float32(interpolation):
    """Whole numbers below 2^24: the weights are multiples of 2^-15, and so the products with levels up to 255."""
    begin, length = (axis.ravel().astype(np.float32) for axis in np.mgrid[0:32, 1:33])
    inside = begin + length <= 32
    begin, length = begin[inside], length[inside]
    weigh = jax.jit(axis_weights, static_argnums=(3, 4))
    weights = np.asarray(weigh(begin, length, np.zeros(len(begin), bool), (32, 32), interpolation), np.float64)
    assert np.all(weights * FINENESS == np.rint(weights * FINENESS))
    assert np.abs(weights).sum(axis=2).max() * 255 * FINENESS < 2**24
    assert np.abs(weights.sum(axis=2) - 1).max() <= 4 * 0.5 / FINENESS
    outside = (np.arange(32) < begin[:, None]) | (np.arange(32) >= (begin + length)[:, None])
    assert np.all(weights.max(axis=1)[outside] == 0)
