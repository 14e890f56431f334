"""The predicted trajectory: its linear phase, its switch, its rest, and what it refuses."""

import numpy as np
import pytest

from dynsim import theory
from dynsim.config import Config, ConfigError, replace
from dynsim.theory import flow
from dynsim.theory import mean_field as mean_fields
from dynsim.theory.mean_field import mean_field, responses, softmax_at

SMALL = replace(
    Config(),
    **{
        "data.n_features": 6,
        "data.token_dim": 10,
        "encoder.n_neurons": 12,
        "data.batch_size": 32,
        "data.activation_rate": 0.2,
        "optimizer.learning_rate": 0.25,
    },
)
QUIET = {"data.noise_level": "given", "data.noise_variance": 0.0}


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """Average the softmax over few samples: these tests ask for consistency, and the mean itself has its own tests."""
    monkeypatch.setattr(mean_fields, "N_SAMPLES", 1024)


def start(config: Config, seed: int = 0, size: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    rng, d = np.random.default_rng(seed), config.data.n_features
    weight = size * rng.standard_normal((config.encoder.n_neurons, config.data.token_dim))
    return weight[:, :d], np.linalg.norm(weight[:, d:], axis=1)


def test_small_weights_without_thresholds_follow_the_closed_form():
    config = replace(SMALL, **{"threshold.start": "never"})
    alignment, residual = start(config, size=1e-5)
    steps = np.array([0, 1, 7, 30])
    found = flow.predict(config, alignment, residual, steps)
    assert found.linear_end == 30
    for step, now, outside in zip(steps, found.alignment, found.residual_norm, strict=True):
        np.testing.assert_allclose(now, alignment * np.exp(theory.log_growth(config) * step), rtol=1e-12)
        np.testing.assert_allclose(outside, residual * (1 - theory.decay_rate(config)) ** step, rtol=1e-12)


def test_the_differential_equation_goes_on_where_the_closed_form_ends():
    # from the switch on the solver takes over: with a negligible threshold it must still grow by the closed form
    config = replace(SMALL, **{"threshold.scale": 1e-9, "optimizer.learning_rate": 0.05} | QUIET)
    alignment, residual = start(config, size=1e-5)
    found = flow.predict(config, alignment, residual, np.array([0, 200]))
    assert found.linear_end < 180
    expected = alignment * np.exp(theory.log_growth(config) * 200)
    np.testing.assert_allclose(found.alignment[-1], expected, rtol=0.02)


def test_online_thresholds_come_on_when_the_median_square_has_doubled():
    alignment, residual = start(SMALL)
    steps = np.arange(60.0)
    found = flow.predict(SMALL, alignment, residual, steps)
    square = np.sum(found.alignment**2, axis=2) + found.residual_norm**2
    doubled = steps[np.mean(square >= 2 * np.median(square[0]), axis=1) >= 0.5][0]
    assert found.switch_step == doubled
    on = steps >= found.switch_step
    assert np.all(found.threshold[~on] == 0)
    expected = theory.threshold_value(SMALL, np.sqrt(square[on]))
    np.testing.assert_allclose(found.threshold[on], expected)


def test_online_thresholds_come_on_after_the_softmax_has_changed():
    # large first weights: the linear phase ends at once, and the switch is an event of the solver
    alignment, residual = start(SMALL, size=0.12)
    found = flow.predict(SMALL, alignment, residual, np.array([0.0, 200.0]))
    assert found.linear_end == 0
    assert 0 < found.switch_step < 200
    early = flow.predict(SMALL, alignment, residual, np.array([0.0, found.switch_step - 1, found.switch_step + 1]))
    assert np.all(early.threshold[1] == 0)
    assert np.all(early.threshold[2] > 0)


def test_online_thresholds_come_on_where_the_linear_phase_ends_at_the_same_step(monkeypatch):
    alignment, residual = start(SMALL)
    steps = np.array([0.0, 20.0])
    switch = flow.predict(SMALL, alignment, residual, steps).switch_step
    now = alignment * np.exp(theory.log_growth(SMALL) * switch)
    driver = softmax_at(SMALL, mean_field(SMALL), now, now, np.zeros((12, 1))).driver
    monkeypatch.setattr(flow, "LINEAR", float(np.min(driver)) + 1e-9)  # one step earlier it is not yet below that
    found = flow.predict(SMALL, alignment, residual, steps)
    assert found.linear_end == switch == found.switch_step
    assert np.all(found.threshold[-1] > 0)


def test_thresholds_at_a_given_step():
    config = replace(SMALL, **{"threshold.start": "at_step", "threshold.start_step": 5})
    found = flow.predict(config, *start(config), np.array([0, 4, 5, 6]))
    assert found.switch_step == 5
    np.testing.assert_array_equal(np.all(found.threshold > 0, axis=1), [False, False, True, True])


def test_the_steps_asked_for_do_not_change_the_prediction():
    few, many = (
        flow.predict(SMALL, *start(SMALL), steps) for steps in (np.array([0.0, 300.0]), np.arange(0, 301.0, 10))
    )
    np.testing.assert_allclose(few.alignment[-1], many.alignment[-1], rtol=1e-10, atol=1e-12)


def test_signs_and_order_of_neurons_do_not_matter():
    alignment, residual = start(SMALL)
    sign, order = np.where(np.arange(12) % 2, 1.0, -1.0)[:, None], np.random.default_rng(1).permutation(12)
    plain = flow.predict(SMALL, alignment, residual, np.array([0.0, 150.0]))
    moved = flow.predict(SMALL, (sign * alignment)[order], residual[order], np.array([0.0, 150.0]))
    np.testing.assert_allclose(moved.alignment[-1], (sign * plain.alignment[-1])[order], rtol=1e-6, atol=1e-9)


def test_it_comes_to_rest_where_pull_and_decay_balance():
    """The first line of theory 6.3: D_j = lambda / (P_j (1 - b / alpha)), for every feature that has a specialist."""
    config = replace(SMALL, **QUIET | {"loss.l2_penalty": 0.01, "data.mask_equal_codes": False})
    found = flow.predict(config, *start(config), np.array([0.0, 6000.0]))
    alignment, b = found.alignment[-1], found.threshold[-1][:, None]
    output = responses(alignment, np.zeros_like(alignment), b).output
    driver = softmax_at(config, mean_field(config), alignment, output, b).driver
    size = np.abs(alignment)
    pure = np.max(size, axis=1) > 0.995 * np.linalg.norm(alignment, axis=1)
    assert np.sum(pure) >= 6
    best = np.argmax(size[pure], axis=1)
    negatives = theory.n_negatives(config.data)
    chance = theory.activation_probability(config.data)[best] * negatives / (negatives + 1)
    expected = config.loss.l2_penalty / (chance * (1 - b[pure, 0] / np.max(size[pure], axis=1)))
    np.testing.assert_allclose(driver[best], expected, rtol=0.06)
    assert np.max(driver[best]) < 0.2  # far from the linear phase


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"encoder.attention": "uniform"}, "attention"),
        ({"encoder.pooling": "mean"}, "pooling"),
        ({"data.pair_rule": "identical"}, "pair_rule"),
        ({"data.sampling_rule": "independent_tokens"}, "sampling_rule"),
        ({"data.minority_keep": 0.5}, "keep_probability"),
        ({"loss.stop_gradient": False}, "stop_gradient"),
        ({"loss.similarity": "cosine"}, "similarity"),
        ({"loss.temperature": 0.5, "loss.temperature_prefactor": False}, "temperature_prefactor"),
        ({"threshold.rule": "schedule_b"}, "threshold.rule"),
        ({"optimizer.name": "adam"}, "optimizer"),
        ({"prune.kind": "lowest", "prune.rate": 0.3}, "prune.kind"),
    ],
)
def test_other_configurations_are_refused_in_one_line(changes, name):
    config = replace(SMALL, **changes)
    with pytest.raises(ConfigError, match=f"^{name}: wanted .*, got ") as caught:
        flow.predict(config, *start(config), np.array([0.0, 1.0]))
    assert "\n" not in str(caught.value)


