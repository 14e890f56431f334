"""The batched embedding of a one-layer transformer without trained attention, with its gradient written by hand.

It computes what `encoder.apply` computes for each sample, h_i(X) = sum_l BReLU_{b_i}(<w_i, x_l>) (theory 2.1), and the
gradient that autodiff would give. Two things make it faster on a CPU, where the element-wise passes over the
preactivations (sample x token, neuron) are bound by memory: of the preactivations only one bit each is kept for the
gradient, and where they do not fit into the caches the neurons are worked through in blocks that do.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

# 2 to 4 MB per block were the fastest at m = 4096 on a machine with 1 MB of second-level cache per core and 32 MB of
# third level; smaller blocks lose to the cost of starting their operations
BLOCK_BYTES = 4 * 2**20


def soft_threshold(
    preactivation: Float[Array, "*axes neuron"], thresholds: Float[Array, " neuron"]
) -> Float[Array, "*axes neuron"]:
    """Return BReLU_b(s) = ReLU(s-b) - ReLU(-s-b) (theory 2.1): zero where |s| <= b, s -/+ b outside, s for b = 0.

    Its derivative is 1 outside and 0 where |s| <= b; for b = 0 it is 1 also at s = 0, where masked neurons are.
    """
    b = thresholds.reshape((1,) * (preactivation.ndim - 1) + (-1,))
    return jnp.where(_is_silent(preactivation, b), 0, preactivation - jnp.copysign(b, preactivation))


def _is_silent(preactivation: Array, b: Array) -> Array:
    # "<=" and not ">": a preactivation that is not a number must stay one, so that a diverged run is seen
    return (jnp.abs(preactivation) <= b) & (b > 0)


def block_number(n_rows: int, n_neurons: int, n_bytes: int, platform: str) -> int:
    """Return into how many blocks the neurons are cut: a divisor of their number.

    On a CPU the smallest divisor for which the preactivations of a block take at most `BLOCK_BYTES`, as long as it is
    no more than four times what the bytes ask for (a prime number of neurons is not cut); 1 elsewhere.

    Args:
        n_rows: samples times tokens.
        n_neurons: m.
        n_bytes: size of one number.
        platform: cpu, gpu or tpu.
    """
    wanted = -(-n_rows * n_neurons * n_bytes // BLOCK_BYTES)
    if platform != "cpu" or wanted <= 1:
        return 1
    divisors = (k for k in range(wanted, min(4 * wanted, n_neurons) + 1) if n_neurons % k == 0)
    return next(divisors, 1)


def pooled_reference(weight: Array, thresholds: Array, tokens: Array) -> Array:
    """Return what `pooled` returns, written in one line and differentiated by JAX."""
    return jnp.sum(soft_threshold(tokens @ weight.T, thresholds), axis=1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def pooled(
    n_blocks: int,
    weight: Float[Array, "neuron token_dim"],
    thresholds: Float[Array, " neuron"],
    tokens: Float[Array, "sample token token_dim"],
) -> Float[Array, "sample neuron"]:
    """Return h_i(X) = sum_l BReLU_{b_i}(<w_i, x_l>) for every sample (theory 2.1).

    Args:
        n_blocks: how many blocks the neurons are cut into, a divisor of their number (see `block_number`).
        weight, thresholds, tokens: w, b and the samples.
    """
    n, L, _ = tokens.shape
    rows = _rows(tokens)

    def one(w: Array, b: Array) -> Array:
        return _sum_tokens(soft_threshold(rows @ w.T, b), n, L)

    return _join(_each_block(one, n_blocks, weight, thresholds))


Kept = tuple[Array, Array, Array, Array]
"""What the gradient needs: which preactivations pass the threshold, weight, thresholds and tokens."""


def _pooled_forward(n_blocks: int, weight: Array, thresholds: Array, tokens: Array) -> tuple[Array, Kept]:
    n, L, _ = tokens.shape
    rows = _rows(tokens)

    def one(w: Array, b: Array) -> tuple[Array, Array]:
        preactivation = rows @ w.T
        return _sum_tokens(soft_threshold(preactivation, b), n, L), ~_is_silent(preactivation, b[None, :])

    hidden, passes = _each_block(one, n_blocks, weight, thresholds)
    return _join(hidden), (passes, weight, thresholds, tokens)


def _pooled_backward(n_blocks: int, kept: Kept, cotangent: Array) -> tuple[Array, Array, Array]:
    passes, weight, thresholds, tokens = kept
    n, L, d1 = tokens.shape
    rows = _rows(tokens)

    def one(block: Array, allowed: Array) -> Array:
        spread = jnp.where(allowed.reshape(n, L, -1), block[:, None, :], 0).reshape(n * L, -1)
        # spread.T @ rows is slower, and the barrier keeps the compiler from turning this product into that one
        return lax.optimization_barrier(rows.T @ spread).T

    blocks = jnp.moveaxis(cotangent.reshape(n, n_blocks, -1), 1, 0)
    gradient = lax.map(lambda pair: one(*pair), (blocks, passes)) if n_blocks > 1 else one(blocks[0], passes[0])
    # whoever does not ask for these two does not pay for them: unused, they are not compiled
    _, pull = jax.vjp(partial(pooled_reference, weight), thresholds, tokens)
    return gradient.reshape(-1, d1), *pull(cotangent)


pooled.defvjp(_pooled_forward, _pooled_backward)


def _rows(tokens: Array) -> Array:
    return tokens.reshape(-1, tokens.shape[2])


def _sum_tokens(hidden: Array, n_samples: int, n_tokens: int) -> Array:
    return jnp.sum(hidden.reshape(n_samples, n_tokens, -1), axis=1)


def _each_block(fn: Callable[[Array, Array], PyTree], n_blocks: int, weight: Array, thresholds: Array) -> PyTree:
    """Return fn of each block of neurons, with a leading block axis."""
    if n_blocks == 1:
        return jax.tree.map(lambda leaf: leaf[None], fn(weight, thresholds))
    blocks = weight.reshape(n_blocks, -1, weight.shape[1]), thresholds.reshape(n_blocks, -1)
    return lax.map(lambda pair: fn(*pair), blocks)


def _join(hidden: Float[Array, "block sample part"]) -> Float[Array, "sample neuron"]:
    return jnp.moveaxis(hidden, 0, 1).reshape(hidden.shape[1], -1)
