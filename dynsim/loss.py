"""Contrastive losses as functions of embeddings and numbers, never of configurations (theory section 3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class LossValue(NamedTuple):
    """Mean loss over anchors, and the softmax weight q_Y of the positives averaged over anchors."""

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

    Theory 3.2.

    Args:
        similarity: S_nc = sim(query n, candidate c); candidate n is the positive of query n.
        is_candidate: which candidates enter the sum of query n; its own positive must be one of them.
        temperature: tau > 0.
        prefactor: multiply the loss by tau.

    Returns:
        The loss (log(|N|+1) when all similarities agree) and the mean q_Y.
    """
    scaled = similarity / temperature
    logits = jnp.where(is_candidate, scaled, -jnp.inf)
    positive = jnp.diagonal(scaled)
    gap = positive - jax.nn.logsumexp(logits, axis=1)
    loss = -jnp.mean(gap)
    return LossValue(loss * temperature if prefactor else loss, jnp.mean(jnp.exp(gap)))


def normalise(embeddings: Float[Array, "sample neuron"]) -> Float[Array, "sample neuron"]:
    """Return rows of unit length; a row of zeros stays zero, and its gradient is zero too."""
    square = jnp.sum(embeddings * embeddings, axis=1, keepdims=True)
    safe = jnp.where(square > 0, square, 1)  # without it the gradient at a silent sample would be nan
    return embeddings * jnp.where(square > 0, jax.lax.rsqrt(safe), 0)


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
) -> LossValue:
    """Return InfoNCE on sim(X, Y) = <f(X), StopGrad f(Y)> (theory 3.1, 3.2) and its variants.

    Args:
        query, key: embeddings; key n is the positive of query n.
        cosine: similarity of normalised embeddings.
        stop_gradient: hold the second argument of the similarity fixed.
        symmetric: average with the loss in which keys are the anchors (as many keys as queries).
    """
    if cosine:
        query, key = normalise(query), normalise(key)

    def one_way(anchor: Array, other: Array, allowed: Array) -> LossValue:
        fixed = jax.lax.stop_gradient(other) if stop_gradient else other
        return info_nce(anchor @ fixed.T, allowed, temperature, prefactor=prefactor)

    forward = one_way(query, key, is_candidate)
    if not symmetric:
        return forward
    return _mean(forward, one_way(key, query, is_candidate.T))


def nt_xent(
    query: Float[Array, "query neuron"],
    key: Float[Array, "query neuron"],
    is_candidate: Bool[Array, "query query"],
    temperature: Float[Array, ""],
    *,
    prefactor: bool = False,
    stop_gradient: bool = False,
    symmetric: bool = True,
) -> LossValue:
    """Return NT-Xent: cosine similarity, and the other samples' queries count as negatives beside their keys.

    With `symmetric` and without masks, prefactor and stop-gradient it is the loss of Chen et al. 2020.

    Args:
        is_candidate: pairs of samples that may be compared; the diagonal is true.
    """
    query, key = normalise(query), normalise(key)
    others = is_candidate & ~jnp.eye(query.shape[0], dtype=bool)
    allowed = jnp.concatenate([is_candidate, others], axis=1)

    def one_way(anchor: Array, positive: Array) -> LossValue:
        second = jnp.concatenate([positive, anchor])
        fixed = jax.lax.stop_gradient(second) if stop_gradient else second
        return info_nce(anchor @ fixed.T, allowed, temperature, prefactor=prefactor)

    forward = one_way(query, key)
    return _mean(forward, one_way(key, query)) if symmetric else forward


def _mean(first: LossValue, second: LossValue) -> LossValue:
    return LossValue((first.loss + second.loss) / 2, (first.positive_weight + second.positive_weight) / 2)


def l2_penalty(weight: Float[Array, "neuron token_dim"], coefficient: Float[Array, ""]) -> Float[Array, ""]:
    """Return (lambda/2) ||W||_F^2 (theory 3.2)."""
    return coefficient / 2 * jnp.sum(weight * weight)
