"""Published trainings on large images, end to end on a tiny tree of files: a recipe of each data set.

Networks are narrow and have one or two stages of one block, and views are 16 pixels wide: programs compile in seconds.
"""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from dynsim.bridge.data import ImageList, read_list
from dynsim.bridge.networks import load_torchvision
from dynsim.bridge.networks.network import split_model
from dynsim.bridge.networks.torch_names import to_torchvision
from dynsim.bridge.options import RECIPES, network, training_recipe
from dynsim.bridge.supervised import train_with_labels
from tests.references import hashed

COUNTS = {"train": (5, 3, 2), "val": (1, 1, 1), "test": (2, 2, 2)}


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """Return the lists of a tree of JPEG and PNG files of different sizes, by part."""
    root, rng, found = tmp_path_factory.mktemp("tree"), np.random.default_rng(0), {}
    for part, counts in COUNTS.items():
        lines = []
        for label, n in enumerate(counts):
            for k in range(n):
                name = f"{part}/{label}/{k}.{'png' if k % 2 else 'jpg'}"
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 256, (30 + 7 * k, 45 - 5 * label, 3), np.uint8)
                Image.fromarray(pixels).save(path)
                lines.append(f"{name} {label}\n")
        (root / f"{part}.txt").write_text("".join(lines))
        found[part] = read_list(root / f"{part}.txt", root, len(counts))
    return found


@pytest.fixture
def small(monkeypatch):
    """Return a function that gives the options of a recipe, for small images and a narrow and shallow network."""

    def of(name, blocks):
        options = training_recipe(name).training
        for view in options.views:
            monkeypatch.setitem(RECIPES, view, dataclasses.replace(RECIPES[view], side=16))
        layout = network.LAYOUTS[options.network.architecture]
        monkeypatch.setitem(network.LAYOUTS, options.network.architecture, layout._replace(blocks=blocks))
        shape = dataclasses.replace(options.network, width=1 / 16, head_width=8, embedding_dim=8)
        return dataclasses.replace(options, network=shape, epochs=1, batch_size=8, warmup_epochs=0)

    return of


@pytest.fixture
def decoded(monkeypatch):
    """Count how often each image is decoded."""
    found, decode = Counter(), ImageList.decode

    def counting(images, index):
        found[images.paths[index]] += 1
        return decode(images, index)

    monkeypatch.setattr(ImageList, "decode", counting)
    return found


def trained(lists, options, **more):
    return train_with_labels(lists["train"], lists["train"].counts, options, 0, **more)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["imagenet-lt-resnext50-bcl", "inaturalist-resnet50-plain"])
def test_a_recipe_trains_on_files(name, lists, small, decoded):
    found = trained(lists, small(name, (1,)), validation=lists["val"])
    assert found.epoch == 1 and all(np.isfinite(found.log[key]) for key in ("loss", "validation"))
    assert (found.log["contrastive_loss"] > 0) == name.endswith("bcl")
    assert set(found.predict(lists["test"]).tolist()) <= {0, 1, 2} and len(found.predict(lists["test"])) == 6
    # two batches, with up to three views of each image: every file is read once in the epoch
    assert {path: n for path, n in decoded.items() if path.startswith("train")} == dict.fromkeys(
        lists["train"].paths, 1
    )


@pytest.mark.slow
def test_places_trains_the_last_block_of_a_saved_encoder(lists, small, tmp_path):
    options = small("places-lt-resnet152-acl", (1, 1))
    shape = dataclasses.replace(options.network, head_layers=0, head_width=None)
    _, *trees = split_model(shape)
    names = {name: one.shape for name, one in to_torchvision(*map(zeros, trees)).items()}
    given = hashed.weights(names)
    path = tmp_path / "resnet152.safetensors"
    safetensors.numpy.save_file({**given, "fc.weight": np.zeros((3, shape.feature_dim), np.float32)}, path)
    found = trained(lists, options, encoder=load_torchvision(path, options.network))
    after = to_torchvision(found.params["network"], found.stats)
    changed = {name for name, one in given.items() if not np.array_equal(one, after[name])}
    convolutions = {name for name, one in given.items() if one.ndim == 4}
    assert changed & convolutions == {name for name in convolutions if name.startswith("layer2.0.")}
    assert changed >= set(given) - convolutions  # batch norms, statistics included


def zeros(tree):
    return {name: zeros(one) if isinstance(one, dict) else np.zeros(one.shape, bool) for name, one in tree.items()}
