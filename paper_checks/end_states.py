"""What the checks on imbalance measure of each run: per feature at the end and on the way, and per group of features.

All arrays have the axis `seed`; a run that diverged has NaN everywhere. Groups are along `group`, majority first.
"""

import math

import numpy as np
import xarray as xr

from dynsim.analysis import convergence, outcomes, rates, summary
from dynsim.analysis.stages import StageEnd
from dynsim.results.dataset import config_of
from dynsim.theory import decay_rate
from dynsim.theory.specialists import cosine_alignment, is_active

GROUPS = ("majority", "minority")
STAGES = ("T1", "T2", "T3")
QUARTER = 0.25
"""A group has begun to specialise when a quarter of its features have a specialist."""


def sound(result: xr.Dataset) -> np.ndarray:
    """Return which runs did not diverge, Boolean (seed,)."""
    return (result["diverged_step"].values < 0) & np.isfinite(result["weight_norm"].values).all(axis=(1, 2))


def per_feature(result: xr.Dataset) -> xr.Dataset:
    """Return, at the end, each feature's number of specialists, largest projection, best purity and probe accuracies.

    The best purity of a feature is the largest cosine of a neuron with it, among neurons above the norm floor. The
    accuracy before training is that of the first record.
    """
    last = outcomes.at_end(result)
    alignment, norm = np.abs(last["alignment"].values), last["weight_norm"].values
    cosine = np.abs(cosine_alignment(last["alignment"].values, norm)) * is_active(norm)[..., None]
    found = {
        "count": outcomes.specialist_pairs(last).sum(axis=1),
        "largest": alignment.max(axis=1),
        "purity": cosine.max(axis=1),
    }
    for name in ("probe_few", "probe_many"):
        if name in result:
            found |= {name: last[name].values, f"untrained_{name}": result[name].isel(record=0).values}
    good = sound(result)[:, None]
    values = {
        name: (("seed", "feature"), np.where(good, one, np.nan).astype(np.float32)) for name, one in found.items()
    }
    return xr.Dataset(values | {"is_minority": ("feature", result["group"].values == "minority")})


def per_group(result: xr.Dataset) -> xr.Dataset:
    """Return numbers per seed and group at the end: coverage, specialists, probe accuracy, log of the typical size.

    The size of a feature is its largest projection, of those that have a specialist; the group's is their geometric
    mean. Beside them, per run set, whether the runs had settled and how many neurons there are.
    """
    each = per_feature(result)
    names: dict[str, xr.DataArray] = {"coverage": xr.apply_ufunc(np.sign, each["count"])}
    names["specialists"] = each["count"]
    names |= {name: each[name] for name in ("probe_few", "probe_many") if name in each}
    with np.errstate(divide="ignore"):
        names["log_size"] = xr.apply_ufunc(np.log, each["largest"].where(each["count"] > 0))
    out = {}
    for name, values in names.items():
        parts = [values.values[:, each["is_minority"].values == (group == "minority")] for group in GROUPS]
        out[name] = np.stack([_sum_or_mean(name, part) for part in parts], axis=1)
    arrays = {name: (("seed", "group"), values) for name, values in out.items()}
    settled = {"settled": float(convergence.has_settled(result)), "n_neurons": float(result.sizes["neuron"])}
    return xr.Dataset(arrays | settled, {"group": list(GROUPS)})


def _sum_or_mean(name: str, values: np.ndarray) -> np.ndarray:
    if name == "specialists":
        return values.sum(axis=1)
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)


def stage_ends(result: xr.Dataset) -> xr.Dataset:
    """Return T1, T2 and T3 by seed and group; NaN where a stage was not found."""
    ends = summary.all_stage_ends(result)
    values = {
        stage: (("seed", "group"), [[_step(one.get(group, {}).get(stage)) for group in GROUPS] for one in ends])
        for stage in STAGES
    }
    return xr.Dataset(values, {"group": list(GROUPS)})


def _step(end: StageEnd | None) -> float:
    return math.nan if end is None or end.step is None else float(end.step)


def early_growth(result: xr.Dataset) -> xr.Dataset:
    """Return growth per step before decay, up to the switch, as a mean over a group's features, by seed and group."""
    switch = result["switch_step"].values
    steps = result["step"].values
    before = np.flatnonzero(steps <= (switch[switch > 0].min() if (switch > 0).any() else steps[-1]))
    record = max(1, int(before[-1]))
    grown = np.expm1(rates.log_growth_per_step(result, record)) + decay_rate(config_of(result))
    grown = np.where(sound(result)[:, None], grown, np.nan)
    minority = result["group"].values == "minority"
    means = np.stack([grown[:, minority == (group == "minority")].mean(axis=1) for group in GROUPS], axis=1)
    return xr.Dataset({"growth": (("seed", "group"), means)}, {"group": list(GROUPS)})


def first_steps(result: xr.Dataset, share: float = QUARTER) -> xr.Dataset:
    """Return the step by which this share of a group's features has had a specialist, by seed and group.

    Only records from the switch of the thresholds on count: before it neurons fire on everything, and a few look like
    specialists by chance. NaN where fewer features ever have one.
    """
    on = result["step"].values >= np.maximum(result["switch_step"].values, 1)[:, None]  # (seed, record)
    has = outcomes.specialist_pairs(result).any(axis=2) & on[..., None]  # (seed, record, feature)
    first = np.where(has.any(axis=1), result["step"].values[np.argmax(has, axis=1)], np.inf)
    out = np.full((result.sizes["seed"], 2), np.nan)
    for k, group in enumerate(GROUPS):
        ordered = np.sort(first[:, result["group"].values == group], axis=1)
        out[:, k] = ordered[:, math.ceil(share * ordered.shape[1]) - 1]
    out[~sound(result)] = np.nan
    return xr.Dataset({"first": (("seed", "group"), np.where(np.isfinite(out), out, np.nan))}, {"group": list(GROUPS)})


def gap(values: xr.DataArray) -> np.ndarray:
    """Return majority - minority, without the axis `group`."""
    along = [np.take(values.values, GROUPS.index(name), values.get_axis_num("group")) for name in GROUPS]
    return along[0] - along[1]
