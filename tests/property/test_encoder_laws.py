"""Laws of the encoder, for any weights, thresholds and tokens of one shape."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dynsim.config import DataConfig, EncoderConfig
from dynsim.engine.encoder import Params, make_encoder
from dynsim.engine.pooled import soft_threshold

m, L, d1 = 4, 3, 5
KINDS = ("token_wise", "softmax_unscaled", "softmax_scaled", "uniform")
values = st.floats(-4, 4, width=16)
rows = arrays(np.float64, (L, m), elements=values)
widths = arrays(np.float64, (m,), elements=st.floats(0, 3, width=16))
weights = arrays(np.float64, (m, d1), elements=values)
tokens = arrays(np.float64, (L, d1), elements=values)
breadth = settings(max_examples=30)
threshold = jax.jit(soft_threshold)
APPLY = {
    kind: jax.jit(make_encoder(EncoderConfig(n_neurons=m, attention=kind), DataConfig(n_tokens=L)).apply)
    for kind in KINDS
}


@breadth
@given(rows, widths)
def test_soft_threshold_is_odd(s, b):
    assert np.array_equal(threshold(-s, b), -threshold(s, b))


@breadth
@given(rows, widths)
def test_soft_threshold_has_a_dead_zone_and_shrinks_by_b_outside(s, b):
    out = np.asarray(threshold(s, b))
    inside = np.abs(s) <= b
    assert not np.any(out[inside])
    assert np.array_equal(np.abs(out)[~inside], (np.abs(s) - b)[~inside])
    assert np.array_equal(np.sign(out)[~inside], np.sign(s)[~inside])


@breadth
@given(rows)
def test_soft_threshold_at_zero_is_the_identity(s):
    assert np.array_equal(threshold(s, np.zeros(m)), s)


@breadth
@given(rows, rows, widths)
def test_soft_threshold_never_lengthens_a_distance(s, t, b):
    gap = np.abs(np.asarray(threshold(s, b)) - np.asarray(threshold(t, b)))
    assert np.all(gap <= np.abs(s - t) * (1 + 1e-12))


@pytest.mark.parametrize("kind", KINDS)
@breadth
@given(weights, widths, tokens, st.permutations(range(m)))
def test_permuting_neurons_permutes_outputs(kind, weight, b, x, order):
    order = list(order)
    out = APPLY[kind](Params(weight), b, x)
    moved = APPLY[kind](Params(weight[order]), b[order], x)
    np.testing.assert_allclose(moved, np.asarray(out)[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@breadth
@given(weights, widths, tokens, st.permutations(range(L)))
def test_the_order_of_tokens_does_not_matter(kind, weight, b, x, order):
    out = APPLY[kind](Params(weight), b, x)
    moved = APPLY[kind](Params(weight), b, x[list(order)])
    np.testing.assert_allclose(moved, out, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@breadth
@given(weights, widths, tokens, st.sampled_from([0.25, 2.0, 8.0]))
def test_outputs_scale_with_weights_and_thresholds_together(kind, weight, b, x, scale):
    out = np.asarray(APPLY[kind](Params(weight), b, x))
    scaled = APPLY[kind](Params(scale * weight), scale * b, x)
    assert np.array_equal(scaled, scale * out)  # powers of two: exact


@pytest.mark.parametrize("kind", KINDS)
@breadth
@given(weights, widths, tokens)
def test_the_embedding_is_odd_in_the_weights(kind, weight, b, x):
    assert np.array_equal(APPLY[kind](Params(-weight), b, x), -APPLY[kind](Params(weight), b, x))
