"""Reference losses against a NumPy computation on the very same batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import theory
from dynsim.engine import data, reference_losses, train
from dynsim.engine.data import batch_at
from dynsim.engine.numbers import resolve
from dynsim.engine.replay import FIRST_HELD_OUT
from tests.reference import begin, toy

SCALES = np.array([0.0, 0.5, 2.0])


def numpy_losses(config, seed, threshold, n_batches):
    """Mean over batches of InfoNCE of h(X) = sum_l BReLU_b(a M^T x_l), term by term."""
    tau = config.loss.temperature
    _, world, parts = begin(config, seed)
    draw = jax.jit(lambda step: batch_at(parts.data, world.keys, step, world.dictionary, world.numbers))
    M = np.asarray(world.dictionary)
    losses = np.zeros(len(SCALES))
    for n in range(n_batches):
        batch = jax.device_get(draw(np.int32(FIRST_HELD_OUT + n)))
        for k, a in enumerate(SCALES):
            b = threshold * a  # every ||w_i|| is a
            h = [
                np.sum([np.maximum(s - b, 0) - np.maximum(-s - b, 0) for s in tokens @ (a * M)], axis=0)
                for tokens in (*batch.query, *batch.key)
            ]
            K = len(batch.query)
            query, key = h[:K], h[K:]
            for i in range(K):
                terms = [np.exp(query[i] @ key[c] / tau) for c in range(len(key)) if batch.is_candidate[i, c]]
                losses[k] -= tau * np.log(np.exp(query[i] @ key[i] / tau) / np.sum(terms)) / K / n_batches
    return losses


@pytest.mark.parametrize("thresholded", [False, True])
def test_ideal_losses_against_numpy(thresholded):
    config = toy(loss__temperature=1.5, loss__l2_penalty=0.5)
    got = reference_losses.ideal_losses(config, 4, SCALES, thresholded=thresholded, n_batches=3)
    d = config.data.n_features
    threshold = config.threshold.kappa * np.sqrt(2 * np.log(d) / d) if thresholded else 0.0
    np.testing.assert_allclose(got, numpy_losses(config, 4, threshold, 3), rtol=1e-10)


def test_the_floor_is_the_smallest_of_the_losses():
    losses = reference_losses.ideal_losses(toy(), 0, thresholded=False)
    best = reference_losses.ideal_floor(toy(), 0, thresholded=False)
    assert best.loss == losses.min() and best.scale == reference_losses.SCALES[np.argmin(losses)]
    assert best.loss < losses[0]  # telling features apart is worth something


def test_without_any_weight_the_loss_is_that_of_chance():
    config = toy(data__mask_equal_codes=False, loss__temperature=1.5)
    none = reference_losses.ideal_losses(config, 0, np.zeros(1), thresholded=False, n_batches=1)
    np.testing.assert_allclose(none, theory.chance_loss(config), rtol=1e-12)


def test_chance_loss_by_hand():
    K = toy().data.batch_size
    assert theory.chance_loss(toy()) == pytest.approx(np.log(K))
    assert theory.chance_loss(toy(loss__temperature=0.2)) == pytest.approx(0.2 * np.log(K))
    bare = toy(loss__temperature=0.2, loss__temperature_prefactor=False)
    assert theory.chance_loss(bare) == pytest.approx(np.log(K))
    assert theory.chance_loss(toy(data__n_negatives=9)) == pytest.approx(np.log(10))


def test_chance_loss_of_nt_xent_is_that_of_its_candidates():
    config = toy(loss__kind="nt_xent", loss__similarity="cosine", loss__temperature=0.7, data__mask_equal_codes=False)
    loss = train.built_in_loss(config.loss)
    K = config.data.batch_size
    same = jnp.ones((K, 3))  # all embeddings agree
    batch = data.Batch(same[:, None], same[:, None], same, jnp.ones((K, K), bool))
    value = jax.jit(loss)(same, same, batch, jax.tree.map(jnp.asarray, resolve(config).numbers))
    assert theory.chance_loss(config) == pytest.approx(float(value.loss))


def test_the_grid_of_scales_moves_with_the_best_scale(monkeypatch):
    calls = []

    def losses(config, seed, scales, *, thresholded):
        calls.append(scales)
        return (np.log(scales) - np.log(100.0)) ** 2

    monkeypatch.setattr(reference_losses, "ideal_losses", losses)
    found = reference_losses.ideal_floor(toy(), 0, thresholded=False)
    assert len(calls) == 3 and calls[1][0] < calls[0][-1]
    np.testing.assert_allclose(found.scale, 100.0, rtol=0.05)


@pytest.mark.parametrize("moment", [{"prune__start": "switch"}, {"prune__stop": "switch"}, {"prune__rate": 0.9}])
def test_reference_losses_of_a_pruned_run_are_those_of_the_unpruned_network(moment):
    """Masks that wait for the thresholds cannot be told of an ideal encoder without any; nor are they wanted there."""
    pruned = toy(**{"prune__kind": "lowest", "prune__rate": 0.5, **moment})
    for thresholded in (False, True):
        losses = [
            reference_losses.ideal_losses(config, 0, SCALES, thresholded=thresholded, n_batches=2)
            for config in (toy(), pruned)
        ]
        np.testing.assert_array_equal(*losses)


def test_numbers_and_seeds_do_not_recompile():
    """Else every seed, and every move of the grid of scales, would cost seconds."""
    found = [
        reference_losses.ideal_losses(toy(**changes), seed, SCALES, thresholded=True, n_batches=3)
        for changes, seed in (({}, 0), ({}, 1), ({"loss__temperature": 2.0}, 0), ({"data__minority_ratio": 0.9}, 0))
    ]
    assert len({losses.tobytes() for losses in found}) == len(found)  # each number is seen
    before = reference_losses._all_losses.cache_info()
    reference_losses.ideal_losses(toy(threshold__scale=0.4), 5, SCALES, thresholded=True, n_batches=3)
    assert reference_losses._all_losses.cache_info().misses == before.misses
