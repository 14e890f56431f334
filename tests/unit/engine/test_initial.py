"""The beginning of a run: what is drawn, and which structures share the compiled draws."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.engine import initial, train
from dynsim.engine.numbers import resolve
from dynsim.randomness.streams import run_keys
from tests.reference import toy


def drawers(config):
    """Return the compiled draws of a configuration: of its data, and of its first weights."""
    parts = train.built_in_parts(resolve(config).structure)
    return initial._data_drawer(parts.data.init, parts.data.probe), initial._params_drawer(parts.encoder.init)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss__similarity": "cosine"},
        {"threshold__rule": "schedule_b"},
        {"data__minority_ratio": 0.9},
        {"optimizer__name": "adam"},
        {"prune__kind": "lowest", "prune__rate": 0.5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_structures_that_draw_alike_share_the_compiled_draws(changes):
    assert drawers(toy(**changes)) == drawers(toy())


def test_other_sizes_are_drawn_by_functions_of_their_own():
    (data, params), (wider_data, wider_params) = drawers(toy()), drawers(toy(encoder__n_neurons=7))
    assert data is wider_data and params is not wider_params
    assert drawers(toy(data__token_dim=9))[0] is not data


def test_each_draw_has_its_own_stream_and_the_state_is_that_before_the_first_step():
    config = toy(threshold__start="at_step", threshold__start_step=0)
    resolved = resolve(config)
    parts = train.built_in_parts(resolved.structure)
    state, world = initial.init(jnp.uint32(5), resolved.numbers, parts)
    keys, numbers = run_keys(jnp.uint32(5)), jax.tree.map(jnp.asarray, resolved.numbers)
    dictionary = parts.data.init(keys.dictionary, numbers)
    np.testing.assert_allclose(world.dictionary, dictionary, rtol=1e-12)
    for got, wanted in zip(world[3:], parts.data.probe(keys.probe, dictionary, numbers), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    normal = np.asarray(jax.random.normal(keys.weights, (6, 8), "float64"))
    np.testing.assert_allclose(state.params.weight, config.encoder.init_std * normal, rtol=1e-12)
    kappa, d = config.threshold.kappa, config.data.n_features
    lengths = config.encoder.init_std * np.linalg.norm(normal, axis=1)
    np.testing.assert_allclose(state.thresholds.value, kappa * np.sqrt(2 * np.log(d) / d) * lengths, rtol=1e-12)
    assert (int(state.thresholds.switch_step), int(state.diverged_step), bool(state.loss_was_finite)) == (0, -1, True)
    assert state.pruning is None
    assert all(isinstance(value, jax.Array) for value in jax.tree.leaves(world.numbers))


def test_runs_in_several_threads_trace_a_draw_once():
    resolved = resolve(toy())
    parts = train.built_in_parts(resolved.structure)
    n_traced, together = [], threading.Barrier(3)

    def slow(key, numbers):
        n_traced.append(1)
        time.sleep(0.05)  # the others come meanwhile
        return parts.encoder.init(key, numbers)

    own = parts._replace(encoder=parts.encoder._replace(init=slow))

    def call():
        together.wait()
        initial.init(jnp.uint32(0), resolved.numbers, own)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(n_traced) == 1
