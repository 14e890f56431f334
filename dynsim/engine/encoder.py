"""Parameters and forward pass of the encoder: attention, one layer of neurons, pooling over tokens (theory 2).

An encoder consists of two functions: `init(key, numbers) -> params` draws the first parameters, and
`apply(params, thresholds, tokens) -> embedding` embeds one sample. A third one, `embed`, is optional. It does the same
as `apply` for many samples at once, and faster.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from dynsim.config import DataConfig, EncoderConfig
from dynsim.engine.numbers import Numbers
from dynsim.engine.pooled import block_number, pooled, soft_threshold


class Params(NamedTuple):
    """The trained parameters. Those that the configuration does not train are None."""

    weight: Float[Array, "neuron token_dim"]
    """The weight vectors w_i, one row per neuron."""
    bias: Float[Array, " neuron"] | None = None
    """Trained bias, added to the preactivation (architecture relu only)."""
    attention: Float[Array, "three token_dim token_dim"] | None = None
    """The matrices W_Q, W_K, W_V of attention; with None they stay at the identity."""


class Encoder(NamedTuple):
    """The functions of an encoder; pass your own to `simulate` to replace the built-in ones."""

    init: Callable[..., Params]
    """(key, numbers) -> params, with at least a field `weight` (neuron, token_dim)."""
    apply: Callable[..., Array]
    """(params, thresholds (neuron,), tokens (token, token_dim)) -> embedding (neuron,)."""
    embed: Callable[..., Array] | None = None
    """The same for samples (sample, token, token_dim) -> (sample, neuron); with None, `apply` is vectorised instead."""


def batched(encoder: Encoder) -> Callable[..., Array]:
    """Return the function that embeds many samples at once.

    It takes (params, thresholds (neuron,), samples (sample, token, token_dim)) and returns (sample, neuron).
    """
    return encoder.embed or jax.vmap(encoder.apply, in_axes=(None, None, 0))


def attention_weights(
    queries: Float[Array, "token token_dim"], keys: Float[Array, "token token_dim"], kind: str
) -> Float[Array, "token token"]:
    """Return the attention matrix of one sample, shape (token, token); each row sums to one (theory 2.3).

    Args:
        queries, keys: W_Q x and W_K x for every token x.
        kind: token_wise (each token attends to itself only), softmax_unscaled, softmax_scaled (logits divided by the
            root of token_dim) or uniform (the same weight for every token).
    """
    L, d1 = queries.shape
    if kind == "token_wise":
        return jnp.eye(L, dtype=queries.dtype)
    if kind == "uniform":
        return jnp.full((L, L), 1 / L, queries.dtype)
    logits = queries @ keys.T
    return jax.nn.softmax(logits / jnp.sqrt(d1).astype(logits.dtype) if kind == "softmax_scaled" else logits, axis=-1)


def attend(params: Params, tokens: Float[Array, "token token_dim"], kind: str) -> Float[Array, "token token_dim"]:
    """Return Attention(W_Q x, W_K X, W_V X) for every token x of one sample (theory 2.1)."""
    if params.attention is None:
        return tokens if kind == "token_wise" else attention_weights(tokens, tokens, kind) @ tokens
    w_q, w_k, w_v = params.attention
    values = tokens @ w_v.T
    if kind == "token_wise":
        return values
    return attention_weights(tokens @ w_q.T, tokens @ w_k.T, kind) @ values


def mean_self_weight(params: Params, tokens: Float[Array, "token token_dim"], kind: str) -> Float[Array, ""]:
    """Return the attention weight of a token on itself, averaged over the L tokens of one sample.

    It is 1 for token-wise attention and 1/L for uniform attention.
    """
    if params.attention is None:
        return jnp.mean(jnp.diagonal(attention_weights(tokens, tokens, kind)))
    w_q, w_k, _ = params.attention
    return jnp.mean(jnp.diagonal(attention_weights(tokens @ w_q.T, tokens @ w_k.T, kind)))


def why_plain(config: EncoderConfig) -> str:
    """Return the option that rules out the fast `pooled.pooled`, or "" if it can be used.

    It can be used for every transformer without trained attention. Then attention depends on no trained weight, so
    tokens can be mixed first.
    """
    if config.architecture != "transformer":
        return f"encoder.architecture {config.architecture}"
    return "encoder.train_attention" if config.train_attention else ""


def embedding_path(config: EncoderConfig, data: DataConfig, n_bytes: int) -> str:
    """Return in words how the built-in encoder embeds a batch on this device; results record it in their provenance."""
    if reason := why_plain(config):
        return f"plain, sample by sample ({reason})"
    n_rows = data.batch_size * data.n_tokens
    n_blocks = block_number(n_rows, config.n_neurons, n_bytes, jax.default_backend())
    return f"hand-written gradient, neurons in {n_blocks} block{'s' if n_blocks > 1 else ''}"


@functools.lru_cache(maxsize=64)  # so that what is compiled for an encoder is found again
def make_encoder(config: EncoderConfig, data: DataConfig) -> Encoder:
    """Return the built-in encoder.

    A transformer computes h_i(X) = sum_l BReLU_{b_i}(<w_i, Attention(x_l, X)>), or the mean over the tokens l. BReLU is
    `pooled.soft_threshold`. The architecture relu computes h_i(x) = ReLU(<w_i, x> + bias_i - b_i) for samples of one
    token x.
    """
    d1 = data.token_dim

    def init(key: Key[Array, ""], numbers: Numbers) -> Params:
        dtype = numbers.init_std.dtype
        weight = jax.random.normal(key, (config.n_neurons, d1), dtype) * numbers.init_std
        bias = jnp.zeros((config.n_neurons,), dtype) if config.train_bias else None
        identity = jnp.broadcast_to(jnp.eye(d1, dtype=dtype), (3, d1, d1)) if config.train_attention else None
        return Params(weight, bias, identity)

    def apply_transformer(params: Params, thresholds: Array, tokens: Array) -> Array:
        preactivation = attend(params, tokens, config.attention) @ params.weight.T
        hidden = soft_threshold(preactivation, thresholds)
        return jnp.sum(hidden, axis=0) if config.pooling == "sum" else jnp.mean(hidden, axis=0)

    def apply_relu(params: Params, thresholds: Array, tokens: Array) -> Array:
        shift = -thresholds if params.bias is None else params.bias - thresholds
        return jax.nn.relu(tokens[0] @ params.weight.T + shift)

    def embed(params: Params, thresholds: Array, samples: Array) -> Array:
        mix = jax.vmap(lambda tokens: attend(params, tokens, config.attention))
        mixed = samples if config.attention == "token_wise" else mix(samples)
        n, L, _ = samples.shape
        n_blocks = block_number(n * L, config.n_neurons, samples.dtype.itemsize, jax.default_backend())
        hidden = pooled(n_blocks, params.weight, thresholds, mixed)
        return hidden if config.pooling == "sum" else hidden / L

    apply = apply_relu if config.architecture == "relu" else apply_transformer
    return Encoder(init, apply, None if why_plain(config) else embed)
