"""Networks against numbers of torchvision, weights under its names, and encoders and masks in files."""

import dataclasses
import json
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from dynsim.bridge.data.images import DataError
from dynsim.bridge.networks import (
    NetworkShape,
    build,
    from_torchvision,
    load_safetensors,
    load_torchvision,
    save_safetensors,
    to_torchvision,
)
from dynsim.bridge.networks.files import KEY, mask_path
from dynsim.bridge.networks.network import prunable, split_model
from dynsim.bridge.networks.torch_names import mask_from_torchvision
from tests.references import hashed

REFERENCE = {
    name: numbers
    for file in ("torchvision_resnet.json", "torch_resnext.json")
    for name, numbers in json.loads((Path(hashed.__file__).parent / file).read_text(encoding="utf-8"))["cases"].items()
}
SMALL = NetworkShape(width=1 / 16, norm_sets=2, embedding_dim=6)


@cache
def shapes_of(shape):
    return split_model(shape)[1:]


def numpy_trees(shape, seed=0):
    """Return parameters and statistics of a network from NumPy."""
    rng = np.random.default_rng(seed)
    draw = lambda one: rng.uniform(0.1, 1, one.shape).astype(np.float32)  # noqa: E731
    return [jax.tree.map(draw, tree) for tree in shapes_of(shape)]


def names_and_shapes(shape):
    """Return torchvision's names and shapes of the arrays of an encoder."""
    empty = [jax.tree.map(lambda one: np.zeros(one.shape, bool), tree) for tree in shapes_of(shape)]
    return {name: one.shape for name, one in to_torchvision(*empty).items()}


# ----- torchvision's numbers


@cache
def reference_network(name):
    """Return a network without a head with the weights of `hashed`, and torchvision's numbers."""
    wanted = REFERENCE[name]
    shape = NetworkShape(name, wanted["stem"], wanted.get("width", 1.0), head_layers=0)
    params, stats = from_torchvision(hashed.weights(names_and_shapes(shape)), shape)
    return build(shape), params, stats, jnp.asarray(hashed.images(wanted["side"])), wanted


def agree(found, wanted, rtol=1e-4):
    """Compare the first numbers of arrays; small ones to the same fraction of the largest."""
    wanted = np.array(wanted)
    first = np.asarray(found).reshape(wanted.shape[0], -1)[:, :6] if wanted.ndim == 2 else np.ravel(found)[:6]
    np.testing.assert_allclose(first, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


def forward_agrees(name):
    net, params, stats, x, wanted = reference_network(name)

    # two programs, one of them used twice: all in one would hold the network three times
    evaluate = jax.jit(lambda params, stats: net.apply(params, stats, x, train=False).features)
    trained = jax.jit(lambda params, stats: net.apply(params, stats, x, train=True))(params, stats)
    before, after = evaluate(params, stats), evaluate(params, trained.stats)
    agree(before, wanted["evaluation"])
    agree(trained.features, wanted["training"])
    agree(after, wanted["evaluation_after"])
    exported = to_torchvision(params, trained.stats)
    for key, numbers in wanted["stats"].items():
        agree(exported[key], numbers)


def test_resnet18_computes_what_torchvision_does():
    forward_agrees("resnet18")


@pytest.mark.slow
def test_a_narrow_resnext50_computes_what_pytorch_does():
    net, params, stats, x, wanted = reference_network("resnext50_32x4d")
    agree(jax.jit(lambda *trees: net.apply(*trees, x, train=False).features)(params, stats), wanted["evaluation"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_larger_networks_compute_what_torchvision_does(name):
    forward_agrees(name)


@pytest.mark.slow
def test_gradients_of_a_training_step_are_those_of_torchvision():
    net, params, stats, x, wanted = reference_network("resnet18")
    factors = jnp.asarray(hashed.uniform("factors", (2, net.shape.feature_dim), -1, 1))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, stats, x, train=True).features * factors)))(params)
    exported = to_torchvision(gradient, {})
    for key, numbers in wanted["gradient"].items():
        # on the way to the first layer float32 puts a few ReLUs on the other side of zero, in PyTorch as here
        rtol = 2e-2 if key == "conv1.weight" else 1e-4
        agree(exported[key], numbers, rtol)
        assert np.linalg.norm(exported[key]) == pytest.approx(wanted["gradient_norm"][key], rel=rtol)


# ----- names


