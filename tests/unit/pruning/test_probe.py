"""Masks tried on recorded weights, against `mask_effect` called directly at the state of the run itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.analysis import outcomes
from dynsim.engine import mask_effect
from dynsim.engine.numbers import resolve
from dynsim.engine.replay import held_out_batches
from dynsim.engine.simulate import simulate
from experiments.pruning import probe
from tests.reference import begin, built_in, toy, trajectory

pytestmark = pytest.mark.slow  # half a minute, nearly all of it compilation

CONFIG = toy(train__n_steps=40, train__n_records=8)
SEEDS = [4, 9]


@pytest.fixture(scope="module")
def run():
    record = mask_effect.recorder_with_loss(built_in(resolve(CONFIG).structure), 2, keep_weights=True)
    return simulate(CONFIG, SEEDS, record_fn=record)


@pytest.fixture(scope="module")
def found(run):
    return probe.amplifications(run, "straight_through", ("lowest", "highest"), (0.0, 0.5), n_batches=2)


def test_moments_are_records_in_order(run):
    places = probe.moments(run)
    assert places.shape == (2, 4) and (np.diff(places[:, [0, 1, 3]], axis=1) >= 0).all()
    steps = run["step"].values
    for seed in range(2):
        assert steps[places[seed, 0]] < max(run["switch_step"].values[seed], 1)
        assert steps[places[seed, 3]] == 40


def test_a_mask_of_nothing_amplifies_nothing(run, found):
    known = found.sel(rate=0.0).values
    assert np.isfinite(known).any()
    np.testing.assert_allclose(known[np.isfinite(known)], 1, rtol=1e-12)


def test_amplification_at_the_end_is_that_of_the_run_itself(run, found):
    parts = built_in(resolve(CONFIG).structure)
    states, world = trajectory(CONFIG, 40, seed=SEEDS[1])
    state = jax.tree.map(jnp.asarray, states[-1])
    np.testing.assert_allclose(state.params.weight, run["neuron_weight"].values[1, -1], rtol=1e-9)
    mask = mask_effect.neuron_mask(state, world, "lowest", jnp.asarray(0.5))
    masked_parts = mask_effect.with_masks(parts, "straight_through")
    batches = held_out_batches(world, parts, 2)
    dense, masked = (
        np.asarray(mask_effect.growth(state, world, masked_parts if one else parts, one, batches))
        for one in (None, mask)
    )
    specialists = outcomes.specialist_pairs(outcomes.at_end(run))[1]
    for group in ("minority", "majority"):
        own = specialists & (run["group"].values == group)[None, :]
        value = found.sel(moment="end", kind="lowest", rate=0.5, group=group).values[1]
        without = (dense * own).sum()
        if own.any() and without > 0:
            np.testing.assert_allclose(value, (masked * own).sum() / without, rtol=1e-7)
        else:
            assert np.isnan(value)


def test_drivers_are_those_of_the_run_itself(run):
    drivers = probe.group_drivers_over_time(run, ("lowest",), 0.5, [0, run.sizes["record"] - 1], n_batches=2)
    assert drivers["step"].values.tolist() == [0, 40]
    carry, world, parts = begin(CONFIG, seed=SEEDS[0])
    minority = run["group"].values == "minority"
    batches = held_out_batches(world, parts, 2)
    wanted = np.asarray(mask_effect.driver(carry.state, world, parts, None, "literal", batches))
    first = drivers.isel(seed=0, record=0).sel(kind="none")
    np.testing.assert_allclose(first.sel(group="minority"), wanted[minority].mean(), rtol=1e-9)
    np.testing.assert_allclose(first.sel(group="majority"), wanted[~minority].mean(), rtol=1e-9)
    assert not np.allclose(drivers.sel(kind="lowest"), drivers.sel(kind="none"), rtol=1e-6)
