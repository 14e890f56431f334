"""Pruning masks by magnitude and their placebos, when a mask applies, and the gradients of a masked network."""

from dynsim.prune.masks import (
    LARGEST_RATE,
    SCOPES,
    all_kept,
    apply_mask,
    dropout_mask,
    highest_mask,
    kept_fraction,
    lowest_mask,
    masked_number,
    neuron_norm,
    random_mask,
)
from dynsim.prune.schedule import is_active, is_refresh, refresh_number, update_mask

__all__ = [
    "LARGEST_RATE",
    "SCOPES",
    "all_kept",
    "apply_mask",
    "dropout_mask",
    "highest_mask",
    "is_active",
    "is_refresh",
    "kept_fraction",
    "lowest_mask",
    "masked_number",
    "neuron_norm",
    "random_mask",
    "refresh_number",
    "update_mask",
]
