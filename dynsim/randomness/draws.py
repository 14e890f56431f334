"""The random numbers of `jax.random`, drawn faster in float32.

On a CPU `jax.random` makes several passes over memory to hash a counter into random bits, and one more to turn the bits
into numbers. Here the hash (threefry 2x32 with 20 rounds, Salmon et al. 2011) is written out as element-wise
operations, which the compiler fuses with the conversion into one pass. The bits are exactly those of `jax.random` with
its default, partitionable generator: word i is the exclusive or of the two words hashed from the counter (0, i).

Use an array of normal numbers only once: the fusion makes the compiler draw it again for every further use.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
# sqrt(2) erfinv(u) / u as a polynomial in t = -log(1 - u^2) / 8 - 1, lowest power first, fitted by least squares with
# more weight where the relative error is largest; that is at most 4e-7 for t in [-1, 1], hence for every float32 u
NORMAL = (
    3.76384359,
    1.99523956,
    -0.45766827,
    0.178277635,
    -0.049861593,
    -0.0266776514,
    0.0488951022,
    -0.0466570029,
    0.0772950449,
    -0.0586690558,
    -0.0463487299,
    0.0632349334,
    0.00563776512,
    -0.0162691514,
)


def random_bits(key: Key[Array, ""], shape: tuple[int, ...], skip: ArrayLike = 0) -> UInt[Array, "..."]:
    """Return the words of `jax.random.bits(key, shape, "uint32")`, in one pass over memory.

    Args:
        key: one typed threefry key.
        shape: shape of the result, with fewer than 2^32 entries.
        skip: number of words to leave out at the beginning, so that one block can be drawn in several pieces. Words
            repeat with period 2^32.

    Errors: `ValueError` for a key of another generator, several keys, or a shape that is too large.
    """
    size = math.prod(shape)
    words = jax.random.key_data(key)
    if str(jax.random.key_impl(key)) != "threefry2x32" or words.shape != (2,):
        raise ValueError(f"key: wanted one threefry2x32 key, got {jax.random.key_impl(key)} of shape {key.shape}")
    if size >= 2**32:
        raise ValueError(f"shape: wanted fewer than 2^32 entries, got {size}")
    low = lax.iota(jnp.uint32, size).reshape(shape) + jnp.asarray(skip, jnp.uint32)
    first, second = _threefry(words[0], words[1], jnp.zeros_like(low), low)
    return first ^ second


@jax.jit  # traced once for a shape, and lowered once in each program; the compiler puts the operations in place
def _threefry(key_0: Array, key_1: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return both words of threefry 2x32 with 20 rounds."""
    schedule = (key_0, key_1, key_0 ^ key_1 ^ np.uint32(PARITY))
    x, y = x + schedule[0], y + schedule[1]
    for group in range(5):
        for by in ROTATIONS[group % 2]:
            x = x + y
            y = (y << np.uint32(by)) | (y >> np.uint32(32 - by))
            y = y ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def _unit(bits: UInt[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Return numbers in [0, 1): the 23 leading bits become the mantissa of a number in [1, 2), less 1."""
    return lax.bitcast_convert_type((bits >> np.uint32(9)) | np.uint32(0x3F800000), jnp.float32) - np.float32(1)


def uniform(key: Key[Array, ""], shape: tuple[int, ...], dtype: np.dtype) -> Float[Array, "..."]:
    """Return the numbers of `jax.random.uniform(key, shape, dtype)`, in [0, 1); they may be used any number of times.

    They are drawn in two halves by a loop: the compiler keeps what a loop returns instead of drawing it again.
    """
    if dtype != np.float32:
        return jax.random.uniform(key, shape, dtype)
    size = math.prod(shape)
    half = -(-size // 2)
    halves = lax.map(lambda skip: _unit(random_bits(key, (half,), skip)), jnp.asarray([0, half], jnp.uint32))
    return halves.reshape(-1)[:size].reshape(shape)


def normal(key: Key[Array, ""], shape: tuple[int, ...], dtype: np.dtype, skip: int = 0) -> Float[Array, "..."]:
    """Return standard normal numbers, sqrt(2) erfinv(u) with u uniform in (-1, 1).

    With skip = 0 they are those of `jax.random.normal(key, shape, dtype)`; in float32 up to a relative difference of
    about 6e-6, which is the error of the library's own erfinv. With skip = n they are those that follow its first n
    numbers in a longer array.
    """
    if dtype != np.float32:
        whole = jax.random.normal(key, (skip + math.prod(shape),), dtype)
        return whole[skip:].reshape(shape)
    lowest = np.nextafter(np.float32(-1), np.float32(0))
    return _normal_from(jnp.maximum(lowest, _unit(random_bits(key, shape, skip)) * (np.float32(1) - lowest) + lowest))


def _normal_from(u: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Return sqrt(2) erfinv(u) in float32, with a relative error of 1e-6; faster than `lax.erf_inv`: no branches."""
    t = jnp.log((1 - u) * (1 + u)) * np.float32(-1 / 8) - np.float32(1)
    ratio = jnp.full_like(t, np.float32(NORMAL[-1]))
    for coefficient in NORMAL[-2::-1]:
        ratio = ratio * t + np.float32(coefficient)
    return ratio * u
