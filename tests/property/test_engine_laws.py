"""Symmetries of whole runs: temperature, rotation, and the order of neurons, features, samples and negatives.

All laws train on the same drawn batches, changed in NumPy, so that few programs are compiled.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.engine import train
from dynsim.engine.data import Batch, batch_at
from dynsim.engine.encoder import Params
from dynsim.engine.numbers import resolve
from dynsim.engine.thresholds import init_thresholds
from tests.reference import advancer, begin, built_in, toy

T = 30
d, d1, m, K, EXTRA = 5, 8, 6, 6, 4
NEGATIVES = {"data__n_negatives": EXTRA}
BASE = toy(encoder__init_std=0.05, **NEGATIVES)
SOFTMAX = toy(encoder__init_std=0.05, encoder__attention="softmax_unscaled", **NEGATIVES)


def close(got, wanted, tolerance=1e-9):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance * np.max(np.abs(wanted)))


@pytest.fixture(scope="module")
def world():
    """The world of one run: dictionary, numbers, keys."""
    return begin(BASE)[1]


@pytest.fixture(scope="module")
def weight():
    """Its initial weights."""
    return np.asarray(begin(BASE)[0].state.params.weight)


@pytest.fixture(scope="module")
def batches(world):
    """Its first T batches, as NumPy arrays with a leading step axis."""
    data = built_in(resolve(BASE).structure).data
    draw = jax.jit(lambda w, steps: jax.lax.map(lambda n: batch_at(data, w.keys, n, w.dictionary, w.numbers), steps))
    return jax.device_get(draw(world, np.arange(T, dtype=np.int32)))


STEPS = {}


def stepper(config):
    """Return the compiled (state, step, world, batch) -> state of the configuration's structure."""
    shape = resolve(config).structure

    def step(state, n, world, batch):
        parts = built_in(shape)
        given = parts._replace(data=parts.data._replace(sample=lambda *unused: batch))
        return train.step(state, n, world, given)[0]

    return STEPS.setdefault(shape, jax.jit(step))


def run(config, world, batches, weight):
    """Return weights (T+1, neuron, token_dim), thresholds (T+1, neuron) and switch step of a run on given batches."""
    numbers = jax.tree.map(jnp.asarray, resolve(config).numbers)
    thresholds = init_thresholds(
        jnp.asarray(weight), config.threshold, numbers.threshold_scale, numbers.learning_rate, d
    )
    carry = begin(BASE)[0]
    state = carry.state._replace(params=Params(jnp.asarray(weight)), thresholds=thresholds)
    weights, values, step = [np.asarray(weight)], [np.asarray(thresholds.value)], stepper(config)
    for n in range(T):
        batch = jax.tree.map(lambda leaf, n=n: leaf[n], batches)
        state = step(state, np.int32(n), world._replace(numbers=numbers), batch)
        weights.append(np.asarray(state.params.weight))
        values.append(np.asarray(state.thresholds.value))
    return np.array(weights), np.array(values), int(state.thresholds.switch_step)


@pytest.fixture(scope="module")
def plain(world, batches, weight):
    """The unchanged run: thresholds come on within it, and the weights have grown."""
    weights, values, switch = run(BASE, world, batches, weight)
    assert 0 < switch < T - 10
    assert np.linalg.norm(weights[-1]) > 3 * np.linalg.norm(weights[0])
    return weights, values, switch


@pytest.mark.slow
def test_the_steps_here_are_those_of_a_run(plain, world):
    carry, world, parts = begin(BASE)
    after = advancer(parts)(carry, world, 0, T)
    close(after.state.params.weight, plain[0][-1])


