"""The mean pull against quadrature, exact limits, theory 6.3 and the gradient of sampled batches."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from dynsim import theory
from dynsim.config import Config, replace
from dynsim.theory.mean_field import mean_field, pull, responses, softmax_effect

BASE = replace(
    Config(),
    **{
        "data.n_features": 6,
        "data.token_dim": 9,
        "encoder.n_neurons": 8,
        "data.batch_size": 32,
        "data.activation_rate": 0.2,
        "data.noise_level": "given",
        "data.noise_variance": 0.02,
    },
)


@pytest.mark.parametrize("mean", [0.0, 0.1, -0.35, 1.2])
@pytest.mark.parametrize("spread", [0.05, 0.4])
@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_means_over_noise_agree_with_quadrature(mean, spread, threshold):
    def average(f):
        corners = [(c - mean) / spread for c in (threshold, -threshold)]
        points = sorted(x for x in {*corners, 0.0} if abs(x) < 12)
        return quad(lambda g: f(mean + spread * g, g) * norm.pdf(g), -12, 12, points=points, epsabs=1e-12, limit=400)[0]

    found = responses(np.array(mean), np.array(spread), np.array(threshold))
    soft = average(lambda u, g: np.sign(u) * max(abs(u) - threshold, 0))
    assert found.output == pytest.approx(soft, abs=1e-9)
    assert found.firing == pytest.approx(average(lambda u, g: float(abs(u) > threshold)), abs=1e-9)
    assert found.tilt == pytest.approx(average(lambda u, g: g * (abs(u) > threshold)), abs=1e-9)


def test_slopes_in_the_mean_input():
    mean, spread, threshold, small = np.linspace(-1, 1, 9), np.array(0.3), np.array(0.2), 1e-6
    above, below = (responses(mean + step, spread, threshold) for step in (small, -small))
    here = responses(mean, spread, threshold)
    np.testing.assert_allclose((above.output - below.output) / (2 * small), here.firing, atol=1e-8)
    np.testing.assert_allclose((above.firing - below.firing) / (2 * small), here.tilt / spread, atol=1e-8)


def test_without_noise_a_token_is_answered_by_the_soft_threshold():
    mean = np.array([-1.0, -0.2, 0.0, 0.2, 1.0])
    found = responses(mean, np.zeros(5), np.array(0.3))
    np.testing.assert_allclose(found.output, [-0.7, 0, 0, 0, 0.7])
    np.testing.assert_array_equal(found.firing, [1, 0, 0, 0, 1])
    np.testing.assert_array_equal(found.tilt, 0)


@pytest.mark.parametrize("variance", [0.0, 0.02])
def test_the_pull_on_small_weights_without_thresholds_is_the_growth(variance):
    config = replace(BASE, **{"data.noise_variance": variance})
    alignment = 1e-6 * np.random.default_rng(0).standard_normal((8, 6))
    found = pull(config, mean_field(config), alignment, np.full(8, 1e-12), np.zeros(8))
    rate = theory.growth_rate(config) / config.optimizer.learning_rate
    np.testing.assert_allclose(found.along_features, rate * alignment, rtol=1e-9)
    np.testing.assert_allclose(found.outside, 0, atol=1e-9)


def test_no_weights_no_pull():
    found = pull(BASE, mean_field(BASE), np.zeros((8, 6)), np.zeros(8), np.zeros(8))
    assert all(np.all(part == 0) for part in found)


def test_the_softmax_is_uniform_without_logits_and_full_of_the_key_with_large_ones():
    config = replace(BASE, **{"data.noise_variance": 0.0})
    field, one = mean_field(config), np.ones(6)
    at_start = softmax_effect(field, 0 * one, 0 * one, one)
    np.testing.assert_array_equal(at_start.driver, 1)
    np.testing.assert_array_equal(at_start.recoil, 0)
    at_end = softmax_effect(field, 200 * one, 0 * one, one)
    # what is left are queries whose codes are a part of a negative's: both have the same logit
    assert np.all(np.abs(at_end.driver) < 0.1)
    fewer = softmax_effect(field, 2 * one, 0 * one, one)
    assert np.all(fewer.driver > at_end.driver)


@pytest.mark.parametrize("logit", [0.5, 1.0])
def test_the_driver_is_that_of_theory_12_4_with_many_negatives(logit):
    """D_j = E_A[1 - q_A] (1 - T_j): computed here by enumerating the active sets A."""
    config = replace(
        BASE,
        **{"data.noise_variance": 0.0, "data.batch_size": 256, "data.n_negatives": 500, "data.mask_equal_codes": False},
    )
    d, negatives, S = 6, 500, np.full(6, logit)
    P, chance = (
        theory.activation_probability(config.data),
        config.data.activation_rate * theory.relative_frequency(config.data),
    )
    tail = P * np.sinh(S) / (1 - P + P * np.cosh(S))
    expected, weight = np.zeros(d), np.zeros(d)
    for active in itertools.product([0, 1], repeat=d):
        on = np.array(active, bool)
        if not on.any():
            continue
        here = np.prod(np.where(on, chance, 1 - chance))
        odds = np.exp(S[on].sum()) / np.prod(1 - P[on] + P[on] * np.cosh(S[on])) / negatives
        expected[on] += here / (1 + odds)
        weight[on] += here
    found = softmax_effect(mean_field(config), S, np.zeros(d), np.ones(d)).driver
    np.testing.assert_allclose(found, expected / weight * (1 - tail), rtol=0.06)


def sampled_pull(config: Config, W: np.ndarray, b: np.ndarray, n_batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Return minus the gradient of the loss averaged over batches, (neuron, token_dim), and its standard error.

    The features are the first d coordinates. Written out from theory 1 to 3, in float64.
    """
    data, rng = config.data, np.random.default_rng(7)
    K, L, d, d1 = data.batch_size, data.n_tokens, data.n_features, data.token_dim
    chance = data.activation_rate * theory.relative_frequency(data)
    sigma = np.sqrt(theory.noise_variance(data))
    own = np.eye(K, dtype=bool)

    def view(codes):
        place = rng.integers(0, L, (K, d))
        tokens = sigma * rng.standard_normal((K, L, d1))
        for token in range(L):
            tokens[:, token, :d] += np.where(place == token, codes, 0)
        return tokens

    def output(u):
        return np.sum(np.where(np.abs(u) > b, u - b * np.sign(u), 0), axis=1)

    def one_batch():
        drawn = (rng.random((4 * K, d)) < chance) * rng.choice([-1, 1], (4 * K, d))
        codes = drawn[drawn.any(axis=1)][:K]  # samples without features are drawn again
        query, key = view(codes), view(codes)
        f_query, f_key = output(query @ W.T), output(key @ W.T)
        equal = np.all(codes[:, None] == codes[None], axis=2)
        weight = np.where(~equal | own, np.exp(f_query @ f_key.T), 0)
        weight /= weight.sum(axis=1, keepdims=True)
        fires = np.abs(query @ W.T) > b
        return np.einsum("ni,nli,nlk->ik", f_key - weight @ f_key, fires.astype(float), query) / K

    found = np.array([one_batch() for _ in range(n_batches)])
    return found.mean(axis=0), found.std(axis=0) / np.sqrt(n_batches)


