"""A loss with labels as the loss of a run."""

import jax.numpy as jnp
import numpy as np

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


def first_feature_its_class(query, key, batch, numbers):
    """The class of a sample is its first active feature; class sizes are the frequencies of the features."""
    classes = Classes(numbers.active_probability)
    views = two_views(query, key, jnp.argmax(batch.codes != 0, axis=1))
    return LABEL_LOSSES["acl"].function(views, classes, numbers.temperature, centred=False)


def test_sup_con_with_a_class_per_sample_runs_as_nt_xent_does():
    given = {"loss__temperature": 0.3, "loss__temperature_prefactor": False, "loss__similarity": "cosine"}
    given |= {"loss__kind": "nt_xent", "loss__symmetric": True, "loss__stop_gradient": False}
    config = toy(optimizer__learning_rate=0.02, data__mask_equal_codes=False, **given)
    built_in, own = simulate(config, [3]), simulate(config, [3], loss=every_sample_its_class)
    for name in ("loss", "positive_weight", "weight"):
        np.testing.assert_allclose(own[name], built_in[name], rtol=1e-9, atol=1e-12)
    assert own.loss[0, -1] < own.loss[0, 1]


def test_acl_learns_in_the_engine():
    run = simulate(toy(optimizer__learning_rate=0.02), [3], loss=first_feature_its_class)
    assert run.loss[0, -1] < run.loss[0, 1] and np.all(
        (run.positive_weight[:, 1:] > 0) & (run.positive_weight[:, 1:] < 1)
    )
