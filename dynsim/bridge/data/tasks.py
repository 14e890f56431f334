"""A task: the images to train on without labels, and the labelled ones by which the encoder is judged."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dynsim.bridge.data.generated import generated_images
from dynsim.bridge.data.groups import groups_by_rank
from dynsim.bridge.data.images import DataError, ImageSet
from dynsim.bridge.data.source import data_folder, load_images
from dynsim.bridge.data.splits import Split, make_split, released_split
from dynsim.bridge.options.images import LongTail

GENERATED_PER_CLASS = {"train": 60, "test": 30}


class LabelledImages(NamedTuple):
    """Images with labels: uint8 pixels of shape (image, side, side, 3), labels of shape (image,)."""

    pixels: np.ndarray
    labels: np.ndarray


class Task(NamedTuple):
    """The images of one run."""

    pretraining: LabelledImages
    """Images to train on; their labels are for measurement only."""
    probe: LabelledImages
    """All labelled images to train the linear probe on."""
    few_shot: LabelledImages
    """Few labelled images, equally many of each class."""
    validation: LabelledImages
    """Images to choose an epoch of the probe with; where none are held out, there are none."""
    test: LabelledImages
    counts: np.ndarray
    """Images of each class in the long-tailed set, shape (class,), even where training is on the balanced one."""
    groups: np.ndarray
    """many, medium or few, of each class."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)


def make_task(options: LongTail, seed: int, folder: Path | None = None) -> Task:
    """Return the images of the run with this seed.

    Args:
        folder: where the data are, see `source.data_folder`; not used for generated images.

    Errors: `DataError` in one line where data are missing or a split cannot be made.
    """
    images, test = _image_sets(options, folder)
    split = _split(options, images, seed, folder)
    if not len(split.few_shot):
        raise DataError(f"few_shot: wanted at least one image of each class, got {options.few_shot:g} of the largest")
    chosen = split.balanced if options.balanced else split.long_tailed
    labelled = _at_most(split.train, images.labels, options.labelled)

    def part(indices: np.ndarray) -> LabelledImages:
        return LabelledImages(images.pixels[indices], images.labels[indices])

    return Task(
        pretraining=part(chosen),
        probe=part(labelled),
        few_shot=part(split.few_shot),
        validation=part(split.validation),
        test=LabelledImages(test.pixels, test.labels),
        counts=split.counts,
        groups=groups_by_rank(split.counts),
    )


def _image_sets(options: LongTail, folder: Path | None) -> tuple[ImageSet, ImageSet]:
    """Return the full training set and the test set."""
    if options.images == "generated":
        train, test = (generated_images(n, seed=k) for k, n in enumerate(GENERATED_PER_CLASS.values()))
        return train, test
    return load_images(options.images, "train", folder), load_images(options.images, "test", folder)


def _split(options: LongTail, images: ImageSet, seed: int, folder: Path | None) -> Split:
    if options.split == "released":
        return released_split(options.images, seed % 5 + 1, images.labels, data_folder(folder) / "sdclr_splits")
    return make_split(
        images.labels,
        seed=seed,
        imbalance_factor=options.imbalance,
        profile=options.profile,
        held_out=options.held_out,
        shuffled=options.shuffled,
        few_shot=options.few_shot,
    )


def _at_most(images: np.ndarray, labels: np.ndarray, most: int | None) -> np.ndarray:
    """Return the first `most` images of each class; all with None."""
    if most is None:
        return images
    return np.sort(np.concatenate([images[labels[images] == label][:most] for label in np.unique(labels[images])]))
