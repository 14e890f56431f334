"""The checks S1b to S1f of Lemma 3.1 on planted arrays, and what they read from tiny hand-made records."""

import numpy as np
import pytest
import xarray as xr

from dynsim import theory
from dynsim.stats.verdicts import NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED
from paper_checks import linear_growth
from paper_checks.check import at_points
from paper_checks.lemma_3_1 import (
    s1b_inequality,
    s1c_other_directions,
    s1d_learnability,
    s1e_length,
    s1f_suppression,
)
from paper_checks.run_sets import DEFAULT, Point, linear

SEEDS = 8
BATCHES = (16, 64, 256, 1024)


def verdicts(module, arrays):
    return [one.verdict for one in module.CHECK.judge(arrays)]


def scatter(rng, share, *shape):
    return 1 + share * rng.standard_normal((SEEDS, *shape))


# S1b


def inequality(seed, *, share=0.5, power=-0.5, growth=1.0, tilt=0.0):
    rng, parts = np.random.default_rng(seed), {}
    for batch in BATCHES:
        fall = (batch / 16) ** power
        values = {
            "share": share * scatter(rng, 0.02),
            "size": 4e-3 * fall * scatter(rng, 0.02),
            "share_of_part": 0.14 * fall * scatter(rng, 0.1),
            "growth": growth * scatter(rng, 0.005),
        }
        arrays = {name: ("seed", one) for name, one in values.items()}
        parts[Point(DEFAULT, 16, 0.5, batch)] = xr.Dataset(arrays | {"tilt": ((), tilt)})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(4))
def test_s1b_judges_each_reading(seed):
    assert verdicts(s1b_inequality, inequality(seed)) == [NOT_SUPPORTED, SUPPORTED, SUPPORTED, SUPPORTED]
    assert verdicts(s1b_inequality, inequality(seed, share=1e-3))[0] == SUPPORTED
    assert verdicts(s1b_inequality, inequality(seed, power=0.0))[1:3] == [NOT_SUPPORTED] * 2
    assert verdicts(s1b_inequality, inequality(seed, power=-1.0))[1:3] == [NOT_SUPPORTED] * 2
    assert verdicts(s1b_inequality, inequality(seed, growth=0.9))[3] == NOT_SUPPORTED


def test_rows_are_out_of_regime_where_the_softmax_is_not_uniform():
    rows = s1b_inequality.CHECK.judge(inequality(0, tilt=0.5))
    assert {row.verdict for row in rows} == {OUT_OF_REGIME} and "changed by 50%" in rows[0].note
    assert [row.claim for row in rows] == [row.claim for row in s1b_inequality.CHECK.judge(inequality(0))]


def test_missing_growth_by_hand():
    config = linear(16)
    step = np.exp(theory.log_growth(config))
    w = np.full((1, 2, 1), 1e-9)  # so that the slack plays no part
    a = np.ones((1, 2, 1, 16))
    a[:, 1] = -step  # grown as computed, but for the sign, which does not count
    assert np.allclose(s1b_inequality.missing_growth(a, w, np.array([0, 1]), config), 0)
    found = s1b_inequality.missing_growth(a, w, np.array([0, 3]), config)
    assert np.allclose(found[0, 0, 0], step**3 - step)
    slack = s1b_inequality.missing_growth(a, np.full((1, 2, 1), 1e3), np.array([0, 3]), config)
    assert np.all(slack == 0)


# S1c


def outside(seed, *, shrinks=1.0, power=-1.0, amplitude=0.5):
    """Squared norms under decay, with what a batch of size K adds at the end; `power` is of its square."""
    rng, steps, parts = np.random.default_rng(seed), np.arange(0, 120, 10), {}
    for second, batch, decay in [*((0, one, 2e-4) for one in BATCHES), (1, 256, 3e-3)]:
        alone = (1 - decay) ** (2 * steps * shrinks)
        added = 0 if second else amplitude * (batch / 16) ** power * (steps / steps[-1]) ** 2
        energy = alone + added * scatter(rng, 0.2, 1) + 1e-3 * rng.standard_normal((SEEDS, len(steps)))
        values = {"energy": (("seed", "record"), energy), "steps": ("record", steps.astype(float))}
        scalars = {"decay": ((), decay), "batch": ((), batch), "tilt": ((), 0.0)}
        parts[Point(DEFAULT, 16, 0.5, batch, second)] = xr.Dataset(values | scalars)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(4))
