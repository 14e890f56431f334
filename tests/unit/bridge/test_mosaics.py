"""Mosaics, made by the tests; the real ones are read in tests/integration/test_real_images.py."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynsim.bridge.data.catalogue import DATA_SETS
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.mosaics import read_mosaics
from dynsim.bridge.data.source import load_images

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS, COARSE = np.arange(12) % 10, np.arange(12) % 5


def webp(tiles: np.ndarray, columns: int) -> bytes:
    """Return a mosaic of tiles, row by row."""
    rows = [np.concatenate(list(row), axis=1) for row in tiles.reshape(-1, columns, 32, 32, 3)]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(file, "WEBP", lossless=True)
    return file.getvalue()


BLOBS = [webp(PIXELS[:6], 3), webp(PIXELS[6:], 2)]


def write(path: Path, blobs: list[bytes] = BLOBS, **changed: np.ndarray) -> Path:
    offset = np.cumsum([0, *map(len, blobs)])
    arrays = {"webp": np.frombuffer(b"".join(blobs), np.uint8), "offset": offset, "label": LABELS, "coarse": COARSE}
    np.savez(path, **(arrays | changed))
    return path


def test_mosaics_come_back(tmp_path):
    path = write(tmp_path / "m.npz")
    images = read_mosaics(path, (10, 5))
    np.testing.assert_array_equal(images.pixels, PIXELS)
    assert images.labels.tolist() == LABELS.tolist() and images.coarse.tolist() == COARSE.tolist()
    assert read_mosaics(path, (10, 0)).coarse is None


@pytest.mark.parametrize(("limit", "decoded"), [(1, 1), (6, 1), (7, 2), (12, 2), (99, 2)])
def test_no_more_is_decoded_than_asked_for(tmp_path, monkeypatch, limit, decoded):
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(1) or original(*a, **k))
    images = read_mosaics(write(tmp_path / "m.npz"), (10, 5), limit=limit)
    np.testing.assert_array_equal(images.pixels, PIXELS[:limit])
    assert len(images.labels) == len(images.coarse) == len(images.pixels) and len(opened) == decoded


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"label": LABELS[:-1]}, "wanted 12 whole-numbered labels"),
        ({"label": LABELS + 1}, "got 10 at image 9"),
        ({"coarse": COARSE - 1}, "got -1 at image 0"),
        ({"offset": np.array([0, 7])}, "cannot be read"),
        ({"offset": np.array([0])}, "cannot be read"),
        ({"blobs": [webp(PIXELS[:6], 3)[:-40]]}, "cannot be read"),
        ({"blobs": [b"GIF89a"]}, "cannot be read"),
    ],
)
def test_damaged_files_are_refused(tmp_path, changed, word):
    with pytest.raises(DataError) as caught:
        read_mosaics(write(tmp_path / "m.npz", **changed), (10, 5))
    assert word in str(caught.value) and "\n" not in str(caught.value) and "m.npz: wanted" in str(caught.value)


def test_a_mosaic_of_another_size_is_refused(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.zeros((33, 32, 3), np.uint8)).save(file, "WEBP", lossless=True)
    with pytest.raises(DataError, match="a mosaic of 32 x 33 pixels"):
        read_mosaics(write(tmp_path / "m.npz", [file.getvalue()]), (10, 5))


def test_files_that_are_none(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"no archive")
    for path in (tmp_path / "m.npz", tmp_path / "n.npz"):
        with pytest.raises(DataError, match="cannot be read") as caught:
            read_mosaics(path, (10, 5))
        assert "\n" not in str(caught.value)
    np.savez(tmp_path / "o.npz", label=LABELS)
    with pytest.raises(DataError, match="cannot be read"):
        read_mosaics(tmp_path / "o.npz", (10, 5))


def test_known_files_are_checked_by_their_digest(tmp_path, monkeypatch):
    path = write(tmp_path / "cifar10_train.npz")
    with pytest.raises(DataError, match="wanted the digest 53148691"):
        load_images("cifar10", "train", tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = DATA_SETS["cifar10"]._replace(mosaics={"train": (path.name, digest)}, sizes={"train": 12})
    monkeypatch.setitem(DATA_SETS, "cifar10", known)
    np.testing.assert_array_equal(load_images("cifar10", "train", tmp_path).pixels, PIXELS)
    monkeypatch.setitem(DATA_SETS, "cifar10", known._replace(sizes={"train": 50_000}))
    with pytest.raises(DataError, match="wanted 50,000 images to train, got 12"):
        load_images("cifar10", "train", tmp_path)
