"""Residual networks against a float64 reference in NumPy: both norm sets, padded batches, masks and gradients."""

from functools import cache

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax import lax

from dynsim.bridge.networks import NetworkShape, build
from dynsim.bridge.networks.network import split_model
from dynsim.config.checks import ConfigError
from dynsim.prune.masks import apply_mask, lowest_mask
from tests.resnet_reference import Reference

SIDE, N_IMAGES, WIDTH = 8, 4, 1 / 16
VALID = np.array([True, True, False, True])


def random_like(tree, seed):
    """Return a tree with random positive values, so that nothing is hidden by a scale of one or a mean of zero."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda one: jax.device_put(rng.uniform(0.3, 1.5, one.shape).astype(np.float32)), tree)


def images(seed=0, side=SIDE):
    return jax.device_put(np.random.default_rng(seed).uniform(0, 1, (N_IMAGES, side, side, 3)).astype(np.float32))


def shapes_of(net):
    """Return the shapes of the parameters of a network, without drawing them."""
    return jax.eval_shape(lambda key: net.init(key, SIDE)[0], jax.random.key(0))


@cache
def network(**changes):
    """Return a small network with parameters, and statistics unlike those at the start.

    Its convolutions are XLA's: batch norms over a few values make much of a rounding, and the reference rounds as XLA
    does. Convolutions of our own are compared with these, in float64, in test_convolution.py.
    """
    shape = NetworkShape(**{"width": WIDTH, "norm_sets": 2, "embedding_dim": 6, **changes})
    net = build(shape, jax.lax.conv_general_dilated)
    params, stats = net.init(jax.random.key(0), SIDE)
    norms = random_like(params, 1)  # scales and biases of the batch norms, and those only, become random
    params = jax.tree_util.tree_map_with_path(
        lambda path, old, new: new if path[-2].key.startswith("bn") or path[-2].key == "1" else old, params, norms
    )
    return net, params, random_like(stats, 2)


@cache
def branch():
    """Return a training step's program for one branch with norm set 1, a mask and a padded batch, and its results."""
    net, params, stats = network()
    rng = np.random.default_rng(3)
    mask = jax.tree.map(lambda kernel: rng.random(kernel.shape) < 0.5, net.prunable(params))
    weights = rng.normal(size=(N_IMAGES, 6)) * VALID[:, None]

    def loss(params, x, mask, valid):
        out = net.apply(apply_mask(params, mask), stats, x, train=True, norm_set=1, valid=valid)
        return jnp.sum(out.embeddings * jnp.asarray(weights, jnp.float32)), out

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return step, mask, step(params, images(), mask, jnp.asarray(VALID))


def test_a_training_step_agrees_with_the_reference():
    _, params, stats = network()
    _, mask, ((_, out), _) = branch()
    reference = Reference(jax.jit(apply_mask)(params, mask), stats, train=True, norm_set=1, valid=VALID)
    features, embeddings = reference(images(), stem="cifar")
    np.testing.assert_allclose(out.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(out.embeddings)[VALID], embeddings[VALID], rtol=1e-3, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), out.stats, reference.stats)


def test_images_that_are_not_valid_leave_the_others_alone():
    _, params, _ = network()
    step, mask, ((_, before), _) = branch()
    other = images().at[2].set(jnp.nan)
    (_, after), _ = step(params, other, mask, jnp.asarray(VALID))
    np.testing.assert_array_equal(np.asarray(after.embeddings)[VALID], np.asarray(before.embeddings)[VALID])
    jax.tree.map(np.testing.assert_array_equal, after.stats, before.stats)


def test_a_branch_trains_its_own_norm_set_only():
    _, _, stats = network()
    _, _, ((_, out), gradient) = branch()
    out, gradient, stats = jax.device_get((out, gradient, stats))
    for new, old in zip(jax.tree.leaves(out.stats), jax.tree.leaves(stats), strict=True):
        np.testing.assert_array_equal(new[0], old[0])
        assert np.all(new[1] != old[1])
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        if path[-1].key == "scale":
            assert not np.any(leaf[0]) and np.any(leaf[1]), path


