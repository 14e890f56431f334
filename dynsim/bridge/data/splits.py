"""Long-tailed subsets of a balanced data set: which images are in them.

One shuffled list of images per class makes three nested sets: the long-tailed set D_i takes the first n_c images of
class c, the balanced set D_b of nearly the same size takes equally many of each class, and the few-shot set S_b takes
1 % of the largest class from each. So where a set has more images of a class than another, it has those of the other
too. Two conventions are in use:

- SDCLR and its followers (`held_out=0.1, shuffled=True`): a tenth of each class is held out for validation, so that the
  largest class of CIFAR-10 has 4,500 images, that of CIFAR-100 450; which class is frequent differs between splits.
- Supervised work (`held_out=0, shuffled=False`): all images, 5,000 and 500; class 0 is the most frequent one.

The SDCLR splits themselves are read by `released_split`. Random numbers are those of NumPy's `RandomState`, which never
change; with the convention of supervised work the images are those of the usual generator with the same seed.
"""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dynsim.bridge.data.catalogue import data_set
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.profiles import class_counts

FEW_SHOT = 0.01
VALIDATION_SEED = 0  # all splits of a data set hold out the same images
RELEASED = range(1, 6)
RELEASED_FILES = {
    # name: folder of the train and validation lists, folder of the splits, beginning of the files' names
    "cifar10": ("cifar10", "cifar10_imbSub_with_subsets", ""),
    "cifar100": ("cifar100", "cifar100_imbSub_with_subsets", "cifar100_"),
}


class NestedSets(NamedTuple):
    """Indices of the images of three nested sets: class after class, each in the order of its list."""

    long_tailed: np.ndarray
    balanced: np.ndarray
    few_shot: np.ndarray


class Split(NamedTuple):
    """A long-tailed subset and what belongs to it. All but `counts` are indices of images in the full training set.

    Attributes:
        counts: number of images of each class in `long_tailed`, shape (class,).
        train: images that the sets were drawn from, sorted: all but the held-out ones.
        validation: held-out images, sorted; empty if none are held out.
        long_tailed: D_i, what is trained on.
        balanced: D_b, a balanced set of nearly the same size.
        few_shot: S_b, equally few labelled images of each class.
    """

    counts: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    long_tailed: np.ndarray
    balanced: np.ndarray
    few_shot: np.ndarray


