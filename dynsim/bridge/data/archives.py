"""Reads the official CIFAR archives, packed or unpacked, in the python and in the binary version.

Only files that `dynsim/bridge/data/catalogue.py` lists are looked at, and each is checked by its md5 before it is read.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from dynsim.bridge.data import pickles
from dynsim.bridge.data.catalogue import Archive, DataSet
from dynsim.bridge.data.digests import FETCH, check_digest, file_digest
from dynsim.bridge.data.images import CHANNELS, IMAGE_SIDE, DataError, ImageSet, image_set

PIXELS = IMAGE_SIDE * IMAGE_SIDE * CHANNELS
MOST_BYTES = 400_000_000  # of all files in an archive; the official ones have 190 MB at most
MOST_FILES = 100


def read_unpacked(data: DataSet, archive: Archive, part: str, folder: Path, limit: int | None = None) -> ImageSet:
    """Read a part of a data set from the folder that an archive was unpacked to.

    Args:
        data: the data set.
        archive: the archive.
        part: "train" or "test".
        folder: the folder with the archive's files.
        limit: read no more than this many images, and only the files that hold them.

    Errors: `DataError` in one line for a missing file, one with another md5, or one that does not hold such images.
    """
    contents = ((folder / file, _content(folder / file)) for file in archive.members[part])
    return _joined(data, archive, part, contents, folder, limit)


def read_packed(data: DataSet, archive: Archive, part: str, path: Path, limit: int | None = None) -> ImageSet:
    """Read a part of a data set out of a packed archive, in memory: nothing is written.

    The arguments and errors are those of `read_unpacked`, with `path` the archive.
    """
    check_digest(file_digest(path, "md5"), archive.md5, path)
    try:
        with tarfile.open(path, "r:gz") as tar:
            found = {PurePosixPath(member.name).name: member for member in checked_members(tar, archive, path)}
            _check_there(archive.members[part], found, path)
            contents = ((path, _member_content(tar, found[file])) for file in archive.members[part])
            return _joined(data, archive, part, contents, path, limit)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _unreadable(path, error) from None


def unpack(archive: Archive, path: Path, folder: Path) -> Path:
    """Unpack an official archive into a folder and return the folder of its files, `archive.folder` inside it.

    The md5 of the archive and the name, kind and size of everything in it are checked first. The files are written to a
    temporary folder, which gets its name when all are there.

    Errors: `DataError` in one line for another archive or one that holds anything but plain files in its own folder;
    `OSError` in one line where the files cannot be written. Nothing is left behind.
    """
    check_digest(file_digest(path, "md5"), archive.md5, path)
    target = folder / archive.folder
    temporary = None
    try:
        with tarfile.open(path, "r:gz") as tar:
            members = checked_members(tar, archive, path)
            for part in archive.members.values():
                _check_there(part, {PurePosixPath(member.name).name for member in members}, path)
            temporary = Path(tempfile.mkdtemp(prefix=f".{archive.folder}.", dir=folder))
            tar.extractall(temporary, members=members, filter="data")
        os.replace(temporary / archive.folder, target)
    except (tarfile.TarError, EOFError) as error:
        raise _unreadable(path, error) from None
    except OSError as error:
        raise OSError(f"{target}: could not be unpacked ({error.strerror or error}); free space or empty it") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def check_unpacked(archive: Archive, folder: Path) -> None:
    """Check the files in the folder that an archive was unpacked to.

    Errors: `DataError` in one line for a file that is missing or has another md5.
    """
    for members in archive.members.values():
        for file, md5 in members.items():
            found = file_digest(folder / file, "md5") if (folder / file).is_file() else "none"
            check_digest(found, md5, folder / file, f"remove the folder {folder} and fetch it again")


def checked_members(tar: tarfile.TarFile, archive: Archive, where: Path) -> list[tarfile.TarInfo]:
    """Return the files in a tar, if each is a plain file that lies directly in the archive's own folder.

    Errors: `DataError` in one line for a link, a device, a path that leaves the folder, or too many or too large files.
    """
    files, n_bytes = [], 0
    for member in tar:
        path = PurePosixPath(member.name)
        if member.isdir() and path == PurePosixPath(archive.folder):
            continue
        if not member.isreg() or path.is_absolute() or path.parts[:-1] != (archive.folder,) or path.name == "..":
            kind = "a plain file" if member.isreg() else "no plain file"
            raise DataError(
                f"{where}: wanted plain files in {archive.folder}/ only, got {member.name[:80]!r}, {kind}; {FETCH}"
            )
        files.append(member)
        n_bytes += member.size
        if n_bytes > MOST_BYTES or len(files) > MOST_FILES:
            raise DataError(f"{where}: wanted at most {MOST_FILES} files and {MOST_BYTES:,} bytes, got more; {FETCH}")
    return files


def _unreadable(path: Path, error: Exception) -> DataError:
    """Return the error for an archive that cannot be read."""
    return DataError(f"{path}: wanted a tar archive, got one that cannot be read ({error}); {FETCH}")


def _check_there(wanted: Iterable[str], found: Collection[str], where: Path) -> None:
    """Refuse an archive that lacks one of its files."""
    missing = [file for file in wanted if file not in found]
    if missing:
        raise DataError(f"{where}: wanted the file {missing[0]} in it, found none; {FETCH}")


def _content(path: Path) -> bytes:
    """Return the content of a file of an unpacked archive."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: wanted a file of the archive, got none ({error.strerror}); {FETCH}") from None