def test_masked_weights_get_no_gradient():
    net, _, _ = network()
    _, mask, (_, gradient) = branch()
    for kept, leaf in zip(jax.tree.leaves(mask), jax.tree.leaves(net.prunable(gradient)), strict=True):
        kept, leaf = np.asarray(kept), np.asarray(leaf)
        assert not np.any(leaf[~kept])
        # on maps of one pixel only the middle of a kernel is used
        assert np.all(leaf[1:2, 1:2][kept[1:2, 1:2]]) if leaf.shape[0] == 3 else np.all(leaf[kept])


def test_a_batch_without_a_valid_image_changes_nothing():
    _, params, stats = network()
    step, mask, _ = branch()
    (_, out), gradient = step(params, images(), mask, jnp.zeros(N_IMAGES, bool))
    jax.tree.map(np.testing.assert_array_equal, out.stats, stats)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((out, gradient)))


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({"architecture": "resnet20", "stem": "cifar_strided", "width": 1 / 8, "head_layers": 3, "head_width": 5}, 10),
        pytest.param(
            {"architecture": "resnet50", "stem": "imagenet", "norm_sets": 1, "head_layers": 0, "mean": (0.1, 0.2, 0.3)},
            18,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["resnet20", "resnet50"],
)
def test_evaluation_uses_the_running_statistics_and_keeps_them(changes, side):
    net, params, stats = network(**changes)
    last = net.shape.norm_sets - 1
    out = jax.jit(lambda params, x: net.apply(params, stats, x, train=False, norm_set=last))(params, images(side=side))
    reference = Reference(params, stats, train=False, norm_set=last)
    features, embeddings = reference(images(side=side), stem=net.shape.stem, mean=net.shape.mean)
    assert features.shape == (N_IMAGES, net.shape.feature_dim)
    assert embeddings.shape == (N_IMAGES, 6 if net.shape.head_layers else net.shape.feature_dim)
    np.testing.assert_allclose(out.features, features, rtol=1e-4, atol=1e-5 * features.max())
    np.testing.assert_allclose(out.embeddings, embeddings, rtol=1e-3, atol=1e-5 * np.abs(embeddings).max())
    jax.tree.map(np.testing.assert_array_equal, out.stats, stats)


def test_seeds_are_vectorised():
    net = build(NetworkShape(width=WIDTH, embedding_dim=6, head_layers=3, head_width=5))

    def run(seed):
        params, stats = net.init(jax.random.key(seed), SIDE)
        return params, stats, net.apply(params, stats, images(), train=False)

    params, stats, out = jax.device_get(jax.jit(jax.vmap(run))(jnp.arange(2, dtype=jnp.uint32)))
    for seed in range(2):
        one_params, one_stats = (jax.tree.map(lambda leaf: leaf[seed], tree) for tree in (params, stats))  # noqa: B023
        features, embeddings = Reference(one_params, one_stats, train=False)(images(), stem="cifar")
        np.testing.assert_allclose(out.features[seed], features, rtol=1e-4, atol=1e-5 * features.max())
        np.testing.assert_allclose(out.embeddings[seed], embeddings, rtol=1e-3, atol=1e-5 * np.abs(embeddings).max())
    assert not any(np.allclose(leaf[0], leaf[1]) for leaf in jax.tree.leaves(net.prunable(params)))
    # a network with another head and more norm sets begins with the same encoder
    _, other, _ = network()
    for a, b in zip(jax.tree.leaves(net.prunable(params)), jax.tree.leaves(net.prunable(other)), strict=True):
        np.testing.assert_array_equal(a[0], b)


# ----- sizes and first weights


