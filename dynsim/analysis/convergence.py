"""Has training settled? What is compared at the end must have stopped changing, or the end is no end.

A set of runs has settled if, for the minority and for the majority, the number of specialists, the coverage (the share
of features with a specialist) and the accuracy of the linear probe change little from the third quarter of the steps
to the last. Each is averaged over the records of a quarter and over seeds, since a comparison rests on the mean over
seeds. A set that has not settled is trained for longer, or is left out of every verdict.
"""

import numpy as np
import xarray as xr

from dynsim.analysis import outcomes
from dynsim.analysis.groups import DISJOINT_GROUPS
from dynsim.config.checks import require

DRIFT_ALLOWED = {"specialists": 0.02, "coverage": 0.03, "probe": 0.02}
"""Largest change that counts as settled: of specialists as a share of all neurons, of coverage, and of accuracy."""


def _mean_of(curve: np.ndarray, records: np.ndarray) -> float:
    return float(np.mean(curve[:, records]))


def drifts(result: xr.Dataset) -> dict[str, float]:
    """Return by how much each quantity changes from the third quarter of the steps to the last.

    Args:
        result: runs of several seeds with records in both quarters; the probe is looked at where it was recorded.

    Returns:
        {"minority specialists": change as a share of all neurons, "minority coverage": change, ...}; NaN for runs
        that are not finite.
    Errors:
        `ConfigError` for a result without a record in one of the quarters.
    """
    steps = result["step"].values
    share = steps / steps[-1]
    third, last = np.flatnonzero((share > 0.5) & (share <= 0.75)), np.flatnonzero(share > 0.75)
    require(min(len(third), len(last)) > 0, "record", "some in both last quarters of the steps", steps[-4:].tolist())
    pairs = outcomes.specialist_pairs(result)  # (seed, record, neuron, feature)
    out = {}
    for group in DISJOINT_GROUPS:
        mask = result["group"].values == group
        if not mask.any():
            continue
        curves = {
            "specialists": pairs[..., mask].any(axis=-1).mean(axis=-1),
            "coverage": pairs[..., mask].any(axis=-2).mean(axis=-1),
        }
        if "probe_few" in result:
            curves["probe"] = result["probe_few"].values[..., mask].mean(axis=-1)
        finite = np.isfinite(result["weight_norm"].values).all()
        for name, curve in curves.items():
            change = _mean_of(curve, last) - _mean_of(curve, third)
            out[f"{group} {name}"] = change if finite else np.nan
    return out


def has_settled(result: xr.Dataset) -> bool:
    """Return whether all of `drifts` are within `DRIFT_ALLOWED`; one that is not finite is not."""
    return all(abs(change) <= DRIFT_ALLOWED[name.split()[-1]] for name, change in drifts(result).items())
