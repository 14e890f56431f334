"""Residual networks against a float64 reference in NumPy: both norm sets, padded batches, masks and gradients."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.bridge.networks import NetworkShape, build
from dynsim.prune.masks import apply_mask, lowest_mask
from tests.resnet_reference import Reference

SIDE, N_IMAGES, WIDTH = 8, 4, 1 / 16
VALID = np.array([True, True, False, True])


def random_like(tree, seed):
    """Return a tree with random positive values, so that nothing is hidden by a scale of one or a mean of zero."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda one: jnp.asarray(rng.uniform(0.3, 1.5, one.shape), jnp.float32), tree)


def images(seed=0, side=SIDE):
    return jnp.asarray(np.random.default_rng(seed).uniform(0, 1, (N_IMAGES, side, side, 3)), jnp.float32)


@cache
def network(**changes):
    """Return a small network with parameters, and statistics unlike those at the start."""
    net = build(NetworkShape(**{"width": WIDTH, "norm_sets": 2, "embedding_dim": 6, **changes}))
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
    mask = lowest_mask(net.prunable(params), 0.5)
    weights = np.random.default_rng(3).normal(size=(N_IMAGES, 6)) * VALID[:, None]

    def loss(params, x, mask):
        out = net.apply(apply_mask(params, mask), stats, x, train=True, norm_set=1, valid=jnp.asarray(VALID))
        return jnp.sum(out.embeddings * jnp.asarray(weights, jnp.float32)), out

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return step, mask, step(params, images(), mask)


def test_a_training_step_agrees_with_the_reference():
    _, params, stats = network()
    _, mask, ((_, out), _) = branch()
    reference = Reference(apply_mask(params, mask), stats, train=True, norm_set=1, valid=VALID)
    features, embeddings = reference(images(), stem="cifar")
    np.testing.assert_allclose(out.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(out.embeddings)[VALID], embeddings[VALID], rtol=1e-3, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), out.stats, reference.stats)


def test_images_that_are_not_valid_leave_the_others_alone():
    _, params, _ = network()
    step, mask, ((_, before), _) = branch()
    other = images().at[2].set(jnp.nan)
    (_, after), _ = step(params, other, mask)
    np.testing.assert_array_equal(np.asarray(after.embeddings)[VALID], np.asarray(before.embeddings)[VALID])
    jax.tree.map(np.testing.assert_array_equal, after.stats, before.stats)


def test_a_branch_trains_its_own_norm_set_only():
    _, _, stats = network()
    _, _, ((_, out), gradient) = branch()
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


def test_evaluation_uses_the_running_statistics_and_keeps_them():
    net, params, stats = network()
    evaluate = jax.jit(lambda params, x: net.apply(params, stats, x, train=False, norm_set=1))
    out = evaluate(params, images())
    features, embeddings = Reference(params, stats, train=False, norm_set=1)(images(), stem="cifar")
    np.testing.assert_allclose(out.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out.embeddings, embeddings, rtol=1e-4, atol=1e-4)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), out.stats, stats))
