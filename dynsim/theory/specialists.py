"""The numbers that say what counts as a specialist neuron and as a covered set of features (theory 5.5)."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import beta

PURITY = 0.7
"""Least |<w_i, M_j>| / ||w_i|| of a specialist on its feature."""
FIRING = 0.5
"""Least share of the samples with its feature on which a specialist fires."""
NORM_FLOOR = 0.1
"""Least norm of a neuron that counts, as a share of the largest norm."""
COVERED = 0.9
"""Share of features with a specialist at which stage 2 has ended."""
CHANCE = 0.05
"""Expected number of neurons of a run that reach `chance_purity` where directions are random."""


def chance_purity(n_neurons: int, n_features: int) -> float:
    """Return the purity that `CHANCE` of all neurons together reach by chance, at least `PURITY`.

    For a random direction in the span of d orthonormal features the squared cosine with any one of them follows the
    law Beta(1/2, (d-1)/2) (theory 5.3), so that m neurons have m d Pr(cos^2 >= c^2) pairs above c. With few features
    such pairs are common: of 24 neurons and 8 features, 7 have a cosine of 0.7 or more. A specialist that chance does
    not explain is purer than this.

    Args:
        n_neurons: m, at least 1; n_features: d, at least 2.
    """
    square = beta.isf(CHANCE / (n_neurons * n_features), 0.5, (n_features - 1) / 2)
    return max(PURITY, math.sqrt(square))


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


def is_specialist(
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
