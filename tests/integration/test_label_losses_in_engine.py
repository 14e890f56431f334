"""A loss with labels as the loss of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.engine.data import Batch
from dynsim.engine.label_loss import rarest_feature, with_labels
from dynsim.engine.numbers import resolve
from dynsim.engine.simulate import simulate
from dynsim.losses.contrastive import normalise
from dynsim.losses.label_table import LABEL_LOSSES
from dynsim.losses.labelled_views import Classes, Views
from tests.reference import toy


def two_views(query, key, labels):
    return Views(normalise(jnp.concatenate([query, key])), jnp.concatenate([labels, labels]))


def every_sample_its_class(query, key, batch, numbers):
    """With a class per sample, SupCon is NT-Xent."""
    views = two_views(query, key, jnp.arange(len(query)))
    return LABEL_LOSSES["sup_con"].function(views, Classes(), numbers.temperature)


def test_sup_con_with_a_class_per_sample_runs_as_nt_xent_does():
    given = {"loss__temperature": 0.3, "loss__temperature_prefactor": False, "loss__similarity": "cosine"}
    given |= {"loss__kind": "nt_xent", "loss__symmetric": True, "loss__stop_gradient": False}
    config = toy(optimizer__learning_rate=0.02, data__mask_equal_codes=False, **given)
    built_in, own = simulate(config, [3]), simulate(config, [3], loss=every_sample_its_class)
    for name in ("loss", "positive_weight", "weight"):
        np.testing.assert_allclose(own[name], built_in[name], rtol=1e-9, atol=1e-12)
    assert own.loss[0, -1] < own.loss[0, 1]


def test_acl_learns_in_the_engine_in_one_line():
    run = simulate(toy(optimizer__learning_rate=0.02), [3], loss=with_labels("acl"))
    assert run.loss[0, -1] < run.loss[0, 1] and np.all(
        (run.positive_weight[:, 1:] > 0) & (run.positive_weight[:, 1:] < 1)
    )


CODES = np.array([[1.0, 0, 0], [1, 0, -1], [1, 1, 1], [0, 0, 0], [0, 0, 1]])
"""Samples of three features with the frequencies 0.5, 0.1 and 0.4: the rarest is the second, then comes the third."""
LABELS = np.array([0, 2, 1, -1, 2], np.int32)


@pytest.fixture(scope="module")
def batch():
    empty = np.zeros((5, 1, 2))
    return Batch(jnp.asarray(empty), jnp.asarray(empty), jnp.asarray(CODES), jnp.asarray(np.ones((5, 5), bool)))


@pytest.fixture(scope="module")
def numbers():
    given = resolve(toy()).numbers._replace(active_probability=np.array([0.5, 0.1, 0.4]))
    return jax.tree.map(jnp.asarray, given)


def test_the_class_is_the_rarest_active_feature(batch, numbers):
    found = rarest_feature(batch, numbers)
    assert found.labels.tolist() == LABELS.tolist()
    np.testing.assert_allclose(found.counts, [0.5 * 0.9 * 0.6, 0.1, 0.4 * 0.9], rtol=1e-12)


def test_views_classes_and_centres_are_those_of_the_batch(batch, numbers):
    z = np.random.default_rng(0).normal(size=(10, 4))
    found = with_labels("acl", aligned=False)(jnp.asarray(z[:5]), jnp.asarray(z[5:]), batch, numbers)
    unit, labels = z / np.linalg.norm(z, axis=1, keepdims=True), np.tile(LABELS, 2)
    sums = np.stack([unit[labels == label].sum(axis=0) for label in range(3)])
    centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    classes = Classes(jnp.asarray(np.array([0.27, 0.1, 0.36])), jnp.asarray(centres))
    views = Views(*(jnp.asarray(one) for one in (unit, labels, labels >= 0)))
    expected = LABEL_LOSSES["acl"].function(views, classes, numbers.temperature, aligned=False)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_inner_products_are_compared_where_length_is_kept(batch, numbers):
    z = np.random.default_rng(1).normal(size=(10, 4))
    found = with_labels("sup_con", unit_length=False)(jnp.asarray(z[:5]), jnp.asarray(z[5:]), batch, numbers)
    labels = np.tile(LABELS, 2)
    views = Views(*(jnp.asarray(one) for one in (z, labels, labels >= 0)))
    expected = LABEL_LOSSES["sup_con"].function(views, Classes(), numbers.temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert not np.allclose(found, with_labels("sup_con")(jnp.asarray(z[:5]), jnp.asarray(z[5:]), batch, numbers))


@pytest.mark.parametrize(
    ("name", "words"),
    [("acll", "loss: wanted one of sup_con"), ("focal", "compares embeddings alone"), ("paco", "compares embeddings")],
)
def test_a_loss_that_does_not_fit_is_refused_in_one_line(name, words):
    with pytest.raises(ValueError, match=words) as caught:
        with_labels(name)
    assert "\n" not in str(caught.value)
