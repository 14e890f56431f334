"""Files that are written completely or not at all, and that contain a SHA-256 digest of their own content.

The digest is checked before anything else reads the file, so that a flipped bit or a missing end gives an error of one
line and never a wrong number. Such a sealed file is still an ordinary JSON or netCDF file for other programs.

- JSON: the first key of the object, on a line of its own, is "sha256"; the digest is that of the text after that line.
- netCDF: a line with the digest of all bytes before it follows the end of the HDF5 data, where HDF5 does not look.

The content is put together in memory and then written by plain file operations, since HDF5 itself would end the process
on a full disk.
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
ZEROS = 2**22  # bytes at a time
ADVICE = "delete it and run the experiment again"


Json = dict[str, Any]
"""Plain values by name, as JSON has them."""


class ResultError(ValueError):
    """A result file that cannot be used; the message is one line."""


def atomic_write(path: Path, write: Callable[[Path], object], n_bytes: int | None = None) -> None:
    """Call `write(temporary path)` in the folder of `path` and move the outcome there in one step.

    Args:
        n_bytes: size of the file, where it is known, for the message.

    Errors: `OSError` in one line with the file, and the space that it wants and that is left, for instance on a full
    disk.
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
    """Return the error in one line of a file or folder that could not be written; arguments as for `atomic_write`."""
    wanted = "" if n_bytes is None else f", {n_bytes / 1e6:,.1f} MB wanted"
    free = ""
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            free = f", {shutil.disk_usage(folder).free / 1e6:,.1f} MB free"
            break
    reason = error.strerror or str(error)
    return OSError(f"{path}: could not be written ({reason}{wanted}{free}); free space or take --out")


def check_space(folder: Path, n_bytes: int) -> None:
    """Refuse to begin what needs `n_bytes` in a folder, by writing as many zeros there and removing them.

    For what is written by a library that meets a full disk with pages of text. Errors: as for `atomic_write`.
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
    """Write bytes atomically, and return only when they are on the disk."""

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
    """Return the bytes that `save_sealed` was given. Errors: `ResultError` in one line for any other or no file."""
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
        raise ValueError("values: wanted no value named sha256, which is the name of the digest")
    rest = json.dumps(values, indent=1, allow_nan=False)[2:] + "\n"  # without the first line, which is "{"
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
    comma = "" if rest == b"}\n" else ","
    wanted = f'{JSON_HEAD}{hashlib.sha256(rest).hexdigest()}"{comma}'.encode()
    if head + b"\n" + first != wanted:
        raise ResultError(f"{path}: the file is damaged or not one of ours (its digest does not fit); {ADVICE}")
    values = json.loads(whole)
    del values["sha256"]
    return values
