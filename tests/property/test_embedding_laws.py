"""The fast embedding is the plain one: value and every gradient, in float64, for all options that it serves."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dynsim.config import DataConfig, EncoderConfig
from dynsim.engine.encoder import Params, make_encoder, why_plain
from dynsim.engine.pooled import BLOCK_BYTES, block_number, pooled, pooled_reference

n, L, m, d1 = 3, 2, 12, 4
values = st.floats(-4, 4, width=16)
weights = arrays(np.float64, (m, d1), elements=values)
widths = arrays(np.float64, (m,), elements=st.sampled_from([0.0, 0.25, 1.0, 3.0]))
samples = arrays(np.float64, (n, L, d1), elements=values)
pulls = arrays(np.float64, (n, m), elements=values)
breadth = settings(max_examples=30)


def close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-11)


def pulled(embed):
    """Return (w, b, x, pull) -> value and the pulled-back gradients of all three arguments."""

    def both(w, b, x, pull):
        value, back = jax.vjp(embed, w, b, x)
        return value, back(pull)

    return jax.jit(both)


REFERENCE = pulled(pooled_reference)
BLOCKS = {k: pulled(lambda w, b, x, k=k: pooled(k, w, b, x)) for k in (1, 2, 3, 12)}


@pytest.mark.parametrize("n_blocks", BLOCKS)
@breadth
@given(weights, widths, samples, pulls)
def test_blocks_have_value_and_gradients_of_the_reference(n_blocks, w, b, x, pull):
    value, gradients = BLOCKS[n_blocks](w, b, x, pull)
    wanted, wanted_gradients = REFERENCE(w, b, x, pull)
    close(value, wanted)
    for mine, theirs in zip(gradients, wanted_gradients, strict=True):
        close(mine, theirs)


SERVED = [
    EncoderConfig(n_neurons=m, attention=attention, pooling=pooling)
    for attention, pooling in itertools.product(
        ("token_wise", "softmax_unscaled", "softmax_scaled", "uniform"), ("sum", "mean")
    )
]


def with_gradient(embed):
    def scalar(params, b, x, pull):
        value = embed(params, b, x)
        return jnp.sum(value * pull), value

    return jax.jit(jax.value_and_grad(scalar, has_aux=True))


ENCODERS = {}
for option in SERVED:
    encoder = make_encoder(option, DataConfig(n_tokens=L))
    ENCODERS[option] = with_gradient(encoder.embed), with_gradient(jax.vmap(encoder.apply, in_axes=(None, None, 0)))


@pytest.mark.parametrize("option", SERVED, ids=lambda option: f"{option.attention}-{option.pooling}")
@breadth
@given(weights, widths, samples, pulls)
def test_every_served_encoder_embeds_as_its_plain_form(option, w, b, x, pull):
    fast, plain = ENCODERS[option]
    (_, value), gradient = fast(Params(w), b, x, pull)
    (_, wanted), wanted_gradient = plain(Params(w), b, x, pull)
    close(value, wanted)
    close(gradient.weight, wanted_gradient.weight)


def test_what_is_not_served_has_no_fast_embedding():
    relu = EncoderConfig(architecture="relu")
    trained = EncoderConfig(train_attention=True)
    assert why_plain(relu) == "encoder.architecture relu"
    assert why_plain(trained) == "encoder.train_attention"
    assert make_encoder(relu, DataConfig(n_tokens=1)).embed is None
    assert make_encoder(trained, DataConfig()).embed is None
    assert not any(why_plain(option) for option in SERVED)


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.sampled_from([4, 8]))
def test_blocks_divide_the_neurons_and_fit_or_are_one(n_rows, n_neurons, n_bytes):
    k = block_number(n_rows, n_neurons, n_bytes, "cpu")
    assert n_neurons % k == 0
    whole = n_rows * n_neurons * n_bytes
    assert k == 1 or whole / k <= BLOCK_BYTES
    assert whole > BLOCK_BYTES or k == 1
    assert block_number(n_rows, n_neurons, n_bytes, "gpu") == 1


def test_block_numbers_of_known_shapes():
    assert block_number(512, 256, 4, "cpu") == 1  # 0.5 MB
    assert block_number(2048, 4096, 4, "cpu") == 8  # 32 MB in blocks of 4 MB
    assert block_number(2048, 4099, 4, "cpu") == 1  # a prime number of neurons


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_what_is_not_a_number_stays_so(n_blocks):
    x = jnp.ones((n, L, d1)).at[1, 0, 0].set(jnp.nan)
    hidden = pooled(n_blocks, jnp.ones((m, d1)), jnp.full((m,), 0.5), x)
    assert np.array_equal(np.isnan(hidden).any(axis=1), [False, True, False])


def test_gradients_that_nobody_asks_for_are_not_computed():
    w, b, x = jnp.ones((m, d1)), jnp.full((m,), 0.5), jnp.ones((n, L, d1))

    def products(*arguments):
        gradient = jax.grad(lambda *all: jnp.sum(pooled(1, *all)), arguments)
        return str(jax.make_jaxpr(gradient)(w, b, x)).count("dot_general")

    assert products(0) == 2  # the preactivations, and the gradient in the weights
    assert products(0, 1) == products(0, 2) == products(0, 1, 2) > 2
