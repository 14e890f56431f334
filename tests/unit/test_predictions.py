"""Predicted and measured quantities have equal shapes and units, and are what their names say."""

import numpy as np
import pytest
from scipy.stats import norm

from dynsim import predictions, theory
from dynsim.config import Config, replace
from dynsim.predictions import PREDICTIONS
from dynsim.results import config_of
from dynsim.simulate import simulate

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
    norms = np.linalg.norm(ready["weight"].values, axis=2)
    sigma = np.sqrt(theory.noise_variance(TOY.data))
    ready["threshold"].values[:, -1] = 1.2 * sigma * norms
    expected = 2 * norm.sf(1.2)
    # 2048 draws of 10 correlated neurons: the standard error is at most that of 2048 draws
    slack = 5 * np.sqrt(expected * (1 - expected) / 2048)
    np.testing.assert_allclose(predictions.measured_noise_activation(ready), expected, atol=slack)


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
    learned = predictions.final_specialists(run).any(axis=1)
    np.testing.assert_array_equal(np.isnan(residual), ~learned)


def test_compare_gives_every_prediction_or_the_reason(run):
    table = predictions.compare(run)
    assert set(table) == set(PREDICTIONS)
    for row in table.values():
        groups = {key: value for key, value in row.items() if key != "statement"}
        assert groups and all({"predicted", "measured", "interval"} == set(value) for value in groups.values())
    adam = simulate(replace(TOY, **{"optimizer.name": "adam", "optimizer.learning_rate": 1e-3}), [0])
    assert "sgd" in predictions.compare(adam)["growth_rate"]["not_applicable"]
