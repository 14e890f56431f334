"""Recorded weights back in the engine: they give what the run itself had there, and what no result holds is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config import serial
from dynsim.config.checks import ConfigError
from dynsim.engine import mask_effect, replay, train
from dynsim.engine.data import batch_at
from dynsim.engine.numbers import resolve
from dynsim.engine.simulate import simulate
from tests import reference
from tests.reference import advancer, begin, built_in, toy

CONFIG = toy()
RESOLVED = resolve(CONFIG)
SEEDS = [4, 9]
N_BATCHES = 2


@pytest.fixture(scope="module")
def run():
    record = mask_effect.recorder_with_loss(built_in(RESOLVED.structure), N_BATCHES, keep_weights=True)
    return simulate(CONFIG, SEEDS, record_fn=record)


@pytest.fixture(scope="module")
def restore():
    """(result, seed, record) -> (state, world), through one compiled program."""
    parts = built_in(RESOLVED.structure)
    compiled = jax.jit(lambda seed, numbers, *at: replay.restored(seed, numbers, parts, *at))

    def of(result, seed, record):
        at = replay.recorded(result, seed, record)
        return compiled(np.uint32(result["seed"].values[seed]), RESOLVED.numbers, *at)

    return of


def test_what_is_recorded_is_that_of_the_seed_and_the_record(run):
    for seed, record in np.ndindex(2, run.sizes["record"]):
        weight, thresholds = replay.recorded(run, seed, record)
        np.testing.assert_array_equal(weight, run["neuron_weight"].values[seed, record])
        np.testing.assert_array_equal(thresholds, run["threshold"].values[seed, record])
    for end in (-1, run.sizes["record"] - 1):
        np.testing.assert_array_equal(replay.recorded(run, 1, end).weight, run["weight"].values[1])
        plain = run.drop_vars("neuron_weight")
        np.testing.assert_array_equal(replay.recorded(plain, 1, end).weight, run["weight"].values[1])


def test_restored_weights_give_the_recorded_loss_at_every_record(run, restore):
    """Against a NumPy loss on the held-out batches, at the weights and thresholds of the record."""
    _, world, parts = begin(CONFIG, SEEDS[1])
    batches = jax.device_get(jax.jit(lambda w: replay.held_out_batches(w, parts, N_BATCHES))(world))
    for record in range(run.sizes["record"]):
        state = jax.device_get(restore(run, 1, record)[0])
        losses = []
        for k in range(N_BATCHES):
            query, key = (
                reference.encode(state.params.weight, state.thresholds.value, side[k])
                for side in (batches.query, batches.key)
            )
            losses.append(reference.info_nce(query @ key.T, batches.is_candidate[k], 1.0, True)[0])
        np.testing.assert_allclose(run["held_out_loss"].values[1, record], np.mean(losses), rtol=1e-10)


def test_the_world_is_that_of_the_run_and_the_rest_of_the_state_that_of_its_start(run, restore):
    state, world = restore(run, 0, -1)
    carry, same, _ = begin(CONFIG, SEEDS[0])
    np.testing.assert_array_equal(world.dictionary, run["dictionary"].values[0])
    np.testing.assert_array_equal(world.probe, same.probe)
    back = replay.with_weights(state, carry.state.params.weight, carry.state.thresholds.value)
    assert jax.tree.all(jax.tree.map(np.array_equal, back, carry.state))


def test_the_next_step_from_restored_weights_has_the_gradient_of_the_run(run, restore):
    """Plain SGD has no memory: a step from the restored state moves the weights as the run did."""
    steps = run["step"].values
    record = next(k for k in range(len(steps) - 1) if steps[k + 1] == steps[k] + 1 and steps[k] > 0)
    state, world = restore(run, 0, record)
    go = advancer(built_in(RESOLVED.structure))
    after = go(train.start(state), world, steps[record], steps[record] + 1).state
    np.testing.assert_allclose(after.params.weight, run["neuron_weight"].values[0, record + 1], rtol=1e-12)


def test_held_out_batches_are_none_of_the_run():
    _, world, parts = begin(CONFIG)
    stacked = jax.jit(lambda w: replay.held_out_batches(w, parts, 3))(world)
    draw = jax.jit(lambda step: batch_at(parts.data, world.keys, step, world.dictionary, world.numbers))
    early = [draw(jnp.int32(step)).query for step in range(12)]
    late = [draw(jnp.int32(replay.FIRST_HELD_OUT + k)).query for k in range(3)]
    np.testing.assert_allclose(stacked.query, np.stack(late), rtol=1e-12, atol=1e-12)
    alone = jax.jit(lambda k: replay.held_out_batch(world, parts, k))(jnp.int32(2))
    np.testing.assert_allclose(alone.query, late[2], rtol=1e-12, atol=1e-12)
    everything = np.stack([*early, *late]).reshape(15, -1)
    assert len(np.unique(everything, axis=0)) == 15


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"encoder__train_attention": True}, "train_attention"),
        ({"encoder__architecture": "relu", "data__n_tokens": 1, "encoder__train_bias": True}, "train_bias"),
    ],
)
def test_what_no_result_holds_is_refused(run, changes, word):
    other = run.assign_attrs(config=serial.to_json(toy(**changes)))
    with pytest.raises(ConfigError, match=word) as caught:
        replay.recorded(other, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["data_model", "encoder", "loss"])
def test_functions_of_the_users_own_are_refused_but_not_a_record_function(run, name):
    assert list(json.loads(run.attrs["provenance"])["own"]) == ["record_fn"]  # taken by the tests above
    own = {name: ["module.function#0123"], "record_fn": ["module.other"]}
    with pytest.raises(ConfigError, match=f"own functions.*{name}") as caught:
        replay.recorded(run.assign_attrs(provenance=json.dumps({"own": own})), 0)
    assert "record_fn" not in str(caught.value) and "\n" not in str(caught.value)


def test_weights_and_thresholds_that_were_not_recorded_are_refused(run):
    with pytest.raises(ConfigError, match="record: wanted one with its weights, got 1") as caught:
        replay.recorded(run.drop_vars("neuron_weight"), 0, 1)
    assert "keep_weights" in str(caught.value)
    with pytest.raises(ConfigError, match="thresholds"):
        replay.recorded(run.drop_vars("threshold"), 0)
