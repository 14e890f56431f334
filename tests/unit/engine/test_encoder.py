"""The encoder against a few lines of NumPy, and in its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config import DataConfig, EncoderConfig
from dynsim.engine.encoder import Params, attention_weights, make_encoder, mean_self_weight
from dynsim.engine.numbers import resolve
from dynsim.engine.pooled import soft_threshold
from tests import reference
from tests.reference import TOY

KINDS = ("token_wise", "softmax_unscaled", "softmax_scaled", "uniform")
d1, m, L = 8, 6, 2
rng = np.random.default_rng(7)
TOKENS = rng.normal(size=(L, d1))
WEIGHT = rng.normal(size=(m, d1))
THRESHOLDS = rng.uniform(0.1, 2.0, size=m)
ATTENTION = rng.normal(size=(3, d1, d1)) / 3


def encoder(**changes):
    return make_encoder(EncoderConfig(n_neurons=m, **changes), TOY.data)


def params(attention=None, bias=None):
    return Params(jnp.asarray(WEIGHT), *(None if part is None else jnp.asarray(part) for part in (bias, attention)))


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


def test_soft_threshold_is_the_difference_of_two_relus():
    s = np.linspace(-3, 3, 25)[:, None] * np.ones(3)  # passes through 0 and through +-1 exactly
    b = np.array([0.0, 1.0, 10.0])
    got = np.asarray(soft_threshold(jnp.asarray(s), jnp.asarray(b)))
    close(got, reference.soft_threshold(s, b), 0)
    assert np.array_equal(got[:, 0], s[:, 0])  # identity at b = 0
    assert np.array_equal(got[:, 1] == 0, np.abs(s[:, 1]) <= 1)  # dead zone, boundary included
    assert not got[:, 2].any()


def test_soft_threshold_has_slope_one_outside_the_dead_zone_and_zero_inside():
    slope = jax.jit(jax.vmap(jax.grad(lambda s: jnp.sum(soft_threshold(s[None], jnp.ones(1))))))
    assert np.array_equal(np.asarray(slope(jnp.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]))), [1, 0, 0, 0, 0, 0, 1])


def test_soft_threshold_without_thresholds_has_slope_one_everywhere():
    """Also at 0, where masked neurons are: the function is the identity."""
    slope = jax.jit(jax.vmap(jax.grad(lambda s: jnp.sum(soft_threshold(s[None], jnp.zeros(1))))))
    assert np.array_equal(np.asarray(slope(jnp.array([-3.0, -0.0, 0.0, 1e-300, 2.0]))), np.ones(5))


@pytest.mark.parametrize("kind", KINDS)
def test_attention_weights_match_numpy_and_sum_to_one(kind):
    weights = jax.jit(attention_weights, static_argnums=2)
    got = weights(jnp.asarray(TOKENS @ ATTENTION[0].T), jnp.asarray(TOKENS @ ATTENTION[1].T), kind)
    close(got, reference.attention_weights(TOKENS @ ATTENTION[0].T, TOKENS @ ATTENTION[1].T, kind))
    close(np.sum(got, axis=1), np.ones(L))


@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_transformer_matches_numpy(kind, pooling):
    got = encoder(attention=kind, pooling=pooling).apply(params(), jnp.asarray(THRESHOLDS), jnp.asarray(TOKENS))
    close(got, reference.encode(WEIGHT, THRESHOLDS, TOKENS, kind, pooling))


@pytest.mark.parametrize("kind", KINDS)
def test_trained_attention_matches_numpy(kind):
    apply = encoder(attention=kind, train_attention=True).apply
    got = apply(params(ATTENTION), jnp.asarray(THRESHOLDS), jnp.asarray(TOKENS))
    close(got, reference.encode(WEIGHT, THRESHOLDS, TOKENS, kind, "sum", ATTENTION))


@pytest.mark.parametrize("kind", KINDS)
def test_trained_attention_at_the_identity_equals_the_untrained_one(kind):
    identity = np.stack([np.eye(d1)] * 3)
    trained, fixed = encoder(attention=kind, train_attention=True), encoder(attention=kind)
    b, tokens = jnp.asarray(THRESHOLDS), jnp.asarray(TOKENS)
    close(trained.apply(params(identity), b, tokens), np.asarray(fixed.apply(params(), b, tokens)), 1e-14)
    with_identity, without = mean_self_weight(params(identity), tokens, kind), mean_self_weight(params(), tokens, kind)
    close(with_identity, without, 1e-14)


@pytest.mark.parametrize("kind", ["softmax_unscaled", "softmax_scaled"])
def test_softmax_kinds_lie_between_token_wise_and_uniform(kind):
    # Tokens of equal length: each one's product with itself is then the largest.
    tokens = TOKENS / np.linalg.norm(TOKENS, axis=1, keepdims=True)
    b = jnp.asarray(THRESHOLDS)

    def distance(scale, limit):
        x = jnp.asarray(scale * tokens)
        got, wanted = (encoder(attention=name).apply(params(), scale * b, x) for name in (kind, limit))
        return np.max(np.abs(np.asarray(got) - np.asarray(wanted))) / scale

    assert distance(100.0, "token_wise") < 1e-12 < distance(100.0, "uniform")
    assert distance(1e-8, "uniform") < 1e-12 < distance(1e-8, "token_wise")
    close(mean_self_weight(params(), jnp.asarray(100 * tokens), kind), 1.0)
    close(mean_self_weight(params(), jnp.zeros((L, d1)), kind), 1 / L)
    # in between: by hand, two orthogonal tokens of length a have self-weight 1/(1 + exp(-a^2 [/ sqrt d1]))
    a = 1.3
    logit = a**2 / (np.sqrt(d1) if kind == "softmax_scaled" else 1)
    close(mean_self_weight(params(), jnp.asarray(a * np.eye(L, d1)), kind), 1 / (1 + np.exp(-logit)))


def test_mean_self_weight_of_the_two_limits():
    close(mean_self_weight(params(), jnp.asarray(TOKENS), "token_wise"), 1.0)
    close(mean_self_weight(params(), jnp.asarray(TOKENS), "uniform"), 1 / L)


def test_mean_pooling_is_the_sum_over_the_number_of_tokens():
    b, tokens = jnp.asarray(THRESHOLDS), jnp.asarray(TOKENS)
    total, mean = (encoder(pooling=pooling).apply(params(), b, tokens) for pooling in ("sum", "mean"))
    close(mean, np.asarray(total) / L, 1e-15)


def test_the_relu_encoder_and_its_bias():
    one_token = TOKENS[:1]
    bias = rng.normal(size=m)
    relu = make_encoder(EncoderConfig(n_neurons=m, architecture="relu"), DataConfig(n_tokens=1))
    biased = make_encoder(EncoderConfig(n_neurons=m, architecture="relu", train_bias=True), DataConfig(n_tokens=1))
    got = relu.apply(params(), jnp.asarray(THRESHOLDS), jnp.asarray(one_token))
    close(got, np.maximum(WEIGHT @ one_token[0] - THRESHOLDS, 0))
    got = biased.apply(params(bias=bias), jnp.asarray(THRESHOLDS), jnp.asarray(one_token))
    close(got, np.maximum(WEIGHT @ one_token[0] + bias - THRESHOLDS, 0))


def test_initial_parameters():
    shape = DataConfig(n_features=5, token_dim=d1)
    key = jax.random.key(3)
    numbers = resolve(TOY).numbers
    plain = make_encoder(EncoderConfig(n_neurons=m), shape).init(key, numbers)
    assert plain.weight.shape == (m, d1) and plain.weight.dtype == jnp.float64
    assert plain.bias is None and plain.attention is None
    double = numbers._replace(init_std=2 * numbers.init_std)
    trained = make_encoder(EncoderConfig(n_neurons=m, train_attention=True), shape).init(key, double)
    assert np.array_equal(trained.weight, 2 * plain.weight)  # the standard deviation is a factor, exactly
    assert np.array_equal(trained.attention, np.stack([np.eye(d1)] * 3))
    relu = EncoderConfig(n_neurons=m, architecture="relu", train_bias=True)
    assert np.array_equal(make_encoder(relu, shape).init(key, numbers).bias, np.zeros(m))


def test_initial_weights_have_the_wanted_spread():
    weight = (
        make_encoder(EncoderConfig(n_neurons=4096), DataConfig(n_features=32, token_dim=64))
        .init(jax.random.key(0), resolve(TOY).numbers)
        .weight
    )
    scaled = np.asarray(weight) / TOY.encoder.init_std
    n = scaled.size
    assert abs(scaled.mean()) < 6 / np.sqrt(n)  # six standard errors
    assert abs(np.mean(scaled**2) - 1) < 6 * np.sqrt(2 / n)


def test_soft_threshold_keeps_what_is_not_a_number():
    got = np.asarray(soft_threshold(jnp.asarray([np.nan, np.inf, -np.inf]), jnp.asarray([0.5, 0.5, 0.5])))
    assert np.isnan(got[0]) and got[1] == np.inf and got[2] == -np.inf
