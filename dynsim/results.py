"""Labelled results: one xarray Dataset per run set, with configuration and provenance, saved atomically.

Dimensions are seed, record, neuron and feature. Coordinates: `step` (record), `group` and `activation_probability`
(feature). Files are netCDF-4 through h5netcdf; nothing in them is executed on loading.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from dynsim import config_json, theory
from dynsim.config import Config
from dynsim.measure import Snapshot

FORMAT = 1

SNAPSHOT_DIMS = {
    "alignment": ("neuron", "feature"),
    "weight_norm": ("neuron",),
    "residual_norm": ("neuron",),
    "threshold": ("neuron",),
    "firing": ("neuron",),
    "false_firing": ("neuron",),
}


class ResultError(ValueError):
    """A result file that cannot be used; the message is one line."""


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
            (token_dim, feature) and (neuron, token_dim) for `dictionary` and `weight`.
    """
    data = config.data
    fields = records._asdict() if hasattr(records, "_asdict") else dict(records)
    variables = {name: (_dims(name, np.ndim(value)), np.asarray(value)) for name, value in fields.items()}
    own = {
        "loss": ("seed", "record"),
        "positive_weight": ("seed", "record"),
        "dictionary": ("seed", "token_dim", "feature"),
        "weight": ("seed", "neuron", "token_dim"),
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


def _dims(name: str, n_axes: int) -> tuple[str, ...]:
    known = SNAPSHOT_DIMS.get(name, ())
    if len(known) != n_axes - 2:
        known = tuple(f"{name}_{axis}" for axis in range(n_axes - 2))
    return ("seed", "record", *known)


def config_of(result: xr.Dataset) -> Config:
    """Return the configuration that made a result."""
    return config_json.from_json(result.attrs["config"])


def provenance_of(result: xr.Dataset) -> dict[str, Any]:
    """Return command, commit, versions, device and times of a result."""
    return json.loads(result.attrs["provenance"])


def snapshot_of(result: xr.Dataset) -> Snapshot:
    """Return the recorded arrays of a result as a `Snapshot` with leading axes (seed, record)."""
    return Snapshot(*(result[name].values for name in Snapshot._fields))


def provenance() -> dict[str, Any]:
    """Return what one needs to make a result again: command, commit, dirty flag, versions, device."""
    device = jax.devices()[0]
    from importlib.metadata import version

    packages = ("jax", "jaxlib", "optax", "numpy", "xarray")
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "device": f"{device.platform} {device.device_kind}",
        "n_devices": len(jax.devices()),
        "x64": bool(jax.config.jax_enable_x64),
    }


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def atomic_write(path: Path, write: Any) -> None:
    """Call `write(temporary path)` in the folder of `path` and move the outcome there in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        write(Path(name))
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def save(result: xr.Dataset, path: Path) -> None:
    """Save a result; a reader sees the old file or the whole new one, never a part."""
    atomic_write(path, lambda temporary: result.to_netcdf(temporary, engine="h5netcdf"))


def save_json(values: dict[str, Any], path: Path) -> None:
    """Save plain values as indented JSON, atomically; numbers that are not finite are refused."""
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    atomic_write(path, lambda temporary: temporary.write_text(text))


def load(path: Path) -> xr.Dataset:
    """Load a result.

    Errors: `ResultError` in one line for a file that is missing, damaged, unfinished or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise ResultError(f"{path}: wanted a result file, found none; run the experiment first")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            result = opened.load()
    except Exception as error:  # h5py, h5netcdf and xarray raise many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ResultError(f"{path}: not a readable netCDF-4 file ({reason}); delete it and run again") from None
    if result.attrs.get("dynsim_format") != FORMAT:
        found = result.attrs.get("dynsim_format", "none")
        raise ResultError(f"{path}: wanted a dynsim result of format {FORMAT}, found format {found}; run again")
    if result.attrs.get("finished") != 1:
        raise ResultError(f"{path}: the run that wrote this did not finish; run the same command again to go on")
    config_of(result)
    return result