def test_without_the_prefactor_a_temperature_of_one_is_fine():
    with_it, without = SMALL, replace(SMALL, **{"loss.temperature_prefactor": False})
    one, other = (flow.predict(c, *start(SMALL), np.array([0.0, 100.0])) for c in (with_it, without))
    np.testing.assert_array_equal(one.alignment, other.alignment)


def test_temperature_and_size_of_the_weights_trade_off():
    """With the prefactor, weights scaled by the root of tau stay so (theory 6.1, temperature symmetry)."""
    alignment, residual = start(SMALL)
    hot = replace(SMALL, **{"loss.temperature": 4.0})
    one = flow.predict(SMALL, alignment, residual, np.array([0.0, 400.0]))
    other = flow.predict(hot, 2 * alignment, 2 * residual, np.array([0.0, 400.0]))
    np.testing.assert_allclose(other.alignment, 2 * one.alignment, rtol=0.02, atol=2e-3)


def test_a_flow_is_a_record_of_arrays_of_equal_length():
    found = flow.predict(SMALL, *start(SMALL), np.array([0.0, 3.0, 90.0]))
    assert {name: len(getattr(found, name)) for name in ("step", "alignment", "residual_norm", "threshold")} == {
        "step": 3,
        "alignment": 3,
        "residual_norm": 3,
        "threshold": 3,
    }
    assert found.seconds > 0
