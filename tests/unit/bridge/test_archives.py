"""The official archives: what is in them comes back, and nothing else is read or written."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from dynsim.bridge.data import archives
from dynsim.bridge.data.archives import parse_binary, parse_python, read_packed, read_unpacked, unpack
from dynsim.bridge.data.catalogue import DATA_SETS
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.source import data_folder, load_images, why_absent
from tests.cifar_files import Pickle, binary_records, planes, python_batch, small_release, tar_gz

KINDS = [(name, binary) for name in DATA_SETS for binary in (False, True)]


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("name", "binary"), KINDS)
def test_packed_and_unpacked_archives_give_their_images(name, binary, tmp_path):
    data, pixels, labels = small_release(DATA_SETS[name], tmp_path, binary=binary)
    (archive,) = data.archives
    packed = read_packed(data, archive, "train", tmp_path / archive.file)
    folder = unpack(archive, tmp_path / archive.file, tmp_path)
    assert folder == tmp_path / archive.folder
    for images in (packed, read_unpacked(data, archive, "train", folder)):
        np.testing.assert_array_equal(images.pixels, pixels)
        np.testing.assert_array_equal(images.labels, labels)
        assert (images.coarse is None) == (data.n_coarse == 0) and images.n_classes == data.n_classes
    few = read_unpacked(data, archive, "train", folder, limit=2)
    np.testing.assert_array_equal(few.pixels, pixels[:2])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([archive.file, archive.folder])


def test_coarse_labels_come_before_fine_ones():
    pixels = np.arange(2 * 3072).astype(np.uint8).reshape(2, 32, 32, 3)
    content = binary_records(pixels, np.array([99, 3]), np.array([19, 0]))
    images = parse_binary(content, DATA_SETS["cifar100"], "x")
    assert (images.labels.tolist(), images.coarse.tolist()) == ([99, 3], [19, 0])
    np.testing.assert_array_equal(images.pixels, pixels)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "special",
    [
        tarfile.TarInfo("../escaped"),
        tarfile.TarInfo("/escaped"),
        tarfile.TarInfo("cifar-10-batches-bin/../escaped"),
        tarfile.TarInfo("cifar-10-batches-bin/.."),
        tarfile.TarInfo("cifar-10-batches-bin/deeper/escaped"),
        tarfile.TarInfo("escaped"),
        link("cifar-10-batches-bin/link", "/etc/passwd"),
        link("cifar-10-batches-bin/link", "../../escaped", tarfile.LNKTYPE),
        link("cifar-10-batches-bin", "..", tarfile.SYMTYPE),
        link("cifar-10-batches-bin/pipe", "", tarfile.FIFOTYPE),
        link("cifar-10-batches-bin/device", "", tarfile.CHRTYPE),
    ],
    ids=lambda member: member.name,
)
def test_an_archive_that_leaves_its_folder_is_refused(special, tmp_path):
    """Even with the right digest: nothing is read and nothing is written."""
    folder = tmp_path / "inside"
    folder.mkdir()
    data, _, _ = small_release(DATA_SETS["cifar10"], folder, binary=True, special=special)
    (archive,) = data.archives
    with pytest.raises(DataError, match="wanted plain files in cifar-10-batches-bin/ only") as caught:
        unpack(archive, folder / archive.file, folder)
    one_line(caught)
    with pytest.raises(DataError, match="plain files"):
        read_packed(data, archive, "train", folder / archive.file)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", archive.file]


def test_an_archive_with_too_much_in_it_is_refused(tmp_path, monkeypatch):
    data, _, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=True)
    monkeypatch.setattr(archives, "MOST_BYTES", 3073 * 11)
    with pytest.raises(DataError, match="got more") as caught:
        unpack(data.archives[0], tmp_path / data.archives[0].file, tmp_path)
    one_line(caught)


def test_a_changed_archive_is_refused_by_its_digest(tmp_path):
    data, _, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=False)
    (archive,) = data.archives
    path = tmp_path / archive.file
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    for attempt in (lambda: unpack(archive, path, tmp_path), lambda: read_packed(data, archive, "test", path)):
        with pytest.raises(DataError, match=f"wanted the digest {archive.md5}, got") as caught:
            attempt()
        one_line(caught)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    data, _, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=True)
    path = tmp_path / data.archives[0].file
    path.write_bytes(path.read_bytes()[:400])
    archive = data.archives[0]._replace(md5=hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match="cannot be read") as caught:
        unpack(archive, path, tmp_path)
    one_line(caught)
    with pytest.raises(DataError, match="cannot be read"):
        read_packed(data, archive, "train", path)


def test_an_archive_without_one_of_its_files_is_refused(tmp_path):
    path = tar_gz(tmp_path / "a.tar.gz", {"cifar-10-batches-bin/data_batch_1.bin": b"1"})
    archive = DATA_SETS["cifar10"].archives[1]._replace(md5=hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"wanted the file data_batch_2\.bin in it") as caught:
        unpack(archive, path, tmp_path)
    one_line(caught)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    data, _, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=True)

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        unpack(data.archives[0], tmp_path / data.archives[0].file, tmp_path)
    one_line(caught)
    assert [path.name for path in tmp_path.iterdir()] == [data.archives[0].file]


def test_unpacked_files_are_checked(tmp_path):
    data, _, _ = small_release(DATA_SETS["cifar100"], tmp_path, binary=True)
    (archive,) = data.archives
    folder = unpack(archive, tmp_path / archive.file, tmp_path)
    (folder / "train.bin").write_bytes(b"other")
    with pytest.raises(DataError, match=r"train\.bin: wanted the digest") as caught:
        read_unpacked(data, archive, "train", folder)
    one_line(caught)
    (folder / "train.bin").unlink()
    with pytest.raises(DataError, match=r"train\.bin: wanted a file of the archive"):
        read_unpacked(data, archive, "train", folder)


PIXELS = np.zeros((2, 32, 32, 3), np.uint8)


def batch(**columns: list[int]) -> bytes:
    file = Pickle().raw(b"}").memo().raw(b"(")
    for name, values in columns.items():
        file.text(name).integers(values)
    return file.text("data").array(planes(PIXELS)).raw(b"u").done()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (python_batch(PIXELS, np.array([3, 10])), "labels from 0 to 9, got 10 at image 1"),
        (batch(labels=[-1, 0]), "got -1 at image 0"),
        (batch(labels=[1]), "wanted 2 whole-numbered labels"),
        (batch(fine_labels=[1, 2]), "wanted a dict with data and labels"),
        (Pickle().integers([1, 2]).done(), "wanted a dict with data and labels"),
        (Pickle().raw(b"}").memo().raw(b"(").text("labels").integers([1]).raw(b"u").done(), "wanted a dict"),
    ],
)
def test_python_files_that_hold_something_else(content, word):
    with pytest.raises(DataError) as caught:
        parse_python(content, DATA_SETS["cifar10"], "data_batch_1")
    assert word in one_line(caught) and str(caught.value).startswith("data_batch_1: wanted")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (binary_records(PIXELS, np.array([0, 200])), "got 200 at image 1"),
        (bytes(3074), "wanted records of 3073 bytes"),
        (b"", "wanted records"),
    ],
)
def test_binary_files_that_hold_something_else(content, word):
    with pytest.raises(DataError) as caught:
        parse_binary(content, DATA_SETS["cifar10"], "x")
    assert word in one_line(caught)


def test_the_first_form_that_is_there_is_read(tmp_path, monkeypatch):
    data, pixels, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=False)
    monkeypatch.setitem(DATA_SETS, "cifar10", data)
    assert why_absent("cifar10", tmp_path) == ""
    np.testing.assert_array_equal(load_images("cifar10", "train", tmp_path).pixels, pixels)
    unpack(data.archives[0], tmp_path / data.archives[0].file, tmp_path)
    (tmp_path / data.archives[0].file).write_bytes(b"no longer looked at")
    monkeypatch.setenv("DYNSIM_DATA", str(tmp_path))
    np.testing.assert_array_equal(load_images("cifar10", "train", limit=3).pixels, pixels[:3])


def test_the_folder_is_the_given_one_else_that_of_the_variable_else_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNSIM_DATA", "/from/the/variable")
    assert data_folder(tmp_path) == tmp_path and data_folder() == Path("/from/the/variable")
    monkeypatch.setenv("DYNSIM_DATA", "")
    assert data_folder() == Path(__file__).resolve().parents[4] / "shared" / "data"


def test_data_that_are_not_there(tmp_path):
    with pytest.raises(DataError) as caught:
        load_images("cifar100", "test", tmp_path)
    for word in (str(tmp_path), "CIFAR-100", "DYNSIM_DATA", "python -m dynsim.bridge.data.download cifar100"):
        assert word in one_line(caught)
    assert why_absent("cifar100", tmp_path).startswith(f"{tmp_path}: wanted CIFAR-100")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("cifar-10", "train"), "did you mean cifar10"),
        (("cifar10", "tests"), "did you mean test"),
        (("cifar10", "train", None, 0), "at least 1"),
    ],
)
def test_questions_that_have_no_answer(arguments, word):
    with pytest.raises(DataError) as caught:
        load_images(*arguments)
    assert word in one_line(caught)
