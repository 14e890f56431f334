"""Every threshold rule, step by step, against a plain Python loop over given norms."""

import functools
import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config import ThresholdConfig
from dynsim.engine.thresholds import NOT_YET, init_thresholds, update_thresholds

ETA, KAPPA, d, m, T = 0.5, 0.7, 5, 4, 10
LOG = math.log(d) / d
rng = np.random.default_rng(5)
DIRECTION = np.array([[0.0, 1.0, 0.0]])
# Norms that rise by up to 1.6 a step and now and then fall; the slowest has doubled well before the end.
NORMS = np.cumprod(np.vstack([[1.0, 1.1, 0.9, 1.3], rng.uniform(0.95, 1.6, size=(T, m))]), axis=0)


@functools.lru_cache
def compiled(config):
    """Return the compiled (weight, scale, eta) -> first state and (state, squared norms, step, scale, eta) -> state."""
    return (
        jax.jit(lambda weight, scale, eta: init_thresholds(weight, config, scale, eta, d)),
        jax.jit(lambda state, square, n, scale, eta: update_thresholds(state, square, n, config, scale, eta, d)),
    )


def run(config, norms, scale=KAPPA, eta=ETA):
    """Return the states after 0, 1, ... updates with the given norms (step, neuron)."""
    arguments = (jax.device_put(scale), jax.device_put(eta))
    first, update = compiled(config)
    states = [first(jax.device_put(norms[0][:, None] * DIRECTION), *arguments)]
    for n in range(1, len(norms)):
        states.append(update(states[-1], jax.device_put(norms[n] ** 2), jnp.int32(n), *arguments))
    return jax.device_get(states)


def median_reached(now, start):
    """At least half of the neurons have twice the median squared norm of the start."""
    level = 2 * statistics.median(value**2 for value in start)
    return sum(value**2 >= level for value in now) >= len(now) / 2


def by_loop(config, norms, scale=KAPPA, eta=ETA):
    """Return (thresholds per step, switch step or -1, frozen per step)."""
    b, on, frozen, switch, at_switch = [0.0] * len(norms[0]), False, False, NOT_YET, None
    values, freezes = [], []
    for n, now in enumerate(norms):
        before = norms[n - 1] if n else now
        starts = {
            "online": n > 0 and median_reached(now, norms[0]),
            "at_step": n >= config.start_step,
            "never": False,
        }[config.start] and config.rule != "zero"
        if not on and starts:
            on, switch, at_switch = True, n, now
            first = math.sqrt((1 if config.rule == "schedule_c" else 2) * LOG)
            b = [scale * first * value for value in now]
        elif on and config.rule == "norm_tracking":
            b = [scale * math.sqrt(2 * LOG) * value for value in now]
        elif on and not frozen:
            growth = [1 + eta / d] * len(now)
            if config.rule == "schedule_b":
                growth = [max(1 + eta / d, new / old) for new, old in zip(now, before, strict=True)]
            b = [value * factor for value, factor in zip(b, growth, strict=True)]
        if on and n > switch and config.rule in ("schedule_b", "schedule_c"):
            reached = [new >= config.stop_growth * d * old for new, old in zip(now, at_switch, strict=True)]
            frozen = frozen or all(reached)
        values.append(b)
        freezes.append(frozen)
    return np.array(values), switch, freezes


STARTS = [("online", 0), ("at_step", 0), ("at_step", 2), ("at_step", T + 1), ("never", 0)]


@pytest.mark.parametrize(("start", "start_step"), STARTS)
@pytest.mark.parametrize("rule", ["zero", "norm_tracking", "schedule_b", "schedule_c"])
def test_rule_follows_the_loop(rule, start, start_step):
    config = ThresholdConfig(rule=rule, start=start, start_step=start_step, scale=KAPPA, stop_growth=0.4)
    states = run(config, NORMS)
    values, switch, frozen = by_loop(config, NORMS)
    np.testing.assert_allclose([state.value for state in states], values, rtol=1e-13)
    assert states[-1].switch_step == switch
    # the switch step is the number of updates after which the thresholds came on, and never changes again
    wanted = [switch if 0 <= switch <= n else NOT_YET for n in range(T + 1)]
    assert [int(state.switch_step) for state in states] == wanted
    assert [bool(state.frozen) for state in states] == frozen


def test_the_cases_above_are_not_empty():
    online = ThresholdConfig(rule="schedule_c", start="online", stop_growth=0.4)
    _, switch, frozen = by_loop(online, NORMS)
    assert switch > 1 and not frozen[switch + 1] and frozen[-3]


def test_switch_norms_are_those_of_the_switch():
    states = run(ThresholdConfig(rule="schedule_c", start="at_step", start_step=3), NORMS)
    for n, state in enumerate(states):
        np.testing.assert_allclose(state.switch_norm, NORMS[3 if n >= 3 else 0], rtol=1e-15)
        np.testing.assert_allclose(state.previous_norm, NORMS[n], rtol=1e-15)