@pytest.mark.parametrize(
    ("architecture", "stem", "n_parameters"),
    [
        # torchvision's numbers of parameters, without the classifier
        ("resnet18", "imagenet", 11_689_512 - 513_000),
        ("resnet34", "imagenet", 21_797_672 - 513_000),
        ("resnet50", "imagenet", 25_557_032 - 2_049_000),
        ("resnet152", "imagenet", 60_192_808 - 2_049_000),
        ("resnext50_32x4d", "imagenet", 25_028_904 - 2_049_000),
        # it has none of ResNeXt-101 (32x4d), which timm has
        ("resnext101_32x4d", "imagenet", 44_177_704 - 2_049_000),
        # those of the networks of LDAM-DRW, without the classifier for ten classes
        ("resnet20", "cifar", 269_722 - 650),
        ("resnet32", "cifar", 464_154 - 650),
    ],
)
def test_numbers_of_parameters(architecture, stem, n_parameters):
    _, params, _ = split_model(NetworkShape(architecture, stem, head_layers=0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == n_parameters


def test_prunable_weights_of_the_network_for_cifar():
    net = build(NetworkShape(norm_sets=2, head_layers=3))
    params = shapes_of(net)
    kernels = net.prunable(params)
    assert len(jax.tree.leaves(kernels)) == 20
    assert sum(leaf.size for leaf in jax.tree.leaves(kernels)) == 11_159_232
    assert all(leaf.ndim == 4 for leaf in jax.tree.leaves(kernels))
    assert jax.tree.structure(params) == jax.tree.structure(kernels, is_leaf=lambda leaf: leaf is None)


@pytest.mark.slow
def test_what_a_global_cut_keeps_of_the_first_weights():
    """A cut of 90 % keeps what was measured with the published code, rounded to 0.01."""
    net = build(NetworkShape(head_layers=0))
    kernels = net.prunable(net.init(jax.random.key(0), 32)[0])
    mask = lowest_mask(kernels, 0.9)
    wanted = {"conv1": 0.49, "layer1": 0.49, "layer2": 0.33, "layer3": 0.17, "layer4": 0.05}
    wanted |= {"layer2.downsample": 0.75, "layer3.downsample": 0.64, "layer4.downsample": 0.52}
    kept = {name: [] for name in wanted}
    for path, leaf in jax.tree_util.tree_leaves_with_path(mask):
        is_shortcut = any(step.key == "downsample" for step in path)
        kept[f"{path[0].key}.downsample" if is_shortcut else path[0].key].append(np.ravel(leaf))
    for name, leaves in kept.items():
        found, share = np.concatenate(leaves), wanted[name]
        chance = 4 * np.sqrt(share * (1 - share) / found.size)
        assert np.mean(found) == pytest.approx(share, abs=0.006 + chance), name
    pairs = zip(jax.tree.leaves(kernels), jax.tree.leaves(mask), strict=True)
    threshold = min(np.min(np.abs(np.asarray(leaf))[np.asarray(is_kept)]) for leaf, is_kept in pairs)
    assert threshold == pytest.approx(0.0405, abs=1e-4)


def test_first_weights_of_convolutions():
    """They are normal with variance 2 / (outputs * pixels): their second and fourth moments, within chance."""
    net, params, _ = network()
    for path, leaf in jax.tree_util.tree_leaves_with_path(net.prunable(params)):
        unit = np.ravel(leaf) / np.sqrt(2 / (leaf.shape[3] * leaf.shape[0] * leaf.shape[1]))
        chance = 5 / np.sqrt(unit.size)
        assert abs(np.mean(unit)) < chance and abs(np.mean(unit**2) - 1) < chance * np.sqrt(2), path
        assert abs(np.mean(unit**4) - 3) < chance * np.sqrt(96), path


def test_first_weights_of_the_head_and_of_batch_norms():
    net, *_ = network()
    params, stats = net.init(jax.random.key(0), SIDE)
    bound = 1 / np.sqrt(32)
    for leaf in params["head"]["fc1"].values():
        leaf = np.asarray(leaf, float)
        assert 0.6 * bound < np.max(np.abs(leaf)) <= bound and abs(np.mean(leaf)) < 0.9 * bound
    assert np.std(params["head"]["fc1"]["kernel"]) == pytest.approx(bound / np.sqrt(3), rel=0.15)
    # the head has random numbers of its own
    encoder, head = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])[:1000]
        for tree in (net.prunable(params), [params["head"][name] for name in ("fc1", "fc2")])
    )
    assert abs(np.corrcoef(encoder, head)[0, 1]) < 0.2
    assert set(params["head"]["fc1"]) == {"kernel", "bias"} and set(params["head"]["fc2"]) == {"kernel"}
    assert np.all(params["bn1"]["scale"] == 1) and np.all(params["head"]["bn2"]["bias"] == 0)
    assert np.all(stats["bn1"]["mean"] == 0) and np.all(stats["bn1"]["var"] == 1)
    assert params["bn1"]["scale"].shape == (2, 4)


