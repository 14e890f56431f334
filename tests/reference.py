"""Independent float64 NumPy versions of encoder, losses, gradient and training step, written out from theory 2 to 4.

Loops over samples and candidates instead of array tricks, so that they can be compared with the formulas by eye.
Also the toy configuration of the engine tests: few distinct shapes, since each one costs seconds of compilation.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.config import Config, DataConfig, EncoderConfig, TrainConfig, replace
from dynsim.engine import initial, train
from dynsim.engine.data import Batch, DataModel, batch_at
from dynsim.engine.numbers import resolve
from dynsim.engine.train import Carry, Parts, World

TOY = Config(
    data=DataConfig(n_features=5, token_dim=8, n_tokens=2, batch_size=6, activation_rate=0.4, minority_ratio=0.5),
    encoder=EncoderConfig(n_neurons=6, init_std=0.3),
    train=TrainConfig(n_steps=12, n_records=6, n_probe=3, precision="float64", batching="map"),
)


def toy(**changes: Any) -> Config:
    """Return the toy configuration with fields changed; `__` in a name stands for the dot."""
    return replace(TOY, **{name.replace("__", "."): value for name, value in changes.items()})


@lru_cache
def compiled(parts: Parts) -> tuple[Callable[..., Any], Callable[..., Carry]]:
    """Return (seed, numbers) -> (state, world), and the compiled (carry, world, begin, end) -> carry."""
    return (
        lambda seed, numbers: initial.init(seed, numbers, parts),
        jax.jit(lambda carry, world, first, last: train.advance(carry, world, first, last, parts)),
    )


built_in = lru_cache(train.built_in_parts)


def begin(config: Config, seed: int = 0, parts: Parts | None = None) -> tuple[Carry, World, Parts]:
    """Return carry, world and parts of a run before its first step."""
    parts = parts or built_in(resolve(config).structure)
    state, world = compiled(parts)[0](jnp.uint32(seed), resolve(config).numbers)
    return train.start(state), world, parts


def advancer(parts: Parts) -> Callable[..., Carry]:
    """Return the compiled (carry, world, begin, end) -> carry."""
    return lambda carry, world, first, last: compiled(parts)[1](carry, world, np.int32(first), np.int32(last))


def trajectory(config: Config, n_steps: int, seed: int = 0, parts: Parts | None = None) -> tuple[list[Any], World]:
    """Return the states after 0, 1, ..., n_steps updates, as NumPy arrays, and the world."""
    carry, world, parts = begin(config, seed, parts)
    go, states = advancer(parts), [jax.device_get(carry.state)]
    for n in range(n_steps):
        carry = go(carry, world, n, n + 1)
        states.append(jax.device_get(carry.state))
    return states, world


def soft_threshold(s: np.ndarray, b: np.ndarray) -> np.ndarray:
    """ReLU(s-b) - ReLU(-s-b)."""
    return np.maximum(s - b, 0) - np.maximum(-s - b, 0)


def attention_weights(queries: np.ndarray, keys: np.ndarray, kind: str) -> np.ndarray:
    """Row l: weights of token l on all tokens."""
    L, d1 = queries.shape
    rows = []
    for x in range(L):
        if kind == "token_wise":
            row = [float(x == y) for y in range(L)]
        elif kind == "uniform":
            row = [1 / L] * L
        else:
            scale = math.sqrt(d1) if kind == "softmax_scaled" else 1.0
            exps = [math.exp(queries[x] @ keys[y] / scale) for y in range(L)]
            row = [value / sum(exps) for value in exps]
        rows.append(row)
    return np.array(rows)


def attended(tokens: np.ndarray, kind: str, attention: Any = None) -> np.ndarray:
    """Attention(W_Q x, W_K X, W_V X) per token of one sample; None: all three the identity."""
    w_q, w_k, w_v = [np.eye(tokens.shape[1])] * 3 if attention is None else attention
    queries, keys, values = (np.array([W @ x for x in tokens]) for W in (w_q, w_k, w_v))
    return attention_weights(queries, keys, kind) @ values


def encode(
    weight: np.ndarray,
    thresholds: np.ndarray,
    tokens: np.ndarray,
    kind: str = "token_wise",
    pooling: str = "sum",
    attention: Any = None,
) -> np.ndarray:
    """Embedding (neuron,) of one sample, or (sample, neuron) of several (tokens (sample, token, token_dim))."""
    if tokens.ndim == 3:
        return np.array([encode(weight, thresholds, one, kind, pooling, attention) for one in tokens])
    hidden = [soft_threshold(weight @ x, thresholds) for x in attended(tokens, kind, attention)]
    return sum(hidden) / (len(hidden) if pooling == "mean" else 1)


def info_nce(similarity: np.ndarray, is_candidate: np.ndarray, tau: float, prefactor: bool) -> tuple[float, np.ndarray]:
    """Loss, and softmax weights q (query, candidate), zero where no candidate."""
    K, C = similarity.shape
    losses, q = [], np.zeros((K, C))
    for n in range(K):
        exps = {c: math.exp(similarity[n, c] / tau) for c in range(C) if is_candidate[n, c]}
        total = sum(exps.values())
        for c, value in exps.items():
            q[n, c] = value / total
        losses.append(-math.log(q[n, n]))
    return (tau if prefactor else 1.0) * sum(losses) / K, q


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one; zero rows stay."""
    return np.array([row / np.linalg.norm(row) if np.any(row) else row for row in rows])


