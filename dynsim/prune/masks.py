"""Magnitude masks and their placebos: what is scored, over which arrays, ties, when, and how a mask is applied.

Algorithm 1 (theory 8.1): rank by magnitude, mask the lowest share `rate` (the paper's alpha), work with theta * mask,
update all of theta. A mask is a pytree of Booleans, True = kept. Every function is pure and works on any pytree of
arrays; a None stands for an array that takes no part. Rate, key and step may be traced, and `vmap` is exact.

Decided in words:
- How many: of n entries, floor(n * rate) are masked, where the rate is read as float32 and what that rounding may have
  taken from it is given back (at most 2^-25): 0.3 of 10 are 3, and every precision gives the same number. It is the
  next number above the floor only where n * rate is within n * 2^-24 of that number (0.66 for 11 million entries).
  Rate 0 masks nothing, and no rate below 1 masks everything.
- Which: the entries of smallest |score|. Among equal scores the one with the lower position goes first; positions run
  along an array in C order, and from array to array in the order of the tree. So masks nest as the rate grows.
- Sizes are compared by their bits: 0 and -0 are equal, denormals are told apart, nothing overflows. All NaNs are equal
  and larger than infinity: a broken weight is kept by `lowest_mask`, where it shows, and goes first in `highest_mask`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Integer, Key, PyTree, UInt

SCOPES = ("global", "per_array")
LARGEST_RATE = 1 - 2.0**-24  # the largest float32 below one


def neuron_norm(weight: Float[Array, "neuron *fan_in"]) -> Float[Array, " neuron"]:
    """Return ||w_i||, the score of a neuron (theory 8.1), in the unit of the weights.

    The score of a single weight is the weight itself, since masks go by |score|. Each row is divided by its largest
    entry before it is squared: no square overflows or vanishes. A row with a NaN or an infinity gets NaN.
    """
    rows = weight.reshape(weight.shape[0], -1)
    largest = jnp.max(jnp.abs(rows), axis=1)
    unit = rows / jnp.where(largest > 0, largest, 1)[:, None]
    return largest * jnp.sqrt(jnp.sum(unit * unit, axis=1))


def _fixed_point(rate: ArrayLike) -> UInt[Array, ""]:
    """Return floor(rate * 2^32), the rate in float32; refuse a concrete one outside [0, 1), cut a traced one to it."""
    if not isinstance(rate, jax.core.Tracer) and not (np.ndim(rate) == 0 and 0 <= float(np.asarray(rate)) < 1):
        raise ValueError(f"rate: wanted one number in [0, 1), got {' '.join(str(rate).split())[:60]}")
    return (jnp.clip(jnp.asarray(rate, jnp.float32), 0.0, LARGEST_RATE) * 2.0**32).astype(jnp.uint32)


def masked_number(n: int, rate: ArrayLike) -> Integer[Array, ""]:
    """Return how many of `n` entries a mask of this rate takes: floor(n * rate), see the top of the module.

    The product is one of integers, since a float32 product is coarse for millions: the result is at least the floor,
    at most floor(n * (rate + 2^-24)), and n * rate itself where that is whole and n below 2^24.

    Args:
        n: number of entries, below 2^31.
        rate: masked share in [0, 1), of any float dtype.

    Errors: `ValueError` for a concrete rate outside [0, 1), or n too large.
    """
    if not 0 <= n < 2**31:
        raise ValueError(f"n: wanted a number of entries in [0, 2^31), got {n}")
    fixed = _fixed_point(rate)
    # rate in [2^-j-1, 2^-j) lost at most 2^(7-j) of these units to float32, and one to the floor
    fixed = jnp.where(fixed > 0, fixed + jnp.minimum(fixed >> 24, 126) + 2, 0)
    # n * fixed / 2^32 in halves of 16 bits, so that no product leaves uint32
    (n_high, n_low), (high, low) = divmod(n, 2**16), (fixed >> 16, fixed & 0xFFFF)
    crossed = n_low * high + (n_low * low >> 16)
    middle = n_high * low + (crossed & 0xFFFF)
    return (n_high * high + (crossed >> 16) + (middle >> 16)).astype(jnp.int32)


def _size_bits(scores: Array) -> UInt[Array, " entry"]:
    """Return unsigned integers in the order of |scores|, flattened: the bits of the float without its sign."""
    if not jnp.issubdtype(scores.dtype, jnp.floating) or scores.dtype.itemsize not in (2, 4, 8):
        raise ValueError(f"scores: wanted floating-point arrays of 16, 32 or 64 bits, got {scores.dtype}")
    unsigned = np.dtype(f"uint{8 * scores.dtype.itemsize}")
    infinity = np.array(np.inf, scores.dtype).view(unsigned)
    bits = lax.bitcast_convert_type(scores.reshape(-1), unsigned)
    return jnp.minimum(bits & np.array(np.iinfo(unsigned).max // 2, unsigned), infinity + np.array(1, unsigned))


@jax.jit
def _lowest(bits: UInt[Array, " entry"], count: Integer[Array, ""]) -> Bool[Array, " entry"]:
    """Return True for exactly `count` entries (fewer than all): the lowest, and of equal ones the first.

    Bit by bit from the top we build the largest threshold with at most `count` entries below it. What is then missing
    to `count` are entries equal to the threshold. One pass per bit: about 20 times faster than sorting.
    """
    n_bits = 8 * bits.dtype.itemsize

    def number_below(threshold: Array) -> Array:
        return jnp.sum(bits < threshold, dtype=jnp.int32)

    def try_bit(position: Array, threshold: Array) -> Array:
        higher = threshold | (jnp.ones((), bits.dtype) << (n_bits - 1 - position).astype(bits.dtype))
        return jnp.where(number_below(higher) <= count, higher, threshold)

    threshold = lax.fori_loop(0, n_bits, try_bit, jnp.zeros((), bits.dtype))
    is_tie = bits == threshold
    is_early = jnp.cumsum(is_tie, dtype=jnp.int32) <= count - number_below(threshold)
    return (bits < threshold) | (is_tie & is_early)


def _leaves(tree: PyTree) -> list[Array]:
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    if not leaves:
        raise ValueError("wanted a tree with at least one array to mask, got none")
    return leaves


def _split(flat: Array, leaves: list[Array]) -> list[Array]:
    """Cut one flat array into flat pieces of the sizes of `leaves`."""
    ends = np.cumsum([leaf.size for leaf in leaves])
    return [flat[end - leaf.size : end] for end, leaf in zip(ends.tolist(), leaves, strict=True)]


def _shape(flat: list[Array], like: PyTree) -> PyTree:
    """Give flat arrays the structure and shapes of `like`."""
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(flat, _leaves(like), strict=True)]
    return jax.tree.unflatten(jax.tree.structure(like), shaped)


def _mask_lowest(bits: list[Array], like: PyTree, rate: ArrayLike, scope: str) -> PyTree:
    """Return the mask without the lowest bits; `bits` holds one flat array for each array of `like`."""
    if scope == "global":
        joined = jnp.concatenate(bits)
        masked = _split(_lowest(joined, masked_number(joined.size, rate)), _leaves(like))
    elif scope == "per_array":
        masked = [_lowest(part, masked_number(part.size, rate)) for part in bits]
    else:
        raise ValueError(f"scope: wanted one of {', '.join(SCOPES)}, got {scope!r}")
    return _shape([~flat for flat in masked], like)


def _score_bits(scores: PyTree, scope: str) -> list[Array]:
    leaves = _leaves(scores)
    dtypes = sorted({str(leaf.dtype) for leaf in leaves})
    if scope == "global" and len(dtypes) > 1:
        raise ValueError(f"scores: one threshold for all arrays wants one dtype, got {', '.join(dtypes)}")
    return [_size_bits(leaf) for leaf in leaves]


def lowest_mask(scores: PyTree, rate: ArrayLike, scope: str = "global") -> PyTree:
    """Return the mask that hides the share `rate` of smallest |score| (theory 8.1); ties: see the top of the module.

    Args:
        scores: weights, of any shapes and units, for masks of single weights; `neuron_norm` of them for neurons.
            None in place of an array leaves it out: it is neither counted nor masked.
        rate: masked share in [0, 1).
        scope: global, one threshold and one count over all arrays; per_array, a quota for each; for one array of many,
            pass that array.

    Returns:
        Booleans of the structure and shapes of `scores`, True = kept.

    Errors: `ValueError` for a concrete rate outside [0, 1), an unknown scope, no array at all, arrays that are not
    floating-point, or a global scope over several dtypes.
    """
    return _mask_lowest(_score_bits(scores, scope), scores, rate, scope)


def highest_mask(scores: PyTree, rate: ArrayLike, scope: str = "global") -> PyTree:
    """Return the placebo that hides the share `rate` of largest |score|; as `lowest_mask` in everything else."""
    return _mask_lowest([~bits for bits in _score_bits(scores, scope)], scores, rate, scope)


def _draw(key: Key[Array, ""], like: PyTree, refresh: ArrayLike | None) -> list[Array]:
    """Return 32 random bits for each entry, flat, in one draw for all arrays."""
    leaves = _leaves(like)
    key = key if refresh is None else jax.random.fold_in(key, jnp.asarray(refresh, jnp.uint32))
    return _split(jax.random.bits(key, (sum(leaf.size for leaf in leaves),), jnp.uint32), leaves)


def random_mask(
    key: Key[Array, ""], like: PyTree, rate: ArrayLike, scope: str = "global", refresh: ArrayLike | None = None
) -> PyTree:
    """Return the placebo that hides a random subset of the size that `lowest_mask` hides, all subsets alike.

    Each entry has 32 random bits for a score (a tie at the threshold, a chance of n / 2^32, goes by position).

    Args:
        key: key of the run's pruning stream. One key gives masks that nest as the rate grows.
        like: arrays, None where none takes part; only their shapes matter.
        rate, scope: as in `lowest_mask`.
        refresh: None for a fixed subset, the same at every refresh; `refresh_number` for one redrawn each time.
    """
    return _mask_lowest(_draw(key, like, refresh), like, rate, scope)


def dropout_mask(key: Key[Array, ""], like: PyTree, rate: ArrayLike, refresh: ArrayLike | None = None) -> PyTree:
    """Return the placebo that hides each entry by itself with chance `rate` (to 2^-32), so that the number varies.

    Kept entries are not scaled up, as under the other masks; inverted dropout is `apply_mask` with scale
    1 / (1 - rate). Arguments: as in `random_mask`.
    """
    fixed = _fixed_point(rate)
    return _shape([bits >= fixed for bits in _draw(key, like, refresh)], like)


def all_kept(like: PyTree) -> PyTree:
    """Return the mask that hides nothing, of the structure and shapes of `like`."""
    return jax.tree.map(lambda leaf: jnp.ones(jnp.shape(leaf), bool), like)


def _apply_one(kept: Any, part: Any, scale: ArrayLike | None) -> Any:
    if kept is None:
        return part
    if part is None or np.shape(kept) != np.shape(part)[: np.ndim(kept)]:
        wanted = "None" if part is None else f"the shape {np.shape(part)} of the array or its leading axes"
        raise ValueError(f"mask: wanted {wanted}, got {np.shape(kept)}")
    kept, values = jnp.asarray(kept), jnp.asarray(part)
    scaled = values if scale is None else values * jnp.asarray(scale, values.dtype)
    return jnp.where(kept.reshape(kept.shape + (1,) * (values.ndim - kept.ndim)), scaled, 0)


def apply_mask(params: PyTree, mask: PyTree, scale: ArrayLike | None = None) -> PyTree:
    """Return theta * mask (theory 8.1): masked entries are exactly 0, even broken ones, the others keep their bits.

    Differentiated in `params` it gives the chain rule: the gradient at the masked weights, and 0 on masked entries
    (the masked branch of theory 8.4 Q). The literal reading (8.4 L) takes the gradient at the masked weights for all
    entries: differentiate in the masked weights themselves, as `masking` does.

    Args:
        params: pytree of arrays.
        mask: the same structure; Booleans of an array's shape, or of its leading axes: (neuron,) hides whole rows.
            None leaves the array as it is.
        scale: number that multiplies the kept entries of arrays with a mask (inverted dropout); None does not.

    Errors: `ValueError` for a mask whose structure or shape does not fit.
    """
    return jax.tree.map(lambda kept, p: _apply_one(kept, p, scale), mask, params, is_leaf=lambda m: m is None)


def kept_fraction(mask: PyTree) -> Float[Array, ""]:
    """Return the share of entries of the mask that are True, in [0, 1] (of neurons for a mask of neurons)."""
    leaves = _leaves(mask)
    kept = [jnp.sum(leaf, dtype=jnp.int32) for leaf in leaves]
    return sum(kept[1:], kept[0]).astype(float) / sum(leaf.size for leaf in leaves)
