"""Your own data model, encoder, loss and record function, passed to `simulate`: nothing in dynsim is edited."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import results
from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError
from dynsim.engine.data import Batch, DataModel
from dynsim.engine.encoder import Encoder, make_encoder
from dynsim.engine.program import Program
from dynsim.engine.simulate import simulate
from dynsim.losses.contrastive import LossValue
from tests.reference import toy


def example():
    """Train a linear encoder with a spectral contrastive loss on one-hot data, and record what one likes."""
    shape = {"data.n_features": 4, "data.token_dim": 8, "data.n_tokens": 1, "encoder.n_neurons": 6}
    config = replace(Config(), **shape, **{"train.n_steps": 20, "train.n_records": 5})

    def sample(codes_key, noise_key, dictionary, numbers):  # 16 samples with one active feature each, two noisy views
        codes = jax.nn.one_hot(jax.random.randint(codes_key, (16,), 0, 4), 4, dtype=dictionary.dtype)
        views = (codes @ dictionary.T)[None] + 0.1 * jax.random.normal(noise_key, (2, 16, 8), dictionary.dtype)
        return Batch(views[0][:, None], views[1][:, None], codes, jnp.ones((16, 16), bool))

    def probe(key, dictionary, numbers):  # held-out samples for measuring, and their codes
        return dictionary.T[:, None], jnp.eye(4, dtype=dictionary.dtype)

    def loss(query, key, batch, numbers):
        similarity = query @ key.T
        return LossValue(jnp.mean(similarity**2) - 2 * jnp.mean(jnp.diagonal(similarity)), jnp.zeros((), query.dtype))

    def record(state, world):
        return {
            "alignment": state.params.weight @ world.dictionary,
            "spectrum": jnp.linalg.norm(state.params.weight, 2),
        }

    data = DataModel(lambda key, numbers: jnp.eye(8, 4, dtype=numbers.noise_std.dtype), sample, probe)
    encoder = Encoder(init_linear, lambda params, thresholds, tokens: params.weight @ tokens[0])
    return simulate(config, seeds=[0, 1], data_model=data, encoder=encoder, loss=loss, record_fn=record)


class Linear(NamedTuple):
    """Parameters of the example's encoder: any NamedTuple with a field `weight`."""

    weight: Any


def init_linear(key, numbers):
    """Draw the example's weights; numbers are those of the configuration."""
    return Linear(numbers.init_std * jax.random.normal(key, (6, 8), numbers.init_std.dtype))


def test_the_example_gives_a_labelled_result():
    run = example()
    assert run.alignment.dims == ("seed", "record", "neuron", "feature")
    assert run.spectrum.dims == ("seed", "record")
    assert dict(run.sizes) == {"seed": 2, "record": 5, "neuron": 6, "feature": 4, "token_dim": 8}
    assert run.step.values.tolist()[0] == 0 and run.step.values.tolist()[-1] == 20
    np.testing.assert_array_equal(run.dictionary[0], np.eye(8, 4))  # the user's dictionary
    np.testing.assert_allclose(run.alignment[:, -1], run.weight.values @ np.eye(8, 4, dtype=np.float32), rtol=1e-6)
    largest = np.linalg.norm(run.weight.values, 2, axis=(1, 2))
    np.testing.assert_allclose(run.spectrum[:, -1], largest, rtol=1e-5)
    # linear networks fit the second moment: the features grow, the other directions do not
    assert np.all(run.spectrum[:, -1] > 5 * run.spectrum[:, 0])
    assert float(run.loss[0, -1]) < 0 and np.all(run.diverged_step == -1)


def test_other_shapes_get_names_of_their_own():
    def record(state, world):
        return {"alignment": state.params.weight, "values": jnp.zeros((2, 3)), "mean": jnp.mean(state.params.weight)}

    run = simulate(toy(train__n_steps=1), [0], record_fn=record)
    assert run["values"].dims == ("seed", "record", "values_0", "values_1")
    assert run["mean"].dims == ("seed", "record")


