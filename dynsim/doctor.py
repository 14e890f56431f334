"""What dynsim finds on this machine: versions, devices, precision, threads and memory, and a verdict in one line."""

import contextlib
import importlib.util
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dynsim.environment import HOME, MAKEFILE, PACKAGES

MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # memory limit of a container on Linux


def package_versions() -> dict[str, str]:
    """Return {package: installed version, or "missing"} for all packages that dynsim needs."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def has_gpu_hardware() -> bool:
    """Return whether the machine has an NVIDIA or AMD GPU, whether or not JAX can use it."""
    return bool(shutil.which("nvidia-smi")) or os.path.exists("/dev/nvidia0") or os.path.exists("/dev/kfd")


def cpu_count() -> int:
    """Return how many CPUs this process may use; the machine may have more."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float:
    """Return how much memory this process may use, in GiB, or nan if that is not known."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return float("nan")
    with contextlib.suppress(ValueError, OSError):  # not in a container, or in one without a limit
        size = min(size, int(MEMORY_LIMIT.read_text()))
    return size / 2**30


def verdict(versions: dict[str, str], platform_name: str, gpu_hardware: bool) -> str:
    """Return one line: "ready: ...", or else what is wrong and what to do."""
    missing = [name for name, found in versions.items() if found == "missing"]
    if missing:
        return f"not ready: {', '.join(missing)} missing; {_way_to_install(missing)}"
    if gpu_hardware and platform_name == "cpu":
        return "this machine has a GPU, but JAX sees the CPU alone: its jaxlib has no GPU part; install jax[cuda13]"
    return f"ready: runs on {platform_name}"


def _way_to_install(missing: list[str]) -> str:
    if (HOME / MAKEFILE).is_file():
        return "run make stages, or make wheels for a machine without an index"
    return f"python -m pip install {' '.join(missing)}"


def report() -> tuple[str, bool]:
    """Return the report as text, and whether the verdict is "ready"."""
    versions = package_versions()
    lines = [f"{'python':<18}{platform.python_version()} on {platform.machine()}"]
    lines += [f"{name:<18}{found}" for name, found in versions.items()]
    platform_name = "none"
    if importlib.util.find_spec("jax") is not None:
        import jax
        import numpy as np

        devices = jax.devices()
        platform_name = devices[0].platform
        kinds = sorted({f"{device.platform} {device.device_kind}" for device in devices})
        x64 = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
        lines.append(f"{'devices':<18}{len(devices)} ({', '.join(kinds)})")
        lines.append(f"{'precision':<18}{'float64 available' if x64 else 'float32 (set JAX_ENABLE_X64=1 for float64)'}")
    lines.append(f"{'threads':<18}{cpu_count()}")
    lines.append(f"{'memory':<18}{memory_gib():.1f} GiB")
    line = verdict(versions, platform_name, has_gpu_hardware())
    return "\n".join([*lines, f"{'verdict':<18}{line}"]), line.startswith("ready")