def test_s1c_judges_decay_and_floor(seed):
    assert verdicts(s1c_other_directions, outside(seed)) == [SUPPORTED, NOT_SUPPORTED, SUPPORTED, SUPPORTED]
    assert verdicts(s1c_other_directions, outside(seed, shrinks=0.5))[0] == NOT_SUPPORTED
    assert verdicts(s1c_other_directions, outside(seed, power=0.0))[2:] == [NOT_SUPPORTED, NOT_SUPPORTED]
    assert verdicts(s1c_other_directions, outside(seed, amplitude=1e-9))[1] == SUPPORTED


# S1d


def learnability(seed, *, true_floor=0.11, floor=0.11):
    rng, frequency = np.random.default_rng(seed), 0.05 ** (np.arange(16) / 15)
    predicted = 0.027 * (frequency - floor)
    measured = 0.027 * (frequency - true_floor) + 3e-4 * rng.standard_normal((SEEDS, 16))
    values = {"predicted": predicted, "frequency": frequency, "floor": np.full(16, floor)}
    arrays = {name: ("feature", one) for name, one in values.items()}
    return at_points(
        {Point(DEFAULT): xr.Dataset(arrays | {"measured": (("seed", "feature"), measured), "tilt": ((), 0.0)})}
    )


@pytest.mark.parametrize("seed", range(4))
def test_s1d_finds_the_floor_or_none(seed):
    assert verdicts(s1d_learnability, learnability(seed)) == [SUPPORTED] * 3
    assert verdicts(s1d_learnability, learnability(seed, true_floor=0.0)) == [NOT_SUPPORTED] * 3
    assert verdicts(s1d_learnability, learnability(seed, true_floor=0.2))[:2] == [NOT_SUPPORTED] * 2


def test_the_crossing_is_where_a_line_is_zero():
    frequency = np.array([0.01, 0.05, 0.1, 0.2, 1.0])
    growth = np.stack([frequency - 0.08, 3 * (frequency - 0.12)])
    growth[:, [0, -1]] = 7.0  # far from the floor: not looked at
    assert np.allclose(s1d_learnability.crossing(frequency, growth, 0.1), [0.08, 0.12])


# S1e and S1f


def lengths(seed, *, in_d=1.0, in_d1=None, factor=1.0):
    """T1 of the closed form, or with another exponent in d / log log d, or a power of d1."""
    rng, parts = np.random.default_rng(seed), {}
    places = [(d, 2.0) for d in (16, 24, 32, 48, 64)] + [(16, f) for f in (1.5, 4.0, 8.0, 16.0)]
    for d, f in places:
        reduced = s1e_length.reduced_size(d)
        not_empty = 1 - 2.3 / d
        rate = 0.27 / reduced / not_empty
        predicted = np.log1p(2 * f) / (2 * rate)
        true = predicted * (reduced / s1e_length.reduced_size(16)) ** (in_d - 1) * factor
        if in_d1 is not None and d == 16:
            true = 20 * f**in_d1
        scalars = {"predicted": predicted, "not_empty": not_empty, "to_gain": np.log1p(2 * f), "rate": rate, "tilt": 0}
        arrays = {name: ((), float(value)) for name, value in scalars.items()}
        parts[Point(DEFAULT, d, 0.5, f)] = xr.Dataset(arrays | {"t1": ("seed", true * scatter(rng, 0.02))})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(4))
