"""What `import dynsim` offers, and that it costs nothing."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

import dynsim

ROOT = Path(__file__).resolve().parents[2]


def test_importing_the_package_loads_no_jax_and_no_room():
    code = (
        "import sys, dynsim\n"
        "dir(dynsim)\n"
        "heavy = {'jax', 'numpy', 'xarray', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "rooms = [name for name in sys.modules if name.startswith('dynsim.')]\n"
        "sys.exit(f'{heavy} {rooms}' if heavy or rooms else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", dynsim.__all__)
def test_every_name_is_there_and_is_the_one_of_its_room(name):
    found = getattr(dynsim, name)
    if isinstance(found, types.ModuleType):
        assert found.__name__ == f"dynsim.{name}"
    else:
        module, _, there = dynsim._HOMES[name].rpartition(".")
        assert found.__module__.startswith(f"dynsim.{module}") and found.__name__ == there and found.__doc__


def test_names_of_the_package_and_their_homes_agree():
    assert sorted([*dynsim._HOMES, *dynsim._ROOMS]) == sorted(dynsim.__all__)
    assert set(dynsim.__all__) <= set(dir(dynsim))


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="dynsim has no 'simulte'; it offers Batch, Config"):
        dynsim.simulte  # noqa: B018


def test_the_package_is_typed():
    assert (Path(dynsim.__file__).parent / "py.typed").is_file()
