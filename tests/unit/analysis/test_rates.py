"""Growth rates: a planted growth is found exactly, intervals are Student's, and measuring compiles nothing."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from dynsim import theory
from dynsim.analysis import rates
from dynsim.config import Config, replace, serial
from dynsim.config.checks import ConfigError
from dynsim.engine.numbers import resolve
from dynsim.stats import intervals
from tests.reference import toy

STEPS = np.array([0, 3, 10])
GROUP = np.array(["majority"] * 3 + ["minority"] * 2, dtype=object)
CONFIG = toy()


def planted(growth: np.ndarray, noise: float = 0.0, config: Config = CONFIG) -> xr.Dataset:
    """A result whose projections grow by `growth` (seed, feature) per step, on a random start."""
    rng = np.random.default_rng(1)
    S, d = growth.shape
    start = rng.normal(size=(S, 1, 50, d))
    alignment = start * np.exp(growth[:, None, None, :] * STEPS[None, :, None, None])
    alignment[:, 1:] += noise * rng.normal(size=alignment[:, 1:].shape)
    return xr.Dataset(
        {"alignment": (("seed", "record", "neuron", "feature"), alignment)},
        {
            "seed": np.arange(S),
            "step": ("record", STEPS),
            "group": ("feature", GROUP),
            "activation_probability": ("feature", theory.activation_probability(config.data)),
        },
        {"config": serial.to_json(config)},
    )


GROWTH = np.array([[0.1, 0.2, 0.3, -0.05, 0.0], [0.11, 0.21, 0.31, -0.04, 0.01], [0.12, 0.19, 0.35, 0.0, 0.02]])


@pytest.mark.parametrize("record", [1, 2, -1])
def test_planted_growth_is_found_exactly(record):
    np.testing.assert_allclose(rates.log_growth_per_step(planted(GROWTH), record), GROWTH, rtol=1e-12, atol=1e-15)


def test_noise_that_adds_averages_out():
    result = planted(np.zeros((40, 5)), noise=1.0)
    measured = rates.log_growth_per_step(result, -1)  # sums of squares would double: log(2) / 20 = 0.035 too much
    error = np.std(measured) / np.sqrt(measured.size)
    assert abs(measured.mean()) < 4 * error + 0.002


def test_projections_that_turn_round_have_no_rate():
    result = planted(GROWTH)
    result["alignment"][1, 2] = -result["alignment"][1, 2]
    measured = rates.log_growth_per_step(result, -1)
    assert np.all(np.isnan(measured[1])) and np.all(np.isfinite(measured[[0, 2]]))
    of_group = rates.group_rates(result, -1)["majority"]
    assert of_group["measured"] == pytest.approx(GROWTH[[0, 2]][:, :3].mean())
    result["alignment"][:, 2] = np.sign(result["alignment"][:, 0]) * -1
    none = rates.group_rates(result, -1)["majority"]
    assert none["measured"] is none["interval"] is none["relative_error"] is None


def test_interval_is_students():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    for confidence in (0.5, 0.95, 0.999):
        wanted = stats.t.interval(confidence, 3, loc=values.mean(), scale=stats.sem(values))
        np.testing.assert_allclose(intervals.t_interval(values, confidence), wanted, rtol=1e-12)
    assert intervals.t_interval(np.array([3.0])) == (3.0, 3.0)


def with_switch(steps: list[int], config: Config) -> xr.Dataset:
    """A run set with these switch steps and the record 0, 1, ..., 30."""
    coords = {"step": ("record", np.arange(31))}
    attrs = {"config": serial.to_json(config)}
    return xr.Dataset({"switch_step": ("seed", np.array(steps, int))}, coords, attrs)


def test_linear_record_ends_at_the_switch_or_at_t1():
    # ||w||^2 has doubled after 13.4 steps of the default
    assert 13 < theory.stage1_end(Config()) < 14
    for steps, record in (([14, 14], 13), ([9, 14], 9), ([1], 1), ([-1, 5], 5), ([-1, -1], 13), ([], 13)):
        assert rates.linear_record(with_switch(steps, Config())) == record, steps
    shrinking = replace(Config(), **{"loss.l2_penalty": 0.5})  # without growth nothing ends the linear phase
    assert rates.linear_record(with_switch([-1], shrinking)) == 30
    fast = replace(Config(), **{"optimizer.learning_rate": 50.0})
    assert theory.stage1_end(fast) < 1 and rates.linear_record(with_switch([-1], fast)) == 1


def test_thresholds_from_step_0_leave_no_linear_phase():
    assert rates.linear_record(with_switch([14, 0], Config())) is None
    for name, value in (("threshold.rule", "zero"), ("threshold.start", "never"), ("threshold.scale", 0.0)):
        assert rates.linear_record(with_switch([0], replace(Config(), **{name: value}))) == 13
    assert rates.group_rates(planted(GROWTH), None) == {}


def test_group_rates_by_hand():
    out = rates.group_rates(planted(GROWTH), 2)
    predicted = theory.log_growth(CONFIG)
    assert list(out) == ["majority", "minority"]
    for group, columns in (("majority", [0, 1, 2]), ("minority", [3, 4])):
        per_seed = GROWTH[:, columns].mean(axis=1)
        assert out[group]["measured"] == pytest.approx(per_seed.mean())
        assert out[group]["predicted"] == pytest.approx(predicted[columns].mean())
        wanted = stats.t.interval(0.95, 2, loc=per_seed.mean(), scale=stats.sem(per_seed))
        np.testing.assert_allclose(out[group]["interval"], wanted)
        assert out[group]["relative_error"] == pytest.approx(per_seed.mean() / predicted[columns].mean() - 1)
        assert out[group]["n_steps"] == 10
    assert rates.group_rates(planted(GROWTH).isel(seed=[]), 2) == {}


def test_rate_table_is_a_line_through_the_origin():
    # where the run grows as predicted, measured and predicted rates are equal, decay added back
    grown = planted(np.tile(theory.log_growth(CONFIG), (2, 1)))
    other = toy(data__minority_ratio=0.2)
    table = rates.rate_table({"one": grown, "two": planted(np.tile(theory.log_growth(other), (2, 1)), config=other)})
    assert dict(table.sizes) == {"profile": 2, "seed": 2, "feature": 5}
    np.testing.assert_allclose(table.measured, np.broadcast_to(table.predicted.values[:, None], (2, 2, 5)), rtol=1e-10)
    np.testing.assert_allclose(table.predicted[1], theory.growth_rate(other))
    np.testing.assert_allclose(table.activation_probability[1], theory.activation_probability(other.data))


def test_linear_regime_changes_numbers_only():
    for config in (Config(), CONFIG, toy(threshold__start="at_step", threshold__start_step=7)):
        calm = rates.linear_regime(config)
        assert resolve(calm).structure == resolve(config).structure  # so nothing is compiled anew
        assert calm.threshold.scale == 0
        assert calm.data == config.data and calm.loss == config.loss


def test_the_linear_regime_of_a_pruned_run_is_unpruned():
    """The closed form is that of the unpruned network."""
    pruned = toy(prune__kind="lowest", prune__rate=0.5, prune__start="switch")
    assert rates.linear_regime(pruned) == rates.linear_regime(toy())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss.temperature": 0.01, "loss.temperature_prefactor": False},
        {"data.n_tokens": 16, "encoder.pooling": "mean", "loss.l2_penalty": 1e-4},
        {"optimizer.learning_rate": 7.0},
    ],
)
def test_linear_regime_is_one_e_fold_in_200_steps(changes):
    calm = rates.linear_regime(replace(Config(), **changes))
    assert calm.train.n_steps == 200
    assert theory.growth_rate(calm).max() == pytest.approx(0.005)


def test_linear_regime_of_the_default():
    assert rates.linear_regime(Config()).optimizer.learning_rate == pytest.approx(0.05, rel=2e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"data.majority_keep": 0.0, "data.minority_keep": 0.0},
        {"loss.l2_penalty": 0.5},
        {"data.n_tokens": 16, "encoder.pooling": "mean"},
    ],
)
def test_no_linear_regime_where_nothing_grows(changes):
    silent = replace(Config(), **changes)
    with pytest.raises(ConfigError, match="some feature grows"):
        rates.linear_regime(silent)
    assert "some feature grows" in rates.no_closed_form(silent)


def test_rate_table_brings_rates_to_one_learning_rate():
    slow = toy(optimizer__learning_rate=CONFIG.optimizer.learning_rate / 4)
    tables = {"fast": planted(np.tile(theory.log_growth(CONFIG), (2, 1)))}
    tables["slow"] = planted(np.tile(theory.log_growth(slow), (2, 1)), config=slow)
    table = rates.rate_table(tables)
    for name in ("measured", "predicted"):
        np.testing.assert_allclose(table[name][1], table[name][0], rtol=1e-9)


def test_no_closed_form():
    assert rates.no_closed_form(Config()) == ""
    cosine = replace(Config(), **{"loss.similarity": "cosine"})
    assert rates.no_closed_form(cosine).startswith("similarity: wanted inner")
    assert "momentum" in rates.no_closed_form(replace(Config(), **{"optimizer.arguments": (("momentum", 0.9),)}))
    assert "below 1" in rates.no_closed_form(replace(Config(), **{"optimizer.learning_rate": 1e6}))
