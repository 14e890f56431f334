"""AutoAugment: each operation at each level against Pillow's, the policy for CIFAR-10, and what is refused.

Operations equal Pillow's, or a few values differ by one level. A shear's weights are rounded to 2^-15 here. A change of
colour with a factor in tenths, and autocontrast, give a level that is whole exactly, where Pillow's factor, rounded to
float32 or float64, may give the one below it.
"""

import jax
import numpy as np
import pytest
from PIL import Image

from dynsim.bridge.options.policies import OPERATIONS, POLICIES, SIGNED, Policy, PolicyStep
from dynsim.bridge.views import RECIPES, ViewRecipe
from dynsim.bridge.views.augment import views_of
from dynsim.bridge.views.draws import COLUMNS, Draws, draw_views
from dynsim.bridge.views.policy import follow_policy
from dynsim.config import ConfigError
from tests.pillow_views import operated, pillow_view, rows_of

SIDE = 16
LEVELS = (0, 3, 6, 9)
CASES = [(name, level, sign) for name in OPERATIONS for level in LEVELS for sign in (-1, 1)]
IMAGES_PER_CASE = 5
STILL = PolicyStep("invert", 0.0, 0)
ALL = Policy(tuple((PolicyStep(name, 1.0, level), STILL) for name in OPERATIONS for level in LEVELS))
# the largest share of values that may be off by one level
OFF_BY_ONE = {"shear": 0.005, "colour": 0.005, "contrast": 0.005, "brightness": 0.005, "sharpness": 0.005}
OFF_BY_ONE["autocontrast"] = 0.001


