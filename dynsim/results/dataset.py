"""Labelled results: one xarray Dataset per set of runs, which also holds its configuration and its provenance.

The provenance says how a result was made: command, commit, versions, device. The dimensions of a result are seed,
record, neuron and feature. Its coordinates are `step` (record), the number of updates at each record, and `group` and
`activation_probability` (feature). `results.files` saves and loads results.
"""

import functools
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from dynsim.config import Config, serial
from dynsim.results.labels import labelled
from dynsim.results.sealed import Json, ResultError

FORMAT = 1

# Every file and figure asks for these. Equal configurations have one text, and none can be changed: all may have the
# same one.
_text_from = functools.lru_cache(maxsize=512)(serial.to_json)
_config_from = functools.lru_cache(maxsize=512)(serial.from_json)

SNAPSHOT_DIMS = {
    "alignment": ("neuron", "feature"),
    "weight_norm": ("neuron",),
    "residual_norm": ("neuron",),
    "threshold": ("neuron",),
    "firing": ("neuron",),
    "false_firing": ("neuron",),
    "self_weight": (),
    "kept": ("neuron",),
    "probe_few": ("feature",),
    "probe_many": ("feature",),
}


@runtime_checkable
class Groups(Protocol):
    """The properties of the features that label a result; arrays of shape (feature,)."""

    @property
    def minority(self) -> np.ndarray:
        """Booleans: which features are in the minority."""

    @property
    def activation_probability(self) -> np.ndarray:
        """Probability that each feature is active in a sample."""


def to_dataset(
    config: Config,
    groups: Groups,
    seeds: np.ndarray,
    steps: np.ndarray,
    records: Any,
    per_seed: Mapping[str, np.ndarray],
    provenance: Json,
) -> xr.Dataset:
    """Join the records of a set of runs into one labelled Dataset.

    Args:
        config: what was run.
        groups: the properties of its features; see `theory.feature_groups`.
        seeds: the seeds, shape (seed,).
        steps: the number of updates at each record, shape (record,).
        records: a NamedTuple or dictionary of arrays with axes (seed, record, ...).
        per_seed: other arrays, whose first axis is the seed. Further axes are (record,) for `loss` and
            `positive_weight`, (token_dim, feature) for `dictionary`, (neuron, token_dim) for `weight`, (neuron,) for
            `bias`, and (three, token_dim, token_dim_in) for `attention`, which holds W_Q, W_K and W_V.
        provenance: how the result was made; JSON values.
    """
    fields = records._asdict() if hasattr(records, "_asdict") else dict(records)
    sizes = {"neuron": config.encoder.n_neurons, "feature": config.data.n_features}
    variables = {name: (_dims(name, np.shape(value), sizes), np.asarray(value)) for name, value in fields.items()}
    own = {
        "loss": ("seed", "record"),
        "positive_weight": ("seed", "record"),
        "dictionary": ("seed", "token_dim", "feature"),
        "weight": ("seed", "neuron", "token_dim"),
        "bias": ("seed", "neuron"),
        "attention": ("seed", "three", "token_dim", "token_dim_in"),
    }
    variables |= {name: (own.get(name, ("seed",)), np.asarray(value)) for name, value in per_seed.items()}
    group = np.where(groups.minority, "minority", "majority").astype(object)
    coords = {
        "seed": np.asarray(seeds, np.int64),
        "step": ("record", np.asarray(steps, np.int64)),
        "group": ("feature", group),
        "activation_probability": ("feature", groups.activation_probability),
    }
    attrs = {
        "dynsim_format": FORMAT,
        "finished": 1,
        "config": _text_from(config),
        "provenance": json.dumps(provenance, sort_keys=True),
    }
    return labelled(xr.Dataset(variables, coords, attrs))


