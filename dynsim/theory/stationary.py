"""How large the weights on a feature are once training has come to rest (theory 6.3, S3f).

At rest, at a fixed point of the training step, the pull of the loss along every feature balances the weight penalty.
The sizes that follow rival those of the paper's theorem, which holds in a window of times before that.
"""

import numpy as np
from jaxtyping import Float

from dynsim.config import Config
from dynsim.theory.frequencies import Features, activation_probability, n_negatives
from dynsim.theory.growth import _loss_factor


def stationary_magnitude(config: Config) -> Features:
    """Return S_j = sum_i (|alpha_ij| - b_i)^2 at a fixed point, shape (feature,), an APPROXIMATION (theory 6.3, S3f).

    The sum is over the specialists i of feature j, the neurons whose weights lie along M_j; alpha_ij = <w_i, M_j>, and
    s^2 S_j / tau is the logit that a sample's key gains through j. The formula is
    S_j = (tau / s^2) log(f |N| P_j / (lambda (1 + |N| P_j / 2))), 0 where the penalty is too strong for j to last, with
    s = 1 for sum and 1/L for mean pooling and f = s^2, divided by tau without the prefactor and doubled without
    stop-gradient. It assumes one feature per sample, every negative kept, keep probability 1 and b much below alpha.
    With many features per sample (5.5 on average at the default) it is too large: see `rest.rest_magnitude`.

    Errors: those of `growth.growth_rate`.
    """
    N, P, factor = n_negatives(config.data), activation_probability(config.data), _loss_factor(config)
    s = 1.0 if config.encoder.pooling == "sum" else 1 / config.data.n_tokens
    # at a specialist pull and penalty balance: f P_j (alpha - b) |N| / (e^{s^2 S/tau} (1 + |N| P_j / 2)) = lambda alpha
    with np.errstate(divide="ignore"):  # without a penalty nothing ends the growth
        level = np.log(factor * N * P / (1 + N * P / 2)) - np.log(config.loss.l2_penalty + config.loss.weight_decay)
    return config.loss.temperature / s**2 * np.maximum(level, 0.0)


def fixed_point_residual(
    drift: Float[np.ndarray, "... feature"], alignment: Float[np.ndarray, "... feature"], penalty: float
) -> Features:
    """Return how far a state is from a fixed point, per feature: ||drift - lambda a|| / ||lambda a|| (theory 6.3, S3f).

    Norms run over the leading axes; the result has shape (feature,), is 0 at a fixed point and where both norms vanish.

    Args:
        drift: E[(h_i(Y) - sum_V q_V h_i(V)) <grad h_i(X), M_j>], the pull of the loss along M_j; h_i is the activation
            of neuron i, X a query, Y its key, q_V the softmax weight of candidate V.
        alignment: a = <w_i, M_j>, of the same shape.
        penalty: lambda.
    """
    target = penalty * np.asarray(alignment, np.float64)
    gap = np.asarray(drift, np.float64) - target
    gap, size = (np.sqrt(np.sum(x**2, axis=tuple(range(x.ndim - 1)))) for x in (gap, target))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / size)
