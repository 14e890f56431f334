"""The real CIFAR-10 and CIFAR-100, where they are at hand: from files to a long-tailed set."""

import hashlib
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from dynsim.bridge.data.archives import read_unpacked
from dynsim.bridge.data.catalogue import DATA_SETS
from dynsim.bridge.data.groups import groups_by_rank
from dynsim.bridge.data.source import data_folder, load_images, why_absent
from dynsim.bridge.data.splits import make_split, released_split
from tests.cifar_files import binary_records

# digests of all pixels, which belong to the copy of the data that the mosaics were made from
PIXELS = {
    ("cifar10", "train"): "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    ("cifar10", "test"): "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    ("cifar100", "train"): "4e457917601a66aed021f5fa37957b56c6319557c0a8ed5484de3c390af45430",
    ("cifar100", "test"): "4cb8e5d9309da489bf6b19cc10cd96c3ae6f8daf225380b605aaee4c0d6aee19",
}
MAP = (Path(__file__).parents[2] / "dynsim" / "README.md").read_text(encoding="utf-8")
MEANS = {"cifar10": [0.4914, 0.4822, 0.4465], "cifar100": [0.5071, 0.4865, 0.4409]}


def need(name: str) -> None:
    if reason := why_absent(name):
        pytest.skip(reason)


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_first_real_images(name):
    need(name)
    images = load_images(name, "test", limit=1000)
    assert images.pixels.shape == (1000, 32, 32, 3) and images.labels.shape == (1000,)
    assert len(np.unique(images.labels)) == DATA_SETS[name].n_classes
    np.testing.assert_allclose(images.pixels.mean(axis=(0, 1, 2)) / 255, MEANS[name], atol=0.02)


@pytest.mark.parametrize("name", DATA_SETS)
def test_long_tailed_sets_of_real_labels(name):
    path = data_folder() / f"{name}_train.npz"
    if not path.is_file():
        pytest.skip(why_absent(name) or f"{path}: not there; other forms of the data take long to read")
    with np.load(path) as arrays:
        labels = arrays["label"]  # without decoding the images
    split = make_split(labels, seed=1)
    n_max = 45_000 // DATA_SETS[name].n_classes
    assert np.bincount(labels[split.long_tailed]).max() == n_max == split.counts.max()
    released = data_folder() / "sdclr_splits"
    if name == "cifar10" and released.is_dir():
        groups = groups_by_rank(released_split(name, 1, labels, released).counts)
        assert np.flatnonzero(groups == "many").tolist() == [1, 4, 6, 8]
        assert np.flatnonzero(groups == "few").tolist() == [2, 5, 9]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", DATA_SETS)
def test_all_real_images_in_both_forms(name, part, tmp_path):
    """The files of the official binary archive, rebuilt from the mosaics, have the published md5 and are read alike."""
    need(name)
    images = load_images(name, part)
    assert hashlib.sha256(images.pixels.tobytes()).hexdigest() == PIXELS[name, part]
    archive = next(one for one in DATA_SETS[name].archives if one.binary)
    n_files = len(archive.members[part])
    coarse = [None] * n_files if images.coarse is None else np.split(images.coarse, n_files)
    pieces = zip(np.split(images.pixels, n_files), np.split(images.labels, n_files), coarse, strict=True)
    for file, piece in zip(archive.members[part], pieces, strict=True):
        (tmp_path / file).write_bytes(binary_records(*piece))
    again = read_unpacked(DATA_SETS[name], archive, part, tmp_path)
    for one, two in zip(images, again, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_the_example_of_the_map(tmp_path, capsys):
    need("cifar10")
    script = tmp_path / "example.py"
    script.write_text(re.search(r"## Images\n.*?```python\n(.*?)```", MAP, re.S)[1], encoding="utf-8")
    names = runpy.run_path(str(script))
    assert names["pixels"].shape == (11_165, 32, 32, 3) and len(names["labels"]) == 11_165
    assert "245 images of rare classes" in capsys.readouterr().out  # 125 + 75 + 45
