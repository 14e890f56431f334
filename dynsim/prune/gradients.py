"""Which gradient a masked network gives: the four readings (theory 8.4)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from dynsim.losses.contrastive import with_gradient_of
from dynsim.prune import masks

Embed = Callable[[Any, Array], Array]
"""(params, samples (sample, token, token_dim)) -> embeddings (sample, neuron)."""


def branches(
    params: Any,
    mask: Any,
    semantics: str,
    embed: Embed,
    samples: tuple[Array, Array],
    *,
    by_column: bool,
    hold_key: bool,
) -> tuple[Array, Array, tuple[Array, Array] | None]:
    """Return the embeddings of queries and keys whose loss has the gradient of these semantics in `params`.

    Args:
        params, mask: dense parameters, and the mask in their structure.
        semantics: see the top of the module.
        embed: the forward pass, with the thresholds of the dense weights.
        samples: queries and keys, each (sample, token, token_dim).
        by_column: a masked neuron only means a column of zeros in the embeddings. Right for masks of neurons where
            neuron i makes column i alone, and makes zeros of a row of zeros, as in the built-in encoder.
        hold_key: the loss takes no gradient from the keys, so that nothing need be kept for it.

    Returns:
        Query and key embeddings, and what to show to the loss in their place (`contrastive.contrastive_loss`), or None.
    """
    query, key = samples
    fixed = lax.stop_gradient(params)
    for_key = fixed if hold_key else params

    def masked(weights: Any, tokens: Array) -> Array:
        if by_column:
            return jnp.where(mask.weight[None, :], embed(weights, tokens), 0)
        return embed(masks.apply_mask(weights, mask), tokens)

    def at_masked(weights: Any, tokens: Array) -> Array:
        return embed(with_gradient_of(masks.apply_mask(weights, mask), weights), tokens)

    if semantics == "masked_query":
        return at_masked(params, query), embed(for_key, key), None
    if semantics == "one_branch":
        return masked(params, query), embed(for_key, key), None
    if semantics == "literal":
        # where both embeddings have columns of zeros, a masked neuron has no gradient in either way (theory 8.4 L)
        both = masked if by_column else at_masked
        return both(params, query), both(for_key, key), None
    dense = embed(params, query), embed(for_key, key)
    if not by_column:
        return *dense, (masked(fixed, query), masked(fixed, key))
    shown = [jnp.where(mask.weight[None, :], side, 0) for side in dense]
    return *dense, (shown[0], shown[1])
