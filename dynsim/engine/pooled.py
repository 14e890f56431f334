"""A fast way to embed a whole batch, for transformers without trained attention. Its gradient is written by hand.

The embedding is h_i(X) = sum_l BReLU_{b_i}(<w_i, x_l>), where x_l are the tokens of sample X, w_i is the weight vector
of neuron i, and BReLU is the activation with threshold b_i (`soft_threshold`) (theory 2.1). Values and gradients are
those of `Encoder.apply` and automatic differentiation, up to rounding.

The preactivations <w_i, x_l> form an array (sample x token, neuron). On a CPU, reading and writing that array takes
most of the time. Two things help: the gradient keeps only one Boolean per preactivation (whether it passes the
threshold), and an array too large for the processor's caches is computed in blocks of neurons that fit.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import CustomVJPPrimal
from jaxtyping import Array, Float, PyTree

# Blocks of 2 to 4 MB were the fastest with 4096 neurons, on a machine with 1 MB of second-level cache per core and
# 32 MB of third-level cache. With smaller blocks, starting each operation takes too much of the time.
BLOCK_BYTES = 4 * 2**20


def soft_threshold(
    preactivation: Float[Array, "*axes neuron"], thresholds: Float[Array, " neuron"]
) -> Float[Array, "*axes neuron"]:
    """Return BReLU_b(s) = ReLU(s-b) - ReLU(-s-b), the activation of a neuron with threshold b (theory 2.1).

    It is 0 in the dead zone |s| <= b, s - b above it and s + b below it. Its derivative is 0 in the dead zone and 1
    outside. For b = 0 it is the identity, with derivative 1 everywhere. That includes s = 0, the preactivation of a
    masked neuron.
    """
    b = thresholds.reshape((1,) * (preactivation.ndim - 1) + (-1,))
    return _shrunk(preactivation, b, _is_silent(preactivation, b))


def _shrunk(preactivation: Array, b: Array, is_silent: Array) -> Array:
    return jnp.where(is_silent, 0, preactivation - lax.sign(preactivation) * b)


def _is_silent(preactivation: Array, b: Array) -> Array:
    # NaN <= b is false, so a preactivation that is NaN stays NaN, and a diverged run is noticed
    return (jnp.abs(preactivation) <= b) & (b > 0)


def block_number(n_rows: int, n_neurons: int, n_bytes: int, platform: str) -> int:
    """Return the number of blocks into which the neurons are divided. Blocks have equal size.

    On a CPU it is the smallest divisor of the number of neurons for which the preactivations of a block take at most
    `BLOCK_BYTES`. There is only one block if no divisor is near enough, that is, if it would be more than four times
    the number that the bytes alone ask for (for instance with a prime number of neurons). Other devices always use one
    block.

    Args:
        n_rows: number of samples times number of tokens per sample.
        n_neurons: number of neurons.
        n_bytes: size of one number in bytes.
        platform: cpu, gpu or tpu.
    """
    wanted = -(-n_rows * n_neurons * n_bytes // BLOCK_BYTES)
    if platform != "cpu" or wanted <= 1:
        return 1
    divisors = (k for k in range(wanted, min(4 * wanted, n_neurons) + 1) if n_neurons % k == 0)
    return next(divisors, 1)


def pooled_reference(weight: Array, thresholds: Array, tokens: Array) -> Array:
    """Return the same as `pooled`, written in one line and differentiated by JAX."""
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
        n_blocks: number of blocks into which the neurons are divided; see `block_number`.
        weight, thresholds: w and b.
        tokens: the samples, after attention has mixed the tokens of each.
    """
    n, L, _ = tokens.shape
    rows = _rows(tokens)

    def one(w: Array, b: Array) -> Array:
        return _sum_tokens(soft_threshold(rows @ w.T, b), n, L)

    return _join(_each_block(one, n_blocks, weight, thresholds))


class _Kept(NamedTuple):
    """What the gradient needs."""

    passes: Array
    """A Boolean per preactivation: does it pass the threshold?"""
    weight: Array
    tokens: Array
    thresholds: Array | None
    """None where no gradient in thresholds or tokens is asked for, as in training."""


def _pooled_forward(n_blocks: int, *arguments: CustomVJPPrimal) -> tuple[Array, _Kept]:
    in_others = arguments[1].perturbed or arguments[2].perturbed
    weight, thresholds, tokens = (argument.value for argument in arguments)
    n, L, _ = tokens.shape
    rows = _rows(tokens)

    def one(w: Array, b: Array) -> tuple[Array, Array]:
        preactivation = rows @ w.T
        is_silent = _is_silent(preactivation, b[None, :])
        return _sum_tokens(_shrunk(preactivation, b[None, :], is_silent), n, L), ~is_silent

    hidden, passes = _each_block(one, n_blocks, weight, thresholds)
    return _join(hidden), _Kept(passes, weight, tokens, thresholds if in_others else None)


def _pooled_backward(n_blocks: int, kept: _Kept, cotangent: Array) -> tuple[Array, Array | None, Array | None]:
    passes, weight, tokens, thresholds = kept
    n, L, d1 = tokens.shape
    rows = _rows(tokens)

    def one(block: Array, allowed: Array) -> Array:
        spread = jnp.where(allowed.reshape(n, L, -1), block[:, None, :], 0).reshape(n * L, -1)
        # spread.T @ rows would be slower; the barrier keeps the compiler from turning this product into that one
        return lax.optimization_barrier(rows.T @ spread).T

    blocks = jnp.moveaxis(cotangent.reshape(n, n_blocks, -1), 1, 0)
    gradient = lax.map(lambda pair: one(*pair), (blocks, passes)) if n_blocks > 1 else one(blocks[0], passes[0])
    if thresholds is None:
        return gradient.reshape(-1, d1), None, None
    _, pull = jax.vjp(partial(pooled_reference, weight), thresholds, tokens)
    return gradient.reshape(-1, d1), *pull(cotangent)


pooled.defvjp(_pooled_forward, _pooled_backward, symbolic_zeros=True)


def _rows(tokens: Array) -> Array:
    return tokens.reshape(-1, tokens.shape[2])


def _sum_tokens(hidden: Array, n_samples: int, n_tokens: int) -> Array:
    return jnp.sum(hidden.reshape(n_samples, n_tokens, -1), axis=1)


def _each_block(fn: Callable[[Array, Array], PyTree], n_blocks: int, weight: Array, thresholds: Array) -> PyTree:
    """Return the results of `fn` for the blocks of neurons, stacked on a leading axis."""
    if n_blocks == 1:
        return jax.tree.map(lambda leaf: leaf[None], fn(weight, thresholds))
    blocks = weight.reshape(n_blocks, -1, weight.shape[1]), thresholds.reshape(n_blocks, -1)
    return lax.map(lambda pair: fn(*pair), blocks)


def _join(hidden: Float[Array, "block sample part"]) -> Float[Array, "sample neuron"]:
    return jnp.moveaxis(hidden, 0, 1).reshape(hidden.shape[1], -1)
