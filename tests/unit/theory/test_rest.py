"""`dynsim.theory.rest` against a sum over all pairs of codes, and the formula for one feature per sample."""

import itertools
import math

import numpy as np
import pytest

from dynsim import theory
from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError

FOUR = {"data.n_features": 4, "data.token_dim": 4, "data.batch_size": 12, "data.activation_rate": 0.3}


def pull_by_enumeration(config, S):
    """Return E[(z_Yj - sum_V q_V z_Vj) z_Xj] per feature over all queries X and all negatives V, for logits of S."""
    data, N = config.data, theory.n_negatives(config.data)
    p = data.activation_rate * theory.relative_frequency(data)
    codes = np.array(list(itertools.product((-1, 0, 1), repeat=data.n_features)), float)
    chance = np.prod(np.where(codes == 0, 1 - p, p / 2), axis=1)
    if data.empties == "resample":
        chance *= np.any(codes, axis=1)
    chance /= chance.sum()
    s = 1.0 if config.encoder.pooling == "sum" else 1 / data.n_tokens
    pull = np.zeros(data.n_features)
    for query, probability in zip(codes, chance, strict=True):
        logit = codes @ (s**2 * S / config.loss.temperature * query)
        other = np.any(codes != query, axis=1) | (not data.mask_equal_codes)
        weights = N * chance * np.exp(logit) * other  # of the negatives, by their code
        positive = math.exp(float(np.sum(s**2 * S / config.loss.temperature * query**2)))
        expected = (positive * query + weights @ codes) / (positive + weights.sum())
        pull += probability * query * (query - expected)
    return pull


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, 1.0),
        ({"data.empties": "keep", "data.mask_equal_codes": False}, 1.0),
        ({"encoder.pooling": "mean", "loss.temperature": 0.5, "loss.temperature_prefactor": False}, 0.25 / 0.5),
        ({"loss.stop_gradient": False, "data.frequency_profile": "exponential"}, 2.0),
        ({"threshold.rule": "zero", "loss.l2_penalty": 0.0, "loss.weight_decay": 5e-3}, 1.0),
    ],
)
def test_pull_and_penalty_balance_over_all_codes(changes, factor):
    config = replace(Config(), **{**FOUR, "data.minority_ratio": 0.4, **changes})
    S = theory.rest_magnitude(config)
    share = 0.0 if config.threshold.rule == "zero" else 0.5 * math.sqrt(2 * math.log(4) / 4)
    penalty = config.loss.l2_penalty + config.loss.weight_decay
    np.testing.assert_allclose(factor * (1 - share) * pull_by_enumeration(config, S), penalty, rtol=1e-8)
    assert np.all(S > 0.5) and S[0] > S[-1]


def test_features_without_specialists_and_features_that_die():
    config = replace(Config(), **{**FOUR, "data.minority_ratio": 0.4})
    share = np.array([0.1, 0.2, 0.0, 0.3])
    S = theory.rest_magnitude(config, np.array([3, 0, 1, 2]), share)
    pull = (1 - share) * pull_by_enumeration(config, S)
    np.testing.assert_allclose(pull[[0, 2, 3]], 2e-3, rtol=1e-8)
    assert S[1] == 0 and pull[1] > 2e-3  # it would grow if it had a specialist
    # a penalty between the two groups' rates of growth kills the minority alone
    strong = replace(config, **{"loss.l2_penalty": 0.2})
    S = theory.rest_magnitude(strong, threshold_share=0.0)
    pull = pull_by_enumeration(strong, S)
    np.testing.assert_allclose(pull[:2], 0.2, rtol=1e-8)
    assert np.all(S[2:] == 0) and np.all(pull[2:] < 0.2)
    # the same where samples, and with them the pull, are rare
    seldom = {"data.activation_rate": 3e-7, "data.empties": "keep", "loss.l2_penalty": 2e-7}
    S = theory.rest_magnitude(replace(strong, **seldom), threshold_share=0.0)
    assert np.all(S[:2] > 0.1) and np.all(S[2:] == 0)
    assert np.all(theory.rest_magnitude(replace(config, **{"loss.l2_penalty": 9.0})) == 0)
    unpunished = theory.rest_magnitude(replace(config, **{"loss.l2_penalty": 0.0}), np.array([1, 0, 1, 1]))
    np.testing.assert_array_equal(unpunished, [math.inf, 0, math.inf, math.inf])


@pytest.mark.parametrize("empties", ["keep", "resample"])
def test_one_feature_per_sample_is_the_formula_of_S3f(empties):
    gaps = []
    for d, penalty in ((64, 1e-5), (1024, 1e-7)):
        sizes = {"data.n_features": d, "data.token_dim": d, "data.activation_rate": 1e-7, "data.empties": empties}
        # without replacement P_j would vanish beside any penalty
        weak = penalty if empties == "resample" else penalty * 1e-6
        config = replace(Config(), **sizes, **{"data.mask_equal_codes": False, "loss.l2_penalty": weak})
        config = replace(config, **{"threshold.rule": "zero", "data.minority_ratio": 0.3})
        solved, formula = theory.rest_magnitude(config), theory.stationary_magnitude(config)
        gaps.append(np.max(np.abs(solved / formula - 1)))
        assert formula[0] > 5
    assert gaps[0] < 0.01 and gaps[1] < 0.001


def test_several_features_per_sample_need_smaller_weights():
    config = replace(Config(), **{"threshold.rule": "zero"})
    assert np.all(theory.rest_magnitude(config) < 0.6 * theory.stationary_magnitude(config))


def test_sampled_sets_agree_with_all_sets():
    many = {"data.n_features": 20, "data.token_dim": 20, "data.batch_size": 32, "data.minority_ratio": 0.999}
    config = replace(Config(), **many)
    distinct = replace(config, **{"data.frequency_profile": "exponential"})  # 2^20 sets, too many to list
    rare = {"data.activation_rate": 1e-5, "data.mask_equal_codes": False}  # nearly all samples are empty at first
    for changes in ({}, rare):
        exact = theory.rest_magnitude(replace(config, **changes))
        sampled = theory.rest_magnitude(replace(distinct, **changes), seed=4)
        np.testing.assert_allclose(sampled, exact, rtol=0.06)
        assert np.mean(sampled) == pytest.approx(np.mean(exact), rel=5e-3)
    first = theory.rest_magnitude(distinct, n_samples=200, seed=4)
    np.testing.assert_array_equal(theory.rest_magnitude(distinct, n_samples=200, seed=4), first)
    assert np.any(theory.rest_magnitude(distinct, n_samples=200, seed=5) != first)


@pytest.mark.parametrize(
    ("changes", "arguments", "word"),
    [
        ({"data.sampling_rule": "independent_tokens"}, {}, "sampling_rule"),
        ({"data.co_occurrence": 0.2}, {}, "co_occurrence"),
        ({"data.minority_keep": 0.5}, {}, "keep_probability"),
        ({"threshold.rule": "schedule_b"}, {}, "threshold_share"),
        ({"encoder.attention": "uniform"}, {}, "threshold_share"),
        ({}, {"threshold_share": 1.0}, "threshold_share"),
        ({}, {"specialists": np.ones(3)}, "specialists"),
        ({"optimizer.name": "adam"}, {}, "optimizer"),
    ],
)
def test_what_the_equations_do_not_cover_is_refused(changes, arguments, word):
    with pytest.raises(ConfigError, match=word):
        theory.rest_magnitude(replace(Config(), **changes), **arguments)
