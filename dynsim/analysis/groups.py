"""The groups of features: the majority, which are frequent, the minority, which are rare, and all of them."""

import numpy as np
import xarray as xr

DISJOINT_GROUPS = ("minority", "majority")
"""The groups that share no feature: all of `theory.GROUPS` but "all"."""


def group_masks(minority: np.ndarray) -> dict[str, np.ndarray]:
    """Return {group: which features belong to it, Boolean (feature,)} for the groups that have members.

    Args:
        minority: which features are minority ones, Boolean (feature,).
    """
    masks = {"majority": ~minority, "minority": minority, "all": np.ones_like(minority)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def minority_mask(result: xr.Dataset) -> np.ndarray:
    """Return which features of a result are minority ones, Boolean (feature,)."""
    return result["group"].values == "minority"
