"""Reads mosaics: CIFAR packed without loss, in half the space of the official archives.

A file is a `.npz` of NumPy with these arrays:

- `webp` (uint8): images in the lossless WebP format, one after the other. Each is a mosaic of 32 x 32 tiles in the
  order of the data set, row by row.
- `offset` (int64): mosaic i is the bytes from `offset[i]` to `offset[i + 1]` of `webp`.
- `label` and, for CIFAR-100, `coarse` (int64): class and superclass of each tile.
"""

import io
import itertools
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from dynsim.bridge.data.digests import check_digest, file_digest
from dynsim.bridge.data.images import CHANNELS, IMAGE_SIDE, DataError, ImageSet, image_set

LARGEST_SIDE = 4096  # pixels of a mosaic, per side


def read_mosaics(path: Path, n_classes: tuple[int, int], sha256: str = "", limit: int | None = None) -> ImageSet:
    """Read a file of mosaics.

    Args:
        path: the file.
        n_classes: number of classes and of superclasses.
        sha256: digest that the file must have; "" for a file of your own.
        limit: read no more than this many images, and decode only the mosaics that hold them.

    Errors: `DataError` in one line for a missing or damaged file, another digest, or labels out of range.
    """
    try:
        if sha256:
            check_digest(file_digest(path, "sha256"), sha256, path, "copy it again, or remove it and fetch the archive")
        with np.load(path, allow_pickle=False) as arrays:
            labels, offset, webp = arrays["label"], arrays["offset"], arrays["webp"].tobytes()
            coarse = arrays["coarse"] if n_classes[1] else None
        tiles, n_tiles = [], 0
        for begin, end in itertools.pairwise(offset.tolist()):
            if limit is not None and n_tiles >= limit:
                break
            tiles.append(_tiles(webp[begin:end]))
            n_tiles += len(tiles[-1])
        pixels = np.concatenate(tiles)
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: wanted a file of mosaics, got one that cannot be read ({reason})") from None
    # a cut goes through all arrays; without one each keeps its length, so that arrays that do not fit are refused
    return image_set(pixels[:limit], labels[:limit], None if coarse is None else coarse[:limit], n_classes, str(path))


def _tiles(webp: bytes) -> np.ndarray:
    """Return the tiles of one mosaic, shape (tile, 32, 32, 3). Errors: `ValueError` for another image."""
    with Image.open(io.BytesIO(webp), formats=("WEBP",)) as image:
        if max(image.size) > LARGEST_SIDE or image.size[0] % IMAGE_SIDE or image.size[1] % IMAGE_SIDE:
            raise ValueError(f"a mosaic of {image.size[0]} x {image.size[1]} pixels")
        pixels = np.asarray(image.convert("RGB"))
    rows, columns = pixels.shape[0] // IMAGE_SIDE, pixels.shape[1] // IMAGE_SIDE
    return (
        pixels.reshape(rows, IMAGE_SIDE, columns, IMAGE_SIDE, CHANNELS)
        .swapaxes(1, 2)
        .reshape(-1, IMAGE_SIDE, IMAGE_SIDE, CHANNELS)
    )
