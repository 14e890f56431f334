"""What is measured of every neuron: at one moment inside the run (`Snapshot`), and from the record afterwards.

Definitions of theory 5.5. The functions on records take NumPy arrays with axes (..., neuron, feature).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynsim.criteria import FIRING, NORM_FLOOR, PURITY
from dynsim.encoder import Params, batched, mean_self_weight
from dynsim.masking import kept_share
from dynsim.train import Parts, RecordFn, TrainState, World


class Snapshot(NamedTuple):
    """Everything that is recorded of one run at one moment."""

    alignment: Float[Any, "neuron feature"]
    """<w_i, M_j>."""
    weight_norm: Float[Any, " neuron"]
    """||w_i||."""
    residual_norm: Float[Any, " neuron"]
    """Norm of the part of w_i outside the span of the features."""
    threshold: Float[Any, " neuron"]
    """b_i."""
    firing: Float[Any, " neuron"]
    """Share of the probe samples with neuron i's best-aligned feature active on which it fires.

    A one-sided neuron (architecture relu) can fire on one sign of a code only: there, of the samples whose code has
    the sign of the alignment.
    """
    false_firing: Float[Any, " neuron"]
    """The same over the probe samples in which that feature is silent."""
    self_weight: Float[Any, ""]
    """Mean attention weight of a token on itself (theory 2.3): 1 in the token-wise limit, 1/L in the uniform one."""


def snapshot(state: TrainState, world: World, parts: Parts) -> Snapshot:
    """Measure one run at one moment; a record function once `parts` is bound.

    The residual is taken against the span of the dictionary, orthonormal or not.
    """
    w, M = state.params.weight, world.dictionary
    alignment = w @ M
    coefficients = alignment if parts.structure.data.dictionary != "correlated" else _project(alignment, M)
    residual = w - coefficients @ M.T
    fires, false = _firing(state, world, parts, alignment)
    self_weight = _self_weight(state, world, parts)
    return Snapshot(alignment, _norm(w), _norm(residual), state.thresholds.value, fires, false, self_weight)


def _self_weight(state: TrainState, world: World, parts: Parts) -> Array:
    shape = parts.structure.encoder
    ours = isinstance(state.params, Params) and shape.architecture == "transformer"
    if not ours or shape.attention == "token_wise":  # one token, or an encoder of the user's own: nothing to mix
        return jnp.ones((), world.probe.dtype)
    each = jax.vmap(mean_self_weight, in_axes=(None, 0, None))
    return jnp.mean(each(state.params, world.probe, shape.attention))


def _norm(rows: Array) -> Array:
    return jnp.sqrt(jnp.sum(rows * rows, axis=1))


def _project(alignment: Array, dictionary: Array) -> Array:
    return jnp.linalg.solve(dictionary.T @ dictionary, alignment.T).T


def _firing(state: TrainState, world: World, parts: Parts, alignment: Array) -> tuple[Array, Array]:
    best = jnp.argmax(jnp.abs(alignment), axis=1)
    hidden = batched(parts.encoder)(state.params, state.thresholds.value, world.probe)
    fired = (hidden != 0).astype(hidden.dtype)  # (sample, neuron)
    active = (world.probe_codes != 0).astype(hidden.dtype)  # (sample, feature)
    both = jnp.take_along_axis(fired.T @ active, best[:, None], axis=1)[:, 0]
    n_active = jnp.sum(active, axis=0)[best]
    n_silent = active.shape[0] - n_active
    alone = jnp.sum(fired, axis=0) - both
    if parts.structure.encoder.architecture == "relu":
        along = jnp.take_along_axis(alignment, best[:, None], axis=1)[:, 0]
        agrees = (world.probe_codes[:, best] * jnp.sign(along)[None, :] > 0).astype(hidden.dtype)  # (sample, neuron)
        both, n_active = jnp.sum(fired * agrees, axis=0), jnp.sum(agrees, axis=0)
    return both / jnp.maximum(n_active, 1), alone / jnp.maximum(n_silent, 1)


def recorder(parts: Parts) -> RecordFn:
    """Return the default record function of a run: a `Snapshot`, always of the dense weights.

    With pruning it is a dictionary of the same names and of `kept`: per neuron the share of its weights that the mask
    of the next step keeps, shape (neuron,).
    """

    def record(state: TrainState, world: World) -> Any:
        dense = snapshot(state, world, parts)
        if state.pruning is None:
            return dense
        return dense._asdict() | {"kept": kept_share(state.pruning, dense.weight_norm.dtype)}

    return record


def cosine_alignment(alignment: np.ndarray, weight_norm: np.ndarray) -> np.ndarray:
    """Return <w_i, M_j> / ||w_i|| (zero for a neuron of norm zero); shapes (..., neuron, feature), (..., neuron)."""
    norm = np.where(weight_norm > 0, weight_norm, 1.0)
    return alignment / norm[..., None]


def purity(alignment: np.ndarray, weight_norm: np.ndarray) -> np.ndarray:
    """Return pi_i = max_j |<w_i, M_j>| / ||w_i||, shape (..., neuron) (theory 5.5)."""
    return np.max(np.abs(cosine_alignment(alignment, weight_norm)), axis=-1)


def is_active(weight_norm: np.ndarray, norm_floor: float = NORM_FLOOR) -> np.ndarray:
    """Return which neurons have at least `norm_floor` of the largest norm, shape (..., neuron)."""
    return weight_norm >= norm_floor * np.max(weight_norm, axis=-1, keepdims=True)


def is_learned(
    alignment: np.ndarray,
    weight_norm: np.ndarray,
    firing: np.ndarray,
    *,
    min_purity: float = PURITY,
    min_firing: float = FIRING,
    norm_floor: float = NORM_FLOOR,
) -> np.ndarray:
    """Return which neuron is a specialist for which feature, Boolean (..., neuron, feature) (theory 5.5).

    Neuron i is a specialist for its best feature j if its purity on j is at least `min_purity`, it fires on at least
    `min_firing` of the samples in which j is active, and its norm is at least `norm_floor` of the largest.
    """
    cosine = np.abs(cosine_alignment(alignment, weight_norm))
    best = np.argmax(cosine, axis=-1)
    good = (np.max(cosine, axis=-1) >= min_purity) & (firing >= min_firing) & is_active(weight_norm, norm_floor)
    return good[..., None] & (np.arange(alignment.shape[-1]) == best[..., None])


def is_candidate(alignment: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Return N_i = {j : |<w_i,M_j>| >= share max_k |<w_i,M_k>|} as Boolean (..., neuron, feature) (theory 5.5)."""
    size = np.abs(alignment)
    return size >= share * np.max(size, axis=-1, keepdims=True)


def is_lucky(alignment: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Return the lucky pairs |<w_i,M_j>| >= cut_j ||M M^T w_i||, Boolean (..., neuron, feature) (theory 5.3).

    Args:
        alignment: on an orthonormal dictionary, so that ||M M^T w_i||^2 is its sum of squares.
        cut: threshold per feature, shape (feature,).
    """
    span = np.sqrt(np.sum(np.square(alignment), axis=-1, keepdims=True))
    return np.abs(alignment) >= cut * span


def residual_share(residual_norm: np.ndarray, weight_norm: np.ndarray) -> np.ndarray:
    """Return the share of the squared norm that lies outside the feature span, shape (..., neuron)."""
    return np.square(residual_norm) / np.where(weight_norm > 0, np.square(weight_norm), 1.0)