def _dims(name: str, shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[str, ...]:
    known = SNAPSHOT_DIMS.get(name, ())
    if tuple(sizes[dim] for dim in known) != shape[2:]:  # a record of the user's own
        known = tuple(f"{name}_{axis}" for axis in range(len(shape) - 2))
    return ("seed", "record", *known)


def config_of(result: xr.Dataset) -> Config:
    """Return the configuration that made a result.

    Errors: `ResultError` in one line for several joined results, unless one of them is selected.
    """
    return _config_from(_text_of(result, "config"))


def provenance_of(result: xr.Dataset) -> Json:
    """Return how a result was made: command, commit, versions, device and times. Errors: as for `config_of`."""
    return json.loads(_text_of(result, "provenance"))


def _text_of(result: xr.Dataset, name: str) -> str:
    """Return the JSON text of one attribute; for joined results (`concat`), that of the selected one."""
    if f"{name}s" not in result.attrs:
        text = result.attrs[name]
        if not isinstance(text, str):
            raise ResultError(f"{name}: wanted JSON text, got {type(text).__name__}; run again")
        return text
    dim, names = json.loads(result.attrs["joined"])
    if dim not in result.coords or result[dim].ndim:
        raise ResultError(
            f"{name}: wanted one result, got several joined; select one, as with .sel({dim}={names[0]!r})"
        )
    return json.dumps(json.loads(result.attrs[f"{name}s"])[names.index(result[dim].item())])


def _axis(names: Sequence[object], dim: str) -> np.ndarray:
    """Return the names of joined results as a coordinate. They must be all strings or all numbers."""
    plain = [name.item() if isinstance(name, np.generic) else name for name in names]
    texts = all(isinstance(name, str) for name in plain)
    numbers = all(isinstance(name, int | float) and not isinstance(name, bool) for name in plain)
    if not plain or not (texts or (numbers and bool(np.all(np.isfinite(np.asarray(plain, float)))))):
        kinds = ", ".join(sorted({type(name).__name__ for name in plain})) or "none"
        raise ResultError(f"{dim}: wanted names that are all strings or all finite numbers, got {kinds}")
    axis = np.asarray(plain)
    if axis.dtype.kind not in "Uif" or axis.tolist() != plain:  # NumPy rounds large integers and drops final zero bytes
        raise ResultError(f"{dim}: wanted names that an array holds exactly, got {str(plain)[:60]}")
    return axis


def concat(named: Mapping[Hashable, xr.Dataset], dim: str) -> xr.Dataset:
    """Join the results of several sets of runs along a new dimension.

    Args:
        named: results by name, with equal seeds, records, neurons and features. The names become the coordinate of the
            new dimension; they are all strings or all numbers.
        dim: name of the new dimension.

    Returns:
        One Dataset. Its attributes `configs` and `provenances` are JSON lists of those of the parts, in the order of
        `dim`. After selecting one entry of `dim`, `config_of` and `provenance_of` return those of that part.
    Errors:
        `ResultError` in one line for names of other kinds, for results whose axes differ, and for results that are
        joined already.
    """
    axis = xr.Variable(dim, _axis(list(named), dim))
    parts = list(named.values())
    # coordinates that differ between the parts, such as the activation probability, get the new dimension too
    own = [
        name
        for name in parts[0].coords
        if name not in parts[0].dims and any(not parts[0][name].variable.equals(part[name].variable) for part in parts)
    ]
    try:
        joined = xr.concat(
            [part.reset_coords(own) for part in parts],
            axis,
            data_vars="all",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="drop",
        )
    except ValueError as error:  # xarray's alignment errors are of this kind
        raise ResultError(f"{dim}: wanted results with equal axes, got others ({str(error).splitlines()[0]})") from None
    lists = {f"{n}s": json.dumps([json.loads(_text_of(part, n)) for part in parts]) for n in ("config", "provenance")}
    return labelled(joined).assign_attrs(
        dynsim_format=FORMAT, finished=1, joined=json.dumps([dim, axis.values.tolist()]), **lists
    )
