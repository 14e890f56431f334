"""Labelled results: one xarray Dataset per run set, with configuration and provenance, saved atomically.

Dimensions are seed, record, neuron and feature. Coordinates: `step` (record), `group` and `activation_probability`
(feature). Files are netCDF-4 through h5netcdf; nothing in them is executed on loading.
"""

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from dynsim import config_json, theory
from dynsim.config import Config
from dynsim.files import (  # noqa: F401
    ADVICE,
    ResultError,
    atomic_write,
    load_json,
    load_sealed,
    save_json,
    save_sealed,
)

FORMAT = 1

SNAPSHOT_DIMS = {
    "alignment": ("neuron", "feature"),
    "weight_norm": ("neuron",),
    "residual_norm": ("neuron",),
    "threshold": ("neuron",),
    "firing": ("neuron",),
    "false_firing": ("neuron",),
    "self_weight": (),
    "kept": ("neuron",),
}


def to_dataset(
    config: Config,
    seeds: np.ndarray,
    steps: np.ndarray,
    records: Any,
    per_seed: dict[str, np.ndarray],
    provenance: dict[str, Any],
) -> xr.Dataset:
    """Join records into one labelled Dataset.

    Args:
        seeds: shape (seed,); steps: shape (record,), numbers of updates.
        records: a NamedTuple or dictionary of arrays with axes (seed, record, ...).
        per_seed: further arrays whose first axis is the seed; two more axes are (record,) for losses, and
            (token_dim, feature) and (neuron, token_dim) for `dictionary` and `weight`; `bias` is (neuron,) and
            `attention` (three, token_dim, token_dim_in), of W_Q, W_K, W_V.
    """
    data = config.data
    fields = records._asdict() if hasattr(records, "_asdict") else dict(records)
    sizes = {"neuron": config.encoder.n_neurons, "feature": data.n_features}
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
    group = np.where(theory.is_minority(data), "minority", "majority").astype(object)
    coords = {
        "seed": np.asarray(seeds, np.int64),
        "step": ("record", np.asarray(steps, np.int64)),
        "group": ("feature", group),
        "activation_probability": ("feature", theory.activation_probability(data)),
    }
    attrs = {
        "dynsim_format": FORMAT,
        "finished": 1,
        "config": config_json.to_json(config),
        "provenance": json.dumps(provenance, sort_keys=True),
    }
    return xr.Dataset(variables, coords, attrs)


def _dims(name: str, shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[str, ...]:
    known = SNAPSHOT_DIMS.get(name, ())
    if tuple(sizes[dim] for dim in known) != shape[2:]:  # a record of the user's own
        known = tuple(f"{name}_{axis}" for axis in range(len(shape) - 2))
    return ("seed", "record", *known)


def config_of(result: xr.Dataset) -> Config:
    """Return the configuration that made a result. Errors: `ResultError` for several joined ones."""
    return config_json.from_json(_text_of(result, "config"))


def provenance_of(result: xr.Dataset) -> dict[str, Any]:
    """Return command, commit, versions, device and times of a result. Errors: as for `config_of`."""
    return json.loads(_text_of(result, "provenance"))


def _text_of(result: xr.Dataset, name: str) -> Any:
    """Return the JSON of one attribute; of what `concat` joined, that of the part which has been selected."""
    if f"{name}s" not in result.attrs:
        return result.attrs[name]
    dim, names = json.loads(result.attrs["joined"])
    if dim not in result.coords or result[dim].ndim:
        raise ResultError(
            f"{name}: wanted one result, got several joined; select one, as with .sel({dim}={names[0]!r})"
        )
    return json.dumps(json.loads(result.attrs[f"{name}s"])[names.index(result[dim].item())])


def provenance() -> dict[str, Any]:
    """Return what one needs to make a result again: command, commit, dirty flag, code, versions, device.

    `dirty` says whether committed files of dynsim/ or experiments/ have been changed, `code` is `CODE`.
    """
    device = jax.devices()[0]
    from importlib.metadata import version

    packages = ("jax", "jaxlib", "optax", "numpy", "xarray")
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "dynsim", "experiments")),
        "code": CODE,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "device": f"{device.platform} {device.device_kind}",
        "n_devices": len(jax.devices()),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "x64": has_x64(),
    }


def code_digest(folder: Path) -> str:
    """Return a short SHA-256 of all Python sources of a folder and the folders in it, relative paths included."""
    digest = hashlib.sha256()
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    for name in sorted(found):
        source = found[name].read_bytes()
        digest.update(f"{name}\0{len(source)}\0".encode() + source)  # the length: no text can pass for a border
    return digest.hexdigest()[:16]


