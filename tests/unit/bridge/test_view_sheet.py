"""The contact sheet shows each image and its views, in rows, under the names of the recipes."""

import jax
import numpy as np
import pytest

from dynsim.bridge.views import RECIPES, augment
from dynsim.bridge.views.sheet import contact_sheet
from dynsim.config import ConfigError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
KEY = jax.random.key(4)


def test_the_sheet_shows_each_image_and_its_views():
    figure = contact_sheet(KEY, IMAGES, {"as it is": RECIPES["none"], "moved": RECIPES["probe"]}, 2, ["cat", "dog"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["image", "as it is", "moved", "cat", "dog"]
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape == (18, 8 + 8 + 18 + 8 + 18, 3)  # 8 pixels a view, 2 between views, 8 between recipes
    rows = [shown[:8], shown[10:]]
    assert np.all(shown[8:10] == 1)
    moved = jax.jit(augment, static_argnums=2)(KEY, np.repeat(IMAGES, 2, axis=0), RECIPES["probe"])
    for row, image, views in zip(rows, IMAGES / np.float32(255), np.asarray(moved).reshape(2, 2, 8, 8, 3), strict=True):
        for begin, expected in zip([0, 16, 26, 42, 52], [image, image, image, *views], strict=True):
            np.testing.assert_allclose(row[:, begin : begin + 8], expected, atol=1e-6)


@pytest.mark.parametrize(("recipes", "n_views", "names"), [({}, 1, ()), (RECIPES, 0, ()), (RECIPES, 1, ("cat",))])
def test_a_sheet_with_nothing_to_show_is_refused(recipes, n_views, names):
    with pytest.raises(ConfigError, match=r"^contact sheet: wanted images, recipes, views and a name for each image"):
        contact_sheet(KEY, IMAGES, recipes, n_views, names)