@pytest.mark.parametrize(
    ("size", "kappa", "variance", "pure", "mixed"),
    [
        (0.3, 0.0, 0.02, 0.09, 0.12),
        (0.3, 0.3, 0.0, 0.07, 0.45),
        (0.5, 0.3, 0.02, 0.07, 0.2),
        (0.9, 0.3, 0.02, 0.07, 0.45),
    ],
)
def test_the_pull_is_the_mean_gradient_of_sampled_batches(size, kappa, variance, pure, mixed):
    """Six specialists and two mixed neurons; mixed neurons without noise are where the mean field is worst."""
    config = replace(BASE, **{"data.noise_variance": variance})
    rng = np.random.default_rng(3)
    W = 0.05 * rng.standard_normal((8, 9))
    W[:6, :6] += size * np.eye(6)
    W[6:, :6] += size / 2 * rng.standard_normal((2, 6))
    b = kappa * np.linalg.norm(W, axis=1)
    expected, error = sampled_pull(config, W, b, 400)
    alignment, outside = W[:, :6], np.linalg.norm(W[:, 6:], axis=1)
    found = pull(config, mean_field(config), alignment, outside**2, b).along_features
    gap, size_of = found - expected[:, :6], np.linalg.norm(expected[:, :6])
    assert np.linalg.norm(gap[:6]) < pure * np.linalg.norm(expected[:6, :6])
    assert np.linalg.norm(gap[6:]) < mixed * np.linalg.norm(expected[6:, :6])
    assert np.linalg.norm(error[:, :6]) < 0.04 * size_of  # the reference itself is that sharp
