"""The trained network as something to be judged: which images it takes, whose batch statistics, what is compiled."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.data.tasks import LabelledImages, Task
from dynsim.bridge.evaluation import features
from dynsim.bridge.measure import responses
from dynsim.bridge.networks import Network, NetworkShape, Outputs, build
from dynsim.bridge.options import Masking, Pretraining
from dynsim.bridge.training.encoder import RECALIBRATION_STEPS, dense_statistics, frozen, raw_pixels
from dynsim.bridge.training.epoch import PretrainState
from dynsim.config import ConfigError
from experiments.cifar.measuring import channel_measure, check_measured

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
PARAMS, STATS = {"scale": jnp.float32(2)}, {"seen": jnp.float32(1)}
BATCH = 4


def apply(params, stats, images, *, train, norm_set=0, valid=None):
    """Mean colours times a parameter and the number of images that the statistics have seen."""
    out = jnp.mean(images, axis=(1, 2)) * params["scale"] * stats["seen"]
    return Outputs(out, out, {"seen": stats["seen"] + images.shape[0]} if train else stats)


NETWORK = Network(NetworkShape(), lambda key, side: (PARAMS, STATS), apply, lambda params: params)
LITERAL = Pretraining(masking=Masking(kind="lowest", rate=0.5, semantics="literal"), batch_size=BATCH, views="probe")


def test_bytes_and_floats_have_the_same_features():
    encoder = frozen(NETWORK, PARAMS, STATS)
    of_bytes, of_floats = encoder(jnp.asarray(PIXELS)), encoder(jnp.asarray(PIXELS / 255))
    assert of_bytes.dtype == of_floats.dtype == jnp.float32
    np.testing.assert_allclose(of_bytes, of_floats, rtol=1e-6)
    np.testing.assert_allclose(of_bytes, 2 * PIXELS.mean((1, 2)) / 255, rtol=1e-5)
    np.testing.assert_allclose(raw_pixels(jnp.asarray(PIXELS)), PIXELS.reshape(6, -1) / 255, rtol=1e-6)


def test_another_encoder_of_the_same_network_compiles_nothing():
    before = features._apply._cache_size()
    found = [features.extract(frozen(NETWORK, {"scale": jnp.float32(k)}, STATS), PIXELS) for k in (1, 3)]
    assert features._apply._cache_size() == before + 1
    np.testing.assert_allclose(3 * found[0], found[1], rtol=1e-6)
    assert build(NetworkShape()) is build(NetworkShape())


def test_statistics_are_computed_anew_where_only_masked_weights_were_run():
    anew = dense_statistics(NETWORK, LITERAL, 0, PARAMS, STATS, PIXELS)
    assert anew["seen"] == 1 + BATCH * RECALIBRATION_STEPS
    one_branch = dataclasses.replace(LITERAL, masking=Masking(kind="lowest", rate=0.5))
    assert dense_statistics(NETWORK, one_branch, 0, PARAMS, STATS, PIXELS) is STATS


def task() -> Task:
    images = LabelledImages(PIXELS, np.array([0, 1, 2, 0, 1, 2]))
    none = LabelledImages(PIXELS[:0], images.labels[:0])
    return Task(images, images, images, none, images, np.array([3, 2, 1]), np.array(["many", "medium", "few"]))


def test_channels_are_measured_on_the_dense_network(monkeypatch):
    monkeypatch.setattr(responses, "measure", lambda found, *rest: {"largest": jnp.max(found)})
    state = PretrainState(PARAMS, STATS, None, None)
    largest = channel_measure(NETWORK, LITERAL, task(), 1, seed=0)(state)["largest"]
    plain = dataclasses.replace(LITERAL, masking=Masking())
    ratio = largest / channel_measure(NETWORK, plain, task(), 1, seed=0)(state)["largest"]
    np.testing.assert_allclose(ratio, 1 + BATCH * RECALIBRATION_STEPS, rtol=1e-5)


def test_more_measured_images_than_there_are_are_refused():
    check_measured(task(), 2)
    with pytest.raises(ConfigError, match="measured: wanted at most 2, the images of a class"):
        check_measured(task(), 3)
    held_out = LabelledImages(PIXELS[:5], np.array([0, 1, 2, 0, 1]))
    with pytest.raises(ConfigError, match="measured: wanted at most 1, the images of a class"):
        check_measured(task()._replace(validation=held_out), 2)
