"""How far a predicted trajectory is from the simulated run that started from the same weights."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from dynsim import results
from dynsim.theory.flow import Flow, predict

LEFT_AT = 0.1
"""Error of the median neuron above which the prediction counts as having left the simulation."""
_TINY = 1e-300

Records = Float[np.ndarray, " record"]


class FlowError(NamedTuple):
    """What separates a prediction from a run; errors are shares, not percent."""

    step: Records
    error: Records
    """Of the median neuron: ||alpha_flow - alpha_sim|| over the simulated ||w||, with alpha the projections on all
    features."""
    upper_error: Records
    """The same for the neuron at 90 percent."""
    strength_error: Records
    """Of the median feature: |A_flow - A_sim| / A_sim, where A_j = sum_i alpha_ij^2 is the weight that all neurons
    together have on feature j. It does not ask which neuron has it."""
    same_winner: Records
    """Share of the neurons whose largest projection is on the same feature."""
    leaving_step: float
    """First recorded step from which on `error` stays above the tolerance; infinite if it ends below."""
    flow_seconds: float
    simulation_seconds: float
    """Wall time of one simulated run, compilation included."""


def predicted(result: xr.Dataset, position: int = 0, seed: int = 0) -> Flow:
    """Return the prediction for one run of a result, from the weights of its first record.

    Args:
        result: the record of a run set, whose first record is step 0.
        position: of the run on the seed axis.
        seed: of the fixed batches of the prediction.

    Errors:
        `ConfigError` for a configuration that the flow does not cover; `ValueError` where step 0 is not recorded.
    """
    steps = np.asarray(result["step"].values, np.float64)
    if steps[0] != 0:
        raise ValueError(f"result: wanted its first record at step 0, got step {steps[0]:.0f}; keep all records")
    alignment, residual = (
        np.asarray(result[name].values[position, 0], np.float64) for name in ("alignment", "residual_norm")
    )
    return predict(results.config_of(result), alignment, residual, steps, seed)


def flow_error(result: xr.Dataset, flow: Flow, position: int = 0, tolerance: float = LEFT_AT) -> FlowError:
    """Compare a prediction with one run of a result, record by record.

    Args:
        result: the record of a run set.
        flow: the prediction for that run, at its recorded steps (`predicted`).
        position: of the run on the seed axis.
        tolerance: error of the median neuron above which the prediction has left the simulation.
    """
    alignment, norm = (np.asarray(result[name].values[position], np.float64) for name in ("alignment", "weight_norm"))
    gap = np.linalg.norm(flow.alignment - alignment, axis=2) / np.maximum(norm, _TINY)
    error, upper = np.quantile(gap, [0.5, 0.9], axis=1)
    simulated = feature_strength(alignment)
    off = np.abs(feature_strength(flow.alignment) - simulated) / np.maximum(simulated, _TINY)
    same = np.mean(np.argmax(np.abs(flow.alignment), axis=2) == np.argmax(np.abs(alignment), axis=2), axis=1)
    wall = float(results.provenance_of(result)["wall_s"]) / result.sizes["seed"]
    left = leaving_step(flow.step, error, tolerance)
    return FlowError(flow.step, error, upper, np.median(off, axis=1), same, left, flow.seconds, wall)


def feature_strength(alignment: np.ndarray) -> np.ndarray:
    """Return A_j = sum_i alpha_ij^2, shape (..., feature), of projections (..., neuron, feature)."""
    return np.asarray(np.sum(np.square(alignment), axis=-2))


def leaving_step(step: np.ndarray, error: np.ndarray, tolerance: float) -> float:
    """Return the first step from which on the error stays above the tolerance; infinite if it ends below."""
    inside = np.flatnonzero(~(error > tolerance))
    first = int(inside[-1]) + 1 if inside.size else 0
    return float(step[first]) if first < len(step) else float(np.inf)