def test_names_and_layout():
    params, stats = numpy_trees(SMALL)
    exported = to_torchvision(params, stats, norm_set=1)
    kernel = params["layer2"]["0"]["downsample"]["0"]["kernel"]
    np.testing.assert_array_equal(exported["layer2.0.downsample.0.weight"], kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(exported["layer4.1.bn2.weight"], params["layer4"]["1"]["bn2"]["scale"][1])
    np.testing.assert_array_equal(exported["layer4.1.bn2.running_var"], stats["layer4"]["1"]["bn2"]["var"][1])
    assert len(exported) == 20 + 4 * 20 and not any(name.startswith("head") for name in exported)
    for name in ("conv1.weight", "bn1.bias", "bn1.running_mean", "layer1.0.conv1.weight"):
        assert name in exported


@pytest.mark.parametrize(
    ("architecture", "stem", "norm_set", "head_layers"),
    [
        ("resnet18", "cifar", 0, 3),
        ("resnext50_32x4d", "imagenet", 1, 0),
        ("resnet20", "cifar_strided", 1, 2),
    ],
)
def test_import_reverses_export(architecture, stem, norm_set, head_layers):
    shape = NetworkShape(architecture, stem, width=1 / 16, norm_sets=2, head_layers=head_layers)
    params, stats = numpy_trees(shape)
    exported = to_torchvision(params, stats, norm_set)
    new_params, new_stats = from_torchvision(exported, shape)
    for first, second in ((params, new_params), (stats, new_stats)):
        encoder = {name: part for name, part in first.items() if name != "head"}
        assert jax.tree.structure(encoder) == jax.tree.structure(second)
        for old, new in zip(jax.tree.leaves(encoder), jax.tree.leaves(second), strict=True):
            old = old if old.ndim == 4 else np.stack([old[norm_set]] * 2)
            np.testing.assert_array_equal(new, old)
    more = {"fc.weight": np.zeros((10, 32)), "bn1.num_batches_tracked": np.array(3)}  # torchvision has these too
    again, _ = from_torchvision({**exported, **more}, shape)
    jax.tree.map(np.testing.assert_array_equal, again, new_params)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("bn1.bias"), "w.pt: wanted an array bn1.bias, found none; is this the architecture?"),
        (
            lambda w: w.update({"layer1.0.conv3.weight": w["conv1.weight"]}),
            "w.pt: wanted no array layer1.0.conv3.weight; did you mean layer1.0.conv",
        ),
        (
            lambda w: w.update({"conv1.weight": w["conv1.weight"][:2]}),
            "w.pt: wanted conv1.weight of shape (4, 3, 3, 3), got (2, 3, 3, 3); is this the width?",
        ),
        (lambda w: w["bn1.bias"].fill(np.nan), "w.pt: wanted bn1.bias of finite floating-point numbers, got float32"),
        (
            lambda w: w.update({"bn1.bias": np.zeros(4, int)}),
            "w.pt: wanted bn1.bias of finite floating-point numbers, got int64",
        ),
    ],
)
def test_weights_that_are_refused(change, words):
    exported = to_torchvision(*numpy_trees(SMALL))
    change(exported)
    with pytest.raises(DataError) as caught:
        from_torchvision(exported, SMALL, "w.pt")
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


# ----- files


def save_small(folder, seed=0, with_mask=True):
    params, stats = numpy_trees(SMALL, seed)
    mask = jax.tree.map(lambda kernel: kernel > 0.8, prunable(params)) if with_mask else None
    save_safetensors(folder / "encoder.safetensors", SMALL, params, stats, norm_set=1, mask=mask)
    return folder / "encoder.safetensors", params, stats, mask