def test_what_does_not_fit_is_refused_before_the_first_step(monkeypatch):
    built_in = make_encoder(toy().encoder, toy().data)
    smaller = Encoder(lambda key, numbers: Linear(jnp.ones((2, 8))), built_in.apply)
    with pytest.raises(ConfigError, match=r"encoder: wanted a weight of shape .* = \(6, 8\), got \(2, 8\)"):
        simulate(toy(), [0], encoder=smaller)
    data = DataModel(
        lambda key, numbers: jnp.eye(8, 4), lambda *a: None, lambda *a: (jnp.ones((3, 2, 8)), jnp.ones((3, 4)))
    )
    with pytest.raises(ConfigError, match=r"data_model: wanted a dictionary of shape .* = \(8, 5\), got \(8, 4\)"):
        simulate(toy(), [0], data_model=data)
    monkeypatch.setattr(Program, "advance", lambda *a: pytest.fail("a step was made"))
    with pytest.raises(ConfigError, match="record_fn: wanted names that no result uses, got weight"):
        simulate(toy(), [0], record_fn=lambda state, world: {"weight": state.params.weight})
    with pytest.raises(ConfigError, match="record_fn: wanted a NamedTuple or a dictionary"):
        simulate(toy(), [0], record_fn=lambda state, world: state.params.weight)


def test_one_own_part_leaves_the_others():
    def silent(query, key, batch, numbers):
        zero = 0 * jnp.sum(query)
        return LossValue(zero, zero)

    config = toy()
    run = simulate(config, [0, 1], loss=silent)
    eta, penalty = config.optimizer.learning_rate, config.loss.l2_penalty
    # without a loss the penalty alone acts: w_t = (1 - eta lambda)^t w_0
    shrunk = (1 - eta * penalty) ** run.step.values
    np.testing.assert_allclose(
        run.weight_norm, run.weight_norm.isel(record=0).values[:, None] * shrunk[None, :, None], rtol=1e-12
    )
    with pytest.raises(TypeError):
        simulate(config, [0], my_loss=silent)  # no such argument


def test_what_is_not_replaced_is_what_was_built_in():
    from dynsim.engine import train
    from dynsim.engine.numbers import resolve

    built_in = train.built_in_parts(resolve(toy()).structure)
    alone = simulate(toy(), [5])
    given = simulate(toy(), [5], data_model=built_in.data, encoder=built_in.encoder, loss=built_in.loss)
    np.testing.assert_array_equal(alone.weight, given.weight)


def test_the_result_says_which_parts_were_your_own():
    def spread(state, world):
        return {"spread": jnp.std(state.params.weight)}

    run = simulate(toy(train__n_steps=1), [0], record_fn=spread)
    own = results.provenance_of(run)["own"]
    assert list(own) == ["record_fn"] and ".spread#" in own["record_fn"][0]
    assert results.provenance_of(simulate(toy(train__n_steps=1), [0]))["own"] == {}


def test_a_field_of_your_own_named_attention_is_trained_like_any_other():
    class Own(NamedTuple):
        weight: Any
        attention: Any

    class Twin(NamedTuple):
        weight: Any
        other: Any

    def make(kind):
        start = jnp.arange(48.0, dtype=jnp.float64).reshape(6, 8) / 48
        gains = {"one": jnp.ones((6,), jnp.float64), "two": jnp.zeros((6,), jnp.float64)}
        return Encoder(lambda key, numbers: kind(start, gains), lambda p, b, x: p[0] @ x[0] * p[1]["one"] + p[1]["two"])

    config = toy(optimizer__attention_learning_rate=0.0)
    own, twin = simulate(config, [0], encoder=make(Own)), simulate(config, [0], encoder=make(Twin))
    np.testing.assert_array_equal(own.weight, twin.weight)
    assert np.any(own.weight_norm[0, -1] != own.weight_norm[0, 0])
