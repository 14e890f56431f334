"""Pickles are read, and never executed."""

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynsim.bridge.data import pickles
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.source import data_folder
from tests.cifar_files import Pickle

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def refused(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        pickles.read(data, "x")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("x: wanted") and "executed" in message
    return message


def test_the_class_names_of_cifar10_in_their_official_file():
    """The file is rebuilt byte for byte, which its published md5 proves."""
    file = Pickle().raw(b"}").memo().raw(b"(").text("num_cases_per_batch").raw(b"M\x10'")
    file.text("label_names").texts(CIFAR10_NAMES).text("num_vis").raw(b"M\x00\x0cu")
    data = file.done()
    assert hashlib.md5(data).hexdigest() == "5ff9c542aee3614f3951f8cda6e48888"
    names = [name.encode() for name in CIFAR10_NAMES]
    assert pickles.read(data, "x") == {b"num_cases_per_batch": 10_000, b"label_names": names, b"num_vis": 3072}


def test_the_class_names_of_cifar100_in_their_official_file():
    path = data_folder() / "classes.json"
    if not path.is_file():
        pytest.skip(f"{path}: no such file; set DYNSIM_DATA to a folder with the image data")
    names = json.loads(path.read_text(encoding="utf-8"))
    file = Pickle().raw(b"}").memo().raw(b"(").text("fine_label_names").texts(names["cifar100_fine"])
    data = file.text("coarse_label_names").texts(names["cifar100_coarse"]).raw(b"u").done()
    assert hashlib.md5(data).hexdigest() == "7973b15100ade9c7d40fb424638fde48"
    read = pickles.read(data, "x")
    assert read[b"fine_label_names"] == [name.encode() for name in names["cifar100_fine"]]
    assert read[b"coarse_label_names"] == [name.encode() for name in names["cifar100_coarse"]]


@pytest.mark.parametrize("by_column", [False, True])
def test_arrays_come_back(by_column):
    values = np.random.default_rng(1).integers(0, 256, (3, 700), np.uint8)
    data = Pickle().array(values, by_column=by_column).done()
    read = pickles.read(data, "x")
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.uint8


def test_the_formats_of_python_3():
    """Format 4: frames, names on the stack, and bytes of any length; format 2 writes bytes as encoded text."""
    short = b"\x8c\x15numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94".replace(b"\x15", b"\x16")
    array = (
        short + b"\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02\x85\x94"
    )
    array += b"h\x03\x8c\x05dtype\x94\x93\x94\x8c\x02i2\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01>\x94NNN"
    array += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x04\x00\x01\x01\x00\x94t\x94b."
    frame = b"\x80\x04\x95" + struct.pack("<Q", len(array)) + array
    np.testing.assert_array_equal(pickles.read(frame, "x"), [1, 256])
    latin = "b\xff".encode()
    encoded = b"\x80\x02c_codecs\nencode\nX" + struct.pack("<I", len(latin)) + latin + b"X\x06\x00\x00\x00latin1\x86R."
    assert pickles.read(encoded, "x") == b"b\xff"


VALUES = st.recursive(
    st.integers(-(2**31), 2**31 - 1) | st.text(st.characters(codec="ascii"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def write(value, file):
    if isinstance(value, str):
        file.text(value)
    elif isinstance(value, int):
        file.integer(value)
    else:
        file.raw(b"]" if isinstance(value, list) else b"}").memo().raw(b"(")
        for item in value if isinstance(value, list) else [part for pair in value.items() for part in pair]:
            write(item, file)
        file.raw(b"e" if isinstance(value, list) else b"u")
    return file


def as_bytes(value):
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    if isinstance(value, dict):
        return {key.encode(): as_bytes(item) for key, item in value.items()}
    return value.encode() if isinstance(value, str) else value


@given(VALUES)
def test_what_is_written_is_read(value):
    assert pickles.read(write(value, Pickle()).done(), "x") == as_bytes(value)


WHOLE = Pickle().raw(b"}").memo().raw(b"(").text("data").array(np.zeros((2, 3), np.uint8)).raw(b"u").done()


@given(st.binary(max_size=60) | st.integers(0, len(WHOLE) - 1).map(lambda n: WHOLE[:n]))
def test_damaged_files_end_in_one_line(data):
    try:
        pickles.read(data, "x")
    except DataError as error:
        assert "\n" not in str(error)


@given(st.data())
def test_changed_bytes_never_build_anything_else(data):
    place, byte = data.draw(st.integers(0, len(WHOLE) - 1)), data.draw(st.integers(0, 255))
    try:
        read = pickles.read(WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :], "x")
    except DataError:
        return
    assert isinstance(read, (list, dict, str, bytes, int, np.ndarray))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"cos\nsystem\n(U\x04trueo.", "os.system"),
        (b"\x80\x02cos\nsystem\nU\x04true\x85R.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"(S'true'\nios\nsystem\n.", "STRING"),
        (b"\x80\x02(U\x04trueios\nsystem\n.", "INST"),
        (b"\x80\x02cnumpy\nndarray\nK\x02\x85R.", "no array"),
        (b"\x80\x02cnumpy\nload\n.", "numpy.load"),
        (b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", "something else than numbers"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "no array"),
        (b"\x80\x02cnumpy\nndarray\n.", "another kind"),
        (b"\x80\x02](cnumpy\nndarray\ne.", "another kind"),
        (b"\x80\x02]}b.", "no array"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02U\x01aQ.", "BINPERSID"),
        (b"\x80\x02K\x01K\x02\x86.", "another kind (tuple)"),
        (b"\x80\x02K\x01K\x02\x87.", "without its values"),
        (b"\x80\x02}}K\x01s.", "keys"),
        (b"\x80\x02}(K\x01u.", "shorter"),
        (b"\x80\x02}(K\x01K\x02e.", "no list"),
        (b"\x80\x02e.", "without a beginning"),
        (b"\x80\x02K\x01K\x02.", "2 values"),
        (b"\x80\x02h\x07.", "7"),
        (b"", "pickle exhausted"),
        (b"PK\x03\x04not a pickle", "byte 0"),
    ],
)
def test_anything_else_is_refused(data, word):
    assert word in refused(data)


def test_an_array_has_as_many_bytes_as_its_shape():
    data = Pickle().array(np.zeros((2, 3), np.uint8)).done()
    assert "6 bytes for an array" in refused(data.replace(b"K\x02K\x03", b"K\x02K\x04"))
