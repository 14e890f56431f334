"""The beginning of a run: what is drawn, and which structures share the compiled draws."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.engine import initial, train
from dynsim.engine.encoder import Params
from dynsim.engine.numbers import resolve
from dynsim.randomness.streams import run_keys
from tests.reference import toy


def begun(monkeypatch, config, parts=None):
    """Begin a run, and return what was compiled for it or found again: (data, first weights, state)."""
    found = {}
    for name in ("_data_drawer", "_params_drawer", "_state_maker"):
        real = getattr(initial, name)
        monkeypatch.setattr(initial, name, lambda *a, name=name, real=real: found.setdefault(name, real(*a)))
    resolved = resolve(config)
    initial.init(jnp.uint32(0), resolved.numbers, parts or train.built_in_parts(resolved.structure))
    monkeypatch.undo()
    return tuple(found.values())


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"loss__similarity": "cosine"}, (True, True, True)),
        ({"data__minority_ratio": 0.9}, (True, True, True)),
        ({"threshold__rule": "schedule_b"}, (True, True, False)),
        ({"optimizer__name": "adam"}, (True, True, False)),
        ({"prune__kind": "lowest", "prune__rate": 0.5}, (True, True, False)),
        ({"encoder__n_neurons": 7}, (True, False, True)),
        ({"data__n_features": 6}, (False, False, False)),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_structures_share_what_they_draw_alike(changes, shared, monkeypatch):
    plain, changed = begun(monkeypatch, toy()), begun(monkeypatch, toy(**changes))
    assert tuple(one is other for one, other in zip(plain, changed, strict=True)) == shared


def test_own_draws_are_those_of_the_moment(monkeypatch):
    """A function of the user's own may read a value that has changed since another structure was compiled."""
    at = {"scale": 1.0}

    def own_parts(config):
        parts = train.built_in_parts(resolve(config).structure)
        encoder = parts.encoder._replace(init=init)
        return parts._replace(encoder=encoder, own=frozenset({"encoder"}))

    def init(key, numbers):
        return Params(jnp.full((6, 8), at["scale"], "float64"))

    for scale, similarity in ((1.0, "inner"), (2.0, "cosine")):
        at["scale"] = scale
        config = toy(loss__similarity=similarity)
        state, _ = initial.init(jnp.uint32(0), resolve(config).numbers, own_parts(config))
        np.testing.assert_array_equal(state.params.weight, scale)


def test_each_draw_has_its_own_stream_and_the_state_is_that_before_the_first_step():
    config = toy(threshold__start="at_step", threshold__start_step=0)
    resolved = resolve(config)
    parts = train.built_in_parts(resolved.structure)
    state, world = initial.init(jnp.uint32(5), resolved.numbers, parts)
    keys, numbers = run_keys(jnp.uint32(5)), jax.tree.map(jnp.asarray, resolved.numbers)
    dictionary = jax.jit(parts.data.init)(keys.dictionary, numbers)
    np.testing.assert_allclose(world.dictionary, dictionary, rtol=1e-12)
    for got, wanted in zip(world[3:], jax.jit(parts.data.probe)(keys.probe, dictionary, numbers), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    normal = np.asarray(jax.random.normal(keys.weights, (6, 8), "float64"))
    np.testing.assert_allclose(state.params.weight, config.encoder.init_std * normal, rtol=1e-12)
    kappa, d = config.threshold.kappa, config.data.n_features
    lengths = config.encoder.init_std * np.linalg.norm(normal, axis=1)
    np.testing.assert_allclose(state.thresholds.value, kappa * np.sqrt(2 * np.log(d) / d) * lengths, rtol=1e-12)
    assert (int(state.thresholds.switch_step), int(state.diverged_step), bool(state.loss_was_finite)) == (0, -1, True)
    assert state.pruning is None
    assert all(isinstance(value, jax.Array) for value in jax.tree.leaves(world.numbers))


def test_runs_in_several_threads_compile_a_draw_once(monkeypatch):
    resolved = resolve(toy())
    parts = train.built_in_parts(resolved.structure)

    def init(key, numbers):
        return parts.encoder.init(key, numbers)

    own = parts._replace(encoder=parts.encoder._replace(init=init))
    together, jit, n_made = threading.Barrier(3), jax.jit, []

    def slow_jit(fn):
        n_made.append(fn)
        time.sleep(0.05)  # the others come meanwhile
        return jit(fn)

    def call():
        together.wait()
        initial.init(jnp.uint32(0), resolved.numbers, own)

    monkeypatch.setattr(initial.jax, "jit", slow_jit)
    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("_params_drawer" in fn.__qualname__ for fn in n_made) == 1
