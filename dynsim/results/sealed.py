"""Sealed files: written completely or not at all, with a SHA-256 digest of their content inside.

Loading checks the digest first. So a damaged file gives an error of one line and never a wrong number. For other
programs a sealed file is an ordinary JSON or netCDF file:

- JSON: the first key of the object is "sha256", on a line of its own. Its value is the digest of the text after that
  line.
- netCDF: after the end of the HDF5 data, where HDF5 does not look, there is a line with the digest of all bytes before.

The content is built in memory and then written with plain file operations. HDF5 itself would end the process on a full
disk.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAILER = b"\ndynsim sha256 "
JSON_HEAD = '{\n "sha256": "'
HEX = 64
ZEROS = 2**22  # bytes that `check_space` writes at a time
ADVICE = "delete it and run the experiment again"


Json = dict[str, Any]
"""A JSON object: plain values by name."""


class ResultError(ValueError):
    """A result cannot be used. The message is one line."""


def atomic_write(path: Path, write: Callable[[Path], object], n_bytes: int | None = None) -> None:
    """Write a file under a temporary name and then rename it, so that it is never half written.

    Args:
        path: the file.
        write: writes the content to the temporary path that it is given, which is in the same folder.
        n_bytes: size of the file for the error message, if known.

    Errors: `OSError` in one line if the file cannot be written, for instance on a full disk. It names the file, the
    space it needs and the space that is free.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise not_written(path, error, n_bytes) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def not_written(path: Path, error: OSError, n_bytes: int | None) -> OSError:
    """Return an `OSError` of one line for a file or folder that could not be written.

    Args:
        path: the file or folder.
        error: what the system said.
        n_bytes: space needed, if known.
    """
    wanted = "" if n_bytes is None else f", {n_bytes / 1e6:,.1f} MB wanted"
    free = ""
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            free = f", {shutil.disk_usage(folder).free / 1e6:,.1f} MB free"
            break
    reason = error.strerror or str(error)
    return OSError(f"{path}: could not be written ({reason}{wanted}{free}); free space or take --out")


def check_space(folder: Path, n_bytes: int) -> None:
    """Check that a folder has space for `n_bytes`, by writing that many zeros there and removing them.

    This is done before calling a library that answers a full disk with pages of text.

    Errors: `OSError` in one line, as for `atomic_write`.
    """
    probe = folder / f".space.{os.getpid()}"
    try:
        with open(probe, "wb") as file:
            for begin in range(0, n_bytes, ZEROS):
                file.write(bytes(min(ZEROS, n_bytes - begin)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise not_written(folder, error, n_bytes) from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically (see `atomic_write`), and return only when they are on the disk."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    atomic_write(path, write, len(data))


def save_sealed(data: bytes, path: Path) -> None:
    """Write the bytes of a netCDF file, followed by their digest, atomically."""
    write_bytes(path, data + TRAILER + hashlib.sha256(data).hexdigest().encode() + b"\n")


def load_sealed(path: Path) -> bytes:
    """Return the bytes that `save_sealed` was given.

    Errors: `ResultError` in one line for a file that is missing, damaged or not written by `save_sealed`.
    """
    if not Path(path).is_file():
        raise ResultError(f"{path}: wanted a result file, found none; run the experiment first")
    whole = Path(path).read_bytes()
    data, end = whole[: -len(TRAILER) - HEX - 1], whole[-len(TRAILER) - HEX - 1 :]
    if end != TRAILER + hashlib.sha256(data).hexdigest().encode() + b"\n":
        raise ResultError(f"{path}: the file is damaged or not written by dynsim (its digest does not fit); {ADVICE}")
    return data


def save_json(values: Json, path: Path) -> None:
    """Save plain values as indented JSON with a digest, atomically.

    Errors: `ValueError` for numbers that are not finite and for a value named sha256; `OSError` as for `atomic_write`.
    """
    if "sha256" in values:
        raise ValueError("values: wanted no value named sha256, since the digest has that name")
    rest = json.dumps(values, indent=1, allow_nan=False)[2:] + "\n"  # without the first line, which is "{"
    if not values:
        rest = "}\n"
    digest = hashlib.sha256(rest.encode()).hexdigest()
    write_bytes(path, f'{JSON_HEAD}{digest}"{"," if values else ""}\n{rest}'.encode())


def load_json(path: Path) -> Json:
    """Load what `save_json` wrote.

    Errors: `ResultError` in one line for a file that is missing, damaged or not written by `save_json`.
    """
    if not Path(path).is_file():
        raise ResultError(f"{path}: wanted a summary, found none; run the experiment without --redraw first")
    whole = Path(path).read_bytes()
    head, _, rest = whole.partition(b"\n")
    first, _, rest = rest.partition(b"\n")
    comma = "" if rest == b"}\n" else ","
    wanted = f'{JSON_HEAD}{hashlib.sha256(rest).hexdigest()}"{comma}'.encode()
    if head + b"\n" + first != wanted:
        raise ResultError(f"{path}: the file is damaged or not written by dynsim (its digest does not fit); {ADVICE}")
    values = json.loads(whole)
    del values["sha256"]
    return values
