"""The distance of a prediction from a run, on planted trajectories, and the figure of both."""

import numpy as np
import pytest
import xarray as xr

from dynsim import results, theory
from dynsim.analysis.flow_error import feature_strength, flow_error, leaving_step, predicted
from dynsim.config import Config, replace
from dynsim.plots.flow import predicted_trajectories, shown_neurons
from dynsim.theory.flow import Flow

STEPS = np.array([0, 1, 3, 10])
CONFIG = replace(
    Config(),
    **{
        "data.n_features": 4,
        "data.token_dim": 6,
        "data.batch_size": 16,
        "encoder.n_neurons": 5,
        "threshold.start": "never",
    },
)


def planted_run(n_seeds: int = 2) -> tuple[xr.Dataset, np.ndarray]:
    """Return a result without noise that follows the closed form, and its alignments."""
    rng = np.random.default_rng(0)
    first = 1e-5 * rng.standard_normal((n_seeds, 1, 5, 4))
    alignment = first * np.exp(theory.log_growth(CONFIG) * STEPS[None, :, None, None])
    residual = 1e-5 * np.ones((n_seeds, 4, 5)) * (1 - theory.decay_rate(CONFIG)) ** STEPS[None, :, None]
    norm = np.sqrt(np.sum(alignment**2, axis=3) + residual**2)
    record = {"alignment": alignment, "weight_norm": norm, "residual_norm": residual, "threshold": 0 * norm}
    groups, seeds = theory.feature_groups(CONFIG.data), np.arange(n_seeds)
    return results.to_dataset(CONFIG, groups, seeds, STEPS, record, {}, {"wall_s": 3.0}), alignment


def test_a_run_in_the_linear_phase_is_predicted_without_error():
    result, _ = planted_run()
    for position in (0, 1):
        found = flow_error(result, predicted(result, position), position)
        np.testing.assert_allclose(found.error, 0, atol=1e-12)
        np.testing.assert_allclose(found.strength_error, 0, atol=1e-12)
        np.testing.assert_array_equal(found.same_winner, 1)
        assert found.leaving_step == np.inf
        assert found.simulation_seconds == 1.5
        assert found.flow_seconds > 0


def test_errors_are_shares_of_the_norm_and_winners_are_counted():
    result, alignment = planted_run()
    moved = alignment[1].copy()
    norm = result["weight_norm"].values[1]
    # from the third record on three of five neurons are off by half of their norm along the feature they win
    for record in (2, 3):
        for neuron in range(3):
            winner = np.argmax(np.abs(moved[record, neuron]))
            moved[record, neuron, winner] += 0.5 * norm[record, neuron] * np.sign(moved[record, neuron, winner])
    moved[3, 4] = np.roll(moved[3, 4], 1)
    zero = np.zeros((4, 5))
    found = flow_error(result, Flow(STEPS.astype(float), moved, zero, zero, 0.0, np.inf, 0.1), position=1)
    np.testing.assert_allclose(found.error[:3], [0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(found.same_winner, [1, 1, 1, 0.8])
    assert found.leaving_step == 3
    assert found.strength_error[2] > 0


def test_the_strength_of_a_feature_is_the_sum_of_squared_projections():
    np.testing.assert_allclose(feature_strength(np.array([[0.5, -2.0], [0.1, 1.0]])), [0.26, 5.0])


@pytest.mark.parametrize(
    ("error", "expected"),
    [([0, 0.2, 0.05, 0.3], 10), ([0, 0.2, 0.2, 0.05], np.inf), ([0.2, 0.2, 0.2, 0.2], 0), ([0, 0, 0.1, 0.1], np.inf)],
)
def test_a_prediction_leaves_where_it_stays_above_the_tolerance(error, expected):
    assert leaving_step(STEPS, np.array(error), 0.1) == expected


def test_without_the_first_weights_there_is_no_prediction():
    result, _ = planted_run()
    with pytest.raises(ValueError, match=r"^result: wanted its first record at step 0, got step 1; keep all records$"):
        predicted(result.isel(record=slice(1, None)))


def test_the_figure_draws_both_and_marks_where_they_part():
    result, alignment = planted_run()
    flow = predicted(result)
    error = flow_error(result, flow)._replace(leaving_step=3.0, error=np.array([0, 0.05, 0.2, 0.3]))
    fig = predicted_trajectories(result, flow, error)
    majority = result["group"].values == "majority"
    for ax, group in zip(fig.axes[:2], (majority, ~majority), strict=True):
        neurons, features = shown_neurons(alignment[0], group)
        assert group[features].all()
        drawn = [line for line in ax.get_lines() if len(line.get_xdata())]
        assert len(drawn) == 2 * len(neurons)
        np.testing.assert_allclose(drawn[0].get_ydata(), np.abs(alignment[0][:, neurons[0], features[0]]))
    verticals = [line for line in fig.axes[2].get_lines() if list(line.get_xdata()) == [3.0, 3.0]]
    assert len(verticals) == 1
