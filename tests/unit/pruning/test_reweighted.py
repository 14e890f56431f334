"""The loss that knows the frequencies, against hand-made weights and the plain loss."""

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.engine.data import Batch
from dynsim.engine.numbers import resolve
from dynsim.losses.contrastive import contrastive_loss
from experiments.pruning.reweighted import anchor_weights, inverse_frequency_loss
from tests.reference import info_nce, toy


def test_anchor_weights_by_hand():
    codes = jnp.asarray([[1.0, 0, 0], [0, 0, -1], [1, 0, -1], [0, 0, 0]])
    found = anchor_weights(codes, jnp.asarray([1.0, 0.5, 0.25]))
    by_hand = np.array([1, 4, 2.5, 1])
    np.testing.assert_allclose(found, by_hand / by_hand.mean())


def batch(n=5, d=5):
    rng = np.random.default_rng(3)
    codes = rng.integers(-1, 2, (n, d)).astype(float)
    codes[0] = np.eye(d)[0]
    tokens = np.zeros((n, 1, d))
    query, key = rng.normal(size=(2, n, 4))
    return jnp.asarray(query), jnp.asarray(key), Batch(tokens, tokens, jnp.asarray(codes), jnp.ones((n, n), bool))


def test_with_equal_frequencies_it_is_the_plain_loss_and_its_gradient():
    query, key, one = batch()
    numbers = resolve(toy(data__minority_ratio=1.0, loss__temperature=0.7)).numbers

    def plain(q, k):
        return contrastive_loss(q, k, one.is_candidate, jnp.asarray(0.7)).loss

    def ours(q, k):
        return inverse_frequency_loss(q, k, one, numbers).loss

    for argument in (0, 1):
        found, wanted = (jax.jit(jax.value_and_grad(f, argument))(query, key) for f in (ours, plain))
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-12)


def test_anchors_are_weighed_one_by_one():
    query, key, one = batch()
    config = toy(data__minority_ratio=0.5)
    numbers = resolve(config).numbers
    # minority features are the last ones: r = 0.5 counts twice
    frequency = np.asarray(numbers.active_probability) / np.max(numbers.active_probability)
    codes = np.asarray(one.codes)
    weights = np.array([np.mean(1 / frequency[row != 0]) if row.any() else 1.0 for row in codes])
    _, q = info_nce(np.asarray(query @ key.T), np.ones((5, 5), bool), 1.0, True)
    wanted = np.mean(weights / weights.mean() * -np.log(np.diagonal(q)))
    found = jax.jit(inverse_frequency_loss)(query, key, one, numbers).loss
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert frequency.min() == 0.5
