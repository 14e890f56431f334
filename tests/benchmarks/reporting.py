"""What all benchmarks of `make bench` share, a plugin of pytest: the clock that replays times, and the report."""

import os
from typing import Any

import jax
import pytest

from dynsim.cli import set_up_jax
from dynsim.engine.timing import interleaved
from tests.benchmarks.candidates import Candidate


class Replay:
    """A clock that stands still but for the recorded durations that it is told to let pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        """Return the time in seconds; pytest-benchmark takes this for its timer."""
        return self.now

    def hand_over(self, benchmark: Any, seconds: list[float]) -> None:
        """Give a benchmark its rounds, whose durations have been measured before."""
        left = iter(seconds)

        def let_pass() -> None:
            self.now += next(left)

        self.now = 0.0  # so that adding up loses no digits
        benchmark.pedantic(let_pass, rounds=len(seconds))


CLOCK = Replay()


class Report:
    """The lines that are printed under pytest-benchmark's table."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print what was found (a hook of pytest)."""
        for line in self.lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Return the report that is printed at the end."""
    if jax.config.jax_enable_x64:
        pytest.skip("timed by make bench only, which leaves out the strict settings of the tests")
    set_up_jax("cpu", "float32", "bench")
    made = Report()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > 0.5:  # PyTorch's threads wait for each other at every operation, so it suffers most
        made.lines.append(f"the machine was busy when this began (load {busy:.1f}): the ratios to PyTorch are not fair")
    request.config.pluginmanager.register(made)
    return made


def timed(found: dict[str, Candidate], rounds: int) -> dict[str, list[float]]:
    """Return seconds per step of every candidate, one per round."""
    times = interleaved({name: one.run for name, one in found.items()}, rounds=rounds, warm_up=1)
    return {name: [second / found[name].steps for second in seconds] for name, seconds in times.items()}
