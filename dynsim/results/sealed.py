"""Files that are written whole or not at all, each with a SHA-256 of its content in it.

The digest is checked before anything else looks at a file, so that a flipped bit or a missing end is one line of error
and never another number. A sealed file stays an ordinary one: other programs open it, and it may be copied.

- JSON: the first line of the object is the key "sha256", over the text that follows that line.
- netCDF: a last line behind the end of the HDF5 data, where HDF5 does not look, over all bytes before it.

Everything is put together in memory first and then written by plain file operations, since HDF5 itself ends the process
when a disk is full.
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
ADVICE = "delete it and run the experiment again"


Json = dict[str, Any]
"""Plain values by name, as JSON has them."""


class ResultError(ValueError):
    """A result file that cannot be used; the message is one line."""


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary path)` in the folder of `path` and move the outcome there in one step.

    Errors: `OSError` in one line that names the file and the space left, for instance on a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path}: could not be written ({reason}{_space_left(path)}); free space or take --out") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _space_left(path: Path) -> str:
    """Return ", so much free there" where the system tells."""
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            return f", {shutil.disk_usage(folder).free / 1e6:,.1f} MB free"
    return ""


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically and have them on the disk before this returns."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    atomic_write(path, write)


def save_sealed(data: bytes, path: Path) -> None:
    """Write the bytes of a netCDF file with their digest behind them."""
    write_bytes(path, data + TRAILER + hashlib.sha256(data).hexdigest().encode() + b"\n")


def load_sealed(path: Path) -> bytes:
    """Return the bytes that `save_sealed` was given. Errors: `ResultError` in one line for any other file."""
    if not Path(path).is_file():
        raise ResultError(f"{path}: wanted a result file, found none; run the experiment first")
    whole = Path(path).read_bytes()
    data, end = whole[: -len(TRAILER) - HEX - 1], whole[-len(TRAILER) - HEX - 1 :]
    if end != TRAILER + hashlib.sha256(data).hexdigest().encode() + b"\n":
        raise ResultError(f"{path}: the file is damaged or not one of ours (its digest does not fit); {ADVICE}")
    return data


def save_json(values: Json, path: Path) -> None:
    """Save plain values as indented JSON with its digest, atomically; numbers that are not finite are refused."""
    if "sha256" in values:
        raise ValueError("values: wanted names other than sha256, which is that of the digest")
    rest = json.dumps(values, indent=1, allow_nan=False)[2:] + "\n"  # without "{" and the end of its line
    if not values:
        rest = "}\n"
    digest = hashlib.sha256(rest.encode()).hexdigest()
    write_bytes(path, f'{JSON_HEAD}{digest}"{"," if values else ""}\n{rest}'.encode())


def load_json(path: Path) -> Json:
    """Load what `save_json` wrote. Errors: `ResultError` in one line for a file that is missing or another one."""
    if not Path(path).is_file():
        raise ResultError(f"{path}: wanted a summary, found none; run the experiment without --redraw first")
    whole = Path(path).read_bytes()
    head, _, rest = whole.partition(b"\n")
    first, _, rest = rest.partition(b"\n")
    wanted = f'{JSON_HEAD}{hashlib.sha256(rest).hexdigest()}"'.encode()
    if head + b"\n" + first.removesuffix(b",") != wanted:
        raise ResultError(f"{path}: the file is damaged or not one of ours (its digest does not fit); {ADVICE}")
    values = json.loads(whole)
    del values["sha256"]
    return values