def _member_content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a plain file in a tar."""
    file = tar.extractfile(member)
    assert file is not None  # it is a plain file
    return file.read()


def _joined(
    data: DataSet,
    archive: Archive,
    part: str,
    contents: Iterator[tuple[Path, bytes]],
    where: Path,
    limit: int | None,
) -> ImageSet:
    """Return the images of the files whose path and content are given, one after the other, up to `limit`."""
    parts, n_images = [], 0
    for (file, md5), (path, content) in zip(archive.members[part].items(), contents, strict=True):
        place = path if path.name == file else f"{path}: {file}"
        check_digest(hashlib.md5(content, usedforsecurity=False).hexdigest(), md5, place)
        parts.append(parse_binary(content, data, place) if archive.binary else parse_python(content, data, place))
        n_images += len(parts[-1].pixels)
        if limit is not None and n_images >= limit:
            break
    coarse = [images.coarse for images in parts if images.coarse is not None]
    return image_set(
        np.concatenate([images.pixels for images in parts])[:limit],
        np.concatenate([images.labels for images in parts])[:limit],
        np.concatenate(coarse)[:limit] if coarse else None,
        (data.n_classes, data.n_coarse),
        str(where),
    )


def parse_binary(content: bytes, data: DataSet, where: object) -> ImageSet:
    """Return the images of a file of the binary version: records of one or two labels and the planes R, G and B.

    Errors: `DataError` for another size or labels out of range.
    """
    n_labels = 2 if data.n_coarse else 1
    records = np.frombuffer(content, np.uint8)
    if not len(records) or len(records) % (n_labels + PIXELS):
        raise DataError(f"{where}: wanted records of {n_labels + PIXELS} bytes, got {len(content):,} bytes; {FETCH}")
    records = records.reshape(-1, n_labels + PIXELS)
    coarse = records[:, 0] if data.n_coarse else None
    classes = (data.n_classes, data.n_coarse)
    return image_set(_to_rows(records[:, n_labels:]), records[:, n_labels - 1], coarse, classes, str(where))


def parse_python(content: bytes, data: DataSet, where: object) -> ImageSet:
    """Return the images of a file of the python version, a pickle that is read but never executed.

    Errors: `DataError` for a pickle that holds anything but such images, and for labels out of range.
    """
    batch = pickles.read(content, str(where))
    batch = {_text(key): value for key, value in batch.items()} if isinstance(batch, dict) else {}
    names = ("fine_labels", "coarse_labels") if data.n_coarse else ("labels",)
    columns = [batch.get(name) for name in names]
    pixels = batch.get("data")
    good = all(isinstance(column, list) and set(map(type, column)) == {int} for column in columns)
    if not good or not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (PIXELS,):
        raise DataError(f"{where}: wanted a dict with data and {' and '.join(names)}, got another; {FETCH}")
    try:
        labels = [np.asarray(column, np.int64) for column in columns]
    except OverflowError:
        raise DataError(f"{where}: wanted labels from 0 to {data.n_classes - 1}, got larger numbers; {FETCH}") from None
    classes = (data.n_classes, data.n_coarse)
    return image_set(_to_rows(pixels), labels[0], labels[1] if data.n_coarse else None, classes, str(where))


def _text(key: object) -> object:
    """Return a key as text: files written by Python 2 have bytes."""
    return key.decode("latin-1") if isinstance(key, bytes) else key


def _to_rows(planes: np.ndarray) -> np.ndarray:
    """Return images (image, height, width, channel) from their planes (image, channel * height * width)."""
    return np.ascontiguousarray(planes.reshape(-1, CHANNELS, IMAGE_SIDE, IMAGE_SIDE).transpose(0, 2, 3, 1))
