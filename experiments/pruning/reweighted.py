"""The placebo that knows the frequencies: the contrastive loss with its anchors weighted against imbalance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynsim.engine.data import Batch
from dynsim.engine.numbers import Numbers
from dynsim.losses.contrastive import LossValue


def anchor_weights(
    codes: Float[Array, "query feature"], relative_frequency: Float[Array, " feature"]
) -> Float[Array, " query"]:
    """Return per anchor the mean of 1/eps_j over its active features, scaled to mean 1 over the batch (theory 8.5 P5).

    An anchor without any active feature counts as one of the most frequent kind.
    """
    active = (codes != 0).astype(codes.dtype)
    number = jnp.sum(active, axis=1)
    inverse = jnp.where(number > 0, active @ (1 / relative_frequency) / jnp.maximum(number, 1), 1)
    return inverse / jnp.mean(inverse)


def inverse_frequency_loss(
    query: Float[Array, "query neuron"], key: Float[Array, "candidate neuron"], batch: Batch, numbers: Numbers
) -> LossValue:
    """Return the default InfoNCE (theory 3.2: inner product, stop-gradient, prefactor tau) with weighted anchors.

    A function for `simulate(loss=...)`. The weights are those of `anchor_weights`, at the frequencies of the data.
    """
    frequency = numbers.active_probability / jnp.max(numbers.active_probability)
    weights = anchor_weights(batch.codes[: query.shape[0]], frequency)
    scaled = query @ jax.lax.stop_gradient(key).T / numbers.temperature
    logits = jnp.where(batch.is_candidate, scaled, -jnp.inf)
    gap = jnp.diagonal(scaled) - jax.nn.logsumexp(logits, axis=1)
    return LossValue(-jnp.mean(weights * gap) * numbers.temperature, jnp.mean(jnp.exp(gap)))