def test_an_encoder_and_its_mask_come_back(tmp_path):
    path, params, stats, mask = save_small(tmp_path)
    saved = load_safetensors(path)
    assert saved.shape == dataclasses.replace(SMALL, norm_sets=1, head_layers=0)
    again = to_torchvision(saved.params, saved.stats)
    for name, one in to_torchvision(params, stats, norm_set=1).items():
        np.testing.assert_array_equal(again[name], one)
    del mask["head"]
    is_none = dict(is_leaf=lambda leaf: leaf is None)
    assert jax.tree.structure(saved.mask, **is_none) == jax.tree.structure(mask, **is_none)
    jax.tree.map(np.testing.assert_array_equal, saved.mask, mask)
    # other programs find the arrays by torchvision's names
    plain, masks = (safetensors.numpy.load_file(one) for one in (path, mask_path(path)))
    np.testing.assert_array_equal(plain["bn1.bias"], params["bn1"]["bias"][1])
    assert set(masks) == {name for name, one in plain.items() if one.ndim == 4}
    assert {one.dtype for one in masks.values()} == {np.dtype(bool)}
    # the same content gives the same bytes, and without a mask that of an earlier encoder goes
    before = path.read_bytes()
    save_small(tmp_path, with_mask=False)
    assert path.read_bytes() == before and not mask_path(path).exists()
    assert load_safetensors(path).mask is None


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit(path, **changes):
    """Change the description of a file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        about = {**json.loads(file.metadata()[KEY]), **changes}
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, {KEY: json.dumps(about)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.unlink(), "wanted a safetensors file, found none"),
        (lambda p: p.write_bytes(b"PK\x03\x04 an archive"), "wanted a file of save_safetensors"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "wanted a file of save_safetensors"),
        (lambda p: p.write_bytes(b""), "wanted a file of save_safetensors"),
        (lambda p: flip(p, -1), "the file was changed after it was saved"),
        (lambda p: flip(p, -4000), "the file was changed after it was saved"),
        (lambda p: edit(p, shape={"width": 2.0}), "the file was changed after it was saved"),
        (lambda p: edit(p, kind="encoder, version 2"), "wanted a file of save_safetensors"),
        (lambda p: safetensors.numpy.save_file({"a": np.ones(2)}, p), "wanted a file of save_safetensors"),
        (lambda p: safetensors.numpy.save_file({"a": np.ones(2)}, p, {KEY: "[]"}), "wanted a file of save_safetensors"),
        (lambda p: safetensors.numpy.save_file({"a": np.ones(2)}, p, {KEY: "{"}), "wanted a file of save_safetensors"),
        (lambda p: p.write_bytes(mask_path(p).read_bytes()), "wanted a file of save_safetensors (encoder, version 1)"),
    ],
)
def test_files_that_are_refused(change, words, tmp_path):
    path, *_ = save_small(tmp_path)
    change(path)
    with pytest.raises(DataError) as caught:
        load_safetensors(path)
    assert str(caught.value).startswith(f"{path}: {words}") and "\n" not in str(caught.value)


def test_a_file_with_torchvisions_names_is_read(tmp_path):
    """It has a classifier, and no digest of ours."""
    path, (params, stats) = tmp_path / "other.safetensors", numpy_trees(SMALL)
    arrays = to_torchvision(params, stats, norm_set=1)
    safetensors.numpy.save_file({**arrays, "fc.weight": np.zeros((10, 32), np.float32)}, path)
    saved = load_torchvision(path, SMALL)
    assert saved.shape == dataclasses.replace(SMALL, norm_sets=1, head_layers=0) and saved.mask is None
    again = to_torchvision(saved.params, saved.stats)
    assert set(again) == set(arrays) and all(np.array_equal(one, again[name]) for name, one in arrays.items())
    with pytest.raises(DataError, match=r"other\.safetensors: wanted no array layer1\.0\.bn3") as caught:
        safetensors.numpy.save_file({**arrays, "layer1.0.bn3.bias": np.zeros(4, np.float32)}, path)
        load_torchvision(path, SMALL)
    assert "\n" not in str(caught.value)
    for make, words in ((path.unlink, "found none"), (lambda: path.write_bytes(b"PK\x03\x04"), "got another one")):
        make()
        with pytest.raises(DataError, match=f"wanted a safetensors file with torchvision's names, {words}"):
            load_torchvision(path, SMALL)


def test_the_mask_of_another_encoder_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    path, *_ = save_small(tmp_path)
    other, *_ = save_small(tmp_path / "other", seed=1)
    mask_path(path).write_bytes(mask_path(other).read_bytes())
    with pytest.raises(DataError, match=r"wanted the mask of encoder.safetensors, got that of another encoder; save"):
        load_safetensors(path)
    flip(mask_path(path), -1)
    with pytest.raises(DataError, match=r"encoder.mask.safetensors: the file was changed"):
        load_safetensors(path)
    with pytest.raises(DataError, match=r"^mask: wanted conv1.weight of Booleans, got float32; is the file damaged\?$"):
        mask_from_torchvision(
            {n: np.ones(s, np.float32) for n, s in names_and_shapes(SMALL).items() if len(s) == 4}, SMALL
        )
