"""The doctor's verdicts and its report."""

import re

import pytest

from dynsim import __main__ as front
from dynsim import doctor
from dynsim.doctor import verdict
from dynsim.environment import PACKAGES

ALL = dict.fromkeys(PACKAGES, "1.0")


@pytest.mark.parametrize(
    ("versions", "platform", "hardware", "words"),
    [
        (ALL, "cpu", False, "ready: runs on cpu"),
        (ALL, "gpu", True, "ready: runs on gpu"),
        (ALL, "tpu", False, "ready: runs on tpu"),
        (ALL, "cpu", True, "its jaxlib has no GPU part; install"),
        (ALL | {"tyro": "missing"}, "cpu", False, "not ready: tyro missing"),
        (ALL | {"jax": "missing", "jaxlib": "missing"}, "none", True, "not ready: jax, jaxlib missing"),
    ],
)
def test_verdicts(versions, platform, hardware, words):
    line = verdict(versions, platform, hardware)
    assert words in line and "\n" not in line


def test_a_gpu_with_a_jaxlib_for_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "has_gpu_hardware", lambda: True)
    import jax

    if jax.default_backend() != "cpu":
        pytest.skip("this JAX sees the accelerator")
    assert front.main(["doctor"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("verdict") and "JAX sees the CPU alone" in last


def test_a_missing_package(monkeypatch, capsys):
    real = doctor.version

    def lookup(name):
        if name == "tyro":
            raise doctor.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", lookup)
    assert doctor.package_versions()["tyro"] == "missing"
    assert front.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^tyro +missing$", out, re.MULTILINE) and "not ready: tyro missing" in out


def test_without_jax_there_is_still_a_report(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "package_versions", lambda: ALL | {"jax": "missing"})
    text, well = doctor.report()
    assert not well and "devices" not in text and "not ready: jax missing" in text


def test_the_report(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "has_gpu_hardware", lambda: False)
    assert front.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines]
    assert named == ["python", *PACKAGES, "devices", "precision", "threads", "memory", "verdict"]
    assert lines[-1].split(maxsplit=1)[1].startswith("ready: runs on ")
    assert re.fullmatch(r"memory +\d+\.\d GiB", lines[-2])
    assert "missing" not in "".join(lines)


def test_limits_of_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert doctor.cpu_count() == 3
    monkeypatch.delattr(doctor.os, "sched_getaffinity")
    assert doctor.cpu_count() == (doctor.os.cpu_count() or 1)
    monkeypatch.setattr(doctor, "MEMORY_LIMIT", tmp_path / "memory.max")
    whole = doctor.memory_gib()
    for limit, wanted in (("max\n", whole), (f"{2**29}\n", 0.5), (f"{2**60}\n", whole)):
        doctor.MEMORY_LIMIT.write_text(limit)
        assert doctor.memory_gib() == wanted
