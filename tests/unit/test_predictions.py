"""Predicted and measured quantities have equal shapes and units, and are what their names say."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from dynsim import predictions, theory
from dynsim.config import Config, replace, serial
from dynsim.config.checks import ConfigError
from dynsim.engine.simulate import simulate
from dynsim.predictions import PREDICTIONS
from dynsim.results.dataset import config_of

TOY = replace(
    Config(),
    **{
        "data.n_features": 6,
        "data.token_dim": 8,
        "data.batch_size": 16,
        "data.activation_rate": 0.3,
        "encoder.n_neurons": 10,
        "train.n_steps": 30,
        "train.n_records": 8,
        "train.n_probe": 4,
    },
)


@pytest.fixture(scope="module")
def run():
    return simulate(TOY, [0, 1])


@pytest.mark.parametrize("name", PREDICTIONS)
def test_measured_has_the_shape_of_predicted_with_a_seed_axis(run, name):
    prediction = PREDICTIONS[name]
    predicted, measured = prediction.predicted(TOY), prediction.measured(run)
    assert measured.shape == (2, *np.shape(predicted))
    assert np.all(np.isfinite(predicted) | (predicted == np.inf))


def test_magnitude_by_hand(run):
    last = run.copy(deep=True)
    alignment = np.zeros_like(last["alignment"].values)
    # neurons 0 and 1 are pure on feature 2 with alignments 3 and -2; neuron 2 is pure on it but never fires
    alignment[:, -1, 0, 2], alignment[:, -1, 1, 2], alignment[:, -1, 2, 2] = 3.0, -2.0, 5.0
    last["alignment"].values[:] = alignment
    last["weight_norm"].values[:, -1] = np.abs(alignment[:, -1]).max(axis=2) + 1e-9
    last["threshold"].values[:, -1] = 0.5
    last["firing"].values[:, -1] = 1.0
    last["firing"].values[:, -1, 2] = 0.0
    expected = np.zeros((2, 6))
    expected[:, 2] = 2.5**2 + 1.5**2
    np.testing.assert_allclose(predictions.measured_magnitude(last), expected, rtol=1e-6)
    counts = np.zeros((2, 6))
    counts[:, 2] = 2
    np.testing.assert_array_equal(predictions.measured_specialist_count(last), counts)


def test_noise_activation_is_the_gaussian_tail(run):
    ready = run.copy(deep=True)
    steps = ready["step"].values
    ready["switch_step"].values[:] = [steps[3], steps[4] - 1]
    sigma = np.sqrt(theory.noise_variance(TOY.data))
    factor = np.linspace(0.8, 1.6, 10)  # one per neuron
    norms = ready["weight_norm"].values
    ready["threshold"].values[:] = 0
    ready["threshold"].values[0, 3] = factor * sigma * norms[0, 3]
    ready["threshold"].values[1, 4] = 2 * factor * sigma * norms[1, 4]
    expected = [np.mean(2 * norm.sf(factor)), np.mean(2 * norm.sf(2 * factor))]
    np.testing.assert_allclose(predictions.measured_noise_activation(ready), expected, rtol=1e-5)
    ready["switch_step"].values[0] = -1
    assert np.isnan(predictions.measured_noise_activation(ready)[0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data.pair_rule": "complementary"},
        {"encoder.attention": "uniform"},
        {"threshold.rule": "zero"},
        {"data.noise_level": "given"},
    ],
)
def test_noise_activation_is_the_same_quantity_on_both_sides(run, changes):
    config = replace(TOY, **changes)
    off = config.threshold.rule == "zero"
    like = run.copy(deep=True).assign_attrs(config=serial.to_json(config))
    switch = -1 if off else like["step"].values[2]
    like["switch_step"].values[:] = switch
    like["threshold"].values[:] = theory.threshold_value(config, like["weight_norm"].values)
    expected = PREDICTIONS["noise_activation"].predicted(config)
    np.testing.assert_allclose(predictions.measured_noise_activation(like), expected, rtol=1e-5)


def test_noise_activation_refuses_relu(run):
    relu = replace(TOY, **{"encoder.architecture": "relu", "data.n_tokens": 1})
    with pytest.raises(ConfigError, match="architecture"):
        PREDICTIONS["noise_activation"].predicted(relu)
    with pytest.raises(ConfigError, match="architecture"):
        predictions.measured_noise_activation(run.assign_attrs(config=serial.to_json(relu)))


def test_growth_is_refused_where_thresholds_are_on_from_step_0(run):
    early = run.copy(deep=True)
    early["switch_step"].values[0] = 0
    for measured in (predictions.measured_growth, predictions.measured_share_shrinking):
        with pytest.raises(ConfigError, match="thresholds are on from step 0"):
            measured(early)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"encoder.train_attention": True}, "train_attention"),
        ({"encoder.architecture": "relu", "data.n_tokens": 1, "encoder.train_bias": True}, "train_bias"),
    ],
)
def test_held_out_drift_refuses_what_the_result_does_not_hold(run, changes, field):
    config = replace(TOY, **changes)
    with pytest.raises(ConfigError, match=field):
        predictions.held_out_drift(run.assign_attrs(config=serial.to_json(config)))


def test_held_out_drift_refuses_own_functions(run):
    own = run.assign_attrs(provenance=json.dumps({"own": {"loss": ["m.f#1"]}}))
    with pytest.raises(ConfigError, match="loss"):
        predictions.held_out_drift(own)


def test_largest_magnitude_by_hand(run):
    last = run.copy(deep=True)
    alignment = np.zeros_like(last["alignment"].values)
    alignment[:, -1, 0, 2], alignment[:, -1, 1, 2], alignment[:, -1, 2, 2] = 3.0, -3.5, 5.0
    last["alignment"].values[:] = alignment
    last["weight_norm"].values[:, -1] = np.abs(alignment[:, -1]).max(axis=2) + 1e-9
    last["firing"].values[:, -1] = 1.0
    last["firing"].values[:, -1, 2] = 0.0  # no specialist
    expected = np.full((2, 6), np.nan)
    expected[:, 2] = 3.5
    np.testing.assert_allclose(predictions.measured_largest_magnitude(last), expected)


def test_paper_bounds_by_hand():
    config = replace(TOY, **{"loss.temperature": 2.0, "data.minority_ratio": 0.5})
    np.testing.assert_allclose(PREDICTIONS["largest_magnitude"].predicted(config), [2, 2, 2, 1, 1, 1])
    expected = [10 / 6] * 3 + [10 / 6**4] * 3
    np.testing.assert_allclose(PREDICTIONS["paper_specialist_count"].predicted(config), expected)


def test_three_features_are_not_three_groups():
    small = replace(TOY, **{"data.n_features": 3, "data.minority_fraction": 1 / 3})
    table = predictions.compare(simulate(small, [0]))
    assert {"majority", "minority"} == set(table["growth_rate"]) - {"statement"}
    assert {"majority", "minority", "all"} == set(table["stage1_end"]) - {"statement"}
    assert {"all"} == set(table["stage2_clock"]) - {"statement"}


def test_held_out_drift_is_the_closed_form_at_small_weights():
    small = replace(
        TOY,
        **{"encoder.init_std": 1e-4, "threshold.scale": 0.0, "optimizer.learning_rate": 1e-3, "train.n_steps": 1},
    )
    still = simulate(small, [0])
    drift = predictions.held_out_drift(still, n_batches=400)[0]
    alignment = still["alignment"].values[0, -1]
    per_feature = np.sum(drift * alignment, axis=0) / np.sum(alignment**2, axis=0)
    # growth_rate is eta times the drift; 400 batches of 16 samples at P ~ 0.3 leave a few per cent
    np.testing.assert_allclose(per_feature, theory.growth_rate(config_of(still)) / 1e-3, rtol=0.12)


def test_residual_is_nan_without_specialists_and_small_numbers_are_seen(run):
    residual = predictions.measured_fixed_point_residual(run)
    specialists = predictions.final_specialists(run).any(axis=1)
    np.testing.assert_array_equal(np.isnan(residual), ~specialists)


def test_compare_gives_every_prediction_or_the_reason(run):
    table = predictions.compare(run)
    assert set(table) == set(PREDICTIONS)
    for row in table.values():
        groups = {key: value for key, value in row.items() if key != "statement"}
        assert groups and all({"predicted", "measured", "interval"} == set(value) for value in groups.values())
    adam = simulate(replace(TOY, **{"optimizer.name": "adam", "optimizer.learning_rate": 1e-3}), [0])
    assert "sgd" in predictions.compare(adam)["growth_rate"]["not_applicable"]
