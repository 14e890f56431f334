"""The named streams of a run: distinct, reproducible, and the same with and without x64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.randomness.streams import RunKeys, run_keys, step_key, step_keys

SEEDS = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]


def data_of(keys) -> np.ndarray:
    """Return the bits of keys, shape (stream, ..., 2)."""
    return np.stack([np.asarray(jax.random.key_data(key)) for key in keys])


def keys_of(seed: int) -> RunKeys:
    return run_keys(jnp.asarray(seed, jnp.uint32))


def test_every_stream_of_every_seed_is_distinct():
    bits = np.concatenate([data_of(keys_of(seed)) for seed in SEEDS])
    assert bits.shape == (len(SEEDS) * len(RunKeys._fields), 2)
    assert len(np.unique(bits, axis=0)) == len(bits)


def test_a_seed_always_gives_the_same_keys():
    for seed in SEEDS:
        np.testing.assert_array_equal(data_of(keys_of(seed)), data_of(keys_of(seed)))


def test_streams_are_folded_in_by_position():
    """Adding a stream at the end must leave the others as they were."""
    base = jax.random.key(7)
    for position, key in enumerate(keys_of(7)):
        assert jax.random.fold_in(base, position) == key


def test_many_seeds_at_once_give_the_keys_of_each():
    together = data_of(jax.vmap(run_keys)(jnp.asarray(SEEDS, jnp.uint32)))
    single = np.stack([data_of(keys_of(seed)) for seed in SEEDS], axis=1)
    np.testing.assert_array_equal(together, single)


def test_traced_seeds_give_the_same_keys():
    np.testing.assert_array_equal(data_of(jax.jit(run_keys)(jnp.uint32(2**32 - 1))), data_of(keys_of(2**32 - 1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_keys_do_not_depend_on_x64(seed):
    with jax.enable_x64(True):
        wide = data_of([*keys_of(seed), step_key(keys_of(seed).codes, jnp.int32(9))])
    with jax.enable_x64(False):
        narrow = data_of([*keys_of(seed), step_key(keys_of(seed).codes, jnp.int32(9))])
    np.testing.assert_array_equal(wide, narrow)


def test_steps_have_distinct_keys_that_depend_on_stream_and_number_alone():
    keys = keys_of(3)
    steps = [0, 1, 2, 1000, 2**31 - 1]
    bits = np.concatenate([data_of(step_key(stream, jnp.int32(step)) for step in steps) for stream in keys])
    assert len(np.unique(bits, axis=0)) == len(bits)
    for first, second in itertools.product((jnp.int32, jnp.uint32), repeat=2):
        assert step_key(keys.codes, first(5)) == step_key(keys.codes, second(5))


def test_keys_of_several_streams_are_those_of_each():
    keys = keys_of(3)
    together = step_keys((keys.codes, keys.noise), jnp.int32(11))
    np.testing.assert_array_equal(
        data_of(together), data_of([step_key(keys.codes, jnp.int32(11)), step_key(keys.noise, jnp.int32(11))])
    )
