"""The wheel: what is in it, and that the command runs from it without a checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("hatchling", reason="the wheel is built where the development tools are installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(words, cwd=ROOT, check=True, timeout=60, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_it_holds_the_package_the_experiments_and_their_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("dynsim", "experiments"):
        kinds = (path for kind in ("py", "toml") for path in (ROOT / folder).rglob(f"*.{kind}"))
        missing = {path.relative_to(ROOT).as_posix() for path in kinds} - names
        assert not missing, sorted(missing)
    assert "dynsim/py.typed" in names
    assert not [name for name in names if name.split("/")[0] not in ("dynsim", "experiments", "dynsim-0.1.0.dist-info")]


def test_its_metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    info = "dynsim-0.1.0.dist-info"
    entry = archive.read(f"{info}/entry_points.txt").decode()
    assert "dynsim = dynsim.__main__:main" in entry
    data = message_from_string(archive.read(f"{info}/METADATA").decode())
    assert data["License-Expression"] == "MIT" and f"{info}/licenses/LICENSE" in archive.namelist()
    assert data["Description-Content-Type"] == "text/markdown" and data.get_payload().count("\n# dynsim\n")
    classifiers = data.get_all("Classifier")
    for version in (path.stem.removeprefix("constraints-") for path in (ROOT / ".ci").glob("constraints-*.txt")):
        assert f"Programming Language :: Python :: {version}" in classifiers
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len([one for one in data.get_all("Requires-Dist") if "extra" not in one]) == len(required)


@pytest.mark.slow
def test_an_experiment_runs_from_it_in_an_empty_folder(wheel, tmp_path):
    unpacked, here = tmp_path / "site", tmp_path / "here"
    zipfile.ZipFile(wheel).extractall(unpacked)
    (here / "experiments").mkdir(parents=True)
    (here / "experiments" / "__init__.py").write_text("raise RuntimeError('not ours')")
    code = "import sys; from dynsim.__main__ import main; sys.exit(main())"
    words = ["run", "stage_tracking", "--preset", "quick", "--train.n-steps", "40", "--seeds", "2"]
    env = os.environ | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=here, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    summary = here / done.stdout.splitlines()[-1]
    assert summary.name == "summary.json" and summary.parent.parent == here / "results"
    assert (summary.parent / "projections.png").is_file()