def embedding_loss(
    query: np.ndarray,
    key: np.ndarray,
    is_candidate: np.ndarray,
    tau: float,
    *,
    kind: str = "info_nce",
    cosine: bool = False,
    prefactor: bool = True,
    symmetric: bool = False,
    fixed: tuple[np.ndarray, np.ndarray] | None = None,
) -> float:
    """Any loss of `losses.contrastive`.

    `fixed`: (query, key) in the second place of the similarity, for stop-gradient.
    """
    query_2, key_2 = fixed or (query, key)
    if cosine or kind == "nt_xent":
        query, key, query_2, key_2 = map(unit, (query, key, query_2, key_2))
    forward, backward = (query, key_2), (key, query_2)
    values = []
    for (anchor, other), allowed in ((forward, is_candidate), (backward, is_candidate.T)):
        similarity = anchor @ other.T
        if kind == "nt_xent":
            own_side = query_2 if anchor is query else key_2
            similarity = np.hstack([similarity, anchor @ own_side.T])
            allowed = np.hstack([allowed, allowed & ~np.eye(len(anchor), dtype=bool)])
        values.append(info_nce(similarity, allowed, tau, prefactor)[0])
        if not symmetric:
            return values[0]
    return sum(values) / 2


def finite_difference(f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Fourth-order central differences: error of order h^4 and of rounding/h."""
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):

        def along(step: float, index: tuple[int, ...] = index) -> float:
            moved = x.copy()
            moved[index] += step
            return f(moved)

        grad[index] = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    return grad


def gradient(
    weight: np.ndarray,
    thresholds: np.ndarray,
    batch: Any,
    tau: float,
    l2: float,
    *,
    prefactor: bool = True,
    kind: str = "token_wise",
    pooling: str = "sum",
) -> tuple[float, np.ndarray]:
    """Loss without penalty, and gradient of loss + penalty in the weights, by theory 3.3 (inner, stop-gradient)."""
    X, Y = np.asarray(batch.query), np.asarray(batch.key)
    K, L = X.shape[:2]
    h_X = encode(weight, thresholds, X, kind, pooling)
    h_Y = encode(weight, thresholds, Y, kind, pooling)
    loss, q = info_nce(h_X @ h_Y.T, np.asarray(batch.is_candidate), tau, prefactor)
    grad = l2 * weight
    for n in range(K):
        tokens = attended(X[n], kind)
        for i in range(len(weight)):
            negatives = sum(q[n, c] * h_Y[c, i] for c in range(len(Y)) if c != n)
            push = (1 - q[n, n]) * h_Y[n, i] - negatives
            slope = sum(x * (abs(weight[i] @ x) > thresholds[i]) for x in tokens) / (L if pooling == "mean" else 1)
            grad[i] -= push * slope / K / (1.0 if prefactor else tau)
    return loss, grad


def draw_batch(config: Config, step: int = 0, seed: int = 0) -> tuple[Batch, World]:
    """Return the batch of one step of a run, as NumPy arrays, and the run's world."""
    _, world, parts = begin(config, seed)
    batch = jax.jit(lambda w, n: batch_at(parts.data, w.keys, n, w.dictionary, w.numbers))(world, np.int32(step))
    return jax.device_get(batch), world


REPEATING: dict[Any, tuple[Parts, Batch]] = {}


def repeating(config: Config, batch: Batch, dictionary: np.ndarray) -> Parts:
    """Return the parts of a run that sees one given batch at every step: no draws, so little to compile.

    Equal structures with the same batch object share their parts, and with them what has been compiled.
    """
    shape, name = resolve(config).structure, (resolve(config).structure, id(batch), id(dictionary))
    data = DataModel(
        init=lambda key, numbers: jax.numpy.asarray(dictionary),
        sample=lambda *unused: jax.tree.map(jax.numpy.asarray, batch),
        probe=lambda *unused: (jax.numpy.asarray(batch.key), jax.numpy.asarray(batch.codes)),
    )
    return REPEATING.setdefault(name, (built_in(shape)._replace(data=data), batch))[0]