def pictures(n_images: int) -> np.ndarray:
    """Return five kinds of images in turn: noise, few levels, one colour, two smooth ones as photographs are."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.uniform(-80, 335, (n_images, 4, 4, 3)), np.ones((1, 4, 4, 1)))
    smooth += rng.normal(0, 12, smooth.shape)
    smooth[::5] = rng.uniform(0, 255, smooth[::5].shape)
    smooth[1::5] = rng.integers(100, 140, smooth[1::5].shape)
    smooth[2::5] = rng.integers(0, 256, (*smooth[2::5].shape[:1], 1, 1, 3))
    return np.clip(smooth, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def by_operation() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return {operation: (views, those of Pillow)}, all from one compiled program."""
    cases = [case for case in CASES for _ in range(IMAGES_PER_CASE)]
    pairs = pictures(len(cases) // 2).reshape(-1, IMAGES_PER_CASE, SIDE, SIDE, 3)
    images = np.repeat(pairs, 2, axis=0).reshape(-1, SIDE, SIDE, 3)  # the same ones for both signs
    numbers = np.zeros((len(cases), 5), np.float32)
    for row, (name, level, sign) in zip(numbers, cases, strict=True):
        place = OPERATIONS.index(name) * len(LEVELS) + LEVELS.index(level)
        row[:] = (place + 0.5) / len(ALL.sub_policies), 0.5, 0.5, 0.5 + 0.25 * sign, 0.5
    moved = jax.jit(follow_policy, static_argnums=2)(images.swapaxes(2, 3).astype(np.float32), numbers, ALL)
    views = np.asarray(moved).swapaxes(2, 3)
    expected = np.stack([operated(Image.fromarray(p), *case) for p, case in zip(images, cases, strict=True)])
    chosen = {name: [n for n, case in enumerate(cases) if case[0] == name] for name in OPERATIONS}
    return {name: (views[rows], expected[rows].astype(int)) for name, rows in chosen.items()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_that_of_pillow_but_for_one_level_where_rounding_differs(name, by_operation):
    views, expected = by_operation[name]
    assert views.dtype == np.float32
    difference = np.abs(views - expected)
    assert difference.max() <= 1
    assert np.mean(difference) <= OFF_BY_ONE.get(name.split()[0], 0)


@pytest.mark.parametrize("name", SIGNED)
def test_an_operation_with_a_direction_differs_between_both(name, by_operation):
    views = by_operation[name][0].reshape(len(LEVELS), 2, IMAGES_PER_CASE, -1)
    # a change of contrast or sharpness does nothing to an image of one colour
    assert np.all(np.any(views[1:, 0] != views[1:, 1], axis=-1)[:, [0, 3, 4]])
    np.testing.assert_array_equal(views[0, 0], views[0, 1])  # at level 0 there is no direction


def test_the_first_view_of_paco_is_that_of_pillow():
    """Crop, flip, the policy for CIFAR-10 and the black square; two steps, so that a difference may grow a little."""
    recipe, n_images = RECIPES["paco-auto"], 200
    rng = np.random.default_rng(3)
    table = {name: rng.random((n_images, n), np.float32).squeeze() for name, n in {**COLUMNS, "policy": 5}.items()}
    draws, images = Draws(**table), pictures(n_images)
    views = np.asarray(jax.jit(views_of, static_argnums=2)(draws, images, recipe)) * 255
    expected = np.stack([pillow_view(row, image, recipe) for row, image in zip(rows_of(draws), images, strict=True)])
    difference = np.abs(views - expected)
    assert np.mean(difference > 1e-3) < 0.002
    assert np.mean(difference > 1.001) < 0.0005
    plain = ViewRecipe(**{**vars(recipe), "policy": None})
    without = np.stack([pillow_view(row, image, plain) for row, image in zip(rows_of(draws), images, strict=True)])
    assert 0.5 < np.mean(np.any(without != expected, axis=(1, 2, 3))) < 1  # it is not Pillow alone that does nothing


def test_the_numbers_of_a_policy_are_its_own():
    """Each of them differs from the numbers of all other steps; of image n they depend on the key and on n only."""
    draws, fewer = jax.jit(lambda key: (draw_views(key, 4), draw_views(key, 2)))(jax.random.key(3))
    assert draws.policy.shape == (4, 5) and len(np.unique(draws.policy)) == 20
    assert not any(np.isin(draws.policy, part).any() for part in draws[:-1])
    np.testing.assert_array_equal(fewer.policy, draws.policy[:2])


def test_the_published_policy_and_recipes():
    """Cubuk et al. 2019: 25 sub-policies; the first and the last of them, and how often operations come."""
    policy = POLICIES["cifar10"]
    assert len(policy.sub_policies) == 25
    assert policy.sub_policies[0] == (("invert", 0.1, 7), ("contrast", 0.2, 6))
    assert policy.sub_policies[-1] == (("translate y", 0.7, 9), ("autocontrast", 0.9, 1))
    names = [step.operation for step in policy.steps]
    assert [names.count(name) for name in OPERATIONS] == [0, 2, 2, 5, 1, 5, 2, 4, 5, 1, 4, 7, 9, 3]
    assert sum(step.chance for step in policy.steps) == pytest.approx(26.5)
    assert str(RECIPES["paco-auto"]) == "pad 4, flip 0.5, policy cifar10, cutout 16"
    assert str(RECIPES["supervised"]) == "pad 4, flip 0.5"
    assert (RECIPES["paco-sim"].blur, RECIPES["paco-sim"].crop_scale) == (0.5, (0.2, 1.0))


@pytest.mark.parametrize(
    ("sub_policies", "message"),
    [
        ((), "sub_policies: wanted one or more of two steps each, got steps []"),
        (((STILL,),), "sub_policies: wanted one or more of two steps each, got steps [1]"),
        (((STILL, PolicyStep("twirl", 0.5, 1)),), "operation: wanted one of shear x, shear y,"),
        (((STILL, PolicyStep("invert", 1.5, 1)),), "chance of invert: wanted a number from 0 to 1, got 1.5"),
        (((STILL, PolicyStep("rotate", 0.5, 10)),), "level of rotate: wanted a whole number from 0 to 9, got 10"),
    ],
)
def test_a_policy_that_cannot_be_done_is_refused(sub_policies, message):
    with pytest.raises(ConfigError) as refused:
        Policy(sub_policies)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match=r"^policy: wanted one of cifar10, or None, got imagenet$"):
        ViewRecipe(policy="imagenet")
