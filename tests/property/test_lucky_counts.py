"""Laws of the number of lucky neurons before the first step, over random sizes and frequencies (theory 5.3)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim import predictions, theory
from dynsim.config import Config, replace
from dynsim.engine.simulate import simulate
from dynsim.theory.specialists import is_lucky
from tests.reference import toy

LEVEL = 0.999
EXAMPLES = 15
"""Examples are the same in all runs: thirty intervals of 99.9 % would fail by chance in one run of 33."""

worlds = st.fixed_dictionaries(
    {
        "d": st.integers(3, 24),
        "outside": st.integers(0, 24),
        "m": st.integers(2, 20_000),
        "r": st.floats(0.4, 1.0),
        "seed": st.integers(0, 2**32 - 1),
    }
)


def config_of(d, outside, m, r, seed):
    sizes = {"data.n_features": d, "data.token_dim": d + outside, "encoder.n_neurons": m}
    return replace(Config(), **sizes, **{"data.minority_ratio": r})


def alignments(config, seed):
    """Projections of m Gaussian neurons in d1 dimensions on d random orthonormal features, shape (m, d)."""
    rng, d1 = np.random.default_rng(seed), config.data.token_dim
    dictionary = np.linalg.qr(rng.standard_normal((d1, d1)))[0][:, : config.data.n_features]
    return rng.standard_normal((config.encoder.n_neurons, d1)) @ dictionary


def cuts(config):
    return theory.unit_cut(config) / theory.frequency_ratio(config)


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(world=worlds)
def test_counts_lie_in_the_exact_binomial_interval(world):
    config = config_of(**world)
    found = is_lucky(alignments(config, world["seed"]), cuts(config)).sum(axis=0)
    chance = theory.lucky_count(config) / config.encoder.n_neurons
    low, high = theory.count_interval(config.encoder.n_neurons, chance, LEVEL)
    for j in (0, -1):  # a feature of each group; those of one neuron depend on each other
        assert low[j] <= found[j] <= high[j]


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(world=worlds, share=st.floats(0.0, 1.0))
def test_more_neurons_have_more_lucky_ones(world, share):
    config = config_of(**world)
    fewer = max(1, int(share * config.encoder.n_neurons))
    lucky = is_lucky(alignments(config, world["seed"]), cuts(config))
    assert np.all(lucky[:fewer].sum(axis=0) <= lucky.sum(axis=0))
    smaller = replace(config, **{"encoder.n_neurons": fewer})
    np.testing.assert_allclose(
        theory.lucky_count(smaller) / fewer, theory.lucky_count(config) / config.encoder.n_neurons, rtol=1e-12
    )
    assert np.all(theory.lucky_count(smaller) <= theory.lucky_count(config))


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(world=worlds)
def test_counts_do_not_know_the_order_of_features_in_a_group(world):
    config = config_of(**world)
    minority, rng = theory.is_minority(config.data), np.random.default_rng(world["seed"])
    order = np.arange(config.data.n_features)
    for group in (minority, ~minority):
        order[group] = rng.permutation(order[group])
    a = alignments(config, world["seed"])
    found = is_lucky(a[:, order], cuts(config))
    np.testing.assert_array_equal(found, is_lucky(a, cuts(config))[:, order])
    expected = theory.lucky_count(config)
    np.testing.assert_array_equal(expected[order], expected)
    flipped = is_lucky(-a, cuts(config))
    np.testing.assert_array_equal(flipped, is_lucky(a, cuts(config)), "the sign of a neuron plays no part")


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(world=worlds, factor=st.floats(1.0, 3.0))
def test_a_higher_threshold_keeps_a_subset(world, factor):
    config = config_of(**world)
    a, cut = alignments(config, world["seed"]), cuts(config)
    assert np.all(is_lucky(a, factor * cut) <= is_lucky(a, cut))
    ratio = theory.frequency_ratio(config)
    assert np.all(theory.lucky_count(config, ratio / factor) <= theory.lucky_count(config, ratio))
    assert not is_lucky(a, np.full(config.data.n_features, 1.001)).any(), "no cosine exceeds 1"


def test_the_first_record_of_a_run_has_the_exact_number():
    config, seeds = toy(encoder__n_neurons=300, train__n_steps=2), range(3)
    found = predictions.measured_lucky_count(simulate(config, seeds)).sum(axis=0)
    n = config.encoder.n_neurons * len(seeds)
    low, high = theory.count_interval(n, theory.lucky_count(config) / config.encoder.n_neurons, LEVEL)
    assert np.all((low <= found) & (found <= high))
    assert found.sum() > 0
