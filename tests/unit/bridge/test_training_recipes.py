"""Published trainings on large images: their numbers, and what of a network they train."""

import dataclasses

import jax
import numpy as np
import pytest

from dynsim.bridge.data.lists import IMAGE_LISTS
from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.networks.network import split_model
from dynsim.bridge.options import RECIPES, TRAINING_RECIPES, Supervised, training_recipe
from dynsim.bridge.supervised.parts import joined_parts, trained_part
from dynsim.config import ConfigError

# of the published scripts: images in a batch, learning rate, weight decay, epochs
NUMBERS = {
    "imagenet-lt-resnet50-acl": (128, 0.04, 5e-4, 400),
    "imagenet-lt-resnext50-acl": (128, 0.06, 5e-4, 400),
    "imagenet-lt-resnext101-acl": (128, 0.06, 5e-4, 400),
    "imagenet-lt-resnet50-bcl": (256, 0.1, 5e-4, 90),
    "imagenet-lt-resnext50-bcl": (256, 0.1, 5e-4, 90),
    "imagenet-lt-resnext50-plain": (512, 0.2, 5e-4, 90),
    "inaturalist-resnet50-acl": (128, 0.04, 1e-4, 400),
    "inaturalist-resnet50-plain": (512, 0.2, 1e-4, 90),
    "places-lt-resnet152-acl": (128, 0.02, 5e-4, 30),
}


def test_the_numbers_of_the_published_code():
    found = {name: one.training for name, one in TRAINING_RECIPES.items()}
    assert {n: (o.batch_size, o.learning_rate, o.weight_decay, o.epochs) for n, o in found.items()} == NUMBERS
    for name, one in TRAINING_RECIPES.items():
        options = one.training
        assert one.images in IMAGE_LISTS and one.source
        assert set(one.left_open) <= {field.name for field in dataclasses.fields(Supervised)}
        assert name.split("-resn")[0] == one.images.removesuffix("_2018").replace("_", "-")
        assert options.network.stem == "imagenet" and {RECIPES[view].side for view in options.views} == {224}
        assert options.network.architecture.split("_")[0] in name
        assert (options.network.mean[0] == 0.466) == (one.images == "inaturalist_2018")
        assert one.pretrained == (options.trained != "all") == (one.images == "places_lt")
    with pytest.raises(ConfigError, match="training recipe: wanted one of"):
        training_recipe("imagenet-lt-resnet50-alc")


def test_views_of_the_published_code():
    plain, first, paco, bcl = (
        RECIPES[n] for n in ("large-plain", "large-supervised", "paco-sim-large", "bcl-sim-large")
    )
    for recipe in (plain, first, paco, bcl):
        assert (recipe.crop_scale, recipe.interpolation, recipe.flip, recipe.side) == ((0.08, 1), "bilinear", 0.5, 224)
    assert (first.jitter, first.brightness, first.contrast, first.saturation, first.hue) == (1, 0.4, 0.4, 0.4, 0)
    assert (paco.jitter, paco.hue, paco.grey, paco.blur) == (1, 0, 0.2, 0.5)
    assert (bcl.jitter, bcl.hue, bcl.grey, bcl.blur) == (0.8, 0.1, 0.2, 0)
    assert plain.jitter == first.grey == 0


def named(tree):
    """Return the names of the arrays of a tree."""
    return {".".join(step.key for step in path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("trained", ["all", "last_block", "last_block_and_norms"])
def test_what_is_trained(trained):
    _, shapes, _ = split_model(NetworkShape("resnet20", width=1 / 16, embedding_dim=4))
    params = {
        "network": jax.tree.map(lambda one: np.zeros(one.shape, np.float32), shapes),
        "classifier": {"bias": np.ones(3)},
    }
    own, kept = trained_part(params, trained)
    assert jax.tree.structure(joined_parts(own, kept)) == jax.tree.structure(params)
    last = {name for name in named(params) if name.startswith("network.layer3.2.")}
    always = {name for name in named(params) if name.startswith(("network.head.", "classifier."))}
    norms = {name for name in named(params) - always if name.endswith((".scale", ".bias"))}
    wanted = {"all": named(params), "last_block": last | always, "last_block_and_norms": last | always | norms}[trained]
    assert len(last) == 6 and named(own) == wanted and named(kept) == named(params) - wanted


def test_runs_from_before_the_choice_are_known_again():
    assert "trained" not in Supervised().values()
    assert Supervised(trained="last_block").values()["trained"] == "last_block"
