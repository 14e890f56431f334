"""Can this Python run dynsim? Its version and the packages that dynsim needs, checked before anything is imported.

An experiment that is typed without the environment being active ends here in one line that says what to do. This module
therefore imports nothing but the standard library, and Python 3.9 can read it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)
PACKAGES = {
    "jax": "jax",
    "jaxlib": "jaxlib",
    "optax": "optax",
    "orbax-checkpoint": "orbax",
    "flax": "flax",
    "safetensors": "safetensors",
    "jaxtyping": "jaxtyping",
    "numpy": "numpy",
    "scipy": "scipy",
    "xarray": "xarray",
    "h5netcdf": "h5netcdf",
    "h5py": "h5py",
    "matplotlib": "matplotlib",
    "tyro": "tyro",
    "tqdm": "tqdm",
    "pillow": "PIL",
}
"""Every package that dynsim needs, and the module by which one sees whether it is there."""
HOME = Path(__file__).resolve().parents[1]
"""Folder that holds dynsim/ and experiments/: that of the repository, or where the package is installed."""
MAKEFILE, VENV = "Makefile", ".venv"
MOST_NAMES = 3


def missing_packages() -> list[str]:
    """Return the packages of `PACKAGES` that this Python does not find."""
    return [name for name, module in PACKAGES.items() if importlib.util.find_spec(module) is None]


def what_is_wrong(version: tuple[int, ...], missing: list[str]) -> str:
    """Return in words why this Python cannot run dynsim, "" if it can."""
    this = f"this Python ({sys.executable})"
    if version[:2] < OLDEST_PYTHON:
        wanted, found = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, version))
        return f"wanted Python {wanted} or newer, but {this} is {found}"
    more = len(missing) - MOST_NAMES
    names = ", ".join(missing[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{this} lacks {names}" if missing else ""


def what_to_do(home: Path, missing: list[str]) -> str:
    """Return the advice: activate the environment that is there, build it, or install what is missing."""
    if not (home / MAKEFILE).is_file():  # an installed package
        return "install what is missing: python -m pip install " + (" ".join(missing) or "dynsim, with a newer Python")
    activate = f"source {_from_here(home / VENV / 'bin' / 'activate')}"
    if (home / VENV / "bin" / "python").exists():
        return f"activate the environment: {activate}"
    return f"run make install in {_from_here(home)} once, which builds the environment, and activate it: {activate}"


def _from_here(path: Path) -> str:
    """Return a path as one would type it: relative to the current folder if it lies below it."""
    try:
        inside = path.relative_to(Path(os.getcwd()).resolve())
    except (ValueError, OSError):
        return str(path)
    return "this folder" if str(inside) == "." else str(inside)


def check_python(script: str, *, packages: bool = True) -> None:
    """End the program with one line on stderr and exit code 2 if this Python cannot run dynsim.

    Args:
        script: path or name of the program, whose last part begins the line.
        packages: look for the packages too, not only at the version.
    """
    missing = missing_packages() if packages else []
    wrong = what_is_wrong(sys.version_info[:3], missing)
    if wrong:
        print(f"{Path(script).name}: error: {wrong}; {what_to_do(HOME, missing)}", file=sys.stderr)
        raise SystemExit(2)
