"""Fetches an official CIFAR archive: with progress, resumed where it was cut, and checked before it gets its name.

    python -m dynsim.bridge.data.download cifar10

What has come so far is in a file that ends in `.part`. A later call goes on from there, if the server can do that, and
begins again if it cannot.
"""

import argparse
import contextlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tqdm.auto import tqdm

from dynsim.bridge.data.archives import check_unpacked, unpack
from dynsim.bridge.data.catalogue import DATA_SETS, Archive, data_set
from dynsim.bridge.data.digests import check_digest, file_digest
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.source import VARIABLE, data_folder

BLOCK = 2**18  # bytes that are read at a time
TIMEOUT = 30.0  # seconds without an answer
ATTEMPTS = 5  # times in a row that a connection may bring nothing
WAIT = 2.0  # seconds before the next attempt
CONNECTION = (OSError, http.client.HTTPException)  # errors of urllib are OSErrors
MISSING = {403, 404, 410}


def fetch(archive: Archive, folder: Path, *, wait: float = WAIT, show: bool = True) -> Path:
    """Fetch an archive into a folder and return its path; nothing is fetched if it is already there.

    Args:
        archive: what to fetch: its address, size and md5.
        folder: where it goes; made if it is not there.
        wait: seconds before a cut connection is tried again.
        show: show the progress on stderr.

    Errors: `DataError` in one line for wrong bytes, which are removed, and for a server that cannot be reached or
    keeps cutting the connection; what came is kept then. `OSError` in one line if the folder has no space.
    """
    path = folder / archive.file
    if path.is_file():
        check_digest(file_digest(path, "md5"), archive.md5, path, "remove it and fetch it again")
        return path
    part = path.with_name(f"{path.name}.part")
    with _one_line_about_space(path, archive.n_bytes):
        folder.mkdir(parents=True, exist_ok=True)
        if _size(part) > archive.n_bytes:  # of another archive
            part.unlink()
        need = archive.n_bytes - _size(part)
        if shutil.disk_usage(folder).free < need:
            raise OSError(f"{need / 1e6:,.1f} MB wanted")
    _fetch_all(archive, part, wait, show)
    try:
        check_digest(file_digest(part, "md5"), archive.md5, archive.address, "what came was removed; try again later")
    except DataError:
        part.unlink()
        raise
    os.replace(part, path)
    return path


def _fetch_all(archive: Archive, part: Path, wait: float, show: bool) -> None:
    """Fetch bytes until all are there, over as many connections as it takes."""
    most, failures = _size(part), 0
    options = {"unit": "B", "unit_scale": True, "unit_divisor": 1000, "disable": not show, "file": sys.stderr}
    with tqdm(total=archive.n_bytes, desc=archive.file, **options) as bar:
        while (have := _size(part)) < archive.n_bytes:
            bar.n = have
            bar.refresh()
            problem = _fetch_some(archive, part, bar)
            have = _size(part)
            most, failures = (have, 0) if have > most else (most, failures + 1)
            if failures >= ATTEMPTS:
                raise DataError(
                    f"{archive.address}: could not be fetched ({problem}); {have:,} of {archive.n_bytes:,} bytes"
                    " are there; run the same command again to go on"
                )
            if problem:
                time.sleep(wait)


def _fetch_some(archive: Archive, part: Path, bar: tqdm) -> str:
    """Fetch what is missing over one connection; return why it ended early, "" if it did not."""
    have = _size(part)
    request = urllib.request.Request(archive.address, headers={"User-Agent": "dynsim", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if not _goes_on(answer, have):
                have = bar.n = 0  # the server begins again
                _check_size(answer, archive)
            with _one_line_about_space(part, archive.n_bytes - have), open(part, "ab" if have else "wb") as file:
                return _copy(answer, file, archive.n_bytes - have, bar)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # what is here is no beginning of what is there
        if error.code in MISSING:
            raise DataError(f"{archive.address}: could not be fetched ({error}); get {archive.file} by hand") from None
        return str(error)
    except (_NoSpace, DataError):
        raise
    except CONNECTION as error:
        return " ".join(str(getattr(error, "reason", None) or error or type(error).__name__).split())


def _check_size(answer: http.client.HTTPResponse, archive: Archive) -> None:
    """Refuse an answer that says from the beginning that it is another file. Errors: `DataError`."""
    offered = answer.headers["Content-Length"]
    if offered is not None and offered != str(archive.n_bytes):
        raise DataError(f"{archive.address}: wanted {archive.n_bytes:,} bytes, but the server has a file of {offered}")


def _goes_on(answer: http.client.HTTPResponse, have: int) -> bool:
    """Return whether the server sends what comes after the first `have` bytes."""
    return answer.status == http.HTTPStatus.PARTIAL_CONTENT and str(answer.headers["Content-Range"]).startswith(
        f"bytes {have}-"
    )


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, most: int, bar: tqdm) -> str:
    """Copy at most `most` bytes and return why there were fewer, "" if there were not."""
    while most:
        try:
            content = answer.read(min(BLOCK, most))
        except CONNECTION as error:
            raise _Cut(error) from None
        if not content:
            return "the connection was cut"
        file.write(content)
        bar.update(len(content))
        most -= len(content)
    return ""


class _Cut(http.client.HTTPException):
    """The connection was cut: no error of the disk."""


class _NoSpace(OSError):
    """A file could not be written. The message is one line."""


@contextlib.contextmanager
def _one_line_about_space(path: Path, n_bytes: int) -> Iterator[None]:
    """Turn an error of the disk into one line that says how much space there is."""
    try:
        yield
    except OSError as error:
        free = ""
        with contextlib.suppress(OSError):
            free = f", {shutil.disk_usage(path.parent).free / 1e6:,.1f} MB free"
        reason = error.strerror or str(error)
        raise _NoSpace(
            f"{path}: could not be written ({reason}{free}); {n_bytes / 1e6:,.1f} MB are needed: free space, or choose"
            f" another folder with --folder or {VARIABLE}"
        ) from None


def _size(path: Path) -> int:
    """Return the size of a file, 0 if it is not there."""
    return path.stat().st_size if path.is_file() else 0


def download(name: str, folder: str | Path | None = None, *, show: bool = True) -> Path:
    """Fetch and unpack the official archive of a data set, and return the folder of its files.

    Args:
        name: "cifar10" or "cifar100".
        folder: where it goes; None for the folder in which data are looked for (`data_folder`).
        show: show the progress on stderr.

    Errors: as for `fetch` and `unpack`.
    """
    archive, place = data_set(name).archives[0], data_folder(folder)
    if (place / archive.folder).is_dir():
        check_unpacked(archive, place / archive.folder)
        return place / archive.folder
    return unpack(archive, fetch(archive, place, show=show), place)


def main(arguments: list[str] | None = None) -> None:
    """Fetch the data set that is named on the command line."""
    parser = argparse.ArgumentParser("python -m dynsim.bridge.data.download", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=list(DATA_SETS), help="the data set")
    parser.add_argument("--folder", help=f"where it goes (default: {VARIABLE}, else ../shared/data)")
    options = parser.parse_args(arguments)
    try:
        print(download(options.name, options.folder))
    except (DataError, OSError) as error:
        parser.exit(2, f"download: error: {error}\n")


if __name__ == "__main__":
    main()
