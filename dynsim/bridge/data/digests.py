"""Digests of files, and the error where one is not the published one."""

import hashlib
from pathlib import Path

from dynsim.bridge.data.images import DataError

FETCH = "remove it and fetch the archive again: python -m dynsim.bridge.data.download"


def file_digest(path: Path, kind: str) -> str:
    """Return the md5 or sha256 (`kind`) of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def check_digest(found: str, wanted: str, where: object, advice: str = FETCH) -> None:
    """Refuse a digest that is not the published one. Errors: `DataError`, which begins with `where`."""
    if found != wanted:
        raise DataError(
            f"{where}: wanted the digest {wanted}, got {found}: the file is damaged, incomplete or another; {advice}"
        )
