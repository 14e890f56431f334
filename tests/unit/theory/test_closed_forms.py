"""`dynsim.theory` against enumeration of all codes, hand calculation and the numbers quoted in the theory."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from dynsim import theory
from dynsim.config import Config, DataConfig, LossConfig, OptimizerConfig, replace
from dynsim.config.checks import ConfigError


def enumerate_codes(data):
    """Return all (zhat (n, d), probability (n,)) after gates, token sums and resampling, equal codes joined."""
    eps, minority = theory.relative_frequency(data), theory.is_minority(data)
    n = 1 if data.sampling_rule == "aggregate" else data.n_tokens
    c, chance = data.co_occurrence, {}
    tokens = np.array(list(itertools.product((-1, 0, 1), repeat=n * data.n_features))).reshape(-1, n, data.n_features)
    probability = np.zeros(len(tokens))
    for gates in itertools.product((0, 1), repeat=2):  # majority, minority
        gate = math.prod(1 - c if on else c for on in gates)
        p = np.where(minority, gates[1], gates[0]) * data.activation_rate * eps / n / (1 - c)
        probability += gate * np.prod(np.where(tokens == 0, 1 - p, p / 2), axis=(1, 2))
    keys = zip(map(tuple, tokens.sum(axis=1).tolist()), np.any(tokens, axis=(1, 2)).tolist(), strict=True)
    for key, one in zip(keys, probability.tolist(), strict=True):
        chance[key] = chance.get(key, 0.0) + one
    empty = sum(p for (_, some), p in chance.items() if not some)
    used = {}
    for (z, some), p in chance.items():
        if some or data.empties == "keep":
            used[z] = used.get(z, 0.0) + (p / (1 - empty) if data.empties == "resample" else p)
    return np.array(list(used), float), np.array(list(used.values())), empty


def enumerated_drift(data):
    """Return E[zX_j zY_j N'/(N'+1)] - E[zX_j sum_V zV_j / (N'+1)], N' the number of negatives that are kept."""
    z, p, _ = enumerate_codes(data)
    keep, N = theory.keep_probability(data), theory.n_negatives(data)
    kept_number = np.arange(N + 1)
    allowed = np.any(np.sign(z)[:, None] != np.sign(z), axis=2) | (not data.mask_equal_codes)  # (query, negative)
    chance = allowed @ p
    rho = binom.pmf(kept_number, N, np.minimum(chance, 1.0)[:, None]) @ (kept_number / (kept_number + 1))
    negative = (allowed * p) @ z / np.where(chance > 0, chance, 1)[:, None]
    return keep * np.sum((p * rho)[:, None] * z * (z - negative), axis=0)


@st.composite
def small_data(draw):
    rate = draw(st.floats(0.05, 0.9))
    return DataConfig(
        n_features=3,
        token_dim=5,
        n_tokens=2,
        batch_size=draw(st.integers(2, 9)),
        minority_fraction=draw(st.sampled_from([0.0, 0.34, 0.67, 1.0])),
        minority_ratio=draw(st.floats(0.1, 1.0)),
        frequency_profile=draw(st.sampled_from(["two_level", "exponential", "power_law"])),
        activation_rate=rate,
        sampling_rule=draw(st.sampled_from(["aggregate", "independent_tokens"])),
        co_occurrence=draw(st.sampled_from([0.0, 0.5])) * (1 - rate),
        minority_keep=draw(st.sampled_from([0.4, 1.0])),
        empties=draw(st.sampled_from(["resample", "keep"])),
        mask_equal_codes=draw(st.booleans()),
    )


@settings(max_examples=40, deadline=None)
@given(small_data())
def test_code_law_matches_enumeration(data):
    z, p, empty = enumerate_codes(data)
    assert theory.empty_probability(data) == pytest.approx(empty, rel=1e-10, abs=1e-14)
    np.testing.assert_allclose(theory.activation_probability(data), p @ (z != 0), rtol=1e-10)
    np.testing.assert_allclose(theory.second_moment(data), theory.keep_probability(data) * (p @ z**2), rtol=1e-10)
    N = theory.n_negatives(data)
    drift = theory.second_moment(data) * N / (N + 1) + theory.masking_correction(data)
    np.testing.assert_allclose(drift, enumerated_drift(data), rtol=1e-9)


def test_linear_rate_of_a_simulated_batch_loss():
    """Directional derivative of the actual loss at tiny weights, averaged over batches: every factor of g_j at once."""
    config = Config(
        data=DataConfig(n_features=3, token_dim=3, batch_size=6, activation_rate=0.3, minority_fraction=0.34),
        loss=LossConfig(temperature=0.5, temperature_prefactor=False),
    )
    config = replace(config, **{"encoder.pooling": "mean", "data.minority_ratio": 0.5})
    z, p, _ = enumerate_codes(config.data)
    rng = np.random.default_rng(1)
    w, h, slopes = np.array([1e-3, 1e-3, 1e-3]), 1e-4, []  # M = I; the key's weights are held fixed

    def loss(query_w, codes):
        scaled = np.outer(codes @ query_w, codes @ w) / config.data.n_tokens**2 / config.loss.temperature
        other = np.any(codes[:, None] != codes[None], axis=2) | np.eye(len(codes), dtype=bool)
        return np.mean(np.log(np.sum(np.exp(scaled) * other, axis=1)) - np.diag(scaled))

    for _ in range(4000):
        codes = z[rng.choice(len(p), size=6, p=p)]
        slopes.append([(loss(w - h * e, codes) - loss(w + h * e, codes)) / (2 * h) / 1e-3 for e in np.eye(3)])
    error = np.std(slopes, axis=0) / math.sqrt(len(slopes))
    predicted = theory.growth_rate(config) / config.optimizer.learning_rate
    assert np.all(error < 0.05 * predicted)
    # on feature j the cross terms z_j z_k w_k have mean zero by sign symmetry, so they only add to the error
    assert np.all(np.abs(np.mean(slopes, axis=0) - predicted) < 4 * error)


def test_masking_raises_the_rate_and_dies_out_with_d():
    shares = []
    for d in (8, 16, 32):
        data = DataConfig(n_features=d, token_dim=d)
        correction = theory.masking_correction(data)
        assert np.all(correction > 0)
        shares.append(correction[0] / theory.second_moment(data)[0])
    assert shares[0] > shares[1] > shares[2]
    assert np.all(theory.masking_correction(DataConfig(mask_equal_codes=False)) == 0)


@pytest.mark.parametrize("correlated", [False, True])
def test_complementary_second_moment_over_all_masks(correlated):
    cosine = {"dictionary": "correlated", "dictionary_cosine": 0.3} if correlated else {}
    data = DataConfig(n_features=3, token_dim=4, activation_rate=0.4, pair_rule="complementary", **cosine)
    M = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 3)))[0]
    M = M + 0.3 * M.sum(axis=1, keepdims=True) if correlated else M
    z, p, _ = enumerate_codes(data)
    total = np.zeros(3)
    for mask in itertools.product((0.0, 1.0), repeat=4):
        first, second = (z @ M.T * 2 * side @ M for side in (np.array(mask), 1 - np.array(mask)))
        total += p @ (first * second) / 16
    np.testing.assert_allclose(theory.second_moment(data, M), total, rtol=1e-10)


def test_complementary_mean_over_haar_dictionaries():
    data = DataConfig(n_features=3, token_dim=6, pair_rule="complementary", minority_ratio=0.4)
    rng = np.random.default_rng(0)
    values = [theory.second_moment(data, np.linalg.qr(rng.standard_normal((6, 3)))[0]) for _ in range(2000)]
    error = np.std(values, axis=0) / math.sqrt(len(values))
    assert np.all(np.abs(np.mean(values, axis=0) - theory.second_moment(data)) < 4 * error)
    with pytest.raises(ConfigError, match="dictionary"):
        theory.second_moment(DataConfig(pair_rule="complementary", dictionary="correlated"))


def test_frequency_profiles_and_labels():
    eight = {"n_features": 8, "token_dim": 8, "minority_ratio": 0.5, "minority_fraction": 0.25}
    np.testing.assert_array_equal(theory.relative_frequency(DataConfig(**eight)), [1] * 6 + [0.5] * 2)
    np.testing.assert_array_equal(theory.is_minority(DataConfig(**eight)), [False] * 6 + [True] * 2)
    for profile, second in (("exponential", 0.5 ** (1 / 7)), ("power_law", 2 ** (-math.log(2) / math.log(8)))):
        eps = theory.relative_frequency(DataConfig(frequency_profile=profile, **eight))
        np.testing.assert_allclose(eps[[0, 1, 7]], [1, second, 0.5], rtol=1e-14)
        assert np.all(np.diff(eps) < 0)
    given_data = DataConfig(
        n_features=4,
        token_dim=4,
        frequency_profile="given",
        relative_frequency=(0.2, 1.0, 0.2, 0.1),
        majority_keep=0.9,
        minority_keep=0.3,
    )
    np.testing.assert_array_equal(theory.is_minority(given_data), [False, False, True, True])  # a tie: the later one
    np.testing.assert_array_equal(theory.keep_probability(given_data), [0.9, 0.9, 0.3, 0.3])
    assert theory.noise_variance(DataConfig()) == 1 / 64
    assert theory.noise_variance(DataConfig(noise_level="sqrt_log_d")) == pytest.approx(math.log(64) ** 0.5 / 64)
    assert theory.noise_variance(DataConfig(noise_level="given", noise_variance=0.3)) == 0.3


def test_empty_share_quoted_in_section_1_6():
    data = DataConfig(n_features=24, token_dim=72, minority_ratio=0.2)
    assert round(theory.empty_probability(data), 2) == 0.22


@given(
    st.sampled_from(["aggregate", "independent_tokens"]),
    st.sampled_from(["resample", "keep"]),
    st.floats(1e-6, 1.0),
    st.lists(st.floats(1e-3, 1.0), min_size=5, max_size=5),
)
def test_activation_probability_is_a_monotone_probability(rule, empties, rate, eps):
    data = DataConfig(
        n_features=5,
        token_dim=5,
        n_tokens=3,
        activation_rate=rate,
        frequency_profile="given",
        relative_frequency=tuple(eps),
        sampling_rule=rule,
        empties=empties,
    )
    P = theory.activation_probability(data)
    assert np.all((P > 0) & (P <= 1 + 1e-12))
    order = np.argsort(eps)
    assert np.all(np.diff(P[order]) >= -1e-12)
    if empties == "keep" and rule == "aggregate":
        np.testing.assert_allclose(P, rate * np.array(eps), rtol=1e-10)


def linear_config(r, **changes):
    """Return a run whose log growth is eta * 0.1 * eps_j to first order: no decay, masks, empties or 1/(|N|+1)."""
    data = DataConfig(
        n_features=24,
        token_dim=72,
        minority_ratio=r,
        empties="keep",
        mask_equal_codes=False,
        n_negatives=10**9,
    )
    loss, optimizer = LossConfig(l2_penalty=0.0), OptimizerConfig(learning_rate=1e-4)
    return replace(Config(data=data, loss=loss, optimizer=optimizer), **changes)


@pytest.mark.parametrize(("r", "quoted"), [(1.0, 34.7), (0.5, 43.2), (0.2, 47.0)])
def test_stage1_end_quoted_in_6_1(r, quoted):
    # the quoted numbers are for a majority rate of 0.02 per step and no decay; times scale with the inverse rate
    assert theory.stage1_end(linear_config(r)) * 1e-5 / 0.02 == pytest.approx(quoted, abs=0.05)


def test_stage1_end_closed_form_per_group():
    config = Config()
    G = theory.log_growth(config)
    for group, rate in (("majority", G[0]), ("minority", G[-1])):
        expected = math.log(1 + 128 / 32) / (2 * rate)
        assert theory.stage1_end(config, group) == pytest.approx(expected, rel=1e-10)
    # "all" by definition: ||w||^2 has doubled
    t = theory.stage1_end(config)
    decayed = 64 * (1 - 0.5 * 2e-3) ** (2 * t)
    assert np.sum(np.exp(2 * G * t)) + decayed == pytest.approx(2 * 128, rel=1e-10)
    assert t < theory.stage1_end(config, "majority") < theory.stage1_end(config, "minority")
    assert theory.stage1_end(replace(config, **{"data.minority_fraction": 0.0}), "minority") == math.inf
    assert theory.stage1_end(replace(config, **{"loss.l2_penalty": 0.5}), "all") == math.inf
    with pytest.raises(ConfigError, match="group"):
        theory.stage1_end(config, "both")


def test_growth_rate_factors():
    base = Config()
    g = theory.growth_rate(base)
    data = base.data
    by_hand = 0.5 * 0.1 / (1 - 0.9**32 * 0.93**32) * 255 / 256
    assert g[0] == pytest.approx(by_hand, rel=1e-5)  # the masking correction is of order 1e-6 here
    factors = {
        ("encoder.pooling", "mean"): 1 / data.n_tokens**2,
        ("loss.temperature", 3.0): 1.0,
        ("loss.stop_gradient", False): 2.0,
        ("loss.symmetric", True): 1.0,
        ("optimizer.learning_rate", 0.25): 0.5,
    }
    for (name, value), factor in factors.items():
        np.testing.assert_allclose(theory.growth_rate(replace(base, **{name: value})), factor * g, rtol=1e-12)
    cold = replace(base, **{"loss.temperature": 4.0, "loss.temperature_prefactor": False})
    np.testing.assert_allclose(theory.growth_rate(cold), g / 4, rtol=1e-12)
    np.testing.assert_allclose(theory.log_growth(base), np.log(1 + g - 0.5 * 2e-3), rtol=1e-12)
    decoupled = replace(base, **{"loss.l2_penalty": 0.0, "loss.weight_decay": 2e-3})
    np.testing.assert_allclose(theory.log_growth(decoupled), theory.log_growth(base), rtol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer.name": "adam"},
        {"optimizer.arguments": (("momentum", 0.9),)},
        {"loss.similarity": "cosine"},
        {"encoder.architecture": "relu", "data.n_tokens": 1},
        {"data.dictionary": "correlated", "data.dictionary_cosine": 0.1},
    ],
)
def test_no_rate_where_there_is_no_closed_form(changes):
    for closed_form in (theory.growth_rate, theory.stationary_magnitude):
        with pytest.raises(ConfigError):
            closed_form(replace(Config(), **changes))


@given(st.floats(0.1, 1.0), st.floats(1e-4, 0.2))
def test_learnability_floor_is_where_growth_stops(r, penalty):
    config = replace(Config(), **{"data.minority_ratio": r, "loss.l2_penalty": penalty})
    G, eps, floor = theory.log_growth(config), theory.relative_frequency(config.data), theory.learnability_floor(config)
    np.testing.assert_array_equal(eps < floor, G < 0)
    by_hand = penalty * (1 - theory.empty_probability(config.data)) / 0.1 * 256 / 255
    np.testing.assert_allclose(floor, by_hand, rtol=1e-4)
    assert np.all(theory.learnability_floor(replace(config, **{"data.minority_keep": 0.0}))[-32:] == math.inf)


def test_suppression_clock_and_window():
    config = linear_config(0.5)
    G = theory.log_growth(config)
    t = np.array([0.0, 10.0, theory.stage1_end(config, "majority")])
    ratio = theory.suppression(config, t)
    np.testing.assert_allclose(ratio, np.exp((G[-1] - G[0]) * t), rtol=1e-10)
    # S1f: at T1 the ratio is (1 + d1/d_maj)^(-(1-r)/2), up to log(1+g) against g
    assert ratio[2] == pytest.approx((1 + 72 / 12) ** -0.25, rel=1e-4)
    assert theory.suppression(linear_config(1.0), 1e5) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="n_minority"):
        theory.suppression(replace(config, **{"data.minority_fraction": 0.0}), 1.0)
    assert theory.stage2_clock(config) == pytest.approx(math.log(24) / 1e-5)
    window = theory.stage3_window(replace(config, **{"optimizer.learning_rate": 0.2}))
    assert window == pytest.approx((24**1.01 / 0.2, 24**1.99 / 0.2))
    assert window[1] == pytest.approx(2790, rel=2e-3)


def test_stationary_magnitude_solves_its_balance():
    config = replace(Config(), **{"loss.temperature": 0.5, "encoder.pooling": "mean"})
    S, P = theory.stationary_magnitude(config), theory.activation_probability(config.data)
    positive_share = np.exp(S / 4 / 0.5) * (1 + 255 * P / 2)  # similarity s^2 S with s = 1/2
    np.testing.assert_allclose(255 * P / 4 / positive_share, 2e-3, rtol=1e-12)
    assert S[0] > S[-1] and S[0] - S[-1] < 0.02 * S[0]  # nearly flat once |N| P_j > 2
    assert np.all(theory.stationary_magnitude(replace(config, **{"loss.l2_penalty": 0.0})) == math.inf)
    assert np.all(theory.stationary_magnitude(replace(config, **{"loss.l2_penalty": 9.0})) == 0)
    # no prefactor: (tau, lambda) acts like the prefactor form with lambda tau
    plain = replace(config, **{"loss.temperature_prefactor": False, "loss.l2_penalty": 2e-3 / 0.5})
    np.testing.assert_allclose(theory.stationary_magnitude(plain), S, rtol=1e-12)


def test_fixed_point_residual():
    alignment = np.array([[3.0, 1.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    drift = np.array([[0.3, 0.2, 0.0, 1.0], [0.4, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(theory.fixed_point_residual(drift, alignment, 0.1), [0, 1, 0, math.inf], atol=1e-15)
    np.testing.assert_allclose(theory.fixed_point_residual(np.array([0.3]), np.array([1.0]), 0.2), [0.5])
