"""How large features are when training has come to rest (theory 6.3, S3f)."""

import numpy as np
from jaxtyping import Float

from dynsim.config import Config
from dynsim.theory.frequencies import Features, activation_probability, n_negatives
from dynsim.theory.growth import _loss_factor


def stationary_magnitude(config: Config) -> Features:
    """Return S_j = sum_i (|alpha_ij| - b_i)^2 at a fixed point, shape (feature,) (S3f); 0 where j cannot be sustained.

    S_j = (tau / s^2) log(f |N| P_j / (lambda (1 + |N| P_j / 2))) with f = s^2, over tau without the prefactor, doubled
    without stop-gradient. Approximation: one feature per sample, every negative kept, keep probability 1, b << alpha.
    With many features per sample (sum_j P_j = 5.5 at the default) it overestimates. Errors: those of `growth_rate`.
    """
    N, P, factor = n_negatives(config.data), activation_probability(config.data), _loss_factor(config)
    s = 1.0 if config.encoder.pooling == "sum" else 1 / config.data.n_tokens
    # balance at a specialist: f P_j (alpha - b) |N| / (e^{s^2 S/tau} (1 + |N| P_j / 2)) = lambda alpha
    with np.errstate(divide="ignore"):  # without a penalty nothing ends the growth
        level = np.log(factor * N * P / (1 + N * P / 2)) - np.log(config.loss.l2_penalty + config.loss.weight_decay)
    return config.loss.temperature / s**2 * np.maximum(level, 0.0)


def fixed_point_residual(
    drift: Float[np.ndarray, "... feature"], alignment: Float[np.ndarray, "... feature"], penalty: float
) -> Features:
    """Return ||drift - lambda a|| / ||lambda a||, shape (feature,), norms over leading axes; 0 where both vanish (S3f).

    drift is E[(h_i(Y) - sum_V q_V h_i(V)) <grad h_i(X), M_j>], alignment a = <w_i, M_j> and penalty lambda (any unit).
    """
    target = penalty * np.asarray(alignment, np.float64)
    gap = np.asarray(drift, np.float64) - target
    gap, size = (np.sqrt(np.sum(x**2, axis=tuple(range(x.ndim - 1)))) for x in (gap, target))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / size)
