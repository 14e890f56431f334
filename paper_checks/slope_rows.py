"""Rows about exponents and ratios over several levels, also where some levels cannot be used."""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from dynsim.stats.trends import Trend
from paper_checks import slopes
from paper_checks.check import Numbers, Row, row


def slope_row(
    claim: str,
    regime: str,
    quantity: str,
    x: Sequence[float] | np.ndarray,
    values: Sequence[np.ndarray],
    wanted: tuple[float, float],
    *,
    logarithmic: bool = True,
    predicted: float | None = None,
    rival: str = "",
    note: str = "",
) -> Row:
    """Return a row on the slope of the level means, of the logarithms by default; undecided with under three levels.

    The interval is that of `slopes.line`: of three levels only, it is over the slopes of single seeds.

    Args:
        x: one number per level.
        values: per level one number per seed; what is not finite is left out, as is what has no logarithm.
    """
    fit, n_left = fitted(x, values, logarithmic=logarithmic)
    said = [note] if note else []
    if fit is None:
        said.append(f"only {n_left} of {len(values)} levels can be used, 3 are needed")
        span: Numbers = (math.nan, math.nan, math.nan)
    else:
        said.append(f"{n_left} levels; R² {fit.r_squared:.3f}; p-value of a misfit {fit.misfit_p:.2g}")
        span = fit.span
    return row(claim, regime, quantity, span, wanted, predicted=predicted, rival=rival, note="; ".join(said))


def fitted(
    x: Sequence[float] | np.ndarray, values: Sequence[np.ndarray], *, logarithmic: bool = True
) -> tuple[Trend | None, int]:
    """Return the line through the levels that have two usable seeds, None for under three such, and their number."""
    fit = slopes.power(x, values) if logarithmic else slopes.line(x, values)
    if fit.n_levels:
        return fit, fit.n_levels
    return None, len({at for at, _ in slopes.usable(x, slopes.logarithms(values) if logarithmic else values)})


def enough_levels(arrays: xr.Dataset, axis: str) -> bool:
    """Return whether a run set has enough levels of an axis for a line, settled or not; if not, it has no such row."""
    return len(np.unique(arrays[axis].values.astype(float))) >= slopes.MIN_LEVELS


def of_most_levels(arrays: xr.Dataset, axis: str = "d") -> tuple[xr.Dataset, str]:
    """Return the values of r that were run, and are left, at the most levels of an axis, and which they are, in words.

    So that a mean over r is over the same values of r at every level.
    """
    ratios, levels = arrays["ratio"].values.astype(float), arrays[axis].values.astype(float)
    at = {r: tuple(sorted(levels[ratios == r])) for r in sorted(set(ratios), reverse=True)}
    longest = max(at.values(), key=len, default=())
    chosen = [r for r, found in at.items() if found == longest]
    kept = arrays.isel(point=np.flatnonzero(np.isin(ratios, chosen)))
    return kept, "mean over r = " + " and ".join(f"{r:g}" for r in chosen) if chosen else ""


def mean_by_level(arrays: xr.Dataset, values: np.ndarray, axis: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the levels of an axis, and at each the mean of the values (point, seed) over its points, per seed.

    A seed that has no finite value at a level is NaN there.
    """
    at = arrays[axis].values.astype(float)
    levels, parts = np.unique(at), []
    for level in levels:
        part = values[at == level]
        there = np.isfinite(part)
        total = np.where(there, part, 0.0).sum(axis=0)
        parts.append(np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan))
    return levels, parts


def settled_only(arrays: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Return the points whose runs had stopped changing, by the variable `settled`, and how many were left out."""
    settled = arrays["settled"].values > 0
    kept = arrays.isel(point=np.flatnonzero(settled))
    lost = int(np.sum(~settled))
    return kept, f"{lost} of {len(settled)} settings left out: still changing at the end" if lost else ""


def totals_ratio(arrays: xr.Dataset, measured: str, predicted: str) -> np.ndarray:
    """Return sum(measured) / sum(predicted) over settings per seed; settings in which a seed is missing do not count.

    Args:
        measured: name of a variable (seed, point); predicted: of one (point).
    """
    if arrays.sizes["point"] == 0:
        return np.array([np.nan])
    found = arrays[measured].transpose("seed", "point").values
    there = np.isfinite(found)
    expected = np.where(there, arrays[predicted].values[None, :], 0.0).sum(axis=1)
    return np.where(expected > 0, np.where(there, found, 0.0).sum(axis=1) / np.where(expected > 0, expected, 1), np.nan)
