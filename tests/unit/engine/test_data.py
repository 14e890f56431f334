"""The data model against enumeration of every code state, and against exact laws of counts and energies.

Statistics use one fixed draw of many samples and bounds of five sigma, so that they never flake.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dynsim import theory
from dynsim.config import Config, replace
from dynsim.engine.data import batch_at, make_dictionary, probe_samples, sample_codes, sample_views, sparse_coding
from dynsim.engine.numbers import Numbers, resolve
from dynsim.randomness.streams import run_keys

N = 20_000
FIVE_SIGMA = float(2 * stats.norm.sf(5))
TINY = replace(
    Config(),
    **{
        "data.n_features": 3,
        "data.token_dim": 5,
        "data.n_tokens": 2,
        "data.batch_size": 4,
        "data.activation_rate": 0.5,
        "data.minority_ratio": 0.5,
        "data.minority_fraction": 1 / 3,
        "train.precision": "float64",
    },
)


def tiny(**changes) -> Config:
    return replace(TINY, **{f"data.{name}": value for name, value in changes.items()})


def numbers_of(config: Config) -> Numbers:
    return jax.tree.map(jnp.asarray, resolve(config).numbers)


# compiled as one program for each structure: operation by operation there would be hundreds
compiled_codes = jax.jit(sample_codes, static_argnums=(1, 3))


def draw(config: Config, n: int = N, seed: int = 0):
    codes = compiled_codes(jax.random.key(seed), n, numbers_of(config), resolve(config).structure.data)
    return jax.tree.map(np.asarray, codes)


def assert_binomial(count: int, n: int, p: float, about: object = "") -> None:
    """Fail unless `count` lies where a binomial count does, but for a chance of five sigma."""
    low, high = stats.binom.ppf(FIVE_SIGMA / 2, n, p), stats.binom.isf(FIVE_SIGMA / 2, n, p)
    assert low <= count <= high, f"{about}: {count} of {n}, wanted {low:.0f} to {high:.0f} (p = {p:.4g})"


def exact_law(config: Config) -> dict[tuple[int, ...], float]:
    """Return Pr(zhat) of every aggregate, by a sum over gates and over every state of every code."""
    data = config.data
    eps = np.array([1.0, 1.0, data.minority_ratio])
    L = data.n_tokens if data.sampling_rule == "independent_tokens" else 1
    c, law, empty = data.co_occurrence, {}, 0.0
    for gate_majority, gate_minority in itertools.product((0, 1), repeat=2):
        gates = np.prod([1 - c if gate else c for gate in (gate_majority, gate_minority)])
        p = data.activation_rate * eps / L / (1 - c) * np.array([gate_majority, gate_majority, gate_minority])
        for state in itertools.product((-1, 0, 1), repeat=3 * L):
            z = np.reshape(state, (L, 3))
            weight = gates * np.prod(np.where(z == 0, 1 - p, p / 2))
            if data.empties == "resample" and not z.any():
                empty += weight
                continue
            aggregate = tuple(z.sum(axis=0).tolist())
            law[aggregate] = law.get(aggregate, 0.0) + weight
    return {aggregate: weight / (1 - empty) for aggregate, weight in law.items() if weight > 0}


CASES = list(itertools.product(("aggregate", "independent_tokens"), ("resample", "keep"), (0.0, 0.3)))


@pytest.mark.parametrize(("rule", "empties", "co_occurrence"), CASES)
def test_the_aggregate_code_has_the_enumerated_law(rule, empties, co_occurrence):
    config = tiny(sampling_rule=rule, empties=empties, co_occurrence=co_occurrence)
    law = exact_law(config)
    assert sum(law.values()) == pytest.approx(1, abs=1e-12)
    codes = draw(config).aggregate.astype(int)
    seen, counts = np.unique(codes, axis=0, return_counts=True)
    found = {tuple(row): int(count) for row, count in zip(seen.tolist(), counts, strict=True)}
    assert set(found) <= set(law), "a code that cannot be"
    for aggregate, p in law.items():
        assert_binomial(found.get(aggregate, 0), N, p, aggregate)
    active = np.array([sum(p for z, p in law.items() if z[j]) for j in range(3)])
    for j in range(3):
        assert_binomial(int(np.sum(codes[:, j] != 0)), N, active[j], f"feature {j}")
    np.testing.assert_allclose(theory.activation_probability(config.data), active, rtol=1e-12)


@pytest.mark.parametrize("rule", ["aggregate", "independent_tokens"])
def test_token_codes_are_minus_one_zero_or_one_with_even_signs(rule):
    codes = draw(tiny(sampling_rule=rule))
    assert set(np.unique(codes.query)) == {-1, 0, 1}
    assert set(np.unique(codes.key)) == {-1, 0, 1}
    np.testing.assert_array_equal(codes.aggregate, codes.query.sum(axis=1))
    for j in range(3):
        for token in range(2):
            active = codes.query[:, token, j][codes.query[:, token, j] != 0]
            assert_binomial(int(np.sum(active > 0)), active.size, 0.5, (j, token))


def test_aggregate_rule_puts_an_active_feature_in_one_token_uniformly_and_anew_in_the_second_view():
    codes = draw(tiny())
    np.testing.assert_array_equal(np.abs(codes.query).sum(axis=1), np.abs(codes.aggregate))
    np.testing.assert_array_equal(codes.key.sum(axis=1), codes.aggregate)
    for j in range(3):
        active = codes.aggregate[:, j] != 0
        first = np.argmax(np.abs(codes.query[active, :, j]), axis=1)
        second = np.argmax(np.abs(codes.key[active, :, j]), axis=1)
        for pair in itertools.product((0, 1), repeat=2):
            assert_binomial(int(np.sum((first == pair[0]) & (second == pair[1]))), int(active.sum()), 0.25, (j, pair))
    # two features that are both active choose their tokens independently
    both = (codes.aggregate[:, 0] != 0) & (codes.aggregate[:, 1] != 0)
    together = np.sum(
        np.all(codes.query[both, :, 0] == np.abs(codes.query[both, :, 1]) * codes.aggregate[both, None, 0], 1)
    )
    assert_binomial(int(together), int(both.sum()), 0.5)


def test_independent_tokens_keep_the_aggregate_in_the_second_view():
    codes = draw(tiny(sampling_rule="independent_tokens"))
    np.testing.assert_array_equal(codes.key.sum(axis=1), codes.aggregate)
    np.testing.assert_array_equal(np.abs(codes.key).sum(axis=1), np.abs(codes.query).sum(axis=1))
    single = np.abs(codes.query[:, :, 0]).sum(axis=1) == 1
    same = np.all(codes.key[single, :, 0] == codes.query[single, :, 0], axis=1)
    assert_binomial(int(same.sum()), int(single.sum()), 0.5)
    assert np.any(np.abs(codes.query).sum(axis=1) == 2), "a feature may be in both tokens"


@pytest.mark.parametrize("rule", ["aggregate", "independent_tokens"])
def test_identical_pairs_share_their_token_codes(rule):
    codes = draw(tiny(sampling_rule=rule, pair_rule="identical"))
    np.testing.assert_array_equal(codes.key, codes.query)


@pytest.mark.parametrize("rule", ["aggregate", "independent_tokens"])
def test_keep_probability_drops_whole_features_from_the_second_view(rule):
    keep = (1.0, 0.6, 0.0)
    codes = draw(tiny(sampling_rule=rule, keep_probability=keep))
    size, kept = np.abs(codes.query).sum(axis=1), np.abs(codes.key).sum(axis=1)
    assert np.all((kept == size) | (kept == 0)), "a feature survives in all its tokens or in none"
    for j in range(3):
        active = size[:, j] > 0
        assert_binomial(int(np.sum(kept[active, j] > 0)), int(active.sum()), keep[j], f"feature {j}")
    survives = kept[:, 1] > 0
    np.testing.assert_array_equal(codes.key.sum(axis=1)[survives, 1], codes.aggregate[survives, 1])


def test_group_keep_probabilities_reach_their_groups():
    codes = draw(tiny(majority_keep=1.0, minority_keep=0.3))
    size, kept = np.abs(codes.query).sum(axis=1) > 0, np.abs(codes.key).sum(axis=1) > 0
    np.testing.assert_array_equal(kept[:, :2], size[:, :2])
    assert_binomial(int(kept[:, 2].sum()), int(size[:, 2].sum()), 0.3)


def test_very_rare_features_are_not_lost_to_rounding():
    config = replace(tiny(activation_rate=1e-9, minority_ratio=1.0), **{"train.precision": "float32"})
    codes = draw(config)
    assert codes.query.dtype == np.float32
    np.testing.assert_array_equal(np.abs(codes.aggregate).sum(axis=1), 1)
    for j in range(3):  # so rare that two features never meet: each is the only one in a third of the samples
        assert_binomial(int(np.sum(codes.aggregate[:, j] != 0)), N, 1 / 3, f"feature {j}")


def test_features_that_are_always_active_are_always_active():
    codes = draw(tiny(activation_rate=1.0, minority_ratio=1.0))
    assert np.all(codes.aggregate != 0)


def test_a_longer_draw_of_another_key_differs():
    first, second = draw(tiny()), draw(tiny(), seed=1)
    assert np.any(first.query != second.query)


# --- dictionary ---------------------------------------------------------------------------------------------------


def test_qr_dictionary_is_orthonormal_with_the_haar_sign_convention():
    config = tiny()
    numbers = numbers_of(config)
    keys = jax.random.split(jax.random.key(3), 2000)
    M = np.asarray(jax.vmap(lambda key: make_dictionary(key, numbers, config.data))(keys))
    assert M.shape == (2000, 5, 3) and M.dtype == np.float64
    np.testing.assert_allclose(np.swapaxes(M, 1, 2) @ M, np.broadcast_to(np.eye(3), (2000, 3, 3)), atol=1e-13)
    gaussian = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (5, 3), jnp.float64))(keys))
    r = np.swapaxes(M, 1, 2) @ gaussian  # Haar: the decomposition whose triangular part has a positive diagonal
    np.testing.assert_allclose(r, np.triu(r), atol=1e-12)
    assert np.all(np.diagonal(r, axis1=1, axis2=2) > 0)
    assert_binomial(int(np.sum(M[:, 0, 0] > 0)), 2000, 0.5)
    # an entry of a Haar column has M_aj^2 ~ Beta(1/2, (d1-1)/2)
    assert stats.kstest(M[:, 4, 2] ** 2, stats.beta(0.5, 2.0).cdf).pvalue > FIVE_SIGMA


def test_identity_dictionary_is_the_first_columns_of_the_identity():
    config = tiny(dictionary="identity")
    M = make_dictionary(jax.random.key(0), numbers_of(config), config.data)
    np.testing.assert_array_equal(M, np.eye(5)[:, :3])


@pytest.mark.parametrize("cosine", [-0.45, 0.0, 0.3, 0.99])
def test_correlated_dictionary_has_unit_columns_of_the_given_cosine_in_the_span_of_qr(cosine):
    config = tiny(dictionary="correlated", dictionary_cosine=cosine)
    M = np.asarray(make_dictionary(jax.random.key(3), numbers_of(config), config.data))
    np.testing.assert_allclose(M.T @ M, np.where(np.eye(3) == 1, 1.0, cosine), atol=1e-13)
    Q = np.asarray(make_dictionary(jax.random.key(3), numbers_of(tiny()), tiny().data))
    np.testing.assert_allclose(Q @ (Q.T @ M), M, atol=1e-13)


# --- views --------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnums=(2, 3, 4))
def compiled_views(keys, numbers, n_query, n_extra, structure):
    M = make_dictionary(jax.random.key(9), numbers, structure)
    codes = sample_codes(keys[0], n_query + n_extra, numbers, structure)
    return sample_views(keys, n_query, n_extra, M, numbers, structure), codes, M


def views(config: Config, n_query: int = N // 2, n_extra: int = 0, seed: int = 5):
    """Return (batch, codes, dictionary). Where every key is a candidate, N^2 / 4 pairs of codes are not compared."""
    keys, structure = (jax.random.key(seed), jax.random.key(seed + 1)), resolve(config).structure.data
    return jax.tree.map(np.asarray, compiled_views(keys, numbers_of(config), n_query, n_extra, structure))


def assert_energy(noise: np.ndarray, variance: float) -> None:
    """Fail unless the sum of squares lies where that of Gaussians of this variance does."""
    low, high = stats.chi2(noise.size).ppf(FIVE_SIGMA / 2), stats.chi2(noise.size).isf(FIVE_SIGMA / 2)
    assert low <= np.sum(noise**2) / variance <= high
    assert abs(np.sum(noise)) <= 5 * np.sqrt(noise.size * variance)


@pytest.fixture(scope="module")
def large_batch():
    return views(tiny(noise_level="given", noise_variance=0.04, mask_equal_codes=False))


def test_views_are_codes_through_the_dictionary_plus_independent_noise(large_batch):
    batch, codes, M = large_batch
    first = batch.query - codes.query @ M.T
    second = batch.key - codes.key @ M.T
    assert_energy(first, 0.04)
    assert_energy(second, 0.04)
    # a product of two independent Gaussians has variance sigma^4
    assert abs(np.sum(first * second)) <= 5 * np.sqrt(first.size) * 0.04
    np.testing.assert_array_equal(batch.codes, codes.aggregate)


@pytest.mark.parametrize(
    ("changes", "variance"),
    [
        ({"noise_level": "inverse_d"}, 1 / 3),
        ({"noise_level": "sqrt_log_d"}, np.sqrt(np.log(3)) / 3),
        ({"noise_level": "given", "noise_variance": 0.0}, 0.0),
    ],
)
def test_noise_levels(changes, variance):
    assert float(numbers_of(tiny(**changes)).noise_std) ** 2 == pytest.approx(variance, abs=1e-15)


def test_identical_pairs_have_fresh_noise(large_batch):
    batch, codes, M = views(
        tiny(pair_rule="identical", noise_level="given", noise_variance=0.04, mask_equal_codes=False)
    )
    first, second = batch.query - codes.query @ M.T, batch.key - codes.query @ M.T
    assert_energy(second, 0.04)
    assert abs(np.sum(first * second)) <= 5 * np.sqrt(first.size) * 0.04


def test_complementary_views_split_the_coordinates_of_one_sample():
    batch, codes, M = views(
        tiny(pair_rule="complementary", noise_level="given", noise_variance=0.04, mask_equal_codes=False)
    )
    assert np.all((batch.query == 0) | (batch.key == 0)), "no coordinate is in both views"
    dense = batch.query / 2 + batch.key / 2
    assert_energy(dense - codes.query @ M.T, 0.04)
    in_first = batch.query != 0
    np.testing.assert_array_equal(in_first[:, 0], in_first[:, 1])  # one mask for all tokens of a sample
    assert_binomial(int(in_first[:, 0].sum()), in_first[:, 0].size, 0.5)
    same = np.sum(in_first[:-1, 0] == in_first[1:, 0])
    assert_binomial(int(same), in_first[1:, 0].size, 0.5, "masks of neighbouring samples")


def test_complementary_views_drop_features_from_the_second_view_too():
    settings = {"pair_rule": "complementary", "noise_level": "given", "noise_variance": 0.0, "mask_equal_codes": False}
    batch, codes, M = views(tiny(keep_probability=(0.0, 0.0, 1.0), **settings))
    only_kept = np.where(batch.key != 0, (codes.query * np.array([0.0, 0.0, 1.0])) @ M.T, 0)
    np.testing.assert_allclose(batch.key / 2, only_kept, atol=1e-14)
    np.testing.assert_allclose(batch.query / 2, np.where(batch.query != 0, codes.query @ M.T, 0), atol=1e-14)


@pytest.mark.parametrize("pair_rule", ["placed", "complementary"])
def test_negatives_drawn_apart_follow_the_positives(pair_rule):
    config = tiny(n_negatives=5, pair_rule=pair_rule, mask_equal_codes=False)
    model = sparse_coding(config.data)
    numbers = numbers_of(config)
    M = model.init(jax.random.key(9), numbers)
    batch = jax.jit(model.sample)(jax.random.key(1), jax.random.key(2), M, numbers)
    assert batch.query.shape == (4, 2, 5) and batch.key.shape == (9, 2, 5) and batch.codes.shape == (9, 3)
    np.testing.assert_array_equal(batch.is_candidate, np.hstack([np.eye(4, dtype=bool), np.ones((4, 5), bool)]))


def test_other_keys_of_the_batch_are_the_negatives_by_default():
    batch, _, _ = views(tiny(mask_equal_codes=False), n_query=4)
    assert batch.is_candidate.shape == (4, 4) and np.all(batch.is_candidate)


def test_float32_stays_float32():
    config = replace(TINY, **{"train.precision": "float32"})
    batch, _, M = views(config, n_query=4)
    assert batch.query.dtype == batch.key.dtype == batch.codes.dtype == M.dtype == np.float32


# --- batches, probe -----------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnums=(3, 4))
def compiled_batch(seed, step, numbers, structure, n_probe):
    model, keys = sparse_coding(structure, n_probe), run_keys(seed)
    return batch_at(model, keys, step, model.init(keys.dictionary, numbers), numbers)


def batch_of(config: Config, seed: int, step: int):
    settings = numbers_of(config), resolve(config).structure.data, config.train.n_probe
    return jax.tree.map(np.asarray, compiled_batch(np.uint32(seed), np.int32(step), *settings))


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder.n_neurons": 7, "encoder.init_std": 0.5},
        {"optimizer.learning_rate": 0.01, "optimizer.name": "adam"},
        {"loss.temperature": 0.2, "loss.l2_penalty": 0.1, "threshold.rule": "zero", "train.n_steps": 9},
        {"train.n_probe": 3, "encoder.attention": "uniform"},
    ],
)
def test_batches_of_a_seed_and_step_do_not_depend_on_anything_else(changes):
    jax.tree.map(np.testing.assert_array_equal, batch_of(TINY, 2, 7), batch_of(replace(TINY, **changes), 2, 7))


def test_batches_depend_on_seed_and_step():
    here = batch_of(TINY, 2, 7)
    for other in (batch_of(TINY, 3, 7), batch_of(TINY, 2, 8)):
        assert np.all(here.query != other.query) and np.all(here.key != other.key)


@pytest.mark.parametrize(
    "changes",
    [
        {"minority_ratio": 0.9, "activation_rate": 0.7, "co_occurrence": 0.2},
        {"minority_keep": 0.4, "sampling_rule": "independent_tokens"},
        {"dictionary": "correlated", "dictionary_cosine": 0.4, "noise_level": "given", "noise_variance": 0.3},
        {"frequency_profile": "given", "relative_frequency": (0.2, 1.0, 0.4), "minority_fraction": 2 / 3},
    ],
)
def test_the_data_functions_read_every_number_from_numbers(changes):
    config = tiny(**changes)
    for function in (
        lambda data: lambda numbers: make_dictionary(jax.random.key(0), numbers, data),
        lambda data: lambda numbers: sample_codes(jax.random.key(0), 64, numbers, data),
        lambda data: lambda numbers: probe_samples(jax.random.key(0), 2, jnp.eye(5, 3), numbers, data),
    ):
        both = (config.data, resolve(config).structure.data)
        one, two = (jax.make_jaxpr(function(data))(numbers_of(config)) for data in both)
        assert str(one) == str(two)  # the same operations on the same constants: whatever the values of the numbers
        jax.tree.map(np.testing.assert_array_equal, *map(plain, (one.consts, two.consts)))


def plain(constants):
    """Return constants of a program as NumPy arrays: a random key as its bits."""
    is_key = [jnp.issubdtype(jnp.asarray(one).dtype, jax.dtypes.prng_key) for one in constants]
    return [np.asarray(jax.random.key_data(one) if key else one) for one, key in zip(constants, is_key, strict=True)]


@pytest.mark.parametrize("rule", ["aggregate", "independent_tokens"])
def test_probe_samples_hold_their_feature_and_leave_the_others_alone(rule):
    config = tiny(sampling_rule=rule, noise_level="given", noise_variance=0.04, activation_rate=0.3)
    n_probe = 4000
    model, numbers = sparse_coding(config.data, n_probe), numbers_of(config)
    M = model.init(jax.random.key(9), numbers)
    samples, codes = jax.tree.map(np.asarray, jax.jit(model.probe)(jax.random.key(4), M, numbers))
    assert samples.shape == (3 * n_probe, 2, 5) and codes.shape == (3 * n_probe, 3)
    p = np.array([0.3, 0.3, 0.15])  # before resampling: j is active, so that no sample is empty
    if rule == "independent_tokens":
        per_token = p / 2
        p = 1 - (1 - per_token) ** 2 - per_token**2 / 2  # not both silent, and not of opposite signs
    for j in range(3):
        own = codes[j * n_probe : (j + 1) * n_probe]
        if rule == "aggregate":
            assert np.all(own[:, j] != 0)
        assert_binomial(int(np.sum(own[:, j] > 0)), int(np.sum(own[:, j] != 0)), 0.5, f"sign of {j}")
        for k in {0, 1, 2} - {j}:
            assert_binomial(int(np.sum(own[:, k] != 0)), n_probe, p[k], (j, k))
    # averaged over tokens the sample is M zhat / L, plus noise of variance sigma^2 / L
    assert_energy(samples.mean(axis=1) - codes @ M.T / 2, 0.02)
    if rule == "aggregate":  # the forced activation too is in a uniformly chosen token
        in_first = np.abs(samples[:n_probe, 0] @ M[:, 0]) > np.abs(samples[:n_probe, 1] @ M[:, 0])
        assert_binomial(int(in_first.sum()), n_probe, 0.5)


def test_fading_noise_adds_its_variance_and_is_gone_in_time():
    """At step n the noise has the variance v + f (1 - n/N), with the same random numbers at every variance."""
    fading = replace(TINY, **{"data.fading_noise": 0.3, "data.fading_steps": 8})
    variance = theory.noise_variance(TINY.data)
    clean = replace(TINY, **{"data.noise_level": "given", "data.noise_variance": 0.0})
    for step, added in ((0, 0.3), (2, 0.225), (8, 0.0), (2**30, 0.0)):
        base, without, got = (batch_of(config, 3, step) for config in (TINY, clean, fading))
        ratio = np.sqrt((variance + added) / variance)
        np.testing.assert_allclose(
            got.query - without.query, (base.query - without.query) * ratio, rtol=1e-5, atol=1e-6
        )
        assert np.array_equal(got.codes, base.codes)
