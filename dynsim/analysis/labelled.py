"""What the analysis finds in a result, as labelled arrays: stage ends, specialists, purity.

`analysis.stages` and `theory.specialists` say what a stage end and a specialist are. A run that diverged keeps its
place on the seed axis, and its values are NaN. `result` is always a Dataset of `simulate` or `load`, whole or cut; if
one seed was selected from it, it is taken as a result of one seed.
"""

import numpy as np
import xarray as xr

from dynsim.analysis import summary
from dynsim.analysis.groups import group_masks, minority_mask
from dynsim.analysis.stages import STAGES
from dynsim.config.checks import require
from dynsim.theory.specialists import Snapshot, is_specialist, purity

SEED_ADVICE = "take it from a whole result, before other dimensions are selected or averaged"


def whole(result: xr.Dataset, names: tuple[str, ...] = Snapshot._fields) -> xr.Dataset:
    """Return the result with a seed axis, after checking that the variables `names` and their axes are there.

    Errors: `ConfigError` in one line for a result without them, as a record function of the user's own may make it.
    """
    missing = [name for name in names if name not in result]
    advice = "a record function of your own has to return them beside its own (engine.snapshot.recorder)"
    require(not missing, "record", f"variables {', '.join(names)}", f"none named {', '.join(missing)}", advice)
    lost = [dim for dim in ("record", "neuron", "feature") if dim not in result["alignment"].dims]
    require(not lost, "result", "dimensions record, neuron and feature", f"none named {', '.join(lost)}", SEED_ADVICE)
    return result if "seed" in result.dims else result.expand_dims("seed")


def _named(data: xr.Dataset, words: dict[str, tuple[str, str]]) -> xr.Dataset:
    for name, (long_name, units) in words.items():
        data[name].attrs = {"long_name": long_name, "units": units}
    return data


def _axes(result: xr.Dataset, *names: str) -> dict[str, xr.Variable]:
    """Return coordinates of a result that its analysis keeps."""
    return {name: result[name].variable for name in names if name in result.coords}


def stages_of(result: xr.Dataset, **options: float) -> xr.Dataset:
    """Return the stage ends T1, T2 and T3 of every seed and group of features.

    Args:
        options: covered, tolerance, norm_floor of `stages.find_stages`.

    Returns:
        Variables (seed, group, stage): `step`, NaN where the stage was not found; `after`, the record before it, so
        that the end lies in (after, step]; `reason`, why it was not found, "" where it was.
    """
    result = whole(result, (*Snapshot._fields, "diverged_step"))
    ends = summary.all_stage_ends(result, **options)
    found = list(ends[0])
    shape = (len(ends), len(found), len(STAGES))
    step, after = np.full(shape, np.nan), np.full(shape, np.nan)
    reason = np.full(shape, "", object)
    for place in np.ndindex(shape):
        end = ends[place[0]][found[place[1]]][STAGES[place[2]]]
        reason[place] = end.reason
        if end.step is not None:
            step[place], after[place] = end.step, end.evidence["after"]
    dims = ("seed", "group", "stage")
    data = {"step": (dims, step), "after": (dims, after), "reason": (dims, reason)}
    coords = _axes(result, "seed") | {"group": ("group", found), "stage": ("stage", list(STAGES))}
    words = {
        "step": ("step at which the stage ends", "steps"),
        "after": ("step of the record before the end of the stage", "steps"),
        "reason": ("why the end of the stage was not found", "1"),
        "group": ("group of features", "1"),
        "stage": ("stage of training", "1"),
    }
    return _named(xr.Dataset(data, coords), words)


def specialists_of(result: xr.Dataset, **options: float) -> xr.Dataset:
    """Return who is a specialist for which feature, and how many each group of features has, at every record.

    Args:
        options: min_purity, min_firing, norm_floor of `theory.specialists.is_specialist`.

    Returns:
        `is_specialist` (seed, record, neuron, feature), Boolean; `count` and `coverage` (seed, record, group): the
        number of specialists of the group, and the share of its features that have one.
    """
    result = whole(result)
    names = ("alignment", "weight_norm", "firing")
    seen = [result[name].transpose("seed", "record", "neuron", ...).values for name in names]
    alignment, norm, firing = seen
    found = is_specialist(alignment, norm, firing, **options)
    finite = np.logical_and.reduce([np.isfinite(part).reshape(*part.shape[:2], -1).all(axis=2) for part in seen])
    masks = group_masks(minority_mask(result))
    count = np.stack([found[..., mask].sum(axis=(2, 3)) for mask in masks.values()], axis=2).astype(float)
    coverage = np.stack([found[..., mask].any(axis=2).mean(axis=2) for mask in masks.values()], axis=2)
    count[~finite], coverage[~finite] = np.nan, np.nan
    data = {
        "is_specialist": (("seed", "record", "neuron", "feature"), found),
        "count": (("seed", "record", "group"), count),
        "coverage": (("seed", "record", "group"), coverage),
    }
    group = result["group"]
    coords = _axes(result, "seed", "step", "neuron", "feature") | {
        "group": ("group", list(masks)),
        "feature_group": (group.dims, group.values),
    }
    words = {
        "is_specialist": ("whether the neuron is a specialist for the feature", "1"),
        "count": ("number of specialists", "neurons"),
        "coverage": ("share of the features with a specialist", "1"),
        "group": ("group of features", "1"),
        "feature_group": ("group of the feature", "1"),
    }
    return _named(xr.Dataset(data, coords), words)


def purity_of(result: xr.Dataset) -> xr.DataArray:
    """Return the purity of every neuron, (seed, record, neuron): its largest |cosine| with a feature (theory 5.5)."""
    result = whole(result, ("alignment", "weight_norm"))
    axes = "seed", "record", "neuron", ...
    alignment, norm = (result[name].transpose(*axes).values for name in ("alignment", "weight_norm"))
    attrs = {"long_name": "purity of a neuron, its largest |cosine| with a feature", "units": "1"}
    coords = _axes(result, "seed", "step", "neuron")
    return xr.DataArray(purity(alignment, norm), coords, ("seed", "record", "neuron"), "purity", attrs)
