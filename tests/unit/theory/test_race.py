"""`dynsim.theory.race` against a plain simulation of neurons, the passages of S2c and hand calculation."""

import math

import numpy as np
import pytest

from dynsim import theory
from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError

D, N_SAMPLES = 8, 40_000


def small_config(**changes):
    sizes = {"data.n_features": D, "data.token_dim": 3 * D, "encoder.n_neurons": N_SAMPLES}
    return replace(Config(), **sizes, **{"data.minority_ratio": 0.5, "threshold.scale": 0.8, **changes})


def simulated(config, steps):
    """Return (passages, winners) of neurons that are drawn, grown step by step and looked at one by one."""
    G, decay, d1 = theory.log_growth(config), theory.decay_rate(config), config.data.token_dim
    w = np.random.default_rng(11).standard_normal((N_SAMPLES, d1)) * 0.3
    w[:, :D] *= np.exp(G * steps)
    w[:, D:] *= (1 - decay) ** steps
    kappa = config.threshold.kappa
    passages, winners = np.zeros(D), np.zeros(D)
    for neuron in w:
        b = kappa * math.sqrt(2 * math.log(D) / D) * math.sqrt(float(neuron @ neuron))
        passing = [j for j in range(D) if abs(neuron[j]) > b]
        passages[passing] += 1
        if passing:
            winners[max(passing, key=lambda j: abs(neuron[j]))] += 1
    return passages, winners


@pytest.mark.parametrize("steps", [None, 13])
def test_race_counts_match_neurons_that_are_simulated_one_by_one(steps):
    config = small_config()
    expected = theory.race_counts(config, steps, n_samples=N_SAMPLES, seed=5)
    passages, winners = simulated(config, theory.stage1_end(config) if steps is None else steps)
    # both sides are counts of as many neurons, with m = n_samples
    assert np.all(np.abs(passages - expected.passages) < 4.5 * np.sqrt(2 * expected.passages))
    assert np.all(np.abs(winners - expected.winners) < 4.5 * np.sqrt(2 * expected.winners))
    assert np.all(expected.winners < expected.passages)
    assert expected.winners[0] > 1.5 * expected.winners[-1]
    np.testing.assert_allclose(expected.winners_error, np.sqrt(expected.winners * (1 - expected.winners / N_SAMPLES)))


def test_passages_are_those_of_s2c():
    config = small_config()
    race = theory.race_counts(config, n_samples=N_SAMPLES, seed=1)
    assert np.all(np.abs(race.passages - theory.s2c_own_norm_count(config)) < 5 * race.passages_error)
    gain = np.linspace(1, 2, D)
    race = theory.race_counts(config, gain=gain, complement_gain=0.9, n_samples=N_SAMPLES, seed=1)
    assert np.all(np.abs(race.passages - theory.s2c_own_norm_count(config, gain, 0.9)) < 5 * race.passages_error)


def test_the_switch_is_the_configured_step():
    config = small_config(**{"threshold.start": "at_step", "threshold.start_step": 7})
    options = {"n_samples": 500, "seed": 3}
    np.testing.assert_array_equal(theory.race_counts(config, **options), theory.race_counts(config, 7, **options))
    at_once = replace(config, **{"threshold.start_step": 0})
    unit = theory.race_counts(config, gain=np.ones(D), complement_gain=1.0, **options)
    np.testing.assert_array_equal(theory.race_counts(at_once, **options), unit)


def test_every_neuron_wins_without_thresholds_and_none_beyond_a_high_one():
    free = theory.race_counts(small_config(**{"threshold.rule": "zero"}), n_samples=1000)
    assert np.sum(free.winners) == pytest.approx(N_SAMPLES)
    np.testing.assert_array_equal(free.passages, N_SAMPLES)
    assert not np.any(theory.race_counts(small_config(**{"threshold.scale": 9.0}), n_samples=100).passages)
    with pytest.raises(ConfigError, match="learning_rate"):
        theory.race_counts(small_config(**{"loss.l2_penalty": 1.0}))


def test_blocks_of_samples_do_not_change_the_expectation(monkeypatch):
    config = small_config()
    whole = theory.race_counts(config, n_samples=20_000, seed=2)
    monkeypatch.setattr("dynsim.theory.race._BLOCK", 300 * D)
    blocks = theory.race_counts(config, n_samples=20_000, seed=2)
    assert np.any(blocks.winners != whole.winners)
    assert np.all(np.abs(blocks.winners - whole.winners) < 4.5 * math.sqrt(2) * whole.winners_error)


def test_winner_of_given_weights_by_hand():
    alignment = np.array([[0.2, -0.9, 0.5], [0.2, 0.3, -0.1], [-2.0, 1.9, 0.0], [0.3, 0.1, 0.0]])
    winner = theory.race_winner(alignment, np.array([0.4, 0.4, 1.0, 0.3]))
    np.testing.assert_array_equal(winner, [1, theory.NO_FEATURE, 0, theory.NO_FEATURE])  # at its threshold it is silent
    both = theory.race_winner(np.stack([alignment, 10 * alignment]), np.full((2, 4), 1.0))
    np.testing.assert_array_equal(both, [[-1, -1, 0, -1], [1, 1, 0, 0]])
