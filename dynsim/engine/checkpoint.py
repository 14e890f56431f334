"""Checkpoint files of unfinished sets of runs, written with orbax.

A checkpoint is a folder `step_<number>` with the arrays and a `meta.json` that says which program and configuration
wrote it. It is written under another name and then renamed, and only then is the previous checkpoint removed. So the
last complete checkpoint is always there, even if the process is killed while it saves. `engine.resume` uses this.
"""

import hashlib
import os
import shutil
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from dynsim.config.checks import ConfigError
from dynsim.results.sealed import Json, ResultError, check_space, load_json, save_json

# Space required in addition to the arrays: orbax compresses these, but also writes indices and a few small files
SPARE_BYTES = 2**16
LEAVES, FILES = "leaves", "files"  # names in meta.json of `leaf_forms` and `file_digests`


class CheckpointError(ConfigError):
    """The checkpoint is damaged or does not fit the run. The message is one line."""


def fingerprint(config_hash: str) -> Json:
    """Return what must be the same as when the checkpoint was saved.

    Then a resumed run has the same bits as one that was never interrupted.
    """
    device = jax.devices()[0]
    return {
        "config_hash": config_hash,
        "jax": jax.__version__,
        "device": f"{device.platform} {device.device_kind}",
        "x64": bool(jax.dtypes.canonicalize_dtype(np.float64) == np.float64),
    }


def _steps(folder: Path) -> list[tuple[int, Path]]:
    """Return (number of updates, folder) of all checkpoints that have their final name, in increasing order."""
    names = [path for path in folder.glob("step_*") if path.name.removeprefix("step_").isdecimal()]
    return sorted((int(path.name.removeprefix("step_")), path) for path in names)


def save(folder: Path, n_done: int, tree: PyTree, meta: Json) -> None:
    """Save a pytree of arrays as the state after `n_done` updates, and remove older checkpoints.

    Args:
        folder: where the checkpoints of this set of runs are kept.
        n_done: number of updates made so far.
        tree: pytree of JAX or NumPy arrays.
        meta: JSON values to save with the arrays, among them those of `fingerprint`.

    Errors: `OSError` in one line if the arrays cannot be written, for instance on a full disk.
    """
    from orbax.checkpoint import v1 as ocp  # importing it takes over two seconds

    folder = Path(folder).absolute()
    final = folder / f"step_{n_done}"
    building = folder / f".building_{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    older = [path for _, path in _steps(folder)]
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    try:
        check_space(folder, size + SPARE_BYTES)
        ocp.save(building / "arrays", tree)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        raise
    except Exception as error:  # orbax raises errors of many kinds, with pages of text
        shutil.rmtree(building, ignore_errors=True)
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise OSError(f"{folder}: the checkpoint could not be written ({reason}); free space or take --out") from None
    save_json(meta | {LEAVES: leaf_forms(tree), FILES: file_digests(building / "arrays")}, building / "meta.json")
    if final.exists():  # this update has been saved before: keep that checkpoint
        shutil.rmtree(building)
        return
    building.rename(final)
    for path in older:
        shutil.rmtree(path, ignore_errors=True)


def file_digests(folder: Path) -> dict[str, str]:
    """Return {path within the folder: SHA-256} of all files in a folder. Orbax itself keeps no checksums."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def leaf_forms(tree: PyTree) -> dict[str, str]:
    """Return {position in the tree: dtype and shape} of a pytree of arrays."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(place): f"{leaf.dtype}{list(np.shape(leaf))}" for place, leaf in leaves}


def _check_form(path: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    """Raise `CheckpointError` for other arrays, shapes or dtypes, which orbax would convert or drop silently."""
    for place in [*wanted, *saved]:
        want, found = wanted.get(place, "nothing"), saved.get(place, "nothing")
        if found != want:
            raise CheckpointError(f"{path}: wanted {want} at {place}, got {found}; delete the folder and run again")


def latest(folder: Path) -> Path | None:
    """Return the newest complete checkpoint in the folder of a set of runs, or None."""
    whole = [path for _, path in _steps(Path(folder).absolute()) if (path / "meta.json").is_file()]
    return whole[-1] if whole else None


def load_meta(path: Path) -> Json:
    """Return the JSON values saved with a checkpoint. Errors: `CheckpointError` in one line if they are damaged."""
    try:
        meta = load_json(path / "meta.json")
        if {LEAVES, FILES} <= meta.keys():
            return meta
    except (ResultError, OSError):
        pass
    raise CheckpointError(f"{path}: damaged checkpoint (meta.json); delete the folder and run again")


def check_fingerprint(path: Path, wanted: Json) -> None:
    """Check that a checkpoint was written with the wanted configuration, JAX version, device and precision.

    Errors: `CheckpointError` in one line that names the first difference.
    """
    found = load_meta(path)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise CheckpointError(
                f"{path}: wanted a checkpoint with {name} {value!r}, got {found.get(name)!r}; "
                "resuming would give other numbers: delete the folder, or use the program and machine that wrote it"
            )


def load(path: Path, like: PyTree) -> PyTree:
    """Load a checkpoint into the structure, shapes and dtypes of `like`.

    Args:
        path: a checkpoint, as returned by `latest`.
        like: pytree of arrays or `jax.ShapeDtypeStruct`.

    Errors: `CheckpointError` in one line for a checkpoint that is damaged or holds other arrays.
    """
    from orbax.checkpoint import v1 as ocp

    meta = load_meta(path)
    if file_digests(path / "arrays") != meta[FILES]:
        raise CheckpointError(f"{path}: damaged checkpoint (its files changed); delete the folder and run again")
    _check_form(path, meta[LEAVES], leaf_forms(like))
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=place), like)
    try:
        return ocp.load(path / "arrays", target)
    except Exception as error:  # orbax raises errors of many kinds, with pages of text
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: damaged checkpoint ({reason}); delete the folder and run again") from None


def clear(folder: Path) -> None:
    """Remove all checkpoints of a set of runs, once it has finished."""
    shutil.rmtree(Path(folder), ignore_errors=True)
