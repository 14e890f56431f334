"""Crops of images in files: the boxes and views of images on the device, the central square, what is refused."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from PIL import Image

from dynsim.bridge.data import DataError, read_list
from dynsim.bridge.options import RECIPES, Supervised, ViewRecipe
from dynsim.bridge.supervised.epoch import views_of_rows
from dynsim.bridge.supervised.sources import ListedImages, identifying_arrays
from dynsim.bridge.views.crops import random_boxes
from dynsim.bridge.views.draws import draw_views
from dynsim.bridge.views.listed import CropNumbers, central_square, check_listed_recipes, cut_rows, random_box
from dynsim.config import ConfigError

CROP = ViewRecipe(crop_scale=(0.08, 1.0), interpolation="bilinear", flip=0.5, side=8)
WIDE = ViewRecipe(
    crop_scale=(0.8, 1.0), crop_aspect=(1.9, 2.0), side=8
)  # often no box fits in, and the central one is taken


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return a list of files of one size."""
    root, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for k in range(3):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(root / f"{k}.png")
    (root / "list.txt").write_text("".join(f"{k}.png {k % 2}\n" for k in range(3)))
    return read_list(root / "list.txt", root, 2)


@pytest.mark.parametrize("recipe", [CROP, WIDE], ids=["any box", "wide boxes"])
def test_a_box_is_the_one_that_the_device_takes(recipe):
    draws = jax.jit(draw_views, static_argnums=1)(jax.random.key(3), 500)
    top, left, height, width = np.array(jax.jit(random_boxes, static_argnums=(1, 2))(draws, (37, 50), recipe)).astype(
        int
    )
    wanted = np.stack([left, top, left + width, top + height], axis=1)
    rows = zip(*(np.asarray(one) for one in (draws.area, draws.aspect, draws.place)), strict=True)
    np.testing.assert_array_equal([random_box(CropNumbers(*row), (37, 50), recipe) for row in rows], wanted)


def test_a_view_of_a_file_is_that_of_its_pixels_on_the_device(tree, monkeypatch):
    """Up to a level, as far as resizing on the device is Pillow's; two views of three images, and a padded row."""
    monkeypatch.setitem(RECIPES, "crop", CROP)
    images = ListedImages(tree, Supervised(views=("crop",) * 2, view_counts="uniform"))
    rows, blocks, key = np.array([2, 0, 1, 0, 1, -1]), (3, 3), jax.random.key(5)
    with ThreadPoolExecutor(2) as pool:
        crops = images.rows(key, rows, blocks, pool)
    assert not crops[5].any()
    own = jax.random.fold_in(key, 0)
    pixels = np.stack([tree.decode(max(row, 0)) for row in rows.tolist()])
    both = jax.jit(views_of_rows, static_argnums=(2, 3))
    found, wanted = both(own, crops, images.recipes, blocks), both(own, pixels, images.given, blocks)
    np.testing.assert_allclose(found[:5], wanted[:5], rtol=0, atol=1.01 / 255)
    assert np.mean(np.abs(np.asarray(found - wanted)[:5]) < 1e-6) > 0.9


def test_the_central_square():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (8, 14, 3), np.uint8)  # its shorter side is 8/7 of 7: nothing is resized
    np.testing.assert_array_equal(central_square(pixels, 7), pixels[:7, 4:11])  # a half pixel goes to the even side
    upright = np.repeat(np.repeat(rng.integers(0, 256, (8, 4, 1), np.uint8), 2, 0), 2, 1).repeat(3, 2)
    small = np.asarray(Image.fromarray(upright).resize((16, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(central_square(upright, 14), small[9:23, 1:15])


def test_a_file_is_decoded_once_for_all_of_its_rows(tree, monkeypatch):
    calls, decode = [], type(tree).decode
    monkeypatch.setattr(type(tree), "decode", lambda images, index: calls.append(index) or decode(images, index))
    rows = np.array([2, 2, 0, 2, -1])
    with ThreadPoolExecutor(2) as pool:
        found = cut_rows(tree, rows, lambda pixels, row: pixels[:4, :4] // (row + 1), 4, pool)
    assert sorted(calls) == [0, 2]
    for row, image in enumerate(rows.tolist()):
        np.testing.assert_array_equal(found[row], decode(tree, image)[:4, :4] // (row + 1) if image >= 0 else 0)


def test_a_file_that_is_no_image_ends_in_one_line(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "list.txt").write_text("broken.png 0\n")
    images = read_list(tmp_path / "list.txt", tmp_path, 1)
    with ThreadPoolExecutor(2) as pool, pytest.raises(DataError, match=r"broken\.png: wanted an image") as caught:
        cut_rows(images, np.array([0, 0]), lambda pixels, row: pixels, 4, pool)
    assert "\n" not in str(caught.value)


def test_another_file_makes_another_run(tree):
    names, sizes, labels = (one.tolist() for one in identifying_arrays(tree))
    assert bytes(names) == b"0.png\n1.png\n2.png" and labels == [0, 1, 0]
    assert sizes == [(tree.root / path).stat().st_size for path in tree.paths]
    other = dataclasses.replace(tree, paths=("0.png", "none.png", "2.png"))
    assert identifying_arrays(other)[1][1] == -1


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("large-plain", "probe"), "views: wanted recipes with crop_scale and side for images in files"),
        (("sdclr",), "views: wanted recipes with crop_scale and side for images in files"),
        (("large-plain", "tiny"), "views: wanted recipes with one and the same side, got 'large-plain tiny'"),
    ],
)
def test_views_that_do_not_make_one_size_are_refused(names, words):
    recipes = [{**RECIPES, "tiny": CROP}[name] for name in names]
    with pytest.raises(ConfigError) as caught:
        check_listed_recipes(names, recipes)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
    assert check_listed_recipes(("large-plain",), [RECIPES["large-plain"]]) == 224
