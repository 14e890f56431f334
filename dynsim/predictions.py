"""Every prediction of the theory beside the measured quantity, in one table: `PREDICTIONS`.

An entry holds two functions, `predicted(config)` of shape (...) and `measured(result)` of shape (seed, ...), in the
same unit; `compare` lays them side by side.

Training has three stages, which end at T1, T2 and T3 (see `analysis.stages`). The switch is the step at which neurons
get thresholds b_i, below which they do not fire. alpha_ij = <w_i, M_j> is the projection of neuron i on feature j, r_j
the frequency of j relative to the most frequent feature, lambda the weight decay. A specialist is a neuron that has
learned one feature (`theory.specialists`).

A label such as S1a names a testable consequence of the theory: its number is the stage that it is about (theory 6.1 to
6.3), its letter only counts. S1a: early growth per step has a closed form. S1d: features rarer
than a floor shrink. S2b, S2c: two predictions of the number of specialists. S2e: the length of stage 2. S3a: the
largest |alpha_ij| while the theorem holds. S3f: the sizes at which training comes to rest.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dynsim import theory
from dynsim.analysis import groups, outcomes, rates, stages, summary
from dynsim.config import Config
from dynsim.config.checks import ConfigError
from dynsim.engine.numbers import resolve
from dynsim.engine.replay import Recorded, mean_pull, recorded
from dynsim.results.dataset import config_of
from dynsim.results.sealed import Json
from dynsim.stats.intervals import t_interval
from dynsim.theory import GROUPS
from dynsim.theory.specialists import is_lucky

DRIFT_BATCHES = 32


class Prediction(NamedTuple):
    """A statement of the theory as two functions of equal meaning."""

    statement: str
    """Its section or label in the theory, and what is predicted."""
    per: Literal["run", "group", "feature"]
    """What (...) stands for: nothing; the groups majority, minority and all; or the features."""
    predicted: Callable[[Config], np.ndarray]
    """(config) -> (...)."""
    measured: Callable[[xr.Dataset], np.ndarray]
    """(result) -> (seed, ...); nan where the run does not show it."""


def measured_growth(result: xr.Dataset) -> np.ndarray:
    """Return the early growth of log |alpha_ij| per step, shape (seed, feature) (S1a).

    It is measured up to the first switch, or to the predicted T1 if that is earlier.
    """
    record = rates.linear_record(result)
    if record is None:
        raise ConfigError("start: the thresholds are on from step 0, so that there is no linear phase")
    return rates.log_growth_per_step(result, record)


def predicted_stage1_end(config: Config) -> np.ndarray:
    """Return the T1 that the closed form gives without thresholds, in steps, shape (group,) (theory 6.1)."""
    return np.array([theory.stage1_end(config, group) for group in GROUPS])


def measured_stage1_end(result: xr.Dataset) -> np.ndarray:
    """Return T1 as found in the record, in steps, shape (seed, group); thresholds that come on before it delay it."""
    return _stage(result, "T1")


def _stage(result: xr.Dataset, stage: str) -> np.ndarray:
    ends = summary.all_stage_ends(result)
    absent = stages.StageEnd(None, "no such group", {})
    steps = [[found.get(group, {stage: absent})[stage].step for group in GROUPS] for found in ends]
    return np.array([[np.nan if step is None else step for step in row] for row in steps])


def measured_stage2_length(result: xr.Dataset) -> np.ndarray:
    """Return T2 - T1 of the majority in steps, shape (seed,) (S2e); it is predicted up to an unknown constant."""
    return (_stage(result, "T2") - _stage(result, "T1"))[:, 0]


def measured_noise_activation(result: xr.Dataset) -> np.ndarray:
    """Return the chance that the noise of one token fires a neuron, averaged over neurons, shape (seed,) (theory 4.4).

    It is computed from thresholds and norms at the first record after the switch; NaN for a run that has not reached
    it. Where no switch is configured, it is computed from the first record.
    """
    config, step = config_of(result), result["step"].values
    fired = theory.noise_activation(config, result["threshold"].values, result["weight_norm"].values)
    fired = fired.mean(axis=2)
    if config.threshold.rule == "zero" or config.threshold.start == "never":
        return fired[:, 0]
    switched = (result["switch_step"].values[:, None] >= 0) & (step >= result["switch_step"].values[:, None])
    first = np.argmax(switched, axis=1)
    return np.where(switched.any(axis=1), fired[np.arange(len(first)), first], np.nan)


def predicted_share_shrinking(config: Config) -> np.ndarray:
    """Return which features are too rare to grow against the decay, as 0 or 1, shape (feature,) (S1d)."""
    return (theory.relative_frequency(config.data) < theory.learnability_floor(config)).astype(float)


def measured_share_shrinking(result: xr.Dataset) -> np.ndarray:
    """Return along which features the weights shrink before the switch, as 0 or 1, shape (seed, feature) (S1d)."""
    return (measured_growth(result) < 0).astype(float)


def measured_lucky_count(result: xr.Dataset) -> np.ndarray:
    """Return how many neurons are lucky (by chance well aligned at step 0), shape (seed, feature) (theory 5.3)."""
    config = config_of(result)
    cut = theory.unit_cut(config) / theory.frequency_ratio(config)
    return is_lucky(result["alignment"].values[:, 0], cut).sum(axis=1)


def measured_candidate_count(result: xr.Dataset) -> np.ndarray:
    """Return how many features a neuron may still learn at step 0, mean over neurons, shape (seed,) (theory 5.3)."""
    config = config_of(result)
    cut = theory.unit_cut(config) * theory.frequency_ratio(config).min()
    candidates = is_lucky(result["alignment"].values[:, 0], np.full(config.data.n_features, cut))
    return candidates.sum(axis=2).mean(axis=1)


def final_specialists(result: xr.Dataset) -> np.ndarray:
    """Return which neuron is a specialist for which feature at the last record, Boolean (seed, neuron, feature)."""
    return outcomes.specialist_pairs(result.isel(record=-1))


def measured_specialist_count(result: xr.Dataset) -> np.ndarray:
    """Return the number of specialists of each feature at the end, shape (seed, feature) (S2b, S2c).

    S2c itself counts neurons that pass a threshold, of which one may pass on several features (theory 6.2).
    """
    return final_specialists(result).sum(axis=1)


def measured_magnitude(result: xr.Dataset) -> np.ndarray:
    """Return S_j, the sum of (|alpha_ij| - b_i)^2 over the specialists of j at the end, shape (seed, feature) (S3f)."""
    last = result.isel(record=-1)
    above = np.maximum(np.abs(last["alignment"].values) - last["threshold"].values[:, :, None], 0)
    return np.sum(np.square(above) * final_specialists(result), axis=1)


def measured_largest_magnitude(result: xr.Dataset) -> np.ndarray:
    """Return the largest |alpha_ij| of a specialist of j at the end, shape (seed, feature); nan without one (S3a)."""
    specialists = final_specialists(result)
    size = np.abs(result["alignment"].values[:, -1]) * specialists
    return np.where(specialists.any(axis=1), size.max(axis=1), np.nan)


def held_out_drift(result: xr.Dataset, n_batches: int = DRIFT_BATCHES) -> np.ndarray:
    """Return the pull of the loss along each feature at the final weights, shape (seed, neuron, feature) (S3f).

    That is <-grad_i, M_j>, where grad_i is the gradient of the loss without its penalty in w_i, averaged over batches
    that the run has not seen.

    Errors: `ConfigError` where the result does not hold all that was trained (`replay.recorded`).
    """
    config, last = config_of(result), [recorded(result, seed) for seed in range(result.sizes["seed"])]
    resolved = resolve(config)
    no_penalty = resolved.numbers._replace(l2_penalty=np.zeros((), config.train.precision))
    numbers, drift = jax.tree.map(jnp.asarray, no_penalty), mean_pull(resolved.structure, n_batches)

    def of(seed: np.integer, one: Recorded) -> np.ndarray:
        return np.asarray(drift(jnp.uint32(seed), jnp.asarray(one.weight), jnp.asarray(one.thresholds), numbers))

    return np.stack([of(seed, one) for seed, one in zip(result["seed"].values, last, strict=True)])


def measured_fixed_point_residual(result: xr.Dataset) -> np.ndarray:
    """Return how far the final weights are from rest, shape (seed, feature) (S3f).

    At rest the pull of the loss equals the decay lambda alpha_ij; the value is the norm of their difference over the
    specialists of a feature, relative to that of the decay; nan for a feature without specialists.
    """
    config = config_of(result)
    penalty = config.loss.l2_penalty + config.loss.weight_decay
    specialists = final_specialists(result)
    drift = held_out_drift(result) * specialists
    target = result.isel(record=-1)["alignment"].values * specialists
    residual = np.stack([theory.fixed_point_residual(*pair, penalty) for pair in zip(drift, target, strict=True)])
    return np.where(specialists.any(axis=1), residual, np.nan)


PREDICTIONS = {
    "growth_rate": Prediction("S1a: log growth per step and feature", "feature", theory.log_growth, measured_growth),
    "stage1_end": Prediction(
        "6.1: T1 per group, without thresholds", "group", predicted_stage1_end, measured_stage1_end
    ),
    "stage2_clock": Prediction(
        "S2e: length of stage 2 up to a constant",
        "run",
        lambda config: np.array(theory.stage2_clock(config)),
        measured_stage2_length,
    ),
    "noise_activation": Prediction(
        "4.4: chance that noise alone fires a neuron at the switch, per token",
        "run",
        lambda config: np.array(theory.false_firing_rate(config)),
        measured_noise_activation,
    ),
    "shrinking": Prediction(
        "S1d: features below the learnability floor shrink",
        "feature",
        predicted_share_shrinking,
        measured_share_shrinking,
    ),
    "lucky_count": Prediction(
        "5.3: lucky neurons per feature at t = 0", "feature", theory.lucky_count, measured_lucky_count
    ),
    "candidate_count": Prediction("5.3: mean |N_i| at t = 0", "run", theory.candidate_count, measured_candidate_count),
    "specialist_count": Prediction(
        "S2c: neurons that pass the threshold at T1, per feature",
        "feature",
        theory.s2c_own_norm_count,
        measured_specialist_count,
    ),
    "paper_specialist_count": Prediction(
        "5.1, S2b: specialists at the end, per feature, beside the paper's lower bound m d^(-1/r_j^2)",
        "feature",
        theory.paper_specialist_count,
        measured_specialist_count,
    ),
    "largest_magnitude": Prediction(
        "6.3, S3a: largest |alpha_ij| of a specialist at the end, beside the paper's upper bound r_j tau",
        "feature",
        lambda config: theory.frequency_ratio(config) * config.loss.temperature,
        measured_largest_magnitude,
    ),
    "stationary_magnitude": Prediction(
        "S3f: S_j at a fixed point, approximately", "feature", theory.stationary_magnitude, measured_magnitude
    ),
    "fixed_point_residual": Prediction(
        "S3f: relative residual of the fixed-point equation",
        "feature",
        lambda config: np.zeros(config.data.n_features),
        measured_fixed_point_residual,
    ),
}


def compare(result: xr.Dataset) -> dict[str, Json]:
    """Return, by prediction and group, the predicted value, the measured mean over seeds, and its 95 % interval.

    Predictions per feature are averaged over the features of a group; nan entries are left out, and a prediction whose
    assumptions the configuration breaks is given with the reason instead of numbers.
    """
    config = config_of(result)
    out: dict[str, Json] = {}
    for name, prediction in PREDICTIONS.items():
        try:
            predicted, measured = prediction.predicted(config), prediction.measured(result)
        except ConfigError as error:
            out[name] = {"statement": prediction.statement, "not_applicable": str(error)}
            continue
        out[name] = {"statement": prediction.statement} | _grouped(prediction.per, predicted, measured, result)
    return out


def _grouped(per: str, predicted: np.ndarray, measured: np.ndarray, result: xr.Dataset) -> Json:
    if per == "run":
        return {"all": _row(predicted, measured)}
    if per == "group":
        return {group: _row(predicted[k], measured[:, k]) for k, group in enumerate(GROUPS)}
    minority = groups.minority_mask(result)
    masks = {group: mask for group, mask in groups.group_masks(minority).items() if group != "all"}
    with np.errstate(invalid="ignore"):
        return {g: _row(predicted[mask].mean(), _nanmean(measured[:, mask])) for g, mask in masks.items()}


def _nanmean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _row(predicted: float | np.ndarray, per_seed: np.ndarray) -> Json:
    known = np.asarray(per_seed, float)[np.isfinite(per_seed)]
    value = float(predicted) if np.isfinite(predicted) else None
    if known.size == 0:
        return {"predicted": value, "measured": None, "interval": None}
    return {"predicted": value, "measured": float(known.mean()), "interval": list(t_interval(known))}
