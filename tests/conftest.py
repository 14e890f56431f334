"""Settings of the test run: strict arithmetic, a compilation cache, types checked at every call."""

import gc
import importlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"  # read when matplotlib is first imported
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # read when jax is first imported

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent

# Compilation is the main cost of the tests. Without optimisation it takes half as long, and sums are rounded in another
# order; tests that compute more than they compile use the fixture `optimised`. With the older way to emit loops, and
# one piece of code per program, it takes half as long once more. The level is that of optimised programs: they run as
# fast as with the default, and are compiled two to four times faster. XLA ends the process where it does not know a
# flag, so these are set for the versions in which they were tried. Processes that a test starts take over all of it.
FLAGS = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1 --xla_backend_optimization_level=1"
)
GIVEN_FLAGS = os.environ.get("XLA_FLAGS", "")
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{GIVEN_FLAGS} {FLAGS}".strip()

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
if os.access(ROOT, os.W_OK):
    # Keep what has been compiled from one run to the next.
    jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

# The configuration judges its own values, and must be seen to do so with its own messages.
SELF_CHECKED = {"__init__", "__main__", "config"}
# An int is a fine float here, as it is for the static checker.
BEARTYPE = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

modules = {path.stem for path in (ROOT / "dynsim").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
if importlib.util.find_spec("beartype"):  # a machine without it still runs the tests
    install_import_hook([f"dynsim.{name}" for name in sorted(modules - SELF_CHECKED)], BEARTYPE)

# While a module is imported under the hook, whatever it imports is compiled from its source: jaxtyping looks for byte
# code under another name then, and seconds go by. So these are loaded before any module of dynsim is.
LIBRARIES = ["beartype", "h5netcdf", "jax.scipy.stats", "matplotlib.figure", "optax", "scipy.stats", "tyro", "xarray"]


def pytest_configure(config: pytest.Config) -> None:
    """Load the large libraries in a process that runs tests: not in the one that only hands them to others."""
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        gc.disable()  # while modules are imported and tests are listed there is no garbage to find
        for name in LIBRARIES:
            if importlib.util.find_spec(name):
                importlib.import_module(name)


def pytest_collection_finish() -> None:
    """Search for garbage from here on, among the objects that the tests make: those that are there now will stay."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def optimised() -> Iterator[None]:
    """Compile with optimisations, at the level of `FLAGS`."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that the test starts compile as they do for users."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
    monkeypatch.setenv("XLA_FLAGS", GIVEN_FLAGS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a slow test where only those are asked for: to import them all takes several seconds."""
    if config.option.markexpr == "slow" and re.fullmatch(r"test_.*\.py", collection_path.name):
        return None if "mark.slow" in collection_path.read_text(encoding="utf-8") else True
    return None


# Files that take the longest, which begin first: else one process is left with one of them when the others have ended.
LONG = ("test_all_pairs", "test_readme", "test_pruning_comparison", "test_pruning_answer", "test_pruning_and_gradients")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Let the second process import the files from the last one on: each then finds half of them compiled."""
    report = yield
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" and isinstance(collector, pytest.Directory):
        report.result.reverse()
    return report


SLOW_SECONDS = 900
"""How long a slow test may take; the others have the time that pyproject.toml says."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take the longest first, and give slow tests more time.

    Tests marked gpu are skipped where JAX sees only a CPU. The other files go by path: all processes must list the same
    order, whichever end they began with.
    """
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
    items.sort(key=lambda item: (LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG), item.path))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and jax.default_backend() == "cpu":
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs an accelerator"))
