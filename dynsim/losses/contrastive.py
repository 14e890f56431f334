"""Contrastive losses, as functions of embeddings and numbers and never of configurations (theory 3).

Every sample has two views, the query X and its key Y. A loss compares one embedding, the anchor, with several others,
its candidates: the other view of the same sample, which is the positive, and negatives, which belong to other samples.
The softmax over the similarities of the candidates gives each a weight; q_Y is that of the positive.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


class LossValue(NamedTuple):
    """The loss, and the softmax weight q_Y of the positive; both are means over anchors."""

    loss: Float[Array, ""]
    positive_weight: Float[Array, ""]


def info_nce(
    similarity: Float[Array, "query candidate"],
    is_candidate: Bool[Array, "query candidate"],
    temperature: Float[Array, ""],
    *,
    prefactor: bool,
) -> LossValue:
    """Return mean_n -log( e^{S_nn/tau} / sum_{c candidate of n} e^{S_nc/tau} ), times tau with the prefactor.

    Theory 3.2; the queries are the anchors.

    Args:
        similarity: S_nc = sim(query n, candidate c); candidate n is the positive of query n.
        is_candidate: which candidates enter the sum of query n; its own positive must be one of them.
        temperature: tau > 0.
        prefactor: multiply the loss by tau.

    Returns:
        The loss, which is log(|N|+1) for |N| negatives if all similarities agree (times tau with the prefactor), and
        the mean of q_Y.

    Errors: `ValueError` in one line for more queries than candidates.
    """
    gap = log_positive_weight(similarity, is_candidate, temperature)
    loss = -jnp.mean(gap)
    return LossValue(loss * temperature if prefactor else loss, jnp.mean(jnp.exp(gap)))


def log_positive_weight(
    similarity: Float[Array, "query candidate"], is_candidate: Bool[Array, "query candidate"], temperature: Array
) -> Float[Array, " query"]:
    """Return log q_Y of each anchor, the logarithm of the softmax weight of its positive; arguments: `info_nce`."""
    n_queries, n_candidates = similarity.shape
    if n_queries > n_candidates:
        raise ValueError(f"similarity: wanted a candidate for every query, got {n_candidates} for {n_queries} queries")
    scaled = similarity / temperature
    logits = jnp.where(is_candidate, scaled, -jnp.inf)
    # a sum with one term: the gradient of jnp.diagonal is a scatter, which takes longer to compile
    is_own = jnp.eye(n_queries, n_candidates, dtype=bool)
    own = jnp.sum(jnp.where(is_own, scaled, 0), axis=1)
    return own - log_sum_exp(logits)


def log_sum_exp(logits: Float[Array, "row column"]) -> Float[Array, " row"]:
    """Return log sum_c e^{logits_c} of each row, which has at least one column; -inf for a row of -inf.

    It is `jax.nn.logsumexp` without that function's signs and weights, which double what is compiled.
    """
    top = jnp.max(lax.stop_gradient(logits), axis=1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0)
    return jnp.log(jnp.sum(jnp.exp(logits - top), axis=1)) + jnp.squeeze(top, axis=1)


def normalise(embeddings: Float[Array, "sample neuron"]) -> Float[Array, "sample neuron"]:
    """Return the rows scaled to length 1; a row of zeros stays zero, and its gradient is zero too."""
    square = jnp.sum(embeddings * embeddings, axis=1, keepdims=True)
    safe = jnp.where(square > 0, square, 1)  # otherwise the gradient for an embedding of zeros would be nan
    return embeddings * jnp.where(square > 0, lax.rsqrt(safe), 0)


@jax.custom_jvp
def with_gradient_of(value: Any, differentiated: Any) -> Any:
    """Return `value` unchanged, but with the derivative of `differentiated`, which has its structure and shapes."""
    del differentiated
    return value


@with_gradient_of.defjvp
def _with_gradient_of_jvp(primals: Any, tangents: Any) -> Any:
    return primals[0], tangents[1]


def contrastive_loss(
    query: Float[Array, "query neuron"],
    key: Float[Array, "candidate neuron"],
    is_candidate: Bool[Array, "query candidate"],
    temperature: Float[Array, ""],
    *,
    prefactor: bool = True,
    cosine: bool = False,
    stop_gradient: bool = True,
    symmetric: bool = False,
    shown: tuple[Array, Array] | None = None,
) -> LossValue:
    """Return InfoNCE with sim(X, Y) = <f(X), StopGrad f(Y)>, f being the encoder (theory 3.1, 3.2), or a variant.

    Args:
        query, key: embeddings; key n is the positive of query n.
        is_candidate: which keys are candidates of a query; the diagonal must be true.
        temperature, prefactor: as for `info_nce`.
        cosine: normalise the embeddings first.
        stop_gradient: take no gradient through the second argument of the similarity.
        symmetric: average with the loss in which the keys are the anchors; needs as many keys as queries.
        shown: None, or another (query, key) from which the similarities are computed, and with them the loss and its
            derivative in each similarity. The derivative of the similarities still comes from `query` and `key`. This
            is how straight-through gradients are made, see `prune.gradients`.
    """

    def similarities(query: Array, key: Array) -> list[Array]:
        pair = (normalise(query), normalise(key)) if cosine else (query, key)
        return [anchor @ _held(other, stop_gradient).T for anchor, other in _ways(*pair, symmetric)]

    return _average(similarities, (query, key), shown, (is_candidate, is_candidate.T), temperature, prefactor)


def nt_xent(
    query: Float[Array, "query neuron"],
    key: Float[Array, "query neuron"],
    is_candidate: Bool[Array, "query query"],
    temperature: Float[Array, ""],
    *,
    prefactor: bool = False,
    stop_gradient: bool = False,
    symmetric: bool = True,
    shown: tuple[Array, Array] | None = None,
) -> LossValue:
    """Return NT-Xent: cosine similarity, with both views of the other samples as negatives.

    If `symmetric`, with every pair of samples allowed and neither prefactor nor stop-gradient, it is the loss of Chen
    et al. 2020.

    Args:
        is_candidate: which pairs of samples may be compared; the diagonal must be true.
        query, key and the other arguments: as for `contrastive_loss`.
    """
    others = is_candidate & ~jnp.eye(query.shape[0], dtype=bool)
    allowed = jnp.concatenate([is_candidate, others], axis=1)

    def similarities(query: Array, key: Array) -> list[Array]:
        ways = _ways(normalise(query), normalise(key), symmetric)
        second = [_held(jnp.concatenate([positive, anchor]), stop_gradient) for anchor, positive in ways]
        return [anchor @ other.T for (anchor, _), other in zip(ways, second, strict=True)]

    return _average(similarities, (query, key), shown, (allowed, allowed), temperature, prefactor)


def _ways(query: Array, key: Array, symmetric: bool) -> list[tuple[Array, Array]]:
    """Return (anchors, positives) of the loss and, if it is symmetric, also those with the views exchanged."""
    return [(query, key), (key, query)] if symmetric else [(query, key)]


def _held(second: Array, stop_gradient: bool) -> Array:
    return lax.stop_gradient(second) if stop_gradient else second


def _average(
    similarities: Callable[[Array, Array], list[Array]],
    moved: tuple[Array, Array],
    shown: tuple[Array, Array] | None,
    allowed: tuple[Array, Array],
    temperature: Array,
    prefactor: bool,
) -> LossValue:
    """Return InfoNCE averaged over the one or two matrices that `similarities` returns (two if it is symmetric)."""
    found = similarities(*moved)
    if shown is not None:
        found = with_gradient_of(similarities(*shown), found)
    values = [info_nce(one, may, temperature, prefactor=prefactor) for one, may in zip(found, allowed, strict=False)]
    return values[0] if len(values) == 1 else _mean(*values)


def _mean(first: LossValue, second: LossValue) -> LossValue:
    return LossValue((first.loss + second.loss) / 2, (first.positive_weight + second.positive_weight) / 2)


def l2_penalty(weight: Float[Array, "neuron token_dim"], coefficient: Float[Array, ""]) -> Float[Array, ""]:
    """Return (lambda/2) ||W||_F^2, half the sum of squared weights times the coefficient (theory 3.2)."""
    return coefficient / 2 * jnp.sum(weight * weight)