# ----- precision, replaced convolutions, refusals


def test_activations_may_be_of_half_precision():
    seen = []

    def convolve(*arguments, **named):
        seen.append(arguments)
        return lax.conv_general_dilated(*arguments, **named)

    net = build(NetworkShape(width=WIDTH, activations="bfloat16"), convolve)
    params, stats = jax.eval_shape(lambda key: net.init(key, SIDE), jax.random.key(0))
    x = jax.ShapeDtypeStruct((N_IMAGES, SIDE, SIDE, 3), jnp.float32)
    out = jax.eval_shape(lambda params, stats, x: net.apply(params, stats, x, train=True), params, stats, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {np.dtype("float32")}
    assert jax.tree.map(jnp.shape, out.stats) == jax.tree.map(jnp.shape, stats)
    # every convolution goes through the function that was passed
    assert len(seen) == 20
    assert {array.dtype for arguments in seen for array in arguments[:2]} == {jnp.dtype("bfloat16")}
    assert {arguments[2:] for arguments in seen} == {
        ((stride, stride), ((pad, pad), (pad, pad))) for stride, pad in [(1, 1), (2, 1), (2, 0)]
    }


def test_half_precision_changes_little():
    _, params, stats = network()
    net = build(NetworkShape(width=WIDTH, norm_sets=2, embedding_dim=6, activations="bfloat16"))
    out = jax.jit(lambda params, x: net.apply(params, stats, x, train=False).features)(params, images())
    features, _ = Reference(params, stats, train=False)(images(), stem="cifar")
    assert 1e-5 < np.linalg.norm(np.asarray(out) - features) / np.linalg.norm(features) < 0.02


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "resnet19"}, "architecture: wanted one of resnet18, ...; did you mean resnet18?"),
        ({"stem": "cfar"}, "stem: wanted one of cifar...did you mean cifar?"),
        ({"width": 0.0}, "width: wanted a finite number in (0, 64]"),
        ({"width": "wide"}, "width: wanted a finite number"),
        ({"norm_sets": 3}, "norm_sets: wanted 1 or 2, got 3"),
        ({"norm_sets": True}, "norm_sets: wanted an integer"),
        ({"head_layers": 1}, "head_layers: wanted 0, 2 or 3, got 1"),
        ({"head_width": 0}, "head_width: wanted an integer of at least 1"),
        ({"embedding_dim": 1.5}, "embedding_dim: wanted an integer"),
        ({"mean": (0.5, 0.5)}, "mean: wanted three numbers: red, green, blue"),
        ({"std": (0.5, 0.5, 0.0)}, "std: wanted a finite number in (0, inf]"),
        ({"activations": "float16"}, "activations: wanted one of float32, bfloat16"),
        ({"depth": 3}, "NetworkShape: no such field: depth"),
    ],
)
def test_shapes_that_are_refused(changes, words, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a user has no type checks before ours
    with pytest.raises(ConfigError) as caught:
        NetworkShape(**changes)
    first, _, last = words.partition("...")
    assert str(caught.value).startswith(first) and last in str(caught.value) and "\n" not in str(caught.value)


def test_calls_that_are_refused():
    net, params, stats = network()
    with pytest.raises(ConfigError, match=r"^norm_set: wanted less than norm_sets = 2, got 2$"):
        net.apply(params, stats, images(), train=False, norm_set=2)
    with pytest.raises(ConfigError, match=r"^side: wanted an integer of at least 1, got 0$"):
        net.init(jax.random.key(0), 0)
