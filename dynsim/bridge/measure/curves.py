"""What the measurements of one or more trainings show: stage ends, curves per group of classes, a summary (NumPy)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from dynsim.analysis.stages import STAGES
from dynsim.bridge.data import CLASS_GROUPS, DataError
from dynsim.bridge.measure.channels import (
    basis_cosines,
    channel_snapshot,
    channel_specialists,
    dead,
    effective_rank,
    informed,
    mixed_counts,
    mixed_level,
    permuted_level,
    selectivity,
    separation,
    total_variance,
)
from dynsim.bridge.measure.dataset import BASES, PURITY_READINGS, group_members
from dynsim.bridge.measure.stages import T1_RULES, channel_stage_ends
from dynsim.results.sealed import Json
from dynsim.theory.specialists import NORM_FLOOR, PURITY, is_active, purity

CURVE_GROUPS = (*CLASS_GROUPS, "all")
GROUP_CURVES = {
    "specialists": ("number of specialists of the group", "channels"),
    "coverage": ("share of the classes with a specialist", "1"),
    "specialists_beyond_chance": ("number of specialists beyond chance", "channels"),
    "coverage_beyond_chance": ("share of the classes with a specialist beyond chance", "1"),
    "mixed_specialists": ("number of random mixtures of the channels that are pure, mean over sets", "channels"),
    "informed": ("number of channels that know more of a class than chance, by their best class", "channels"),
    "purity": ("median purity of the informed channels", "1"),
    "class_share": ("share of a channel's variance along the classes of the group, mean over channels", "1"),
    "energy": ("energy along the classes of the group, per channel", "variance outside the classes"),
    "separation": ("squared distance of a class from the mean over its own spread", "1"),
    "readable": ("share of a class's variance that a linear read-out explains", "1"),
}
"""{curve per group of classes: (what it is, unit)}."""
LAYER_CURVES = {
    "dead": ("share of channels that are zero on all images", "1"),
    "inactive": ("share of channels below a tenth of the largest standard deviation", "1"),
    "active_share": ("share of images on which a channel is not zero, mean over channels", "1"),
    "effective_rank": ("effective rank of the responses", "directions"),
    "selectivity": ("median class selectivity of the channels", "1"),
    "permuted_level": ("largest purity with permuted labels", "1"),
    "mixed_level": ("largest purity of random mixtures of the channels", "1"),
    "permuted_readable": ("readable with permuted labels", "1"),
}
"""{curve of the whole layer: (what it is, unit)}."""


def _group_curves(data: xr.Dataset, basis: str, reading: str, min_purity: float) -> dict[str, np.ndarray]:
    """Return the curves of every group, {name: (record, group)}; NaN for a group without members."""
    masks = group_members(data)
    specialists, beyond = channel_specialists(data, basis, reading, min_purity=min_purity)
    snapshot = channel_snapshot(data, basis, reading)
    cosine, _ = basis_cosines(data, basis)
    knows = informed(data, basis)
    best, pure = np.abs(cosine).argmax(axis=-1), purity(snapshot.alignment, snapshot.weight_norm)
    apart, readable = separation(data), data["readable"].values
    explained = 1 - 1 / cosine.shape[-1]  # with it, the squared cosines with the classes sum to the share they explain
    by_mixtures = mixed_counts(data, basis, reading).mean(axis=1)
    n_records, n_channels = best.shape
    curves = {name: np.full((n_records, len(CURVE_GROUPS)), np.nan) for name in GROUP_CURVES}
    for g, group in enumerate(CURVE_GROUPS):
        if (mask := masks.get(group)) is None:
            continue
        for suffix, found in (("", specialists), ("_beyond_chance", beyond)):
            curves["specialists" + suffix][:, g] = found[:, :, mask].sum(axis=(1, 2))
            curves["coverage" + suffix][:, g] = found[:, :, mask].any(axis=1).mean(axis=1)
        curves["mixed_specialists"][:, g] = by_mixtures[:, mask].sum(axis=1)
        own = mask[best] & knows
        curves["informed"][:, g] = own.sum(axis=1)
        some = own.any(axis=1)
        curves["purity"][some, g] = [np.median(row[of]) for row, of in zip(pure[some], own[some], strict=True)]
        curves["class_share"][:, g] = explained * np.square(cosine[:, :, mask]).sum(axis=2).mean(axis=1)
        curves["energy"][:, g] = np.square(snapshot.alignment[:, :, mask]).sum(axis=(1, 2)) / n_channels
        curves["separation"][:, g] = apart[:, mask].mean(axis=1)
        curves["readable"][:, g] = readable[:, mask].mean(axis=1)
    return curves


def _layer_curves(data: xr.Dataset, basis: str, reading: str) -> dict[str, np.ndarray]:
    """Return the curves of the whole layer, {name: (record,)}."""
    index = selectivity(data)
    some = np.isfinite(index).any(axis=1)
    middle = np.full(len(index), np.nan)
    middle[some] = np.nanmedian(index[some], axis=1)
    return {
        "dead": dead(data).mean(axis=1),
        "inactive": (~is_active(np.sqrt(total_variance(data)), NORM_FLOOR)).mean(axis=1),
        "active_share": data["active_share"].values.mean(axis=(1, 2)),
        "effective_rank": effective_rank(data),
        "selectivity": middle,
        "permuted_level": permuted_level(data, basis),
        "mixed_level": mixed_level(data, basis, reading),
        "permuted_readable": data["permuted_readable"].values.mean(axis=1),
    }


def channel_curves(
    runs: Sequence[xr.Dataset],
    basis: str = "classes",
    reading: str = "whole",
    *,
    min_purity: float = PURITY,
    t1_rule: str = "norm",
) -> xr.Dataset:
    """Reduce the measurements of several trainings, one per seed, to the curves that are drawn.

    Args:
        runs: Datasets of `dataset.channel_dataset` with the same epochs and number of channels.
        basis, reading, min_purity, t1_rule: as for `stages.channel_stage_ends`.

    Returns:
        The variables `GROUP_CURVES` (seed, record, group) and `LAYER_CURVES` (seed, record); `stage_end` (seed, stage,
        group) in epochs, NaN where not found; `diverged_step` (seed,), the first epoch with a value that is not finite,
        -1 if there is none. Coordinates `epoch` (record) and `group`: many, medium, few and all. Attributes: basis,
        reading, t1_rule, n_channels.
    Errors: `DataError` for runs of different epochs, or none.
    """
    if not runs or any(not np.array_equal(run["epoch"], runs[0]["epoch"]) for run in runs):
        raise DataError(f"runs: wanted at least one, all with the same epochs, got {len(runs)}; leave out what differs")
    each = []
    for data in runs:
        grouped = _group_curves(data, basis, reading, min_purity)
        variables: dict[str, Any] = {name: (("record", "group"), values) for name, values in grouped.items()}
        variables |= {name: ("record", values) for name, values in _layer_curves(data, basis, reading).items()}
        ends = channel_stage_ends(data, basis, reading, min_purity=min_purity, t1_rule=t1_rule)
        found = [[ends[g][stage].step if g in ends else None for g in CURVE_GROUPS] for stage in STAGES]
        variables["stage_end"] = (("stage", "group"), np.array(found, float))
        variables["diverged_step"] = ((), _diverged(data))
        each.append(xr.Dataset(variables))
    out = xr.concat(each, "seed")
    for name, (words, unit) in (GROUP_CURVES | LAYER_CURVES).items():
        out[name].attrs = {"long_name": words, "units": unit}
    coords = {"epoch": runs[0]["epoch"], "group": list(CURVE_GROUPS), "stage": list(STAGES)}
    attrs = {"basis": basis, "reading": reading, "t1_rule": t1_rule, "n_channels": runs[0].sizes["channel"]}
    return out.assign_coords(coords).assign_attrs(attrs)


def _diverged(data: xr.Dataset) -> int:
    finite = np.isfinite(data["class_mean"].values).all(axis=(1, 2))
    return -1 if finite.all() else int(data["epoch"].values[np.argmin(finite)])


def _or_none(value: float | np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def channel_summary(data: xr.Dataset) -> Json:
    """Return the numbers of one training as plain values: stage ends, the last record, the trend with class size.

    Returns:
        `n_channels`, `n_classes`, `images_per_class`, `classes_per_group`; `layer`, {curve: value} of the layer;
        `by_class_size`, {measure: Spearman's rank correlation of the class sizes with it}; and an entry for each basis
        and reading, such as `classes, whole`, with `stages` {rule of T1: {group: {stage: epoch and reason}}}, `groups`
        {group: {curve: value}} and the levels of `chance`. Values are those of the last record. What is not finite is
        None.
    """
    last = data.isel(record=[-1])
    layer = _layer_curves(last, BASES[0], PURITY_READINGS[0])
    chance = ("permuted_level", "mixed_level")
    out: Json = {
        "n_channels": data.sizes["channel"],
        "n_classes": data.sizes["class"],
        "images_per_class": int(data.attrs["images_per_class"]),
        "classes_per_group": {group: int(mask.sum()) for group, mask in group_members(data).items()},
        "layer": {name: _or_none(values[0]) for name, values in layer.items() if name not in chance},
        "by_class_size": _trends(last),
    }
    for basis in BASES:
        for reading in PURITY_READINGS:
            curves = _group_curves(last, basis, reading, PURITY)
            levels = _layer_curves(last, basis, reading)
            out[f"{basis}, {reading}"] = {
                "stages": {rule: _stages(data, basis, reading, rule) for rule in T1_RULES},
                "groups": {
                    group: {name: _or_none(values[0, CURVE_GROUPS.index(group)]) for name, values in curves.items()}
                    for group in group_members(data)
                },
                "chance": {name: _or_none(levels[name][0]) for name in chance},
            }
    return out


def _stages(data: xr.Dataset, basis: str, reading: str, rule: str) -> Json:
    ends = channel_stage_ends(data, basis, reading, t1_rule=rule)
    return {
        group: {stage: {"epoch": end.step, "reason": end.reason} for stage, end in of_group.items()}
        for group, of_group in ends.items()
    }


def _trends(last: xr.Dataset) -> dict[str, float | None]:
    """Return the rank correlation of the class sizes with what each class has at one record; None without variation."""
    cosine, _ = basis_cosines(last)
    best = np.abs(cosine[0]).argmax(axis=-1)
    knows = informed(last)[0]
    per_class = {
        "separation": separation(last)[0],
        "readable": last["readable"].values[0],
        "specialists": channel_specialists(last)[0][0].sum(axis=0),
        "informed": np.bincount(best[knows], minlength=cosine.shape[-1]),
        "largest_cosine": cosine[0].max(axis=0),
    }
    sizes = last["class_size"].values
    out: dict[str, float | None] = {}
    for name, values in per_class.items():
        varies = np.ptp(sizes) > 0 and np.isfinite(values).all() and np.ptp(values) > 0
        out[name] = float(spearmanr(sizes, values).statistic) if varies else None
    return out
