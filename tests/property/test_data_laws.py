"""Laws of codes and candidates that hold for every setting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dynsim.config import Config, replace
from dynsim.engine.data import candidates, make_dictionary, sample_codes
from dynsim.engine.numbers import resolve

D, L, N = 4, 2, 64  # one shape, so that nothing is compiled anew

models = st.fixed_dictionaries(
    {
        "activation_rate": st.floats(1e-6, 0.6),
        "minority_ratio": st.floats(1e-3, 1.0),
        "minority_fraction": st.floats(0.0, 1.0),
        "frequency_profile": st.sampled_from(["two_level", "exponential", "power_law"]),
        "sampling_rule": st.sampled_from(["aggregate", "independent_tokens"]),
        "pair_rule": st.sampled_from(["placed", "identical"]),
        "empties": st.sampled_from(["resample", "keep"]),
        "co_occurrence": st.sampled_from([0.0, 0.1, 0.4]),
        "keep_probability": st.sampled_from([(), (1.0, 1.0, 1.0, 1.0), (1.0, 0.0, 1.0, 0.5)]),
    }
)


def config_of(model: dict) -> Config:
    shape = {"n_features": D, "token_dim": D + 1, "n_tokens": L}
    changes = {f"data.{name}": value for name, value in (shape | model).items()}
    return replace(Config(), **changes, **{"train.precision": "float64"})


@pytest.mark.slow
@settings(max_examples=60)
@given(model=models, seed=st.integers(0, 2**32 - 1))
def test_codes_and_pairs(model, seed):
    config = config_of(model)
    numbers = jax.tree.map(jnp.asarray, resolve(config).numbers)
    query, key, aggregate = map(np.asarray, sample_codes(jax.random.key(jnp.uint32(seed)), N, numbers, config.data))
    assert query.shape == key.shape == (N, L, D) and aggregate.shape == (N, D)
    assert set(np.unique(query)) | set(np.unique(key)) <= {-1, 0, 1}
    np.testing.assert_array_equal(aggregate, query.sum(axis=1))
    if config.data.empties == "resample":
        assert np.all(np.any(query != 0, axis=(1, 2))), "no sample is empty"
    if config.data.sampling_rule == "aggregate":
        assert np.all(np.abs(query).sum(axis=1) <= 1), "one token per active feature"
    keep = np.array(config.data.keep_probability or (1.0,) * D)
    np.testing.assert_array_equal(key.sum(axis=1)[:, keep == 1], aggregate[:, keep == 1])
    assert not np.any(key[:, :, keep == 0])
    if config.data.pair_rule == "identical":
        np.testing.assert_array_equal(key[:, :, keep == 1], query[:, :, keep == 1])


@settings(max_examples=30)
@given(cosine=st.floats(-0.999 / (D - 1), 0.999), seed=st.integers(0, 2**32 - 1))
def test_correlated_columns_have_the_cosine(cosine, seed):
    config = config_of({"dictionary": "correlated", "dictionary_cosine": cosine})
    numbers = jax.tree.map(jnp.asarray, resolve(config).numbers)
    M = np.asarray(make_dictionary(jax.random.key(jnp.uint32(seed)), numbers, config.data))
    np.testing.assert_allclose(M.T @ M, np.where(np.eye(D) == 1, 1.0, cosine), atol=1e-12)


def brute_force(codes: np.ndarray, n_query: int, n_extra: int, mask_equal: bool) -> np.ndarray:
    allowed = np.zeros((n_query, n_query + n_extra), bool)
    for n in range(n_query):
        for c in range(n_query + n_extra):
            is_negative = c >= n_query if n_extra else c != n
            equal = all(np.sign(a) == np.sign(b) for a, b in zip(codes[n], codes[c], strict=True))
            allowed[n, c] = c == n or (is_negative and not (mask_equal and equal))
    return allowed


compiled_candidates = jax.jit(candidates, static_argnums=(1, 2, 3))


@settings(max_examples=80)
@given(
    codes=hnp.arrays(np.float32, (7, 3), elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])),
    n_extra=st.sampled_from([0, 3]),
    mask_equal=st.booleans(),
)
def test_candidates_against_a_loop(codes, n_extra, mask_equal):
    codes = codes if n_extra else codes[:4]
    found = compiled_candidates(jnp.asarray(codes), 4, n_extra, mask_equal)
    np.testing.assert_array_equal(found, brute_force(codes, 4, n_extra, mask_equal))
    assert np.all(np.diagonal(found)), "the own positive is always a candidate"
