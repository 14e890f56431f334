"""What runs have reached at one record: specialists of each feature, how large they are, and whether that still
changes.

Arrays have the shape (seed, feature); a feature without a specialist has NaN for its sizes.
"""

import math
import warnings

import numpy as np
import xarray as xr

from dynsim import theory
from dynsim.analysis import convergence, outcomes
from dynsim.analysis.groups import minority_mask
from dynsim.analysis.summary import finite_runs as finite_runs
from dynsim.config import Config

GROUPS = ("majority", "minority")
STILL = 0.05
"""Largest relative change of the strength of a group over the last quarter of the steps that counts as rest."""


def record_after(result: xr.Dataset, step: float) -> int:
    """Return the position of the first record at or after a step, or of the last one."""
    steps = result["step"].values
    return min(int(np.searchsorted(steps, step)), len(steps) - 1)


def found_at(result: xr.Dataset, record: int = -1) -> np.ndarray:
    """Return which neuron is a specialist for which feature at a record, Boolean (seed, neuron, feature)."""
    return outcomes.specialist_pairs(result.isel(record=record))


def sizes(result: xr.Dataset, record: int = -1) -> dict[str, np.ndarray]:
    """Return number, largest and median |alpha|, their root mean square, and strength S_j of specialists by feature."""
    one = result.isel(record=record)
    found, size = outcomes.specialist_pairs(one), np.abs(one["alignment"].values.astype(np.float64))
    own = np.where(found, size, np.nan)
    beyond = np.where(found, size - one["threshold"].values[..., None], 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of features without a specialist
        out = {
            "largest": np.nanmax(own, axis=1),
            "median": np.nanmedian(own, axis=1),
            "rms": np.sqrt(np.nanmean(own**2, axis=1)),
        }
    count = found.sum(axis=1).astype(float)
    return {"count": count, "strength": np.where(count > 0, (beyond**2).sum(axis=1), np.nan)} | out


def mean_over(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean over the masked last axis without NaN values; NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values[..., mask], axis=-1), np.float64)


def by_group(result: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Return the means of (seed, feature) numbers over majority and minority features, shape (seed, group)."""
    minority = minority_mask(result)
    return np.stack([mean_over(values, ~minority), mean_over(values, minority)], axis=-1)


def at_rest(result: xr.Dataset) -> bool:
    """Return whether counts have settled (`convergence.has_settled`) and the strengths of both groups stand still."""
    if not convergence.has_settled(result):
        return False
    then = record_after(result, 0.75 * float(result["step"].values[-1]))
    before, after = (by_group(result, sizes(result, at)["strength"]).mean(axis=0) for at in (then, -1))
    change = np.abs(after / before - 1)
    return bool(np.all(change[np.isfinite(change)] <= STILL))


def settled_flag(result: xr.Dataset) -> float:
    """Return 1 where the runs that did not diverge have settled, else 0."""
    return float(result.sizes["seed"] > 0 and convergence.has_settled(result))


def active_features(config: Config) -> float:
    """Return how many features are active in a sample on average."""
    return float(np.sum(theory.activation_probability(config.data)))


MOMENTS = ("in the window", "at the end")
"""When sizes are read: at the geometric middle of the paper's window [T3, T4], and at the last record."""


def moments(config: Config, result: xr.Dataset) -> dict[str, int]:
    """Return the record of each of `MOMENTS`: the step d^1.5 / eta, in the middle of the window, and the last one."""
    first, last = theory.stage3_window(config)
    return dict(zip(MOMENTS, (record_after(result, math.sqrt(first * last)), -1), strict=True))
