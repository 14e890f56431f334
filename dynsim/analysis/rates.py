"""Growth rates of the weights in stage 1, measured, and beside them the closed form of the theory (theory 6.1).

In stage 1 the projections of the weights on a feature grow exponentially; the closed form has no fitted constant.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import xarray as xr

from dynsim import theory
from dynsim.config import Config, PruneConfig, replace
from dynsim.config.checks import ConfigError, require
from dynsim.results.dataset import config_of
from dynsim.results.sealed import Json
from dynsim.stats.intervals import t_interval

GROWTH_PER_STEP = 0.005
LINEAR_STEPS = 200
SMALL_INIT = 1e-3


def linear_regime(config: Config) -> Config:
    """Return `config` with small steps and weights, no threshold and no masks, so that growth stays exponential.

    Without decay, the fastest feature would grow by the share `GROWTH_PER_STEP` in each of `LINEAR_STEPS` steps: by a
    factor e in all. The threshold is switched off by its scale, so that an unpruned configuration keeps its compiled
    program.

    Errors: `ConfigError` if there is no closed form, or no feature grows.
    """
    small = {
        "optimizer.learning_rate": 1.0,
        "encoder.init_std": SMALL_INIT,
        "threshold.scale": 0.0,
        "train.n_records": 2,
        "train.n_steps": LINEAR_STEPS,
    }
    calm = replace(dataclasses.replace(config, prune=PruneConfig()), **small)
    fastest = float(np.max(theory.growth_rate(calm)))  # at eta = 1, like the decay beside it
    decay = theory.decay_rate(calm)
    advice = "lower the penalty or raise a keep probability"
    require(fastest > decay, "growth per learning rate", "a run in which some feature grows", fastest - decay, advice)
    return replace(calm, **{"optimizer.learning_rate": GROWTH_PER_STEP / fastest})


def no_closed_form(config: Config) -> str:
    """Return why the closed-form rate does not hold for a configuration, or "" where it does."""
    try:
        theory.log_growth(config)
        theory.log_growth(linear_regime(config))
    except ConfigError as error:
        return str(error)
    return ""


def log_growth_per_step(result: xr.Dataset, record: int) -> np.ndarray:
    """Return the measured log growth per step of every feature, shape (seed, feature), from record 0 to `record`.

    The projections at the end are regressed on those at the start, over neurons: sum_i a_ij(t) a_ij(0) /
    sum_i a_ij(0)^2 = (1 + g_j - eta lambda)^t in the linear regime. Batch noise that adds to a_ij(t) averages out,
    where it would add to the squares.
    """
    first, last = result["alignment"].isel(record=0).values, result["alignment"].isel(record=record).values
    factor = np.sum(last * first, axis=1) / np.sum(first * first, axis=1)
    n_steps = int(result["step"].values[record] - result["step"].values[0])
    with np.errstate(invalid="ignore"):
        return np.log(factor) / n_steps


def linear_record(result: xr.Dataset) -> int | None:
    """Return the last record at which growth is still exponential in every run, at least 1.

    This phase ends when the first run switches its thresholds on, or at the predicted end T1 of stage 1 if that comes
    earlier. If the thresholds are on from step 0, there is no such phase: None.

    Errors: those of `theory.log_growth`.
    """
    config = config_of(result)
    rule = config.threshold
    acts = rule.rule != "zero" and rule.start != "never" and rule.kappa > 0
    switches = result["switch_step"].values if acts else np.zeros(0, int)
    if np.any(switches == 0):
        return None
    end = min([theory.stage1_end(config, "all"), *switches[switches > 0].tolist()])
    return max(1, int(np.sum(result["step"].values <= end)) - 1)


def group_rates(result: xr.Dataset, record: int | None) -> dict[str, Json]:
    """Return per group the measured log growth per step with its interval over seeds, and the closed form beside it.

    Runs whose projections changed sign have no rate and are left out; numbers are None if none is left.

    Args:
        record: last record of exponential growth (`linear_record`). For None, and without runs, the result is empty.

    Returns:
        {group: {measured, interval, predicted, relative_error, n_steps}}.
    """
    config = config_of(result)
    out: dict[str, Json] = {}
    if record is None or not result.sizes["seed"]:
        return out
    measured = log_growth_per_step(result, record)
    predicted = theory.log_growth(config)
    for name in ("majority", "minority"):
        mask = result["group"].values == name
        if not mask.any():
            continue
        per_seed = measured[:, mask].mean(axis=1)
        expected = float(predicted[mask].mean())
        known = per_seed[np.isfinite(per_seed)]
        mean = float(known.mean()) if known.size else None
        out[name] = {
            "measured": mean,
            "interval": list(t_interval(known)) if known.size else None,
            "predicted": expected,
            "relative_error": mean / expected - 1 if mean is not None and expected != 0 else None,
            "n_steps": int(result["step"].values[record]),
        }
    return out


def rate_table(results: dict[str, xr.Dataset]) -> xr.Dataset:
    """Return measured and predicted rates per feature of several profiles, as `plots.growth_rates` wants them.

    Returns:
        Dataset with `measured` (profile, seed, feature), `predicted` and `activation_probability` (profile, feature);
        rates have the decay eta * lambda added back, so that the prediction is a line through the origin, and are
        scaled to the learning rate of the first profile (attribute `learning_rate`), in which they are linear.
    """
    first = next(iter(results.values()))
    learning_rate = config_of(first).optimizer.learning_rate
    rows: dict[str, list[np.ndarray]] = {"measured": [], "predicted": [], "activation_probability": []}
    for result in results.values():
        config = config_of(result)
        decay = theory.decay_rate(config)
        # g_j = exp(log growth) - 1 + eta lambda: exact for the discrete steps
        scale = learning_rate / config.optimizer.learning_rate
        rows["measured"].append(scale * (np.expm1(log_growth_per_step(result, -1)) + decay))
        rows["predicted"].append(scale * theory.growth_rate(config))
        rows["activation_probability"].append(result["activation_probability"].values)
    dims: dict[str, Sequence[str]] = {
        "measured": ("profile", "seed", "feature"),
        "predicted": ("profile", "feature"),
        "activation_probability": ("profile", "feature"),
    }
    coords = {"profile": list(results), "seed": first["seed"].values}
    return xr.Dataset(
        {name: (dims[name], np.stack(rows[name])) for name in rows}, coords, {"learning_rate": learning_rate}
    )
