"""Lists of images, on a small tree of files that each test makes."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynsim.bridge.data import lists
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.lists import IMAGE_LISTS, ListedSet, load_list, read_list
from dynsim.bridge.data.source import data_folder

RNG = np.random.default_rng(0)
PICTURES = {
    "train/a/one.png": RNG.integers(0, 256, (3, 5, 3), np.uint8),
    "train/a/two words.png": RNG.integers(0, 256, (4, 4), np.uint8),
    "train/b/three.webp": RNG.integers(0, 256, (2, 7, 3), np.uint8),
}
LINES = "train/a/one.png 0\ntrain/a/two words.png 1\n\ntrain/b/three.webp 2\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, pixels in PICTURES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True)
    (tmp_path / "list.txt").write_text(LINES)
    return tmp_path


def refused(*arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_list(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_list_and_its_images(tree):
    images = read_list(tree / "list.txt", tree, 4)
    assert len(images) == 3 and images.labels.tolist() == [0, 1, 2] and images.counts.tolist() == [1, 1, 1, 0]
    for index, pixels in enumerate(PICTURES.values()):
        wanted = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
        np.testing.assert_array_equal(images.decode(index), wanted)


def test_a_jpeg_is_close_to_what_was_saved(tree):
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    Image.fromarray(smooth).save(tree / "x.JPEG", quality=95)
    (tree / "list.txt").write_text("x.JPEG\t3\n")
    assert np.abs(read_list(tree / "list.txt", tree, 4).decode(0).astype(int) - smooth).mean() < 3


def test_nothing_is_decoded_before_it_is_asked_for(tree):
    (tree / "train/a/one.png").write_bytes(b"no image")
    images = read_list(tree / "list.txt", tree, 3)
    with pytest.raises(DataError, match=r"one\.png: wanted an image") as caught:
        images.decode(0)
    assert "\n" not in str(caught.value)
    assert images.decode(1).shape == (4, 4, 3)
    (tree / "train/b/three.webp").unlink()
    with pytest.raises(DataError, match="No such file"):
        images.decode(2)


def test_damaged_and_huge_images(tree, monkeypatch):
    path = tree / "train/a/one.png"
    path.write_bytes(path.read_bytes()[:-30])
    images = read_list(tree / "list.txt", tree, 3)
    with pytest.raises(DataError, match="wanted an image"):
        images.decode(0)
    monkeypatch.setattr(lists, "MOST_PIXELS", 15)
    with pytest.raises(DataError, match="4 x 4 pixels"):
        images.decode(1)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("train/a/one.png 3", "wanted a label from 0 to 2, got 3"),
        ("train/a/one.png -1", "wanted a label from 0 to 2, got -1"),
        (f"train/a/one.png {'9' * 5000}", "wanted a label from 0 to 2"),
        (f"train/a/one.png {'0' * 15}3", "wanted a label from 0 to 2"),
        ("train/a/one.png", "wanted a path and a label"),
        ("train/a/one.png x", "wanted a path and a label"),
        ("7", "wanted a path and a label"),
        ("/etc/passwd 0", "wanted a path inside"),
        ("train/../../secret.png 0", "wanted a path inside"),
        ("..\\secret.png 0", "wanted a path inside"),
        ("a\0b.png 0", "wanted a path inside"),
    ],
)
def test_lines_that_are_refused(tree, line, word):
    (tree / "list.txt").write_text(LINES + line + "\n")
    message = refused(tree / "list.txt", tree, 3)
    assert word in message and f"{tree / 'list.txt'}, line 5: " in message


def test_missing_images_are_counted(tree):
    (tree / "list.txt").write_text(LINES + "train/a/four.png 0\ntest/five.png 1\n")
    message = refused(tree / "list.txt", tree, 3)
    assert "wanted 5 images, 2 are missing, first train/a/four.png" in message
    assert len(read_list(tree / "list.txt", tree, 3, check_files=False)) == 5
    assert "5 are missing" in refused(tree / "list.txt", tree / "nowhere", 3)


def test_lists_that_are_none(tree):
    assert "No such file" in refused(tree / "other.txt", tree, 3)
    (tree / "list.txt").write_text("\n")
    assert "empty" in refused(tree / "list.txt", tree, 3)
    (tree / "list.txt").write_bytes(b"\xff\xfe 0\n")
    assert "not a list of text lines" in refused(tree / "list.txt", tree, 3)
    (tree / "list.txt.gz").write_bytes(gzip.compress(LINES.encode())[:-20])
    assert "not a list of text lines" in refused(tree / "list.txt.gz", tree, 3)


def test_a_published_set_by_its_name(tree, monkeypatch):
    monkeypatch.setitem(IMAGE_LISTS, "places_lt", ListedSet("Places-LT", 3, {"train": ("list.txt", 3)}))
    assert load_list("places_lt", "train", tree, tree).labels.tolist() == [0, 1, 2]
    (tree / "list.txt.gz").write_bytes(gzip.compress(LINES.encode()))
    (tree / "list.txt").unlink()
    assert load_list("places_lt", "train", tree, tree).labels.tolist() == [0, 1, 2]
    monkeypatch.setitem(IMAGE_LISTS, "places_lt", ListedSet("Places-LT", 3, {"train": ("list.txt", 62_500)}))
    with pytest.raises(DataError, match="wanted the 62,500 images of Places-LT, got 3"):
        load_list("places_lt", "train", tree, tree)


@pytest.mark.parametrize(
    ("name", "part", "word"),
    [
        ("imagenet_lt_ex", "train", "did you mean imagenet_lt_exp"),
        ("inaturalist_2018", "test", "wanted one of train, val"),
        ("imagenet_lt", "train", "No such file"),
    ],
)
def test_published_sets_that_are_none(tree, name, part, word):
    with pytest.raises(DataError, match=word) as caught:
        load_list(name, part, tree, tree)
    assert "\n" not in str(caught.value)


def test_the_released_lists_of_imagenet():
    """Their pixels are not at hand; their lines are read and counted."""
    folder = data_folder() / "sdclr_splits"
    if not folder.is_dir():
        pytest.skip(f"{folder}: not there; set DYNSIM_DATA to a folder with the image data to run this test")
    small = folder / "imagenet-100"
    train = load_list("imagenet_100_lt", "train", small, "nowhere", check_files=False)
    balanced = load_list("imagenet_100_lt", "balanced", small, "nowhere", check_files=False)
    few = load_list("imagenet_100_lt", "few_shot", small, "nowhere", check_files=False)
    assert (train.counts.max(), train.counts.min()) == (1280, 6)
    assert set(balanced.counts) == {122} and set(few.counts) == {12}
    assert set(load_list("imagenet_100_lt", "val", small, "nowhere", check_files=False).counts) == {20}
    assert set(load_list("imagenet_100_lt", "test", small, "nowhere", check_files=False).counts) == {50}
    assert set(load_list("imagenet_lt", "val", folder / "ImageNet_LT", "nowhere", check_files=False).counts) == {20}
