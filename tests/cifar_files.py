"""Writes small files in the formats of the official CIFAR archives: pickles, binary records, tar archives."""

import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np

from dynsim.bridge.data.catalogue import Archive, DataSet


class Pickle:
    """Writes a pickle as Python 2 did, instruction by instruction; each value gets a place in the memo."""

    def __init__(self) -> None:
        self.parts = [b"\x80\x02"]
        self.n_memo = 0

    def raw(self, code: bytes) -> "Pickle":
        self.parts.append(code)
        return self

    def memo(self) -> "Pickle":
        self.n_memo += 1
        return self.raw(b"q" + bytes([self.n_memo]) if self.n_memo < 256 else b"r" + struct.pack("<I", self.n_memo))

    def text(self, value: str) -> "Pickle":
        return self.raw(b"U" + bytes([len(value)]) + value.encode()).memo()

    def texts(self, values: list[str]) -> "Pickle":
        self.raw(b"]").memo().raw(b"(")
        for value in values:
            self.text(value)
        return self.raw(b"e")

    def integer(self, value: int) -> "Pickle":
        if 0 <= value < 256:
            return self.raw(b"K" + bytes([value]))
        return self.raw(b"M" + struct.pack("<H", value) if 0 <= value < 2**16 else b"J" + struct.pack("<i", value))

    def integers(self, values: list[int]) -> "Pickle":
        self.raw(b"]").memo().raw(b"(")
        for value in values:
            self.integer(value)
        return self.raw(b"e")

    def array(self, values: np.ndarray, *, by_column: bool = False) -> "Pickle":
        """Write a uint8 matrix."""
        self.raw(b"cnumpy.core.multiarray\n_reconstruct\n").memo().raw(b"cnumpy\nndarray\n").memo()
        self.raw(b"K\x00\x85").memo().raw(b"U\x01b").memo().raw(b"\x87").memo().raw(b"R").memo()
        self.raw(b"(K\x01")
        for size in values.shape:
            self.integer(size)
        self.raw(b"\x86").memo().raw(b"cnumpy\ndtype\n").memo().raw(b"U\x02u1").memo().raw(b"K\x00K\x01\x87").memo()
        self.raw(b"R").memo().raw(b"(K\x03U\x01|").memo().raw(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t").memo()
        content = values.tobytes(order="F" if by_column else "C")
        self.raw(b"b" + (b"\x88" if by_column else b"\x89") + b"T" + struct.pack("<I", len(content)) + content).memo()
        return self.raw(b"t").memo().raw(b"b")

    def done(self) -> bytes:
        return b"".join(self.parts) + b"."


def planes(pixels: np.ndarray) -> np.ndarray:
    """Return images (image, height, width, channel) as rows of their planes, as in the archives."""
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def binary_records(pixels: np.ndarray, labels: np.ndarray, coarse: np.ndarray | None = None) -> bytes:
    """Return a file of the binary version."""
    columns = [column[:, None].astype(np.uint8) for column in (coarse, labels) if column is not None]
    return np.concatenate([*columns, planes(pixels)], axis=1).tobytes()


def python_batch(pixels: np.ndarray, labels: np.ndarray, coarse: np.ndarray | None = None) -> bytes:
    """Return a file of the python version."""
    batch = Pickle().raw(b"}").memo().raw(b"(").text("batch_label").text("training batch 1 of 5")
    batch.text("labels" if coarse is None else "fine_labels").integers(labels.tolist())
    if coarse is not None:
        batch.text("coarse_labels").integers(coarse.tolist())
    batch.text("data").array(planes(pixels))
    return batch.text("filenames").texts([f"leptodactylus_{i}.png" for i in range(len(pixels))]).raw(b"u").done()


def tar_gz(path: Path, files: dict[str, bytes], special: tarfile.TarInfo | None = None) -> Path:
    """Write a packed archive of these files, and of one special member if there is one."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if special is not None:
            tar.addfile(special)
    return path


def small_release(
    data: DataSet, folder: Path, *, binary: bool, n: int = 6, special: tarfile.TarInfo | None = None
) -> tuple[DataSet, np.ndarray, np.ndarray]:
    """Write a packed archive of `n` images to train and `n` to test.

    Returns:
        the data set with this archive as its only one, the pixels and the labels of the images to train.
    """
    rng = np.random.default_rng(0)
    model = next(archive for archive in data.archives if archive.binary == binary)
    files, members, made = {}, {}, {}
    for part in ("train", "test"):
        pixels = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
        labels = rng.integers(0, data.n_classes, n)
        coarse = rng.integers(0, data.n_coarse, n) if data.n_coarse else None
        made[part] = pixels, labels
        write = binary_records if binary else python_batch
        names = list(model.members[part])
        split = [range(n)] if len(names) == 1 else [range(i, n, len(names)) for i in range(len(names))]
        order = np.concatenate([np.array(list(indices), int) for indices in split])
        made[part] = pixels[order], labels[order]
        for name, indices in zip(names, split, strict=True):
            rows = list(indices)
            files[name] = write(pixels[rows], labels[rows], None if coarse is None else coarse[rows])
        members[part] = {name: hashlib.md5(files[name]).hexdigest() for name in names}
    packed = tar_gz(folder / model.file, {f"{model.folder}/{name}": text for name, text in files.items()}, special)
    content = packed.read_bytes()
    archive = Archive(model.file, "", len(content), hashlib.md5(content).hexdigest(), model.folder, members, binary)
    return data._replace(archives=(archive,), sizes={"train": n, "test": n}), *made["train"]
