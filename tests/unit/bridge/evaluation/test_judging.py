"""Judging an encoder: the probe of either recipe, and which images an SGD probe learns from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge import views
from dynsim.bridge.data.tasks import LabelledImages, Task
from dynsim.bridge.evaluation import judging
from dynsim.bridge.options import Judging
from dynsim.bridge.options.probes import PROBE_RECIPES

N, CLASSES, SIDE = 24, 3, 4


def images(seed: int) -> LabelledImages:
    """Images of one colour each, the classes red, green and blue, with some noise."""
    random, labels = np.random.default_rng(seed), np.repeat(np.arange(CLASSES), N // CLASSES)
    pixels = 60 + 120 * np.eye(3)[labels][:, None, None, :] + random.normal(0, 10, (N, SIDE, SIDE, 3))
    return LabelledImages(pixels.astype(np.uint8), labels)


def colours(seen: jax.Array) -> jax.Array:
    return jnp.mean(seen.astype(jnp.float32), axis=(1, 2)) / (255 if seen.dtype == jnp.uint8 else 1)


TASK = Task(*(images(seed) for seed in range(5)), np.array([8, 4, 2]), np.array(["many", "medium", "few"]))


@pytest.mark.parametrize("recipe", ["sdclr", "short"])
def test_both_recipes_learn_what_is_plain_to_see(recipe, monkeypatch):
    """The SGD probe sees augmented views in [0, 1], the other one features that are computed once."""
    shown, augment = [], views.augment

    def watched(key, pixels, recipe):
        found = augment(key, pixels, recipe)
        shown.append((pixels.dtype, found.dtype, recipe))
        return found

    monkeypatch.setattr(views, "augment", watched)
    shorter = dataclasses.replace(PROBE_RECIPES[recipe], epochs=12, milestones=(), batch_size=12)
    monkeypatch.setitem(PROBE_RECIPES, recipe, shorter)
    found = judging.judge_encoder(TASK, jax.tree_util.Partial(colours), Judging(recipe, recipe, neighbours=3), seed=0)
    assert [found[probe]["all_classes"] for probe in ("linear", "few_shot", "knn")] == [1.0, 1.0, 1.0]
    assert found["linear"]["per_class"] == [1.0, 1.0, 1.0] and 1 <= found["linear"]["best_epoch"] <= 12
    wanted = {(np.dtype(np.uint8), np.dtype(np.float32), views.RECIPES["probe"])} if recipe == "sdclr" else set()
    assert set(shown) == wanted
