"""The groups of features: majority, minority, and all of them."""

import numpy as np
import xarray as xr

DISJOINT_GROUPS = ("minority", "majority")
"""The groups that share no feature: all of `theory.GROUPS` but "all"."""


def group_masks(minority: np.ndarray) -> dict[str, np.ndarray]:
    """Return Boolean masks (feature,) of the groups that have members."""
    masks = {"majority": ~minority, "minority": minority, "all": np.ones_like(minority)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def minority_mask(result: xr.Dataset) -> np.ndarray:
    """Return which features are minority, Boolean (feature,)."""
    return result["group"].values == "minority"
