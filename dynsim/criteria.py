"""The numbers that say what counts as a specialist neuron and as a covered set of features (theory 5.5)."""

import math

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
