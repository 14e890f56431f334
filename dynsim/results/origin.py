"""The provenance of a result: command, commit, code, versions and device, as far as needed to make it again."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dynsim.results.sealed import Json


def provenance() -> Json:
    """Return what one needs to know to make a result again: command, commit, code, versions and device.

    `dirty` says whether files of dynsim/ or experiments/ differ from the commit, and `code` is `CODE`.
    """
    import jax  # here, so that reading results needs no JAX

    device = jax.devices()[0]

    packages = ("jax", "jaxlib", "optax", "numpy", "xarray")
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "dynsim", "experiments")),
        "code": CODE,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "device": f"{device.platform} {device.device_kind}",
        "n_devices": len(jax.devices()),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "x64": has_x64(),
    }


def code_digest(folder: Path) -> str:
    """Return a short SHA-256 digest of all Python sources below a folder and of their relative paths.

    Files in `__pycache__` do not count.
    """
    digest = hashlib.sha256()
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py") if "__pycache__" not in path.parts
    }
    for name in sorted(found):
        source = found[name].read_bytes()
        digest.update(f"{name}\0{len(source)}\0".encode() + source)  # the length marks where a file ends
    return digest.hexdigest()[:16]


CODE = code_digest(Path(__file__).parent.parent)
"""Digest of the sources of dynsim when they were imported. Later edits do not count, since they are not what runs."""


def has_x64() -> bool:
    """Return whether float64 is on in JAX; otherwise JAX turns it into float32."""
    import jax

    return bool(jax.dtypes.canonicalize_dtype(np.float64) == np.float64)


def _git(*arguments: str) -> str:
    here = Path(__file__).parents[2]  # the root of the repository
    if not (here / ".git").exists():  # the package is installed, perhaps inside a repository of the user's
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