def nested_sets(class_lists: list[np.ndarray], counts: np.ndarray, n_few_shot: int) -> NestedSets:
    """Return the nested sets of one list of images per class.

    Args:
        class_lists: the shuffled images of each class.
        counts: number of images of each class in the long-tailed set, shape (class,).
        n_few_shot: number of images of each class in the few-shot set. Where it is more than a class has in the
            long-tailed set, the few-shot set holds images that are not in the latter.

    Errors: `DataError` if a list is too short.
    """
    wanted = np.stack([counts, np.full_like(counts, counts.sum() // len(counts)), np.full_like(counts, n_few_shot)])
    for label, (images, most) in enumerate(zip(class_lists, wanted.max(axis=0), strict=True)):
        if len(images) < most:
            raise DataError(
                f"class {label}: wanted {most} images, got {len(images)}; take a smaller largest class or imbalance"
            )
    return NestedSets(
        *(np.concatenate([images[:n] for images, n in zip(class_lists, sizes, strict=True)]) for sizes in wanted)
    )


def make_split(
    labels: np.ndarray,
    *,
    seed: int,
    imbalance_factor: float = 100.0,
    profile: str = "exponential",
    held_out: float = 0.1,
    shuffled: bool = True,
    few_shot: float = FEW_SHOT,
) -> Split:
    """Draw a long-tailed subset.

    Args:
        labels: class of each image of the full training set, which has equally many of each, shape (image,).
        seed: number of the split.
        imbalance_factor: size of the largest class divided by that of the smallest.
        profile: "exponential" or "pareto" (`dynsim/bridge/data/profiles.py`).
        held_out: share of each class that is kept for validation.
        shuffled: draw which class has which rank; otherwise class 0 is the most frequent.
        few_shot: size of each class of the few-shot set, relative to the largest class.

    Errors: `DataError` in one line for options that make no such set.
    """
    n_classes, n_max = _check_options(labels, seed, held_out, few_shot)
    validation = _held_out(labels, n_classes, held_out)
    train = np.setdiff1d(np.arange(len(labels)), validation)
    n_max -= len(validation) // n_classes
    by_rank = class_counts(profile, n_classes, n_max, imbalance_factor)
    random = np.random.RandomState(seed)
    ranked = random.permutation(n_classes) if shuffled else np.arange(n_classes)
    counts = np.zeros_like(by_rank)
    counts[ranked] = by_rank
    class_lists = [train[labels[train] == label] for label in range(n_classes)]
    for images in class_lists:
        random.shuffle(images)
    return Split(counts, train, validation, *nested_sets(class_lists, counts, _share(n_max, few_shot)))


def _check_options(labels: np.ndarray, seed: int, held_out: float, few_shot: float) -> tuple[int, int]:
    """Return the number of classes and the images of each; refuse options that make no split."""
    sizes = np.bincount(labels)
    if len(sizes) < 2 or len(set(sizes.tolist())) > 1:
        raise DataError(
            f"labels: wanted equally many images of each of at least 2 classes, got {sizes.min()} to {sizes.max()}"
        )
    if not 0 <= seed < 2**32:
        raise DataError(f"seed: wanted a whole number from 0 to 2^32 - 1, got {seed}")
    if not 0 <= held_out < 1:
        raise DataError(f"held out: wanted a share from 0 to below 1, got {held_out}")
    if not 0 <= few_shot <= 1:
        raise DataError(f"few-shot set: wanted a share from 0 to 1, got {few_shot}")
    return len(sizes), int(sizes[0])


def _share(n: int, share: float) -> int:
    """Return a share of n, without its fraction; rounding takes nothing from a whole number."""
    return math.floor(n * share + 1e-9)


def _held_out(labels: np.ndarray, n_classes: int, share: float) -> np.ndarray:
    """Return the images that are kept for validation, equally many of each class: the same for every split."""
    random = np.random.RandomState(VALIDATION_SEED)
    chosen = [np.zeros(0, np.int64)]
    for label in range(n_classes):
        images = np.flatnonzero(labels == label)
        chosen.append(random.permutation(images)[: _share(len(images), share)])
    return np.sort(np.concatenate(chosen))


def released_split(name: str, number: int, labels: np.ndarray, folder: Path) -> Split:
    """Read one of the five splits that were released with SDCLR, for CIFAR-10 or CIFAR-100 at imbalance factor 100.

    Args:
        name: "cifar10" or "cifar100".
        number: 1 to 5.
        labels: class of each image of the full training set, in the original order, shape (image,).
        folder: the folder with the released files (there called `split`), ordered as they were released.

    Errors: `DataError` in one line for a missing or damaged file.
    """
    if number not in RELEASED:
        raise DataError(f"split: wanted 1 to {len(RELEASED)}, got {number}")
    n_classes = data_set(name).n_classes
    lists, sets, begin = RELEASED_FILES[name]
    files = [Path(lists, f"{begin}{part}IdxList.npy") for part in ("train", "val")]
    files += [Path(sets, f"{begin}split{number}_{one}.npy") for one in ("D_i", "D_b", "S_b")]
    digests = _published_digests(folder)
    train, validation, *nested = (_read_indices(folder, file, len(labels), digests) for file in files)
    counts = np.bincount(labels[nested[0]], minlength=n_classes)
    return Split(counts, np.sort(train), np.sort(validation), *nested)


def _published_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file in the list `SHA256SUMS`, empty if there is no such list."""
    path = folder / "SHA256SUMS"
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {"/".join(Path(row[1]).parts[-2:]): row[0] for row in rows if len(row) == 2}


def _read_indices(folder: Path, file: Path, n_images: int, digests: dict[str, str]) -> np.ndarray:
    """Return the indices in one file, each of an image and none twice."""
    path = folder / file
    try:
        wanted = digests.get(file.as_posix())
        if wanted and hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise DataError(f"{path}: wanted the digest {wanted}; the file is damaged: copy it again")
        indices = np.load(path, allow_pickle=False)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no array of NumPy"
        raise DataError(f"{path}: wanted the indices of a released split, got none ({reason})") from None
    good = isinstance(indices, np.ndarray) and indices.ndim == 1 and indices.dtype.kind in "iu"
    if not good or np.any((indices < 0) | (indices >= n_images)) or len(np.unique(indices)) != len(indices):
        raise DataError(f"{path}: wanted indices from 0 to {n_images - 1}, none twice, got others")
    return indices.astype(np.int64)