@pytest.mark.parametrize("tau", [4.0, 0.3])
@pytest.mark.parametrize("prefactor", [True, False])
def test_temperature_symmetry(world, batches, weight, prefactor, tau):
    # theory 6.1: with the prefactor only the scale of the weights changes, without it time does too
    eta, decay, slow = 0.5, 0.02, 1.0 if prefactor else tau
    common = {"loss__temperature_prefactor": prefactor, **NEGATIVES}
    hot = toy(loss__temperature=tau, optimizer__learning_rate=eta, loss__l2_penalty=decay, **common)
    cold = toy(loss__temperature=1.0, optimizer__learning_rate=eta / slow, loss__l2_penalty=decay * slow, **common)
    hot_run = run(hot, world, batches, weight)
    cold_run = run(cold, world, batches, weight / math.sqrt(tau))
    close(hot_run[0], math.sqrt(tau) * cold_run[0])
    close(hot_run[1], math.sqrt(tau) * cold_run[1])
    assert hot_run[2] == cold_run[2]
    if prefactor or tau < 1:
        assert hot_run[2] > 0  # the norm-tracking thresholds came on in both


def test_scales_that_are_powers_of_two_are_exact(world, batches, weight):
    cold, hot = (toy(loss__temperature=tau, **NEGATIVES) for tau in (1.0, 4.0))
    # every intermediate number is multiplied by a power of two
    assert np.array_equal(run(hot, world, batches, 2 * weight)[0], 2 * run(cold, world, batches, weight)[0])


@pytest.mark.parametrize("config", [BASE, SOFTMAX], ids=["token_wise", "softmax"])
def test_a_rotation_of_everything_rotates_the_weights(config, world, batches, weight):
    R = np.linalg.qr(np.random.default_rng(0).normal(size=(d1, d1)))[0]
    turned = batches._replace(query=batches.query @ R.T, key=batches.key @ R.T)
    turned_world = world._replace(dictionary=R @ np.asarray(world.dictionary))
    weights, values, switch = run(config, world, batches, weight)
    moved = run(config, turned_world, turned, weight @ R.T)
    close(moved[0], weights @ R.T)
    close(moved[0] @ turned_world.dictionary, weights @ np.asarray(world.dictionary))
    close(moved[1], values)
    assert moved[2] == switch > 0


def test_the_order_of_neurons(plain, world, batches, weight):
    order = np.random.default_rng(1).permutation(m)
    weights, values, switch = run(BASE, world, batches, weight[order])
    close(weights, plain[0][:, order])
    close(values, plain[1][:, order])
    assert switch == plain[2]


def test_the_order_of_features(plain, world, batches, weight):
    order = np.random.default_rng(2).permutation(d)
    dictionary = np.asarray(world.dictionary)[:, order]
    relabelled = batches._replace(codes=batches.codes[:, :, order])
    weights, _, _ = run(BASE, world._replace(dictionary=dictionary), relabelled, weight)
    close(weights @ dictionary, (plain[0] @ np.asarray(world.dictionary))[:, :, order])


def test_the_order_of_negatives(plain, world, batches, weight):
    order = np.concatenate([np.arange(K), K + np.random.default_rng(3).permutation(EXTRA)])
    shuffled = Batch(batches.query, batches.key[:, order], batches.codes[:, order], batches.is_candidate[:, :, order])
    close(run(BASE, world, shuffled, weight)[0], plain[0])


def test_the_order_of_samples(plain, world, batches, weight):
    order = np.random.default_rng(4).permutation(K)
    everyone = np.concatenate([order, np.arange(K, K + EXTRA)])
    mask = batches.is_candidate[:, order][:, :, everyone]
    shuffled = Batch(batches.query[:, order], batches.key[:, everyone], batches.codes[:, everyone], mask)
    close(run(BASE, world, shuffled, weight)[0], plain[0])


def test_signs_of_neurons_and_of_all_samples(plain, world, batches, weight):
    signs = np.array([1.0, -1, -1, 1, -1, 1])[:, None]
    close(run(BASE, world, batches, signs * weight)[0], signs * plain[0])
    mirrored = batches._replace(query=-batches.query, key=-batches.key, codes=-batches.codes)
    close(run(BASE, world, mirrored, weight)[0], plain[0])