def test_values_at_the_switch_by_hand():
    norms = np.ones((2, m))
    wanted = {"norm_tracking": math.sqrt(2 * LOG), "schedule_b": math.sqrt(2 * LOG), "schedule_c": math.sqrt(LOG)}
    for rule, value in wanted.items():
        states = run(ThresholdConfig(rule=rule, start="at_step"), norms, scale=1.0)
        np.testing.assert_allclose(states[0].value, value, rtol=1e-15)
        grown = value if rule == "norm_tracking" else value * (1 + ETA / d)  # the norms stay
        np.testing.assert_allclose(states[1].value, grown, rtol=1e-15)


@pytest.mark.parametrize("rule", ["schedule_b", "schedule_c"])
def test_a_frozen_threshold_stays_even_when_norms_fall_back(rule):
    norms = np.array([1.0, 2.0, 5.0, 6.0, 7.0, 1.0, 9.0])[:, None] * np.ones(m)
    states = run(ThresholdConfig(rule=rule, start="at_step", stop_growth=1.0), norms)  # frozen at norm 5 = d * 1
    assert [bool(state.frozen) for state in states] == [False, False, True, True, True, True, True]
    after = np.array([state.value for state in states[2:]])
    assert np.all(after == after[0]) and np.all(after[0] > states[1].value)


def test_one_small_neuron_delays_the_freezing_of_all():
    norms = np.array([1.0, 6.0, 7.0])[:, None] * np.ones(m)
    norms[1, 2] = 4.9
    states = run(ThresholdConfig(rule="schedule_c", start="at_step"), norms)
    assert [bool(state.frozen) for state in states] == [False, False, True]


@pytest.mark.parametrize(
    ("start", "now", "switches"),
    [
        # odd: the middle one of the squares decides. Squares at the start 1, 4, 9: level 8
        ([1, 2, 3], [1, math.sqrt(8.01), 3], True),
        ([1, 2, 3], [2.8, 2.8, 100], False),
        # even: two of four suffice. Squares 1, 4, 4, 9: level 8
        ([1, 2, 2, 3], [1, 1, 2.83, 3], True),
        ([1, 2, 2, 3], [2.8, 2.8, 2.8, 3], False),
        # the level uses the mean of the two middle squares 4 and 6: level 10
        ([1, 2, math.sqrt(6), 3], [1, 1, 3.17, 3.17], True),
        ([1, 2, math.sqrt(6), 3], [3.16, 3.16, 3.16, 100], False),
        # a single neuron; equality counts
        ([1], [math.sqrt(2) * (1 + 1e-15)], True),
        ([1], [1.41], False),
    ],
)
def test_online_rule_counts_half_of_the_neurons(start, now, switches):
    start, now = np.array(start, float), np.array(now, float)
    state = run(ThresholdConfig(start="online"), np.array([start, now]))[-1]
    assert (state.switch_step == 1) == switches
    assert bool(np.any(state.value)) is switches


@pytest.mark.parametrize("m_odd", [3, 7])
def test_online_rule_is_the_median_for_odd_counts(m_odd):
    for trial in range(20):
        draw = np.random.default_rng(trial)
        norms = draw.uniform(0.5, 2.0, size=(2, m_odd)) * np.array([[1.0], [1.4]])
        state = run(ThresholdConfig(start="online"), norms)[-1]
        assert (state.switch_step == 1) == (np.median(norms[1] ** 2) >= 2 * np.median(norms[0] ** 2))


def test_a_neuron_of_norm_zero_keeps_a_finite_threshold():
    norms = NORMS.copy()
    norms[:3, 0] = 0
    for rule in ("norm_tracking", "schedule_b", "schedule_c"):
        states = run(ThresholdConfig(rule=rule, start="at_step"), norms)
        assert all(np.all(np.isfinite(state.value)) for state in states)


def test_scale_multiplies_the_thresholds():
    for rule in ("norm_tracking", "schedule_b", "schedule_c"):
        config = ThresholdConfig(rule=rule, start="at_step")
        one, two = run(config, NORMS, scale=0.5), run(config, NORMS, scale=1.0)
        for small, large in zip(one, two, strict=True):
            assert np.array_equal(2 * small.value, large.value)


def test_growth_before_the_switch_does_not_freeze():
    norms = np.array([1.0, 10.0, 20.0, 21.0])[:, None] * np.ones(m)
    states = run(ThresholdConfig(rule="schedule_c", start="at_step", start_step=2), norms)
    assert [bool(state.frozen) for state in states] == [False] * 4
    assert np.all(states[3].value > states[2].value)
