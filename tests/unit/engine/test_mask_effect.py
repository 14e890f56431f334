"""Held-out loss, driver and growth at given weights, against NumPy and the theory's own formula for the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config import replace
from dynsim.engine import mask_effect
from dynsim.engine.data import Batch
from dynsim.engine.replay import held_out_batches, with_weights
from tests import reference
from tests.reference import begin, toy

CONFIG = toy(loss__temperature=0.7, loss__temperature_prefactor=True)
N_BATCHES = 2
SEMANTICS = ("literal", "straight_through", "one_branch", "masked_query", "masked_key")


@pytest.fixture(scope="module")
def run():
    """State with thresholds on, world and parts of a toy run, and its held-out batches as NumPy arrays."""
    carry, world, parts = begin(CONFIG)
    value = jnp.asarray(0.2 + 0.1 * np.arange(6))
    state = carry.state._replace(thresholds=carry.state.thresholds._replace(value=value))
    batches = jax.device_get(jax.jit(lambda w: held_out_batches(w, parts, N_BATCHES))(world))
    return state, world, parts, [Batch(*(leaf[k] for leaf in batches)) for k in range(N_BATCHES)]


def hidden(run, kept, batch):
    """Embeddings of queries and keys with masked columns zero."""
    state = run[0]
    weight, b = np.asarray(state.params.weight), np.asarray(state.thresholds.value)
    return [reference.encode(weight, b, side) * kept for side in (batch.query, batch.key)]


def softmax_weights(run, kept, batch):
    query, key = hidden(run, kept, batch)
    return reference.info_nce(query @ key.T, batch.is_candidate, 0.7, True)


def test_held_out_loss_is_the_dense_loss_without_penalty(run):
    state, world, parts, batches = run
    got = jax.jit(lambda s, w: mask_effect.held_out_loss(s, w, parts, N_BATCHES))(state, world)
    wanted = np.mean([softmax_weights(run, np.ones(6), batch)[0] for batch in batches])
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("cosine", [False, True])
def test_the_driver_is_its_definition(run, cosine):
    batch = run[3][0]
    query, key = hidden(run, np.ones(6), batch)
    arrays = jnp.asarray(query), jnp.asarray(key), Batch(*map(jnp.asarray, batch)), jnp.asarray(0.7)
    got, count = jax.jit(lambda *given: mask_effect.driver_sums(*given, cosine=cosine))(*arrays)
    if cosine:
        query, key = reference.unit(query), reference.unit(key)
    _, q = reference.info_nce(query @ key.T, batch.is_candidate, 0.7, True)
    wanted = np.zeros(5)
    for n in range(6):
        for j in range(5):
            wanted[j] += batch.codes[n, j] * (batch.codes[n, j] - sum(q[n, c] * batch.codes[c, j] for c in range(6)))
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)
    assert np.array_equal(count, (batch.codes[:6] != 0).sum(axis=0))


def test_the_driver_under_each_reading(run):
    """The mask on both views, or on the query only; without a mask, of the dense network."""
    state, world, parts, batches = run
    kept = np.array([1, 0, 1, 1, 0, 1.0])
    mask = state.params._replace(weight=jnp.asarray(kept > 0))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)

    @jax.jit
    def compute(s, w):
        found = {name: mask_effect.driver(s, w, parts, mask, name, stacked) for name in SEMANTICS}
        return found | {"dense": mask_effect.driver(s, w, parts, None, "one_branch", stacked)}

    found, sides = compute(state, world), {"dense": (np.ones(6), np.ones(6))}
    sides |= {name: (kept, np.ones(6) if name in ("one_branch", "masked_query") else kept) for name in SEMANTICS}
    sides["masked_key"] = np.ones(6), kept
    for name, (on_query, on_key) in sides.items():
        total, count = np.zeros(5), np.zeros(5)
        for batch in batches:
            query, key = hidden(run, on_query, batch)[0], hidden(run, on_key, batch)[1]
            _, q = reference.info_nce(query @ key.T, batch.is_candidate, 0.7, True)
            codes = batch.codes[:6]
            total += np.sum(codes * (codes - q @ batch.codes), axis=0)
            count += np.sum(codes != 0, axis=0)
        np.testing.assert_allclose(found[name], total / count, rtol=1e-9, err_msg=name)


def test_the_driver_under_a_mask_of_weights_is_that_of_the_masked_weights(run):
    state, world, parts, batches = run
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    kept = jnp.asarray(np.random.default_rng(2).random((6, 8)) < 0.6)
    hidden_weights = with_weights(state, jnp.where(kept, state.params.weight, 0), state.thresholds.value)
    mask = state.params._replace(weight=kept)
    driver = jax.jit(lambda s, m: mask_effect.driver(s, world, parts, m, "literal", stacked))
    np.testing.assert_allclose(driver(state, mask), driver(hidden_weights, None), rtol=1e-12)


def test_the_driver_sees_thresholds_that_follow_the_masked_norm(run):
    """It is the driver of the masked weights with the smaller thresholds set by hand."""
    state, world, parts, batches = run
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    kept, weight = np.random.default_rng(2).random((6, 8)) < 0.6, np.asarray(state.params.weight)
    lower = state.thresholds.value * np.linalg.norm(weight * kept, axis=1) / np.linalg.norm(weight, axis=1)
    follows = parts._replace(structure=replace(parts.structure, **{"threshold.rule": "masked_norm_tracking"}))
    by_hand = with_weights(state, jnp.asarray(weight * kept), jnp.asarray(lower))
    mask = state.params._replace(weight=jnp.asarray(kept))
    got = jax.jit(lambda s: mask_effect.driver(s, world, follows, mask, "literal", stacked))(state)
    wanted = jax.jit(lambda s: mask_effect.driver(s, world, parts, None, "literal", stacked))(by_hand)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_growth_is_the_theorys_gradient_along_each_feature(run, masked):
    """Straight-through: -grad_i = sum over queries of {h_i(Y) - sum_c q_c h_i(c)} grad h_i(X), theory 3.3, 8.4."""
    state, world, parts, batches = run
    kept = np.array([1, 0, 1, 1, 0, 1.0]) if masked else np.ones(6)
    mask = state.params._replace(weight=jnp.asarray(kept > 0)) if masked else None
    straight = mask_effect.with_masks(parts, "straight_through")
    found = jax.jit(lambda s, w: mask_effect.growth(s, w, straight, mask, held_out_batches(w, parts, N_BATCHES)))(
        state, world
    )
    weight, b = np.asarray(state.params.weight), np.asarray(state.thresholds.value)
    minus = np.zeros((6, 8))
    for batch in batches:
        _, q = softmax_weights(run, kept, batch)
        dense_key = hidden(run, np.ones(6), batch)[1]
        for n in range(6):
            slope = (np.abs(batch.query[n] @ weight.T) > b).T @ batch.query[n]  # (neuron, token_dim)
            minus += (dense_key[n] - q[n] @ dense_key)[:, None] * slope / 6 / N_BATCHES
    along = weight @ np.asarray(world.dictionary)
    np.testing.assert_allclose(found, minus @ np.asarray(world.dictionary) * np.sign(along), rtol=1e-9, atol=1e-12)


def test_a_mask_at_a_moment_hides_the_lowest_norms(run):
    state, world, _, _ = run
    mask = mask_effect.neuron_mask(state, world, "lowest", jnp.asarray(0.5))
    norms = np.linalg.norm(state.params.weight, axis=1)
    assert np.array_equal(mask.weight, norms > np.sort(norms)[2])


def test_the_refitted_loss_is_the_best_of_the_grid_and_does_not_see_a_change_of_scale(run):
    """NumPy over the same batches; embeddings twice as long have the same loss at four times the temperature."""
    state, world, parts, _ = run
    go = jax.jit(lambda s: mask_effect.refitted_loss(s, world, parts, 4))
    got = go(state)
    held = jax.device_get(jax.jit(lambda: held_out_batches(world, parts, 4))())
    each = [jax.tree.map(lambda leaf, n=n: leaf[n], held) for n in range(4)]
    trained, losses = float(world.numbers.temperature), []
    for batch in each:
        query, key = hidden(run, np.ones(6), batch)
        losses.append(
            [
                reference.info_nce(query @ key.T, batch.is_candidate, trained * factor, False)[0]
                for factor in mask_effect.TEMPERATURES
            ]
        )
    losses = np.array(losses)
    best = np.argmin(losses[:2].mean(axis=0))
    np.testing.assert_allclose(got.temperature, trained * mask_effect.TEMPERATURES[best], rtol=1e-12)
    np.testing.assert_allclose(got.loss, losses[2:].mean(axis=0)[best], rtol=1e-10)
    longer = with_weights(state, 2 * state.params.weight, 2 * state.thresholds.value)
    # factors of 4 are four places on the grid, which reaches far enough
    np.testing.assert_allclose(go(longer).loss, got.loss, rtol=1e-9)
    np.testing.assert_allclose(go(longer).temperature, 4 * got.temperature, rtol=1e-9)
