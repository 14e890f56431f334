"""Magnitude masks and their placebos: which entries are masked, how many, and how a mask is applied.

Algorithm 1 (theory 8.1) ranks the weights theta by magnitude, masks the lowest share `rate` (the paper's alpha),
computes the loss with theta * mask and updates all of theta. A placebo masks other entries than the lowest.

A mask is a pytree of Booleans, True = kept. Every function is pure and works on any pytree of arrays; None in place of
an array means that it takes no part. Rate, key and step may be traced, and under `vmap` the results are the same.

- How many: of n entries floor(n * rate) are masked, as for exact numbers: 0.3 of 10 are 3, in every precision. The rate
  is read as float32, and what that rounding may have taken from it (at most 2^-25) is given back. The number is one
  more than the floor only if n * rate lies within n * 2^-24 below a whole number (within 0.66 for 11 million entries).
  Rate 0 masks nothing, and no rate below 1 masks everything.
- Which: the entries of smallest |score|. Among equal scores the one with the lower position is masked first; positions
  run along an array in C order, and from array to array in the order of the tree. So the entries masked at one rate are
  masked at every higher rate too: masks nest.
- Sizes are compared by their bits: 0 and -0 are equal, denormal numbers are told apart, and nothing overflows. All NaNs
  are equal and larger than infinity: `lowest_mask` keeps them, so that they show, and `highest_mask` masks them first.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Integer, Key, PyTree, UInt

from dynsim.prune.selection import lowest

SCOPES = ("global", "per_array", "per_row")
LARGEST_RATE = 1 - 2.0**-24  # the largest float32 below one


def neuron_norm(weight: Float[Array, "neuron *fan_in"]) -> Float[Array, " neuron"]:
    """Return ||w_i||, the score by which a neuron is masked (theory 8.1), in the unit of the weights.

    Single weights need no such function: the score of a weight is the weight itself. Each row is divided by its largest
    entry before it is squared, so that no square overflows or vanishes. A row with a NaN or an infinity gets NaN.
    """
    rows = weight.reshape(weight.shape[0], -1)
    largest = jnp.max(jnp.abs(rows), axis=1)
    unit = rows / jnp.where(largest > 0, largest, 1)[:, None]
    return largest * jnp.sqrt(jnp.sum(unit * unit, axis=1))


def _fixed_point(rate: ArrayLike) -> UInt[Array, ""]:
    """Return floor(rate * 2^32), the rate read as float32. Outside [0, 1) it is refused or, if traced, clipped."""
    if not isinstance(rate, jax.core.Tracer) and not (np.ndim(rate) == 0 and 0 <= float(np.asarray(rate)) < 1):
        raise ValueError(f"rate: wanted one number in [0, 1), got {' '.join(str(rate).split())[:60]}")
    share = lax.clamp(np.float32(0), jnp.asarray(rate, jnp.float32), np.float32(LARGEST_RATE))
    return (share * 2.0**32).astype(jnp.uint32)


def masked_number(n: int, rate: ArrayLike) -> Integer[Array, ""]:
    """Return how many of `n` entries a mask of this rate hides: floor(n * rate), see the top of the module.

    It is computed with integers, since products of millions in float32 are coarse. The result is at least the floor and
    at most floor(n * (rate + 2^-24)); where n * rate is whole and n below 2^24, it is n * rate.

    Args:
        n: number of entries, below 2^31.
        rate: masked share in [0, 1), of any float dtype.

    Errors: `ValueError` for a concrete rate outside [0, 1), or n too large.
    """
    if not 0 <= n < 2**31:
        raise ValueError(f"n: wanted a number of entries in [0, 2^31), got {n}")
    fixed = _fixed_point(rate)
    # a rate in [2^(-j-1), 2^-j) lost at most 2^(7-j) of these units to float32, and one to the floor
    fixed = jnp.where(fixed > 0, fixed + jnp.minimum(fixed >> 24, 126) + 2, 0)
    # n * fixed / 2^32 in halves of 16 bits, so that no product leaves uint32
    (n_high, n_low), (high, low) = divmod(n, 2**16), (fixed >> 16, fixed & 0xFFFF)
    crossed = n_low * high + (n_low * low >> 16)
    middle = n_high * low + (crossed & 0xFFFF)
    return (n_high * high + (crossed >> 16) + (middle >> 16)).astype(jnp.int32)


def _size_bits(scores: Array) -> UInt[Array, " entry"]:
    """Return unsigned integers in the same order as |scores|, flattened: the bits of the floats without the sign."""
    if not jnp.issubdtype(scores.dtype, jnp.floating) or scores.dtype.itemsize not in (2, 4, 8):
        raise ValueError(f"scores: wanted floating-point arrays of 16, 32 or 64 bits, got {scores.dtype}")
    unsigned = np.dtype(f"uint{8 * scores.dtype.itemsize}")
    infinity = np.array(np.inf, scores.dtype).view(unsigned)
    bits = lax.bitcast_convert_type(scores.reshape(-1), unsigned)
    return jnp.minimum(bits & np.array(np.iinfo(unsigned).max // 2, unsigned), infinity + np.array(1, unsigned))


def _lowest_of_rows(bits: UInt[Array, " entry"], like: Array, rate: ArrayLike) -> Bool[Array, " entry"]:
    if not bits.size:
        return bits.astype(bool)
    rows = bits.reshape(like.shape[0] if like.ndim else 1, -1)
    return jax.vmap(lowest, in_axes=(0, None))(rows, masked_number(rows.shape[1], rate)).reshape(-1)


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


def _mask_lowest(bits: list[Array], like: PyTree, rate: ArrayLike, scope: str, before: PyTree = None) -> PyTree:
    """Return the mask that hides the entries with the lowest bits; `bits` has a flat array per array of `like`.

    `before` is the mask of the last refresh, if there is one: it makes this faster and changes nothing.
    """
    old = None if before is None else [~kept.reshape(-1) for kept in jax.tree.leaves(before)]
    if scope == "global":
        joined = jnp.concatenate(bits)
        number = masked_number(joined.size, rate)
        masked = _split(lowest(joined, number, None if old is None else jnp.concatenate(old)), _leaves(like))
    elif scope == "per_array":
        each: list[Array | None] = [None] * len(bits) if old is None else [*old]
        masked = [
            lowest(part, masked_number(part.size, rate), was) if part.size else part.astype(bool)
            for part, was in zip(bits, each, strict=True)
        ]
    elif scope == "per_row":
        masked = [_lowest_of_rows(part, leaf, rate) for part, leaf in zip(bits, _leaves(like), strict=True)]
    else:
        raise ValueError(f"scope: wanted one of {', '.join(SCOPES)}, got {scope!r}")
    return _shape([~flat for flat in masked], like)


def _score_bits(scores: PyTree, scope: str) -> list[Array]:
    leaves = _leaves(scores)
    dtypes = sorted({str(leaf.dtype) for leaf in leaves})
    if scope == "global" and len(dtypes) > 1:
        raise ValueError(f"scores: the scope global wants arrays of one dtype, got {', '.join(dtypes)}")
    return [_size_bits(leaf) for leaf in leaves]


def lowest_mask(scores: PyTree, rate: ArrayLike, scope: str = "global", before: PyTree = None) -> PyTree:
    """Return the mask that hides the share `rate` of smallest |score| (theory 8.1); ties: see the top of the module.

    Args:
        scores: for masks of single weights the weights themselves, of any shapes; for masks of neurons `neuron_norm` of
            them. None in place of an array leaves it out: it is neither counted nor masked.
        rate: masked share in [0, 1).
        scope: "global" counts and ranks the entries of all arrays together, "per_array" those of each array on its own,
            "per_row" those of each row, a position along the first axis, on its own.
        before: None, or the last mask of almost the same scores: the result is the same, and found faster.

    Returns:
        Booleans of the structure and shapes of `scores`, True = kept.

    Errors: `ValueError` for a concrete rate outside [0, 1), an unknown scope, no array at all, arrays that are not
    floating-point, or a global scope over several dtypes.
    """
    return _mask_lowest(_score_bits(scores, scope), scores, rate, scope, before)


def highest_mask(scores: PyTree, rate: ArrayLike, scope: str = "global", before: PyTree = None) -> PyTree:
    """Return the placebo that hides the share `rate` of largest |score|; in everything else it is as `lowest_mask`."""
    return _mask_lowest([~bits for bits in _score_bits(scores, scope)], scores, rate, scope, before)


def _draw(key: Key[Array, ""], like: PyTree, refresh: ArrayLike | None) -> list[Array]:
    """Return 32 random bits for each entry, one flat array per array of `like`, all from one draw."""
    leaves = _leaves(like)
    key = key if refresh is None else jax.random.fold_in(key, jnp.asarray(refresh, jnp.uint32))
    return _split(jax.random.bits(key, (sum(leaf.size for leaf in leaves),), jnp.uint32), leaves)


def random_mask(
    key: Key[Array, ""], like: PyTree, rate: ArrayLike, scope: str = "global", refresh: ArrayLike | None = None
) -> PyTree:
    """Return the placebo that hides a random subset, as large as that of `lowest_mask`; all subsets are equally likely.

    The score of an entry is 32 random bits. Two entries tie at the threshold with a chance of about n / 2^32; then the
    lower position is masked.

    Args:
        key: key of the run's pruning stream. With the same key, masks nest as the rate grows.
        like: arrays, None for those that take no part; only their shapes matter.
        rate, scope: as in `lowest_mask`.
        refresh: None for a subset that is the same at every refresh; `schedule.refresh_number` for a new one each time.
    """
    return _mask_lowest(_draw(key, like, refresh), like, rate, scope)


def dropout_mask(key: Key[Array, ""], like: PyTree, rate: ArrayLike, refresh: ArrayLike | None = None) -> PyTree:
    """Return the placebo that hides each entry independently with chance `rate` (to 2^-32), so that the number varies.

    As with the other masks, kept entries are not scaled up; for inverted dropout use `apply_mask` with the scale
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
    """Return theta * mask (theory 8.1): masked entries become exactly 0, even NaNs; the others keep their bits.

    A loss of the result, differentiated in `params`, has the gradient at the masked weights on kept entries and 0 on
    masked ones. The literal reading (theory 8.4) wants the gradient at the masked weights on all entries; for that
    see `gradients.branches`.

    Args:
        params: pytree of arrays.
        mask: Booleans in the same structure. A mask has the shape of its array, or that of the leading axes: shape
            (neuron,) hides whole rows. None leaves the array as it is.
        scale: number by which the kept entries of masked arrays are multiplied (inverted dropout), or None.

    Errors: `ValueError` for a mask whose structure or shape does not fit.
    """
    return jax.tree.map(lambda kept, p: _apply_one(kept, p, scale), mask, params, is_leaf=lambda m: m is None)


def kept_fraction(mask: PyTree) -> Float[Array, ""]:
    """Return the share of the mask's entries that are True, in [0, 1]; for masks of neurons, the share of neurons."""
    leaves = _leaves(mask)
    kept = [jnp.sum(leaf, dtype=jnp.int32) for leaf in leaves]
    return sum(kept[1:], kept[0]).astype(float) / sum(leaf.size for leaf in leaves)
