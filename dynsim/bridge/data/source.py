"""Finds CIFAR-10 and CIFAR-100 on this machine and reads them, whichever form they are in.

The folder is the one that is given, or that of the environment variable `DYNSIM_DATA`, or `../shared/data` beside the
repository. In it, the first of these is read: mosaics (`cifar10_train.npz`), an unpacked official archive
(`cifar-10-batches-py/` or `cifar-10-batches-bin/`), a packed one (`cifar-10-python.tar.gz`, `cifar-10-binary.tar.gz`).
All give the same images in the same order, so published lists of indices fit each of them.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dynsim.bridge.data.archives import read_packed, read_unpacked
from dynsim.bridge.data.catalogue import DataSet, check_part, data_set
from dynsim.bridge.data.images import DataError, ImageSet
from dynsim.bridge.data.mosaics import read_mosaics

VARIABLE = "DYNSIM_DATA"
DEFAULT_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data"


def data_folder(folder: str | Path | None = None) -> Path:
    """Return the folder of the image data: the given one, else that of `DYNSIM_DATA`, else `../shared/data`."""
    return Path(folder or os.environ.get(VARIABLE) or DEFAULT_FOLDER).expanduser()


def load_images(name: str, part: str, folder: str | Path | None = None, limit: int | None = None) -> ImageSet:
    """Read a part of CIFAR-10 or CIFAR-100, in the original order.

    Args:
        name: "cifar10" or "cifar100".
        part: "train" (50,000 images) or "test" (10,000).
        folder: where the data are; None for the default, see above.
        limit: read only the first so many images, which is faster.

    Errors: `DataError` in one line for data that are not there or not the published ones.
    """
    check_part(part)
    if limit is not None and limit < 1:
        raise DataError(f"limit: wanted at least 1 image, got {limit}")
    data = data_set(name)
    reader = next((read for place, read in _readers(data, part, data_folder(folder), limit) if place.exists()), None)
    if reader is None:
        raise DataError(_absent(data, part, data_folder(folder)))
    images = reader()
    wanted = data.sizes[part] if limit is None else min(limit, data.sizes[part])
    if len(images.pixels) != wanted:
        raise DataError(f"{name}: wanted {wanted:,} images to {part}, got {len(images.pixels):,}")
    return images


def why_absent(name: str, folder: str | Path | None = None) -> str:
    """Return in one line that a data set is not there and how to get it, "" if both its parts are."""
    data, place = data_set(name), data_folder(folder)
    for part in data.sizes:
        if not any(path.exists() for path, _ in _readers(data, part, place, None)):
            return _absent(data, part, place)
    return ""


def _readers(
    data: DataSet, part: str, folder: Path, limit: int | None
) -> Iterator[tuple[Path, Callable[[], ImageSet]]]:
    """Yield each place where a part may be, in the order of preference, and how it is read from there."""
    file, sha256 = data.mosaics[part]
    mosaics = folder / file
    yield mosaics, partial(read_mosaics, mosaics, (data.n_classes, data.n_coarse), sha256, limit)
    for archive in data.archives:
        unpacked = folder / archive.folder
        yield unpacked, partial(read_unpacked, data, archive, part, unpacked, limit)
    for archive in data.archives:
        packed = folder / archive.file
        yield packed, partial(read_packed, data, archive, part, packed, limit)


def _absent(data: DataSet, part: str, folder: Path) -> str:
    """Return in one line that a part of a data set is not there, where it was looked for and how to get it."""
    archive = data.archives[0]
    places = f"neither {data.mosaics[part][0]} nor {archive.folder}/ nor {archive.file}"
    return (
        f"{folder}: wanted {data.title}, found {places}; set {VARIABLE} to a folder that has it, or fetch it:"
        f" python -m dynsim.bridge.data.download {data.name}"
    )
