"""Which gradient the weights of a masked network get: the five readings (theory 8.4).

The algorithm masks the network, computes the loss and updates all weights; the sources leave open how the gradient is
taken. Let theta be the weights without the mask (the dense ones), M the mask, X a query and Y its key, f(theta; X) the
embedding of X, S the similarity of a pair and l the loss. The five readings, called semantics, are:

- literal: the gradient of the loss at theta * M, used for all weights: masked ones move too, and may come back.
- straight_through: the sum over pairs of dl/dS, computed with the masked network, times the gradient of S in the
  dense one. So a mask changes only how much each pair counts; neurons are embedded and differentiated unmasked.
- one_branch: the query is embedded by f(theta * M; X), the key by f(theta; Y), and the loss is differentiated in
  theta. A masked weight gets no gradient from the query, since M multiplies it by zero. If the loss has no
  stop-gradient, both embeddings are trained, as in SDCLR (theory 8.6).
- masked_query: the query as in literal, so that masked weights get a gradient from it, and the key f(theta; Y) as in
  one_branch. With the stop-gradient of the loss the key gives none.
- masked_key: the reverse of masked_query. The query is embedded by f(theta; X) and the key by f(theta * M; Y), at which
  its gradient is taken where the loss trains keys. With the stop-gradient a mask changes what queries are pulled to.

A mask that hides nothing leaves the gradient of the loss as it is in all five. For masks of whole neurons and the inner
product, one_branch equals literal, with and without stop-gradient: a masked neuron adds nothing to a similarity,
whichever of the two embeddings it is masked in.
"""

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
    embed_masked: Embed | None = None,
    by_column: bool,
    hold_key: bool,
) -> tuple[Array, Array, tuple[Array, Array] | None]:
    """Return embeddings of queries and keys; the gradient in `params` of a loss of them is the one of `semantics`.

    Args:
        params, mask: dense parameters, and the mask in the same structure (True = kept, None = never masked).
        semantics: literal, straight_through, one_branch, masked_query or masked_key; see the top of the module.
        embed: the forward pass, with the thresholds of the dense weights.
        samples: queries and keys, each of shape (sample, token, token_dim).
        embed_masked: the forward pass at masked weights, where its thresholds are others; None for the same.
        by_column: mask a neuron by setting its column of the embeddings to zero, which is faster. Right for masks of
            neurons if neuron i makes column i alone, and makes zeros of a weight row of zeros, as the built-in ones do.
        hold_key: the loss takes no gradient from the keys, so that nothing need be kept for it.

    Returns:
        Embeddings (sample, neuron) of queries and of keys, and what to pass to the loss as `shown`, if not None.
    """
    query, key = samples
    masked, at_masked = _masked_embeds(mask, embed_masked or embed, by_column=by_column)
    fixed = lax.stop_gradient(params)
    for_key = fixed if hold_key else params
    # a masked neuron is zero in both embeddings, so that either way it has no literal gradient (theory 8.4)
    literal = masked if by_column else at_masked
    ways = {
        "literal": (literal, literal),
        "one_branch": (masked, embed),
        "masked_query": (at_masked, embed),
        "masked_key": (embed, at_masked),
    }
    if semantics in ways:
        of_query, of_key = ways[semantics]
        return of_query(params, query), of_key(for_key, key), None
    dense = embed(params, query), embed(for_key, key)
    if not by_column:
        return *dense, (masked(fixed, query), masked(fixed, key))
    shown = [jnp.where(mask.weight[None, :], side, 0) for side in dense]
    return *dense, (shown[0], shown[1])


def _masked_embeds(mask: Any, embed: Embed, *, by_column: bool) -> tuple[Embed, Embed]:
    """Return two forward passes at the masked weights: without a gradient for masked entries, and with one."""

    def masked(weights: Any, tokens: Array) -> Array:
        if by_column:
            return jnp.where(mask.weight[None, :], embed(weights, tokens), 0)
        return embed(masks.apply_mask(weights, mask), tokens)

    def at_masked(weights: Any, tokens: Array) -> Array:
        return embed(with_gradient_of(masks.apply_mask(weights, mask), weights), tokens)

    return masked, at_masked
