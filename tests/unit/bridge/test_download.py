"""Fetching an archive from a server on this machine that misbehaves; no test leaves the machine."""

import hashlib
import http.server
import io
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from dynsim.bridge.data import download
from dynsim.bridge.data.catalogue import DATA_SETS, Archive
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.source import load_images
from tests.cifar_files import small_release

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, np.uint8).tobytes()


class Behaviour:
    """What the server does, and what it was asked."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.ranges = True
        self.cuts: list[int] = []  # bytes after which the next connections are cut
        self.status = 0
        self.tells_length = True
        self.asked: list[str | None] = []


class Server(NamedTuple):
    behaviour: Behaviour
    archive: Archive


def handler(behaviour: Behaviour) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            behaviour.asked.append(wanted)
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and behaviour.ranges else 0
            if behaviour.status or begin >= len(behaviour.content):
                self.send_error(behaviour.status or 416)
                return
            rest = behaviour.content[begin:]
            self.send_response(206 if begin else 200)
            if behaviour.tells_length:
                self.send_header("Content-Length", str(len(rest)))
            if begin:
                self.send_header(
                    "Content-Range", f"bytes {begin}-{len(behaviour.content) - 1}/{len(behaviour.content)}"
                )
            self.end_headers()
            self.wfile.write(rest[: behaviour.cuts.pop(0)] if behaviour.cuts else rest)

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    behaviour = Behaviour()
    # no HTTPServer: it looks up the name of this machine, which can take seconds
    with socketserver.TCPServer(("127.0.0.1", 0), handler(behaviour)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}/a.tar.gz"
        archive = Archive("a.tar.gz", address, len(CONTENT), hashlib.md5(CONTENT).hexdigest(), "a", {}, False)
        yield Server(behaviour, archive)
        running.shutdown()
        thread.join()


def fetch(server: Server, folder: Path, *, show: bool = False) -> Path:
    return download.fetch(server.archive, folder, wait=0.0, show=show)


def refused(server: Server, folder: Path, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        fetch(server, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_addresses_are_the_official_ones():
    for data in DATA_SETS.values():
        for archive in data.archives:
            assert archive.address == f"https://www.cs.toronto.edu/~kriz/{archive.file}"
            assert re.fullmatch(r"[0-9a-f]{32}", archive.md5) and 168e6 < archive.n_bytes < 171e6


def test_an_archive_is_fetched_once_with_progress(server, tmp_path, capsys):
    path = fetch(server, tmp_path / "new" / "folder", show=True)
    assert path.read_bytes() == CONTENT and [one.name for one in path.parent.iterdir()] == ["a.tar.gz"]
    assert "a.tar.gz" in capsys.readouterr().err
    assert fetch(server, path.parent) == path and server.behaviour.asked == [None]


def test_a_cut_connection_is_resumed(server, tmp_path):
    server.behaviour.cuts = [1000, 300_000, 0]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.behaviour.asked == [None, "bytes=1000-", "bytes=301000-", "bytes=301000-"]


def test_a_later_call_goes_on(server, tmp_path):
    server.behaviour.cuts = [5000] + [0] * download.ATTEMPTS
    message = refused(server, tmp_path)
    assert "5,000 of 700,000 bytes are there; run the same command again" in message
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz.part"]
    server.behaviour.asked.clear()
    assert fetch(server, tmp_path).read_bytes() == CONTENT and server.behaviour.asked == ["bytes=5000-"]


def test_a_server_that_cannot_resume_begins_again(server, tmp_path):
    server.behaviour.ranges = False
    server.behaviour.cuts = [1000, 2000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.behaviour.asked == [None, "bytes=1000-", "bytes=2000-"]


def test_a_server_that_cannot_resume_and_always_cuts_ends(server, tmp_path):
    server.behaviour.ranges = False
    server.behaviour.cuts = [1000] * 50
    assert "could not be fetched (the connection was cut)" in refused(server, tmp_path)
    assert len(server.behaviour.asked) == download.ATTEMPTS + 1


@pytest.mark.parametrize("content", [b"x" + CONTENT[1:], CONTENT[:-1] + b"x"], ids=["first", "last"])
def test_wrong_bytes_are_refused_and_removed(server, tmp_path, content):
    server.behaviour.content = content
    message = refused(server, tmp_path)
    assert f"wanted the digest {server.archive.md5}" in message and "removed" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [CONTENT[:500], CONTENT + b"more"], ids=["shorter", "longer"])
def test_another_file_is_refused_before_it_is_fetched(server, tmp_path, content):
    server.behaviour.content = content
    assert f"wanted 700,000 bytes, but the server has a file of {len(content)}" in refused(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_file_without_a_length_is_refused(server, tmp_path):
    server.behaviour.content, server.behaviour.tells_length = CONTENT[:500], False
    assert "could not be fetched" in refused(server, tmp_path)
    server.behaviour.content = CONTENT + b"more"  # no more is taken than the size of the archive
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_what_is_there_is_checked(server, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"other")
    assert "remove it and fetch it again" in refused(server, tmp_path)
    (tmp_path / "a.tar.gz").unlink()
    (tmp_path / "a.tar.gz.part").write_bytes(b"another beginning, of wrong bytes")
    assert "wanted the digest" in refused(server, tmp_path) and list(tmp_path.iterdir()) == []
    (tmp_path / "a.tar.gz.part").write_bytes(CONTENT + b"too long")
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_missing_file_and_a_missing_server(server, tmp_path):
    server.behaviour.status = 404
    assert "404" in refused(server, tmp_path) and len(server.behaviour.asked) == 1
    server.behaviour.status = 503
    assert "503" in refused(server, tmp_path) and len(server.behaviour.asked) == 1 + download.ATTEMPTS
    gone = server._replace(archive=server.archive._replace(address="http://127.0.0.1:9/a.tar.gz"))
    assert "could not be fetched" in refused(gone, tmp_path)


class FullFile(io.BufferedWriter):
    """A file on a disk that is full after 1000 bytes."""

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > 1000:
            raise OSError(28, "No space left on device")
        return super().write(content)


def test_a_full_disk_ends_in_one_line(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "open", lambda path, mode: FullFile(io.FileIO(path, mode)), raising=False)
    message = refused(server, tmp_path, OSError)
    for word in ("No space left on device", "MB free", "0.7 MB are needed", "--folder", "DYNSIM_DATA"):
        assert word in message
    assert len(server.behaviour.asked) == 1  # a full disk is not tried again


def test_too_little_space_is_seen_before_anything_is_fetched(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    assert "0.7 MB wanted" in refused(server, tmp_path, OSError) and server.behaviour.asked == []


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert "could not be written" in refused(server, tmp_path / "file" / "folder", OSError)


def test_the_command_fetches_unpacks_and_is_found(server, tmp_path, monkeypatch, capsys):
    data, pixels, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=False)
    packed = tmp_path / data.archives[0].file
    server.behaviour.content = packed.read_bytes()
    packed.unlink()
    archive = data.archives[0]._replace(address=server.archive.address)
    monkeypatch.setitem(DATA_SETS, "cifar10", data._replace(archives=(archive,)))
    download.main(["cifar10", "--folder", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(tmp_path / archive.folder)
    np.testing.assert_array_equal(load_images("cifar10", "train", tmp_path).pixels, pixels)
    download.main(["cifar10", "--folder", str(tmp_path)])
    assert len(server.behaviour.asked) == 1


def test_unpacked_files_that_are_damaged_are_named(server, tmp_path, monkeypatch, capsys):
    """What reading refuses, fetching does not take for done."""
    data, _, _ = small_release(DATA_SETS["cifar10"], tmp_path, binary=False)
    monkeypatch.setitem(DATA_SETS, "cifar10", data)
    folder = download.download("cifar10", tmp_path, show=False)
    (folder / "test_batch").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"test_batch: wanted the digest .*; remove the folder"):
        download.download("cifar10", tmp_path, show=False)
    shutil.rmtree(folder)
    assert download.download("cifar10", tmp_path, show=False) == folder
    assert load_images("cifar10", "test", tmp_path).pixels.shape == (6, 32, 32, 3) and server.behaviour.asked == []


def test_the_command_ends_in_one_line(server, tmp_path, monkeypatch, capsys):
    archive = server.archive._replace(folder="nowhere")
    server.behaviour.status = 404
    monkeypatch.setitem(DATA_SETS, "cifar100", DATA_SETS["cifar100"]._replace(archives=(archive,)))
    with pytest.raises(SystemExit) as caught:
        download.main(["cifar100", "--folder", str(tmp_path)])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.splitlines()[-1].startswith("download: error: http")
