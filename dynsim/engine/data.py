"""Sparse-coding samples with majority and minority features, positive pairs and negatives (theory 1, 3).

A sample is a set of tokens x = M z + xi. The columns of the dictionary M are the features. The code z of a token has
entries in {-1, 0, 1}, which say which features are active and with which sign. xi is Gaussian noise. Minority features
are active less often than majority ones. Each sample has two views: the query, and its positive, which is called the
key. `config.DataConfig` describes the options.

Every batch is drawn on the device, from the random keys of its step. The option empties = resample asks for samples
with at least one active feature. They are drawn without trying again: the first active coordinate comes from its exact
distribution given that there is one, and the coordinates after it are drawn as usual.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Key

from dynsim.config import DataConfig
from dynsim.engine.numbers import Numbers, at_step
from dynsim.randomness.draws import normal, uniform
from dynsim.randomness.streams import RunKeys, step_keys


class Batch(NamedTuple):
    """The data of one step: K queries, and the candidates with which they are compared.

    Candidate n < K is the key of query n. Candidates from K on have no query and serve as negatives only.
    """

    query: Float[Array, "query token token_dim"]
    key: Float[Array, "candidate token token_dim"]
    codes: Float[Array, "candidate feature"]
    """The aggregate codes zhat, which are the codes summed over the tokens of a sample. Row n belongs to candidate n
    and, for n < K, to query n."""
    is_candidate: Bool[Array, "query candidate"]
    """True for the key of each query, and for the negatives with which that query is compared."""


class Codes(NamedTuple):
    """The codes of the tokens in both views of each sample, and the aggregate code: their sum over the query's tokens.

    All values are in {-1, 0, 1}, except that aggregates of independent tokens may be larger.
    """

    query: Float[Array, "sample token feature"]
    key: Float[Array, "sample token feature"]
    aggregate: Float[Array, "sample feature"]


def make_dictionary(key: Key[Array, ""], numbers: Numbers, structure: DataConfig) -> Float[Array, "token_dim feature"]:
    """Draw the dictionary M, of shape (d1, d), as `structure.dictionary` says (theory 1.1).

    - identity: the first d unit vectors.
    - qr: a uniformly random matrix Q with orthonormal columns (Haar measure).
    - correlated: unit columns with pairwise cosine c. Their Gram matrix is G = (1-c) I + c 1 1^T, and M = Q G^{1/2}
      with the symmetric root G^{1/2} = a I + (b - a) 1 1^T / d, a = sqrt(1-c), b = sqrt(1 + (d-1) c).
    """
    d1, d = structure.token_dim, structure.n_features
    dtype = numbers.noise_std.dtype
    if structure.dictionary == "identity":
        return jnp.eye(d1, d, dtype=dtype)
    gaussian = jax.random.normal(key, (d1, d), dtype)
    q, r = jnp.linalg.qr(gaussian)
    q = q * jnp.sign(jnp.diagonal(r))[None, :]  # a positive diagonal of R makes Q Haar-distributed
    if structure.dictionary == "qr":
        return q
    c = numbers.dictionary_cosine
    a, b = jnp.sqrt(1 - c), jnp.sqrt(1 + (d - 1) * c)
    return a * q + (b - a) / d * jnp.sum(q, axis=1, keepdims=True)


def _gated_probabilities(numbers: Numbers, structure: DataConfig) -> tuple[Array, Array]:
    """Return the probability of each gate state, shape (g,), and the features' activation probabilities in it (g, d).

    With co-occurrence, the majority and the minority have a gate each. A shut gate silences all features of its group,
    so there are four states. Without co-occurrence there is one state.
    """
    per_token = numbers.active_probability / (1 if structure.sampling_rule == "aggregate" else structure.n_tokens)
    if structure.co_occurrence == 0:
        return jnp.ones((1,), per_token.dtype), per_token[None, :]
    on = jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], per_token.dtype)  # columns: majority, minority
    c = numbers.co_occurrence
    chance = jnp.prod(on * (1 - c) + (1 - on) * c, axis=1)
    is_on = on[:, :1] * (1 - numbers.minority)[None, :] + on[:, 1:] * numbers.minority[None, :]
    return chance, is_on * (per_token / (1 - c))[None, :]


def _active(uniforms: Array, pick: Array, numbers: Numbers, structure: DataConfig) -> tuple[Array, Array]:
    """Return Booleans (is active, is positive), each of shape (n, c), for the c coordinates of n samples.

    Coordinate i is active with probability q_i, independently of the others. With empties = resample, this is given
    that at least one is active. Then k is the first active one with probability
    q_k prod_{i<k} (1 - q_i) / (1 - prod_i (1 - q_i)), and the coordinates after it are independent as before.

    Args:
        uniforms: uniform numbers (n, c), which decide activity and sign.
        pick: uniform numbers (n, 2), which decide the gate state and the first active coordinate.
    """
    chance, prob = _gated_probabilities(numbers, structure)
    if structure.sampling_rule == "independent_tokens":
        prob = jnp.tile(prob, (1, structure.n_tokens))
    # 1 - prod_{i<=k} (1 - q_i), computed by logarithms, since 1 - q would round a small q away
    any_up_to = -jnp.expm1(jnp.cumsum(jnp.log1p(-prob), axis=1))  # (g, c)
    any_active = any_up_to[:, -1]
    resample = structure.empties == "resample"
    state = _draw_state(pick[:, 0], chance * any_active if resample else chance)
    # one draw decides both activity and sign: a number below q/2 means +1, one in [q/2, q) means -1
    q = prob[state]
    positive = uniforms < q / 2
    active = uniforms < q
    if not resample:
        return active, positive
    cdf = (any_up_to / jnp.where(any_active > 0, any_active, 1)[:, None])[state]
    first = jnp.sum(pick[:, 1:] >= cdf, axis=1, dtype=jnp.int32)[:, None]
    place = jnp.arange(prob.shape[1], dtype=jnp.int32)[None, :]
    positive = jnp.where(place == first, uniforms < 0.5, positive)
    return (place == first) | ((place > first) & active), positive


def _draw_state(uniform: Array, weight: Array) -> Array | slice:
    """Return the index of a gate state per sample, drawn in proportion to `weight`, or a full slice for one state."""
    if weight.shape[0] == 1:
        return slice(None)
    edges = jnp.cumsum(weight) / jnp.sum(weight)
    above = (uniform[:, None] >= edges[None, :]).astype(jnp.int32)
    return jnp.minimum(jnp.sum(above, axis=1), edges.shape[0] - 1)


def sample_codes(key: Key[Array, ""], n_samples: int, numbers: Numbers, structure: DataConfig) -> Codes:
    """Draw the codes of the tokens in both views (theory 1.3, 1.4, 3.6).

    Args:
        key: random key.
        n_samples: number of samples.
        numbers: the numbers of the data model.
        structure: its options, the data section of a configuration.

    """
    d, L = structure.n_features, structure.n_tokens
    dtype = numbers.noise_std.dtype
    aggregate_rule = structure.sampling_rule == "aggregate"
    n_coordinates = d if aggregate_rule else d * L
    # all numbers come from one draw: every other shape to draw would cost more than a second of compilation
    widths = [n_coordinates, 2, d, d, d]
    block = uniform(key, (n_samples, sum(widths)), dtype)
    bounds = [sum(widths[:k]) for k in range(1, len(widths))]
    uniforms, pick, place_query, place_key, kept = jnp.split(block, bounds, axis=1)
    active, positive = _active(uniforms, pick, numbers, structure)
    signed = jnp.where(active, jnp.where(positive, 1, -1), 0).astype(dtype)
    tokens = jnp.arange(L, dtype=jnp.int32)[None, :, None]
    if aggregate_rule:
        query = jnp.where(tokens == _token(place_query, L), signed[:, None, :], 0)
        moved = jnp.where(tokens == _token(place_key, L), signed[:, None, :], 0)
    else:
        query = signed.reshape(n_samples, L, d)
        # shifting the tokens of a feature cyclically keeps its aggregate; a single active token may land anywhere
        place = tokens + _token(place_key, L)
        moved = jnp.take_along_axis(query, jnp.where(place < L, place, place - L), axis=1)
    second = moved if structure.pair_rule == "placed" else query
    if _may_drop(structure):
        second = second * (kept < numbers.keep_probability[None, :])[:, None, :].astype(dtype)
    return Codes(query, second, jnp.sum(query, axis=1))


def _token(uniform: Array, n_tokens: int) -> Array:
    return jnp.minimum((uniform * n_tokens).astype(jnp.int32), n_tokens - 1)[:, None, :]


def _may_drop(structure: DataConfig) -> bool:
    return min((structure.majority_keep, structure.minority_keep, *structure.keep_probability)) < 1


def sample_views(
    keys: tuple[Key[Array, ""], Key[Array, ""]],
    n_query: int,
    n_extra: int,
    dictionary: Float[Array, "token_dim feature"],
    numbers: Numbers,
    structure: DataConfig,
) -> Batch:
    """Draw queries, their keys and `n_extra` further negatives (theory 1.1, 3.4-3.6).

    Args:
        keys: a random key for the codes, and one for the noise and coordinate masks.
        n_query: number K of queries.
        n_extra: number of negatives drawn in addition.
        dictionary: M, shape (token_dim, feature).
        numbers, structure: as for `sample_codes`.

    Returns:
        A `Batch` with K + n_extra candidates.
    """
    K, L, d1 = n_query, structure.n_tokens, structure.token_dim
    codes = sample_codes(keys[0], K + n_extra, numbers, structure)
    dtype = dictionary.dtype
    clean = jnp.concatenate([codes.query[:K], codes.key]) @ dictionary.T
    key_noise = normal(keys[1], (K + n_extra, L, d1), dtype, skip=K * L * d1) * numbers.noise_std
    if structure.pair_rule == "complementary":
        coin = jax.random.bernoulli(jax.random.fold_in(keys[1], 1), 0.5, (K + n_extra, 1, d1)).astype(dtype)
        query, key = 2 * coin[:K] * (clean[:K] + key_noise[:K]), 2 * (1 - coin) * (clean[K:] + key_noise)
    else:
        query = clean[:K] + normal(keys[1], (K, L, d1), dtype) * numbers.noise_std
        key = clean[K:] + key_noise
    return Batch(query, key, codes.aggregate, candidates(codes.aggregate, K, n_extra, structure.mask_equal_codes))


def candidates(
    aggregate: Float[Array, "candidate feature"], n_query: int, n_extra: int, mask_equal: bool
) -> Bool[Array, "query candidate"]:
    """Return which candidates each query is compared with (theory 1.6, 3.4).

    These are its own key and its negatives. The negatives are the extra samples or, if there are none, the other keys
    of the batch. With `mask_equal`, a negative is left out if its aggregate code has the same active features as the
    query's, with the same signs.
    """
    K, C = n_query, n_query + n_extra
    own = jnp.arange(K)[:, None] == jnp.arange(C)[None, :]
    allowed = jnp.broadcast_to(jnp.arange(C)[None, :] >= K, (K, C)) if n_extra else jnp.ones((K, C), bool)
    if mask_equal:
        sign = jnp.sign(aggregate)
        # equal vectors have ||a - b||^2 = 0; all terms are small integers, which float32 holds exactly
        energy = jnp.sum(sign * sign, axis=1)
        distance = energy[:K, None] + energy[None, :] - 2 * (sign[:K] @ sign.T)
        allowed = allowed & (distance > 0.5)
    return own | allowed


class DataModel(NamedTuple):
    """The three functions of a data model; pass your own to `simulate` to replace the built-in ones."""

    init: Callable[..., Array]
    """(key, numbers) -> dictionary (token_dim, feature)."""
    sample: Callable[..., Batch]
    """(random key for codes, random key for noise, dictionary, numbers) -> Batch."""
    probe: Callable[..., tuple[Array, Array]]
    """(key, dictionary, numbers) -> (samples (n, token, token_dim), aggregate codes (n, feature)).

    These samples are never trained on; they are used to measure which neurons fire on which feature."""


@functools.lru_cache(maxsize=64)  # so that what is compiled for a data model is found again
def sparse_coding(structure: DataConfig, n_probe: int = 8) -> DataModel:
    """Return the built-in data model for the data section of a configuration (theory 1, 3)."""

    def init(key: Array, numbers: Numbers) -> Array:
        return make_dictionary(key, numbers, structure)

    def sample(codes_key: Array, noise_key: Array, dictionary: Array, numbers: Numbers) -> Batch:
        extra = structure.n_negatives or 0
        return sample_views((codes_key, noise_key), structure.batch_size, extra, dictionary, numbers, structure)

    def probe(key: Array, dictionary: Array, numbers: Numbers) -> tuple[Array, Array]:
        return probe_samples(key, n_probe, dictionary, numbers, structure)

    return DataModel(init, sample, probe)


def probe_samples(
    key: Key[Array, ""],
    n_probe: int,
    dictionary: Float[Array, "token_dim feature"],
    numbers: Numbers,
    structure: DataConfig,
) -> tuple[Float[Array, "sample token token_dim"], Float[Array, "sample feature"]]:
    """Draw, for each feature, `n_probe` samples in which it is active, to measure which neurons fire on it.

    Sample n belongs to feature j = n // n_probe. It is drawn from the data model; if j is silent in it, j is made
    active in one token, with a random sign. For the sampling rule "aggregate" this is the exact distribution given that
    j is active, since features are independent. It is only an approximation with co-occurrence or independent tokens:
    there, an active j also changes the chances of other features or of further tokens.

    Returns:
        Samples (n, token, token_dim) and their aggregate codes (n, feature).
    """
    d, L = structure.n_features, structure.n_tokens
    n = d * n_probe
    code_key, place_key, noise_key = jax.random.split(key, 3)
    codes = sample_codes(code_key, n, numbers, dataclasses.replace(structure, empties="keep")).query
    wanted = jnp.broadcast_to(jnp.eye(d, dtype=bool)[:, None, :], (d, n_probe, d)).reshape(n, d)
    silent = wanted & jnp.all(codes == 0, axis=1)
    draw = jax.random.randint(place_key, (n,), 0, 2 * L)  # token and sign of the forced activation
    token = jnp.arange(L)[None, :] == jnp.where(draw < L, draw, draw - L)[:, None]
    sign = jnp.where(draw < L, 1, -1).astype(codes.dtype)
    forced = (silent[:, None, :] & token[:, :, None]).astype(codes.dtype)
    codes = codes + forced * sign[:, None, None]
    noise = jax.random.normal(noise_key, (n, L, structure.token_dim), codes.dtype) * numbers.noise_std
    return codes @ dictionary.T + noise, jnp.sum(codes, axis=1)


def batch_at(model: DataModel, keys: RunKeys, step: Integer[Array, ""], dictionary: Array, numbers: Numbers) -> Batch:
    """Draw the batch of one step from the random keys of the run, which depend on its seed alone."""
    now = at_step(numbers, step)
    return model.sample(*step_keys((keys.codes, keys.noise), step), dictionary, now)
