"""Reduces a result to what the figures need: about a megabyte, small enough to commit, from which they are redrawn.

Dimensions are seed, record, group (majority, minority, all), neuron_class, direction, quantile, stage, moment, neuron
and feature. A seed that diverged keeps its place and its `diverged_step`; all its other values are NaN, and it is left
out of all quantiles. All values of a group without members are NaN. `results.save` and `results.load` can store it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from dynsim import results
from dynsim.analysis.groups import group_masks
from dynsim.analysis.stages import STAGES, GroupEnds
from dynsim.theory import GROUPS
from dynsim.theory.specialists import Snapshot, cosine_alignment, is_active, is_specialist

CLASSES = ("specialist", "ordinary", "other")
DIRECTIONS = ("own", "other_features", "complement")
QUANTILES = (0.1, 0.5, 0.9)
MOMENTS = ("initial", *STAGES)
NEURON_KINDS = ("specialist", "mixed", "inactive")
COSINE_DECIMALS = 3


class _Seed(NamedTuple):
    """One seed that did not diverge."""

    place: int  # on the seed axis
    steps: np.ndarray  # (record,)
    snapshot: Snapshot  # arrays with a leading axis (record,)
    specialists: np.ndarray  # (record, neuron, feature): who is a specialist for what
    switch_step: int
    ends: GroupEnds


def reduce(result: xr.Dataset, ends: list[GroupEnds]) -> xr.Dataset:
    """Reduce a result to the curves, quantiles and few matrices that are drawn.

    Args:
        result: the record of a run set (`results.to_dataset`).
        ends: per seed, what `stages.find_stages` found in it.

    Returns:
        `projection` (group, neuron_class, direction, quantile, record), in units of the weights, over the neurons of
        all seeds (see `neuron_classes` and `neuron_projections`); `class_size` (group, neuron_class), neurons per seed;
        `specialists` and `coverage` (seed, record, group): their number, and the share of the group's features that
        have one; `inactive`, `mixed` (seed, record): numbers of neurons; `loss` (seed, record); `firing`,
        `false_firing` (seed, record): means over neurons; `stage_end` (seed, stage, group) in steps, NaN where not
        found; `switch_step`, `diverged_step` (seed,); `cosine_at_end` (moment, neuron, feature), cosines in [-1, 1]
        of the one seed `cosine_seed` at the stage ends of group all. Its neurons stand in the order of their last
        best feature, specialists first, then mixed, then inactive ones, its features majority first; the coordinates
        `neuron` and `feature` hold their indices in the result.
    Errors:
        `ValueError` unless there is one entry of `ends` per seed.
    """
    if len(ends) != result.sizes["seed"]:
        raise ValueError(f"ends: wanted one entry for each of {result.sizes['seed']} seeds, got {len(ends)}")
    masks = group_masks(result["group"].values == "minority")
    counts = _empty_counts(result)
    pool: dict[tuple[str, str], list[np.ndarray]] = {}
    shown: _Seed | None = None
    for seed in _seeds(result, ends):
        _count(counts, seed, masks)
        for name, mask in masks.items():
            of_class, values = _projections_of(seed, name, mask, _n_complement(result))
            for c, label in enumerate(CLASSES):
                pool.setdefault((name, label), []).append(values[..., of_class == c])
        if shown is None or (_complete(seed) and not _complete(shown)):
            shown = seed
    variables = counts | _quantiles(pool, result.sizes["record"]) | _kept(result, ends)
    curves = xr.Dataset(variables, _coordinates(result), dict(result.attrs))
    return _compressed(_with_cosine(curves, result, shown))


def neuron_classes(alignment: np.ndarray, specialists: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort the neurons of one run into specialist, ordinary and other with respect to a group of features.

    Specialist: at the end it is a specialist for a feature of the group, which is its own feature. Ordinary: it is not,
    but its best-aligned feature at the reference moment belongs to the group. Other: neither. For the last two, the own
    feature is the best-aligned one of the group at the reference moment.

    Args:
        alignment: <w_i, M_j> at the reference moment, shape (neuron, feature).
        specialists: Boolean (neuron, feature), the specialists at the end.
        mask: Boolean (feature,), the group; at least one member.

    Returns:
        Index into `CLASSES` and own feature, both integers of shape (neuron,).
    """
    size = np.abs(alignment)
    own_specialists = specialists & mask
    specialist = own_specialists.any(axis=1)
    ordinary = mask[np.argmax(size, axis=1)]
    best = np.argmax(np.where(mask, size, -1.0), axis=1)
    of_class = np.where(specialist, 0, np.where(ordinary, 1, 2))
    return of_class, np.where(specialist, np.argmax(own_specialists, axis=1), best)


