"""Strengths S_j of runs at rest, measured and predicted: shared by the checks of the resting state."""

import numpy as np
import xarray as xr

from dynsim import theory
from dynsim.config import Config
from paper_checks.check import at_points
from paper_checks.runs import Source
from paper_checks.specialist_sizes import active_features, at_rest, by_group, finite_runs, sizes


def measured(source: Source, name: str) -> xr.Dataset:
    """Return per seed and group of each setting: strength S, number and size of specialists, and S as predicted.

    `few` is S by `theory.stationary_magnitude`, `many` by `theory.rest_magnitude` with the features that have
    specialists; `shared` is the weight of each of n equal specialists that have this S together, `at_rest` says
    whether the setting has come to rest, `active` how many features a sample has.
    """
    points, runs = source.points(name), source.runs(name)
    return at_points({point: _of_run(points[point], finite_runs(result)) for point, result in runs.items()})


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    end = sizes(result)
    many = np.stack([theory.rest_magnitude(config, count) for count in end["count"]])
    few = np.broadcast_to(theory.stationary_magnitude(config), many.shape)
    seen = {"many": np.where(end["count"] > 0, many, np.nan), "few": np.where(end["count"] > 0, few, np.nan)}
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = np.sqrt(seen["many"] / end["count"]) / (1 - float(theory.threshold_value(config, 1.0)))
    values = {name: end[name] for name in ("strength", "count", "rms")} | seen | {"shared": shared}
    shape = ("seed", "group")
    return xr.Dataset(
        {name: (shape, by_group(result, value)) for name, value in values.items()}
        | {"at_rest": float(at_rest(result)), "active": active_features(config)}
    )


def resting_only(arrays: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Return the settings that have come to rest, and how many were left out."""
    resting = arrays["at_rest"].values > 0
    lost = int(np.sum(~resting))
    note = f"{lost} of {len(resting)} settings left out: strength or counts still change" if lost else ""
    return arrays.isel(point=np.flatnonzero(resting)), note


def mean_ratio(kept: xr.Dataset, name: str) -> np.ndarray:
    """Return measured over predicted strength per seed, the geometric mean over settings and groups."""
    return np.exp(mean_over_settings(_log_ratio(kept, name)))


def mean_error(kept: xr.Dataset, name: str) -> np.ndarray:
    """Return the mean |log(measured / predicted)| per seed over settings and groups."""
    return mean_over_settings(np.abs(_log_ratio(kept, name)))


def _log_ratio(kept: xr.Dataset, name: str) -> np.ndarray:
    """Return log(measured / predicted strength), shape (seed, setting and group)."""
    ratio = (kept["strength"] / kept[name]).transpose("seed", "point", "group").values
    return np.log(ratio.reshape(len(ratio), -1))


def mean_over_settings(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis without what is not finite, shape (seed,); NaN where nothing is left."""
    good = np.isfinite(values)
    total, number = np.where(good, values, 0.0).sum(axis=-1), good.sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
