"""The linear probe against NumPy and by hand: ridge regression, and what ideal and untrained encoders show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import replace
from dynsim.engine import linear_probe
from dynsim.engine.linear_probe import RIDGE, ridge_scores
from tests.reference import begin, toy

rng = np.random.default_rng(4)


@pytest.mark.parametrize("n_neurons", [3, 20])
def test_ridge_scores_are_the_primal_solution(n_neurons):
    """(C^T C + a I) v = C^T y in the neurons, where the code solves one number per label."""
    train, fresh = rng.normal(size=(8, n_neurons)), rng.normal(size=(5, n_neurons))
    sign = np.array([1.0, -1.0] * 4)
    centred = train - train.mean(axis=0)
    penalty = RIDGE * np.mean(np.sum(centred**2, axis=1))
    v = np.linalg.solve(centred.T @ centred + penalty * np.eye(n_neurons), centred.T @ sign)
    got = jax.jit(ridge_scores)(jnp.asarray(train), jnp.asarray(sign), jnp.asarray(fresh))
    np.testing.assert_allclose(got, (fresh - train.mean(axis=0)) @ v, rtol=1e-9)


def test_a_constant_embedding_scores_nothing():
    got = jax.jit(ridge_scores)(jnp.ones((4, 3)), jnp.asarray([1.0, -1.0, 1.0, -1.0]), jnp.ones((2, 3)))
    assert np.array_equal(got, [0, 0])


CONFIG = toy(data__noise_level="given", data__noise_variance=0.01, encoder__n_neurons=5, data__n_features=5)


@pytest.fixture(scope="module")
def probe():
    """One compiled probe of (kind of encoder) at the toy shape: the thresholds are norm tracking."""
    carry, world, parts = begin(CONFIG)
    kinds = {
        "as it is": lambda s, w: s,
        "ideal": lambda s, w: linear_probe.ideal_state(s, w, parts),
        "untrained": lambda s, w: linear_probe.untrained_state(s, w, parts),
        "silent": lambda s, w: s._replace(thresholds=s.thresholds._replace(value=s.thresholds.value + 1e9)),
        "blind to 2": lambda s, w: s._replace(
            params=linear_probe.ideal_state(s, w, parts).params._replace(
                weight=jnp.where(jnp.arange(5)[:, None] == 2, 0, w.dictionary.T)
            )
        ),
    }
    go = jax.jit(lambda s, w: {k: linear_probe.probe_accuracy(f(s, w), w, parts) for k, f in kinds.items()})
    return jax.device_get(go(carry.state, world))


def test_an_encoder_made_of_the_features_shows_them_all(probe):
    assert np.all(probe["ideal"].few == 1) and np.all(probe["ideal"].many == 1)


def test_an_embedding_of_zeros_shows_nothing(probe):
    assert np.all(probe["silent"].few == 0.5) and np.all(probe["silent"].many == 0.5)


def test_a_feature_without_a_neuron_is_not_seen(probe):
    """Its samples differ in nothing that the encoder shows but what other features do by chance."""
    many = probe["blind to 2"].many
    assert np.all(np.delete(many, 2) > 0.99) and 0.3 < many[2] < 0.7


def test_an_untrained_encoder_is_between(probe):
    assert 0.5 < np.mean(probe["untrained"].many) < 1


def test_fewer_neurons_than_features_leave_the_last_without():
    config = replace(CONFIG, **{"encoder.n_neurons": 3})
    carry, world, parts = begin(config)
    ideal = jax.jit(lambda state, world: linear_probe.ideal_state(state, world, parts))(carry.state, world)
    np.testing.assert_allclose(ideal.params.weight @ world.dictionary, np.eye(3, 5), atol=1e-6)
