"""Features block by block, and the digest of a network that must stay frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.data import DataError
from dynsim.bridge.evaluation.features import digest, extract
from dynsim.bridge.evaluation.inputs import FeatureSet
from dynsim.bridge.evaluation.probes import sgd_probe
from dynsim.bridge.options.probes import ProbeRecipe
from dynsim.config import ConfigError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (10, 2, 2, 3), np.uint8)
PARAMS = {"weight": jnp.asarray(RNG.normal(size=(12, 5))), "scale": jnp.float64(255)}


def network(params: dict, images: jax.Array) -> jax.Array:
    rows = images.reshape(images.shape[0], -1).astype(params["weight"].dtype) / params["scale"]
    return jnp.maximum(rows @ params["weight"], 0)


ENCODER = jax.tree_util.Partial(network, PARAMS)
WANTED = np.maximum(PIXELS.reshape(10, 12) / 255 @ np.asarray(PARAMS["weight"]), 0)


@pytest.mark.parametrize("batch", [4, 500])
def test_blocks_give_the_features_of_all_images(batch):
    np.testing.assert_allclose(extract(ENCODER, PIXELS, batch), WANTED, atol=1e-12)


def test_one_program_serves_all_blocks_and_all_parameters():
    traced = []

    def counted(params: dict, images: jax.Array) -> jax.Array:
        traced.append(images.shape)
        return network(params, images)

    extract(jax.tree_util.Partial(counted, PARAMS), PIXELS, 4)
    other = PARAMS | {"scale": jnp.float64(51)}
    np.testing.assert_allclose(extract(jax.tree_util.Partial(counted, other), PIXELS, 4), 5 * WANTED, atol=1e-12)
    assert traced == [(4, 2, 2, 3)]


def test_features_in_half_precision_come_out_in_single():
    half = extract(lambda images: images[:, :, 0, 0].astype(jnp.bfloat16), PIXELS, 4)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, PIXELS[:, :, 0, 0], rtol=2**-8)


def test_the_encoder_is_the_same_to_the_bit_after_extraction_and_probe():
    """Users of other code have trained the network in a probe that was called linear."""
    before = digest(PARAMS)
    labels = np.arange(10) % 2
    validation = FeatureSet(extract(ENCODER, PIXELS, 4), labels)
    augmented = jax.tree_util.Partial(lambda params, images, key: network(params, images), PARAMS)
    recipe = ProbeRecipe("sgd", 2, 4, 1.0, 1.0)
    run = sgd_probe(augmented, PIXELS, labels, validation, 2, recipe, seed=0)
    assert run.epochs[-1].train_loss != run.epochs[0].train_loss, "the probe has learned something"
    assert digest(PARAMS) == before
    np.testing.assert_array_equal(extract(ENCODER, PIXELS, 4), validation.features)


ONE = np.array([1.0, -2.0])


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.nextafter(ONE, 9), "b": np.zeros(2)},
        {"a": ONE, "b": -np.zeros(2)},
        {"b": ONE, "a": np.zeros(2)},
        {"a": ONE, "c": np.zeros(2)},
        {"a": ONE.astype(np.float32), "b": np.zeros(2)},
        {"a": ONE, "b": np.zeros((1, 2))},
        {"a": ONE, "b": np.zeros(2), "c": np.zeros(0)},
    ],
)
def test_any_change_gives_another_digest(other):
    params = {"a": ONE, "b": np.zeros(2)}
    assert digest(params) == digest({"b": np.zeros(2), "a": jnp.asarray(ONE)})
    assert digest(other) != digest(params)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: extract(ENCODER, PIXELS[:0]), "images: wanted at least one"),
        (lambda: extract(ENCODER, PIXELS, 0), "batch: wanted an integer of at least 1"),
        (lambda: extract(lambda x: x[0, :, :, 0], PIXELS), r"features: wanted floating.*\(10, feature\).*\(2, 2\)"),
        (lambda: extract(lambda x: jnp.log(x[:, :, 0, 0]), PIXELS * 1.0 - 255), "features: wanted finite"),
        (lambda: extract(lambda x: x[:, :, 0, 0], PIXELS), "features: wanted floating-point.*uint8"),
    ],
)
def test_errors_are_one_line(call, word):
    with pytest.raises((ConfigError, DataError), match=word) as caught:
        call()
    assert "\n" not in str(caught.value)
