"""Our draws are those of jax.random, word for word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erfinv

from dynsim.randomness import draws


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 4, 7)])
def test_the_bits_are_those_of_jax_random(seed, shape):
    key = jax.random.key(seed)
    bits = jax.jit(draws.random_bits, static_argnums=1)
    assert np.array_equal(bits(key, shape), jax.random.bits(key, shape, "uint32"))


def test_a_block_can_be_drawn_in_pieces():
    key = jax.random.key(3)
    whole = np.asarray(jax.random.bits(key, (12,), "uint32"))
    assert np.array_equal(draws.random_bits(key, (2, 4), skip=4), whole[4:].reshape(2, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_are_those_of_jax_random(dtype):
    key = jax.random.key(5)
    for shape in [(1,), (3, 5)]:  # odd sizes: the two halves are not alike
        mine = jax.jit(draws.uniform, static_argnums=(1, 2))(key, shape, np.dtype(dtype))
        assert np.array_equal(mine, jax.random.uniform(key, shape, dtype))
        assert mine.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_those_of_jax_random(dtype):
    key = jax.random.key(6)
    whole = np.asarray(jax.random.normal(key, (1000,), dtype))
    mine = jax.jit(draws.normal, static_argnums=(1, 2, 3))
    assert mine(key, (1000,), np.dtype(dtype), 0).dtype == dtype
    # the transformation may round differently when it is compiled together with the hash
    np.testing.assert_allclose(mine(key, (1000,), np.dtype(dtype), 0), whole, rtol=1e-5)
    np.testing.assert_allclose(mine(key, (5, 20), np.dtype(dtype), 900), whole[900:].reshape(5, 20), rtol=1e-5)


def test_side_by_side_is_each_alone():
    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.vmap(lambda key: draws.random_bits(key, (4,)))(keys)
    assert np.array_equal(together, jnp.stack([draws.random_bits(key, (4,)) for key in keys]))


def test_other_generators_and_endless_shapes_are_refused():
    with pytest.raises(ValueError, match="threefry2x32"):
        draws.random_bits(jax.random.key(0, impl="rbg"), (2,))
    with pytest.raises(ValueError, match="fewer than 2\\^32"):
        draws.random_bits(jax.random.key(0), (2**16, 2**16))


def test_the_normal_transformation_is_the_quantile_function_at_every_scale():
    close_to_one = 1 - np.geomspace(2.0**-24, 1, 4001)
    u = np.unique(np.concatenate([close_to_one, -close_to_one, np.linspace(-0.999, 0.999, 4001)]).astype(np.float32))
    mine = np.asarray(jax.jit(draws._normal_from)(u), np.float64)
    wanted = np.sqrt(2) * erfinv(np.float64(u))
    np.testing.assert_allclose(mine, wanted, rtol=2e-6)
    assert float(draws._normal_from(jnp.zeros((), jnp.float32))) == 0