CODE = code_digest(Path(__file__).parent)
"""Digest of the sources of dynsim, taken when they were imported: a later edit is not what ran."""


def has_x64() -> bool:
    """Return whether JAX keeps float64 as it is."""
    return bool(jax.dtypes.canonicalize_dtype(np.float64) == np.float64)


def _git(*arguments: str) -> str:
    here = Path(__file__).parent.parent  # the root of the repository
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def save(result: xr.Dataset, path: Path) -> None:
    """Save a result with its digest; a reader sees the old file or the whole new one, never a part."""
    save_sealed(bytes(result.to_netcdf(engine="h5netcdf")), path)


def _axis(names: Sequence[object], dim: str) -> np.ndarray:
    """Return the names of joined results as a coordinate: texts, or numbers; one kind throughout."""
    texts = all(isinstance(name, str) for name in names)
    numbers = all(isinstance(name, int | float) and not isinstance(name, bool) for name in names)
    if not names or not (texts or (numbers and np.all(np.isfinite(np.asarray(names, float))))):
        kinds = ", ".join(sorted({type(name).__name__ for name in names})) or "none"
        raise ResultError(f"{dim}: wanted names that are all texts or all finite numbers, got {kinds}")
    return np.asarray(names)


def concat(named: Mapping[Any, xr.Dataset], dim: str) -> xr.Dataset:
    """Join results of several run sets along a new named dimension.

    Args:
        named: results with equal seeds, records, neurons and features; the names become the coordinate: all of them
            texts, or all of them numbers, which make a numeric axis.
        dim: name of the new dimension.

    Returns:
        One Dataset; configurations and provenances are kept as JSON lists in the attributes `configs` and
        `provenances`, in the order of `dim`. `config_of` works again once one entry of `dim` is selected.
    Errors:
        `ResultError` in one line for names of other kinds, results whose axes differ, or joined ones.
    """
    axis = xr.Variable(dim, _axis(list(named), dim))
    parts = list(named.values())
    # what depends on the configuration, such as the activation probability, gets the new dimension too
    own = [
        name
        for name in parts[0].coords
        if name not in parts[0].dims and any(not parts[0][name].equals(part[name]) for part in parts)
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
    return joined.assign_attrs(
        dynsim_format=FORMAT, finished=1, joined=json.dumps([dim, axis.values.tolist()]), **lists
    )


def load(path: Path) -> xr.Dataset:
    """Load a result.

    Errors: `ResultError` in one line for a file that is missing, damaged, unfinished or not one of ours.
    """
    data = load_sealed(path)
    try:
        with xr.open_dataset(io.BytesIO(data), engine="h5netcdf") as opened:
            result = opened.load()
    except Exception as error:  # h5py, h5netcdf and xarray raise many kinds for what is no netCDF
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ResultError(f"{path}: not a readable netCDF-4 file ({reason}); {ADVICE}") from None
    found = str(result.attrs.get("dynsim_format", "none"))
    if found != str(FORMAT):
        raise ResultError(f"{path}: wanted a dynsim result of format {FORMAT}, found format {found}; run again")
    if str(result.attrs.get("finished")) != "1":
        raise ResultError(f"{path}: the run that wrote this did not finish; run the same command again to go on")
    try:
        parts = [result]
        if "configs" in result.attrs:
            dim, names = json.loads(result.attrs["joined"])
            parts = [xr.Dataset(coords={dim: name}, attrs=result.attrs) for name in names]
        for part in parts:
            config_of(part), provenance_of(part)
    except (LookupError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: no valid configuration or provenance in it ({error}); run again") from None
    return result


def save_many(named: dict[str, xr.Dataset], path: Path) -> None:
    """Save several Datasets in one file with its digest, one netCDF group each."""
    # "/" would nest groups: names are kept as an attribute
    groups = {f"part{k}": result.assign_attrs(name=name) for k, (name, result) in enumerate(named.items())}
    save_sealed(bytes(xr.DataTree.from_dict(groups).to_netcdf(engine="h5netcdf")), path)


def load_many(path: Path) -> dict[str, xr.Dataset]:
    """Load what `save_many` wrote. Errors: `ResultError` in one line, as for `load`."""
    data = load_sealed(path)
    try:
        with xr.open_datatree(io.BytesIO(data), engine="h5netcdf") as opened:
            parts = {name: part.load().to_dataset() for name, part in opened.children.items()}
        loaded = [parts[f"part{k}"] for k in range(len(parts))]
        return {result.attrs.pop("name"): result for result in loaded}
    except (OSError, KeyError, ValueError) as error:
        raise ResultError(f"{path}: not a readable file of this experiment ({error}); {ADVICE}") from None
