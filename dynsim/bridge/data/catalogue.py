"""What is known about CIFAR-10 and CIFAR-100: sizes, files, where the official archives are, and their digests.

The addresses and the md5 of the archives are those of https://www.cs.toronto.edu/~kriz/cifar.html. The md5 of the files
inside are widely published; those of all binary files and of both lists of class names were also computed anew, from
files rebuilt byte for byte out of the mosaics. The sha256 belong to the mosaics (`dynsim/bridge/data/mosaics.py`).
"""

from typing import NamedTuple

from dynsim.bridge.data.images import DataError
from dynsim.config.checks import did_you_mean

PARTS = ("train", "test")
ADDRESS = "https://www.cs.toronto.edu/~kriz/"


class Archive(NamedTuple):
    """One official archive.

    Attributes:
        file: its name, also the end of its address.
        address: where it is fetched.
        n_bytes: its size.
        md5: its digest.
        folder: the folder that all its files lie in.
        members: by part, each file with images and its md5, in the order of the images.
        binary: records of fixed length, rather than the pickles of the python version.
    """

    file: str
    address: str
    n_bytes: int
    md5: str
    folder: str
    members: dict[str, dict[str, str]]
    binary: bool


class DataSet(NamedTuple):
    """One data set.

    Attributes:
        name: the word that a user types.
        title: its proper name.
        n_classes: number of classes.
        n_coarse: number of superclasses, 0 if there are none.
        sizes: number of images, by part.
        archives: the official archives, the preferred one first.
        mosaics: file and sha256 of the mosaics, by part.
    """

    name: str
    title: str
    n_classes: int
    n_coarse: int
    sizes: dict[str, int]
    archives: tuple[Archive, ...]
    mosaics: dict[str, tuple[str, str]]


SIZES = {"train": 50_000, "test": 10_000}

CIFAR10_PYTHON = Archive(
    file="cifar-10-python.tar.gz",
    address=ADDRESS + "cifar-10-python.tar.gz",
    n_bytes=170_498_071,
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    members={
        "train": {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
    },
    binary=False,
)
CIFAR10_BINARY = Archive(
    file="cifar-10-binary.tar.gz",
    address=ADDRESS + "cifar-10-binary.tar.gz",
    n_bytes=170_052_171,
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    members={
        "train": {
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        },
        "test": {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"},
    },
    binary=True,
)
CIFAR100_PYTHON = Archive(
    file="cifar-100-python.tar.gz",
    address=ADDRESS + "cifar-100-python.tar.gz",
    n_bytes=169_001_437,
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    members={
        "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
        "test": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    },
    binary=False,
)
CIFAR100_BINARY = Archive(
    file="cifar-100-binary.tar.gz",
    address=ADDRESS + "cifar-100-binary.tar.gz",
    n_bytes=168_513_733,
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    members={
        "train": {"train.bin": "6172c7755cfe09b2fe270c85cebc1b15"},
        "test": {"test.bin": "4499cfba6c016c1be1438163640a0898"},
    },
    binary=True,
)

DATA_SETS = {
    "cifar10": DataSet(
        name="cifar10",
        title="CIFAR-10",
        n_classes=10,
        n_coarse=0,
        sizes=SIZES,
        archives=(CIFAR10_PYTHON, CIFAR10_BINARY),
        mosaics={
            "train": ("cifar10_train.npz", "5314869114bff71fdd87cd0bc1788f8c7e4670ba4e6273423872c2df461f03f0"),
            "test": ("cifar10_test.npz", "047dc04f04c40b33ff7872c72d7b79379a26b3d284c45745e4cf34b7dde3258c"),
        },
    ),
    "cifar100": DataSet(
        name="cifar100",
        title="CIFAR-100",
        n_classes=100,
        n_coarse=20,
        sizes=SIZES,
        archives=(CIFAR100_PYTHON, CIFAR100_BINARY),
        mosaics={
            "train": ("cifar100_train.npz", "c05ceddb844255e8622ab4fafb2dd09031c47f975c6ec6b161b6104cacd74cdc"),
            "test": ("cifar100_test.npz", "0f33737d78838ab447bc7e2c02bc981b862c4e71f890751ca8ce3f02b8703c7c"),
        },
    ),
}


def data_set(name: str) -> DataSet:
    """Return a data set by its name. Errors: `DataError` for a name that is not in `DATA_SETS`."""
    if name not in DATA_SETS:
        raise DataError(f"data set: wanted {' or '.join(DATA_SETS)}, got {name!r}{did_you_mean(name, DATA_SETS)}")
    return DATA_SETS[name]


def check_part(part: str) -> None:
    """Refuse a part of a data set that is not in `PARTS`. Errors: `DataError`."""
    if part not in PARTS:
        raise DataError(f"part: wanted {' or '.join(PARTS)}, got {part!r}{did_you_mean(part, PARTS)}")
