"""What is said where packages are missing, and that the lists of what is needed agree with what is imported."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dynsim import environment
from dynsim.environment import PACKAGES, what_is_wrong, what_to_do

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "experiments").glob("[!_]*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def bare(*words, cwd):
    """Run a Python that sees the standard library alone: no site-packages, no PYTHONPATH."""
    return subprocess.run([sys.executable, "-S", "-E", *words], cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_experiment_without_its_packages_is_one_line(script, tmp_path):
    for words in (["--help"], ["--seeds", "2"]):
        done = bare(str(ROOT / "experiments" / script), *words, cwd=tmp_path)  # and not from the repository's folder
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"{script}: error: this Python ("), done.stderr
        assert "lacks jax, jaxlib, optax and " in done.stderr
        assert "activate" in done.stderr and ".venv/bin/activate" in done.stderr


def test_as_a_module_and_as_a_command(tmp_path):
    for words in (["-m", "experiments.stage_tracking"], ["-m", "dynsim", "run", "stage_tracking"]):
        done = bare(*words, cwd=ROOT)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
        assert "lacks jax" in done.stderr
    done = bare("-m", "dynsim", "experiments", cwd=ROOT)  # the list needs no package
    assert done.returncode == 0 and "stage_tracking" in done.stdout
    done = bare("-m", "dynsim", "doctor", cwd=ROOT)
    assert done.returncode == 1 and "not ready: jax, jaxlib" in done.stdout


def test_an_experiment_runs_from_anywhere_with_the_packages(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "step_cost.py"), "--help"],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0 and "usage: step_cost.py" in done.stdout


def test_what_is_wrong():
    assert what_is_wrong((3, 11, 0), []) == ""
    assert "wanted Python 3.11 or newer, but this Python" in what_is_wrong((3, 9, 7), ["jax"])
    assert what_is_wrong((3, 9, 7), []).endswith("is 3.9.7")
    assert what_is_wrong((3, 12, 1), ["jax", "tyro"]).endswith("lacks jax, tyro")
    assert what_is_wrong((3, 12, 1), ["a", "b", "c", "d", "e"]).endswith("lacks a, b, c and 2 more")


def test_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert what_to_do(tmp_path, ["jax", "tyro"]) == "install what is missing: python -m pip install jax tyro"
    (tmp_path / "Makefile").touch()
    build = "run make install in this folder once, which builds the environment, and activate it: "
    assert what_to_do(tmp_path, ["jax"]) == f"{build}source .venv/bin/activate"
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    assert what_to_do(tmp_path, ["jax"]) == "activate the environment: source .venv/bin/activate"
    monkeypatch.chdir("/")
    assert what_to_do(tmp_path, ["jax"]).endswith(f"source {str(tmp_path / '.venv' / 'bin' / 'activate').lstrip('/')}")


def test_nothing_is_said_where_all_is_there(capsys):
    environment.check_python("p.py")
    assert capsys.readouterr() == ("", "")


# ----- the list of packages


def names(requirements):
    return {re.match(r"[\w-]+", one).group() for one in requirements}


def imports(*folders):
    """Return the top modules that the files of these folders import."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"dynsim", "experiments", "tests", "paper_checks"}


def test_requirements_are_those_that_are_checked():
    assert names(PROJECT["dependencies"]) == set(PACKAGES)


def test_what_is_imported_is_required_and_what_is_required_is_imported():
    imported = imports("dynsim", "experiments")
    modules = set(PACKAGES.values()) - {"jaxlib", "h5netcdf"}  # half of JAX; what xarray reads netCDF with
    notebooks = {"IPython", "ipywidgets", "nbclient", "nbformat", "jupytext", "ipympl"}
    assert modules <= imported, f"required, but imported nowhere: {sorted(modules - imported)}"
    extra = imported - modules - notebooks
    assert not extra, f"imported, but not among the requirements: {sorted(extra)}"


def test_the_tested_versions_cover_the_requirements():
    """.ci/constraints-*.txt name a version of each required package, and the Makefile's list is part of them."""
    wanted = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["dev"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wheels = re.search(r"^GPU_WHEELS = (.*)$", makefile, re.M).group(1).split()
    files = sorted((ROOT / ".ci").glob("constraints-*.txt"))
    assert len(files) >= 2
    for path in files:
        pinned = {line.partition("==")[0].replace("_", "-").lower() for line in path.read_text().splitlines()[1:]}
        assert wanted <= pinned, f"{path.name} lacks {sorted(wanted - pinned)}"
        assert {"tyro", "h5netcdf"} <= set(wheels) <= pinned, path.name
