"""Lists of images: a text file with the path and the label of one image per line. Images are decoded when asked for.

The published long-tailed sets of large images come as such lists: ImageNet-LT, Places-LT, iNaturalist 2018, and those
of SDCLR. A path is relative to a folder that the user names, the root. A list may be packed with gzip (`.txt.gz`).
"""

import gzip
import os
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from dynsim.bridge.data.images import DataError
from dynsim.config.checks import did_you_mean

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MOST_PIXELS = 100_000_000  # of one image
MOST_DIGITS = 9  # of a label


class ListedSet(NamedTuple):
    """A published set of images that comes as lists.

    Attributes:
        title: its proper name.
        n_classes: number of classes.
        lists: by part, the file name of the list and its number of images; 0 where the number is not published.
    """

    title: str
    n_classes: int
    lists: dict[str, tuple[str, int]]


IMAGE_LISTS = {
    "imagenet_lt": ListedSet(
        "ImageNet-LT",
        1000,
        {
            "train": ("ImageNet_LT_train.txt", 115_846),
            "val": ("ImageNet_LT_val.txt", 20_000),
            "test": ("ImageNet_LT_test.txt", 50_000),
        },
    ),
    "imagenet_100_lt": ListedSet(
        "ImageNet-100-LT",
        100,
        {
            "train": ("imageNet_100_LT_train.txt", 12_205),
            "balanced": ("imageNet_100_BL_train.txt", 12_200),
            "few_shot": ("imageNet_100_sub_balance_train_0.01.txt", 1_200),
            "val": ("ImageNet_100_val.txt", 2_000),
            "test": ("ImageNet_100_test.txt", 5_000),
        },
    ),
    "imagenet_lt_exp": ListedSet(
        "ImageNet-LT-exp",
        1000,
        {
            "train": ("imageNet_LT_exp_train.txt", 0),
            "balanced": ("imageNet_BL_exp_train.txt", 0),
            "val": ("ImageNet_LT_val.txt", 20_000),
            "test": ("ImageNet_LT_test.txt", 50_000),
        },
    ),
    "inaturalist_2018": ListedSet(
        "iNaturalist 2018",
        8142,
        {"train": ("iNaturalist18_train.txt", 437_513), "val": ("iNaturalist18_val.txt", 24_426)},
    ),
    "places_lt": ListedSet(
        "Places-LT",
        365,
        {
            "train": ("Places_LT_train.txt", 62_500),
            "val": ("Places_LT_val.txt", 7_300),
            "test": ("Places_LT_test.txt", 36_500),
        },
    ),
}


@dataclass(frozen=True)
class ImageList:
    """Paths and labels of images that are decoded one at a time.

    Attributes:
        root: the folder that the paths start from.
        paths: path of each image, relative to `root`.
        labels: class of each image, int64, shape (image,).
        n_classes: number of classes.
    """

    root: Path
    paths: tuple[str, ...]
    labels: np.ndarray
    n_classes: int

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def counts(self) -> np.ndarray:
        """Number of images of each class, shape (class,)."""
        return np.bincount(self.labels, minlength=self.n_classes)

    def decode(self, index: int) -> np.ndarray:
        """Return one image, uint8 of shape (height, width, 3). Errors: `DataError` if it cannot be decoded."""
        path = self.root / self.paths[index]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about transparency and odd metadata; size is checked below
                with Image.open(path, formats=IMAGE_FORMATS) as image:
                    if image.width * image.height > MOST_PIXELS:
                        raise ValueError(f"{image.width} x {image.height} pixels")
                    return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
            raise DataError(f"{path}: wanted an image ({', '.join(IMAGE_FORMATS)}), got none ({reason})") from None


def load_list(name: str, part: str, lists: str | Path, root: str | Path, *, check_files: bool = True) -> ImageList:
    """Read the list of a published set.

    Args:
        name: one of `IMAGE_LISTS`.
        part: one of its parts, such as "train".
        lists: the folder with its lists, under their published names, packed or not.
        root: the folder with the images.
        check_files: look whether each image is there.

    Errors: `DataError` in one line for another name or part, a missing list, a list of another length, and as for
    `read_list`.
    """
    if name not in IMAGE_LISTS:
        raise DataError(
            f"image list: wanted one of {', '.join(IMAGE_LISTS)}, got {name!r}{did_you_mean(name, IMAGE_LISTS)}"
        )
    listed = IMAGE_LISTS[name]
    if part not in listed.lists:
        raise DataError(f"part of {listed.title}: wanted one of {', '.join(listed.lists)}, got {part!r}")
    file, n_images = listed.lists[part]
    path = Path(lists) / file
    packed = path.with_name(f"{file}.gz")
    images = read_list(path if path.exists() or not packed.exists() else packed, root, listed.n_classes, check_files)
    if n_images and len(images) != n_images:
        raise DataError(f"{path}: wanted the {n_images:,} images of {listed.title}, got {len(images):,}; get it again")
    return images


def read_list(path: str | Path, root: str | Path, n_classes: int, check_files: bool = True) -> ImageList:
    """Read a list of your own: a path and a label on each line, with a space between.

    Args:
        path: the list.
        root: the folder that its paths start from.
        n_classes: number of classes; labels go from 0 to one less.
        check_files: look whether each image is there.

    Errors: `DataError` in one line for a missing list, a line of another form, a label out of range, a path that leaves
    the root, or missing images. Links inside the root are followed.
    """
    paths, labels = [], []
    for number, line in _lines(Path(path)):
        image, _, label = line.rpartition(" ") if " " in line else line.rpartition("\t")
        where = f"{path}, line {number}"
        if not image.strip() or not label.removeprefix("-").isdecimal():
            raise DataError(f"{where}: wanted a path and a label, got {line[:80]!r}")
        if len(label) > MOST_DIGITS or not 0 <= int(label) < n_classes:
            raise DataError(f"{where}: wanted a label from 0 to {n_classes - 1}, got {label[:20]}")
        if _leaves(image.strip()):
            raise DataError(f"{where}: wanted a path inside the folder of the images, got {image[:80]!r}")
        paths.append(image.strip())
        labels.append(int(label))
    if not paths:
        raise DataError(f"{path}: wanted a list of images, got an empty file")
    images = ImageList(Path(root), tuple(paths), np.array(labels, np.int64), n_classes)
    if check_files:
        _check_files(images)
    return images


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not empty."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield number, text
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a list of text lines"
        raise DataError(f"{path}: wanted a list of images, got none ({reason})") from None


def _leaves(path: str) -> bool:
    """Return whether a path of a list is absolute or leads upwards."""
    pure = PurePosixPath(path.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts or "\0" in path


def _check_files(images: ImageList) -> None:
    """Refuse a list whose images are not all there. Each folder is listed once: faster than a question per file."""
    by_folder = defaultdict(list)
    for path in images.paths:
        folder, name = os.path.split(path)
        by_folder[folder].append(name)
    missing = []
    for folder, names in by_folder.items():
        try:
            there = set(os.listdir(images.root / folder))
        except OSError:
            there = set()
        missing += [os.path.join(folder, name) for name in names if name not in there]
    if missing:
        raise DataError(
            f"{images.root}: wanted {len(images):,} images, {len(missing):,} are missing, first {missing[0]}; unpack"
            " the data set there or name the folder that its paths start from"
        )
