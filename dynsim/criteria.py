"""The numbers that say what counts as a specialist neuron and as a covered set of features (theory 5.5)."""

PURITY = 0.7
"""Least |<w_i, M_j>| / ||w_i|| of a specialist on its feature."""
FIRING = 0.5
"""Least share of the samples with its feature on which a specialist fires."""
NORM_FLOOR = 0.1
"""Least norm of a neuron that counts, as a share of the largest norm."""
COVERED = 0.9
"""Share of features with a specialist at which stage 2 has ended."""
