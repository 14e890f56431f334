"""Encoders and their masks as safetensors files, which other programs read too.

The arrays have torchvision's names (`torch_names`). The file's metadata say in JSON under the key "dynsim" what it is,
the shape of the network, and a SHA-256 digest of all of that and of every array. A mask lies in a file of its own,
beside that of its encoder, and holds the encoder's digest, so that no mask is taken for that of another encoder.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from dynsim.bridge.data.images import DataError
from dynsim.bridge.networks.network import Tree
from dynsim.bridge.networks.torch_names import from_torchvision, mask_from_torchvision, to_torchvision
from dynsim.bridge.options.network import NetworkShape
from dynsim.config.checks import ConfigError
from dynsim.results.sealed import write_bytes

KEY = "dynsim"
ENCODER_KIND, MASK_KIND = "encoder, version 1", "mask, version 1"
SAVE_AGAIN = "save it again with save_safetensors"
Arrays = dict[str, np.ndarray]


class SavedEncoder(NamedTuple):
    """What `load_safetensors` returns."""

    shape: NetworkShape
    """The network of the file: one batch-norm set and no head."""
    params: Tree
    """Its parameters."""
    stats: Tree
    """Its running statistics."""
    mask: Tree | None
    """Which of its weights are kept, True, and None for arrays without a mask; None if no mask was saved."""


def encoder_shape(shape: NetworkShape) -> NetworkShape:
    """Return the shape of the encoder alone: one batch-norm set, no head."""
    return dataclasses.replace(shape, norm_sets=1, head_layers=0, head_width=None)


def mask_path(path: Path) -> Path:
    """Return where the mask of an encoder lies: beside encoder.safetensors it is encoder.mask.safetensors."""
    return path.with_suffix(f".mask{path.suffix}")


def save_safetensors(
    path: Path, shape: NetworkShape, params: Tree, stats: Tree, *, norm_set: int = 0, mask: Tree | None = None
) -> None:
    """Save the encoder of a network with one of its batch-norm sets, and its mask in a file beside it.

    Args:
        path: the file, for instance encoder.safetensors; the mask goes to `mask_path(path)`. What is there is
            replaced, and without a mask that of an earlier encoder is removed.
        shape, params, stats: the network. The weights are saved as they are, without the mask applied.
        norm_set: which batch-norm set is saved.
        mask: as from `lowest_mask` of `prunable(params)`, or None.

    Errors: `OSError` in one line if a file cannot be written.
    """
    about = {"kind": ENCODER_KIND, "shape": dataclasses.asdict(encoder_shape(shape))}
    digest = _write(path, about, to_torchvision(params, stats, norm_set))
    if mask is None:
        mask_path(path).unlink(missing_ok=True)
    else:
        _write(mask_path(path), {"kind": MASK_KIND, "encoder": digest}, to_torchvision(mask, {}))


def load_safetensors(path: Path) -> SavedEncoder:
    """Load an encoder, and its mask if there is one.

    Errors: `DataError` in one line for a file that is missing, damaged, changed, or not from `save_safetensors`.
    """
    about, arrays = _read(path, ENCODER_KIND)
    given: dict[str, Any] = {
        n: tuple(value) if isinstance(value, list) else value for n, value in about["shape"].items()
    }
    try:
        shape = NetworkShape(**given)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from None
    params, stats = from_torchvision(arrays, shape, str(path))
    mask, beside = None, mask_path(path)
    if beside.exists():
        about_mask, arrays = _read(beside, MASK_KIND)
        if about_mask["encoder"] != about["sha256"]:
            raise DataError(f"{beside}: wanted the mask of {path.name}, got that of another encoder; {SAVE_AGAIN}")
        mask = mask_from_torchvision(arrays, shape, str(beside))
    return SavedEncoder(shape, params, stats, mask)


def load_torchvision(path: Path, shape: NetworkShape) -> SavedEncoder:
    """Load an encoder that another program saved as a safetensors file, with torchvision's names; without a mask.

    A file of PyTorch (.pth) is a pickle, which could run any code: there, `safetensors.torch.save_file` makes a
    safetensors file of a model's `state_dict`. The classifier in it is not read.

    Args:
        shape: that of the network; its head and second batch-norm set are left out.

    Errors: `DataError` in one line for a file that is missing, of another kind, or of another architecture.
    """
    wanted = f"{path}: wanted a safetensors file with torchvision's names"
    if not path.is_file():
        raise DataError(f"{wanted}, found none; save a state_dict with safetensors.torch.save_file")
    try:
        arrays = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, ValueError, TypeError):
        raise DataError(f"{wanted}, got another one; save a state_dict with safetensors.torch.save_file") from None
    alone = encoder_shape(shape)
    return SavedEncoder(alone, *from_torchvision(arrays, alone, str(path)), None)


def _digest(about: dict[str, Any], arrays: Arrays) -> str:
    """Return the SHA-256 digest of a description and of names, types, shapes and bytes of arrays."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write(path: Path, about: dict[str, Any], arrays: Arrays) -> str:
    """Write a file and return its digest."""
    digest = _digest(about, arrays)
    text = json.dumps({**about, "sha256": digest}, sort_keys=True)
    write_bytes(path, safetensors.numpy.save(arrays, metadata={KEY: text}))
    return digest


def _read(path: Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """Return the description and the arrays of a file whose digest fits and which is of this kind."""
    if not path.is_file():
        raise DataError(f"{path}: wanted a safetensors file, found none; {SAVE_AGAIN}")
    foreign = f"{path}: wanted a file of save_safetensors ({kind}), got another one or a damaged one; {SAVE_AGAIN}"
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get(KEY, "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except (safetensors.SafetensorError, ValueError, TypeError):
        raise DataError(foreign) from None
    if not isinstance(about, dict) or about.get("kind") != kind:
        raise DataError(foreign)
    if _digest({name: value for name, value in about.items() if name != "sha256"}, arrays) != about.get("sha256"):
        raise DataError(f"{path}: the file was changed after it was saved (its digest does not fit); {SAVE_AGAIN}")
    return about, arrays