def neuron_projections(
    alignment: np.ndarray, residual_norm: np.ndarray, own: np.ndarray, n_complement: int
) -> np.ndarray:
    """Return how large each neuron is along its own feature, the other features and the complement.

    |<w_i, M_own>|, the root mean square of <w_i, M_k> over k != own (on a correlated dictionary it holds what these
    share with the own feature), and the root mean square per direction of the part outside the span of the features.

    Args:
        alignment: shape (record, neuron, feature); residual_norm: shape (record, neuron).
        own: own feature, integers of shape (neuron,).
        n_complement: d1 - d; where it is 0 there is no complement and its values are NaN.

    Returns:
        Shape (direction, record, neuron), in units of the weights.
    """
    mine = np.take_along_axis(alignment, own[None, :, None], axis=2)[..., 0].astype(np.float64)
    square = np.einsum("tij,tij->ti", alignment, alignment, dtype=np.float64)
    others = np.sqrt(np.maximum(square - mine**2, 0.0) / (alignment.shape[2] - 1))
    outside = residual_norm / np.sqrt(n_complement) if n_complement else np.full_like(mine, np.nan)
    return np.stack([np.abs(mine), others, outside])


def _seeds(result: xr.Dataset, ends: list[GroupEnds]) -> Iterable[_Seed]:
    for s in np.flatnonzero(result["diverged_step"].values < 0):
        snapshot = Snapshot(*(result[name].values[s] for name in Snapshot._fields))
        specialists = is_specialist(snapshot.alignment, snapshot.weight_norm, snapshot.firing)
        switch = int(result["switch_step"].values[s])
        yield _Seed(int(s), result["step"].values, snapshot, specialists, switch, ends[s])


def _complete(seed: _Seed) -> bool:
    return all(seed.ends["all"][stage].step is not None for stage in STAGES)


def _record_at(seed: _Seed, step: int) -> int:
    return int(np.argmin(np.abs(seed.steps - step)))


def _reference_record(seed: _Seed, group: str) -> int:
    """Return the record of the group's T1, else the one nearest the switch of the thresholds, else the first."""
    t1 = seed.ends[group]["T1"].step
    if t1 is not None:
        return _record_at(seed, t1)
    return _record_at(seed, seed.switch_step) if seed.switch_step >= 0 else 0


def _projections_of(seed: _Seed, group: str, mask: np.ndarray, n_complement: int) -> tuple[np.ndarray, np.ndarray]:
    alignment = seed.snapshot.alignment
    of_class, own = neuron_classes(alignment[_reference_record(seed, group)], seed.specialists[-1], mask)
    return of_class, neuron_projections(alignment, seed.snapshot.residual_norm, own, n_complement)


def _n_complement(result: xr.Dataset) -> int:
    return results.config_of(result).data.token_dim - result.sizes["feature"]


def _empty_counts(result: xr.Dataset) -> dict[str, xr.Variable]:
    shape = (result.sizes["seed"], result.sizes["record"])

    def empty(*more: str) -> xr.Variable:
        return xr.Variable(("seed", "record", *more), np.full(shape + (len(GROUPS),) * len(more), np.nan, np.float32))

    grouped = {name: empty("group") for name in ("specialists", "coverage")}
    return grouped | {name: empty() for name in ("inactive", "mixed", "firing", "false_firing")}


def _count(counts: dict[str, xr.Variable], seed: _Seed, masks: dict[str, np.ndarray]) -> None:
    """Write one seed's curves into its row of `counts`."""
    s, snapshot = seed.place, seed.snapshot
    for name, mask in masks.items():
        of_group = seed.specialists[:, :, mask]
        counts["specialists"].values[s, :, GROUPS.index(name)] = of_group.sum(axis=(1, 2))
        counts["coverage"].values[s, :, GROUPS.index(name)] = of_group.any(axis=1).mean(axis=1)
    active = is_active(snapshot.weight_norm)
    counts["inactive"].values[s] = (~active).sum(axis=1)
    counts["mixed"].values[s] = (active & ~seed.specialists.any(axis=2)).sum(axis=1)
    counts["firing"].values[s] = snapshot.firing.mean(axis=1)
    counts["false_firing"].values[s] = snapshot.false_firing.mean(axis=1)