def test_s1e_tells_the_closed_form_from_the_quote(seed):
    assert verdicts(s1e_length, lengths(seed)) == [SUPPORTED, SUPPORTED, SUPPORTED, NOT_SUPPORTED]
    assert verdicts(s1e_length, lengths(seed, in_d=1.4))[1] == NOT_SUPPORTED
    assert verdicts(s1e_length, lengths(seed, in_d1=1.0))[2:] == [NOT_SUPPORTED, SUPPORTED]
    assert verdicts(s1e_length, lengths(seed, factor=1.1))[0] == NOT_SUPPORTED


def lags(seed, *, speed=1.0):
    """The ratio of the groups over time, falling `speed` times as fast as the closed form says."""
    rng, parts, rate = np.random.default_rng(seed), {}, 0.017
    for f in (1.5, 2.0, 4.0, 8.0, 16.0):
        gained = 1 + 2 * f
        end = np.log(gained) / (2 * rate)
        steps = np.linspace(0, 1.3 * end, 20)
        predicted = np.exp(-0.5 * rate * steps)
        chance = 0.02 * rng.standard_normal((SEEDS, 1)) * np.sqrt(steps / steps[-1])
        measured = predicted**speed * np.exp(chance)
        scalars = {"end": end, "predicted_at_end": gained**-0.25, "gained": gained, "tilt": 0.0}
        arrays = {name: ((), value) for name, value in scalars.items()}
        arrays |= {"lag": (("seed", "record"), measured), "t1": ("seed", end * scatter(rng, 0.02))}
        arrays |= {"predicted": ("record", predicted), "steps": ("record", steps)}
        parts[Point(DEFAULT, 16, 0.5, f)] = xr.Dataset(arrays)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(4))
def test_s1f_judges_how_far_the_minority_falls_behind(seed):
    assert verdicts(s1f_suppression, lags(seed)) == [SUPPORTED] * 3 + [NOT_SUPPORTED, SUPPORTED]
    assert verdicts(s1f_suppression, lags(seed, speed=0.0)) == [NOT_SUPPORTED] * 5
    assert verdicts(s1f_suppression, lags(seed, speed=2.0))[:3] == [NOT_SUPPORTED] * 3


def record(growths):
    """A run of two neurons and two features, one of each group, that grow by these factors per step; d1 = 3."""
    steps = np.array([0, 2, 4, 8])
    alignment = np.array([[1.0, 1.0], [-2.0, 1.0]]) * np.array(growths) ** steps[:, None, None]
    norm = np.sqrt((alignment**2).sum(axis=-1) + 1.0)
    arrays = {
        "alignment": (("seed", "record", "neuron", "feature"), np.stack([alignment] * 2)),
        "weight_norm": (("seed", "record", "neuron"), np.stack([norm] * 2)),
        "positive_weight": (("seed", "record"), np.array([[np.nan, 0.1, 0.1, 0.105], [np.nan, 0.2, 0.2, 0.2]])),
        "diverged_step": ("seed", [-1, -1]),
    }
    return xr.Dataset(arrays, {"step": ("record", steps), "group": ("feature", ["majority", "minority"])})


def test_the_end_of_stage_1_and_the_lag_by_hand():
    result = record((1.2, 1.1))
    # the majority has energy 5 at the start and must gain 5 + 2 + 2 = 9, the squared norms at the start
    assert np.allclose(linear_growth.majority_end(result), np.log(14 / 5) / (2 * np.log(1.2)))
    assert np.allclose(linear_growth.lag(result)[0], (1.1 / 1.2) ** result["step"].values)
    assert np.isnan(linear_growth.majority_end(record((1.01, 1.0)))).all()


def test_the_tilt_is_the_largest_change_of_the_softmax_weight():
    assert np.isclose(linear_growth.softmax_tilt(record((1.2, 1.1)), 3), 0.05)


def test_runs_that_diverged_are_left_out():
    result = record((1.2, 1.1)).assign(diverged_step=("seed", [-1, 3]))
    assert np.isfinite(linear_growth.majority_end(result)).tolist() == [True, False]