def _quantiles(pool: dict[tuple[str, str], list[np.ndarray]], n_records: int) -> dict[str, xr.Variable]:
    projection = np.full((len(GROUPS), len(CLASSES), len(DIRECTIONS), len(QUANTILES), n_records), np.nan, np.float32)
    size = np.full((len(GROUPS), len(CLASSES)), np.nan, np.float32)
    for (group, label), parts in pool.items():
        where = GROUPS.index(group), CLASSES.index(label)
        values = np.concatenate(parts, axis=-1)  # (direction, record, neuron of any seed)
        size[where] = values.shape[-1] / len(parts)
        if values.shape[-1]:
            projection[where] = np.quantile(values, QUANTILES, axis=-1).swapaxes(0, 1)
    return {
        "projection": xr.Variable(("group", "neuron_class", "direction", "quantile", "record"), projection),
        "class_size": xr.Variable(("group", "neuron_class"), size),
    }


def _kept(result: xr.Dataset, ends: list[GroupEnds]) -> dict[str, xr.Variable]:
    """Return what is kept of a result as it is, and the stage ends as an array."""
    diverged = result["diverged_step"].values
    stage_end = np.full((len(ends), len(STAGES), len(GROUPS)), np.nan)
    for s in np.flatnonzero(diverged < 0):
        for group, found in ends[s].items():
            for stage, end in found.items():
                stage_end[s, STAGES.index(stage), GROUPS.index(group)] = np.nan if end.step is None else end.step
    loss = np.where((diverged < 0)[:, None], result["loss"].values, np.nan)
    return {
        "loss": xr.Variable(("seed", "record"), loss),
        "stage_end": xr.Variable(("seed", "stage", "group"), stage_end),
        "switch_step": xr.Variable(("seed",), result["switch_step"].values),
        "diverged_step": xr.Variable(("seed",), diverged),
    }


def _labels(names: Iterable[str]) -> np.ndarray:
    return np.array(list(names), dtype=object)


def _coordinates(result: xr.Dataset) -> dict[str, tuple[str, np.ndarray]]:
    order = np.argsort(result["group"].values == "minority", kind="stable")
    return {
        "seed": ("seed", result["seed"].values),
        "step": ("record", result["step"].values),
        "group": ("group", _labels(GROUPS)),
        "neuron_class": ("neuron_class", _labels(CLASSES)),
        "direction": ("direction", _labels(DIRECTIONS)),
        "quantile": ("quantile", np.asarray(QUANTILES)),
        "stage": ("stage", _labels(STAGES)),
        "moment": ("moment", _labels(MOMENTS)),
        "feature": ("feature", order),
        "feature_group": ("feature", result["group"].values[order].astype(object)),
        "activation_probability": ("feature", result["activation_probability"].values[order]),
    }


def _with_cosine(curves: xr.Dataset, result: xr.Dataset, seed: _Seed | None) -> xr.Dataset:
    """Add the cosine matrices of one seed, all NaN where every seed diverged."""
    n_neurons, features = result.sizes["neuron"], curves["feature"].values
    cosine = np.full((len(MOMENTS), n_neurons, len(features)), np.nan, np.float32)
    steps = np.full(len(MOMENTS), np.nan)
    order, kind = np.arange(n_neurons), np.full(n_neurons, NEURON_KINDS.index("inactive"))
    if seed is not None:
        order, kind = _diagonal_order(seed, features)
        ends: list[float | None] = [seed.steps[0], *(seed.ends["all"][stage].step for stage in STAGES)]
        for k, step in enumerate(ends):
            if step is not None:
                snapshot = Snapshot(*(field[_record_at(seed, int(step))] for field in seed.snapshot))
                now = cosine_alignment(snapshot.alignment, snapshot.weight_norm)
                cosine[k] = np.round(now[order][:, features], COSINE_DECIMALS)
                steps[k] = step
    label = -1 if seed is None else int(result["seed"].values[seed.place])
    return curves.assign(
        cosine_at_end=(("moment", "neuron", "feature"), cosine), cosine_seed=((), np.int64(label))
    ).assign_coords(
        neuron=("neuron", order),
        neuron_kind=("neuron", _labels(NEURON_KINDS)[kind]),
        moment_step=("moment", steps),
    )


def _diagonal_order(seed: _Seed, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the neurons by kind, then by place of their best feature in `features`, and their kinds, (neuron,)."""
    last = Snapshot(*(field[-1] for field in seed.snapshot))
    active = is_active(last.weight_norm)
    kind = np.where(seed.specialists[-1].any(axis=1), 0, np.where(active, 1, 2))
    size = np.abs(last.alignment[:, features])
    # ties of kind and feature: the larger projection first
    order = np.lexsort((-np.max(size, axis=1), np.argmax(size, axis=1), kind))
    return order, kind[order]


def _compressed(curves: xr.Dataset) -> xr.Dataset:
    for name in ("projection", "cosine_at_end", "specialists", "coverage", "loss"):
        curves[name].encoding["zlib"] = True
    return curves
