"""How fast is one training step, against an idiomatic PyTorch program and against the machine, and what is in it?

Everything at one shape is timed in one go, interleaved, after warm-up, with the same number of threads; the recorded
times are then handed to pytest-benchmark, whose table and JSON these are. Times are per step of one run, other than
those of the group "fresh process". Only `make bench` runs this file: its name is not one that pytest collects.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dynsim.engine.timing import ratio
from dynsim.results.origin import provenance
from tests.benchmarks import candidates
from tests.benchmarks.reporting import CLOCK, Report, timed
from tests.benchmarks.shapes import SHAPES, useful_bytes, useful_operations

MASKED = ("engine_neuron_masks", "engine_weight_masks")
STEP = ("engine_1_seed", "engine_16_seeds", *MASKED, "torch_eager", "torch_compiled", "torch_compiled_update")
PART = ("draw", "forward", "gradient", "record")
MACHINE = ("product", "copy")
RECORDING = ("recording_on", "recording_off")
ROUNDS = {"default": 15, "d64_m256_L8": 9, "d128_m4096_L8": 5}
FRESH_STEPS = {"default": (100, 400), "d64_m256_L8": (50, 200), "d128_m4096_L8": (5, 20)}


pytestmark = pytest.mark.benchmark(timer=CLOCK.read)


@pytest.fixture(scope="session", params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    """Return the name of a shape."""
    return request.param


@pytest.fixture(scope="session")
def times(shape: str, report: Report) -> dict[str, list[float]]:
    """Time everything at one shape in one interleaved measurement."""
    config = SHAPES[shape]
    found = {"engine_1_seed": candidates.engine(config, 1), "engine_16_seeds": candidates.engine(config, 16)}
    found |= candidates.masked(config)
    try:
        found |= candidates.peers(config, found["engine_1_seed"].steps)
    except ModuleNotFoundError:
        report.lines.append(f"{shape}: PyTorch is not installed, so there is no peer")
    found |= candidates.parts(config) | candidates.machine()
    times = timed(found, ROUNDS[shape])
    report.lines += ["", *summary(shape, times)]
    return times


def shares(shape: str, times: dict[str, list[float]], name: str) -> dict[str, float]:
    """Return how many times faster than each peer, and which share of the machine's rates, a candidate is."""
    config, mine = SHAPES[shape], times[name]
    product = ratio(times["product"], mine) * useful_operations(config) / (2 * candidates.SIDE**3)
    copy = ratio(times["copy"], mine) * useful_bytes(config) / (2 * candidates.COPIED)
    peers = {f"{peer} / this": ratio(times[peer], mine) for peer in STEP if peer in times and "torch" in peer}
    return {"share of the product rate": product, "share of the copy rate": copy} | peers


def summary(shape: str, times: dict[str, list[float]]) -> list[str]:
    """Return the lines on one shape."""
    middle = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
    flops = 2 * candidates.SIDE**3 / middle["product"] / 1e6
    gbytes = 2 * candidates.COPIED / middle["copy"] / 1e6
    lines = [f"{shape}: {candidates.n_cores()} threads, product {flops:.0f} GFLOP/s, copy {gbytes:.0f} GB/s"]
    for name in ("engine_1_seed", "engine_16_seeds"):
        found = shares(shape, times, name)
        peers = [f"{v:.2f} times {k.removesuffix(' / this')}" for k, v in found.items() if k.endswith("/ this")]
        of_machine = f"{100 * found['share of the product rate']:.0f} % of the product rate, " + (
            f"{100 * found['share of the copy rate']:.0f} % of the copy rate"
        )
        lines.append(f"  {name}: {middle[name]:.3f} ms per step of one run, {of_machine}")
        lines += [f"    its speed is {', '.join(peers)}"] if peers else []
    slower = {name: ratio(times["engine_1_seed"], times[name]) for name in MASKED}
    speeds = [f"{name.removeprefix('engine_').replace('_', ' ')} {value:.2f}" for name, value in slower.items()]
    lines.append(f"  speed with a new mask at each step, as a share of that without: {', '.join(speeds)}")
    backward = 1e3 * statistics.median(backward_seconds(times))
    rest = middle["engine_1_seed"] - middle["draw"] - middle["gradient"]
    rest = f"{rest:.3f}" if rest > 0 else "nothing (the parts alone take longer)"
    lines.append(
        f"  parts, ms: draw {middle['draw']:.3f}, forward {middle['forward']:.3f}, backward {backward:.3f}, "
        f"rest of the step {rest}; a record {middle['record']:.3f}"
    )
    return lines


def backward_seconds(times: dict[str, list[float]]) -> list[float]:
    """Return gradient minus forward, round by round."""
    return [both - forward for both, forward in zip(times["gradient"], times["forward"], strict=True)]


@pytest.mark.parametrize("name", STEP)
def test_step(shape: str, name: str, times: dict[str, list[float]], benchmark: Any) -> None:
    """Report one training step."""
    if name not in times:
        pytest.skip("needs PyTorch, and a C++ compiler where it is compiled")
    benchmark.group = f"step {shape}"
    benchmark.extra_info |= shares(shape, times, name) | {"provenance": provenance()}
    if name in MASKED:
        benchmark.extra_info["no mask / this"] = ratio(times["engine_1_seed"], times[name])
    CLOCK.hand_over(benchmark, times[name])


@pytest.mark.parametrize("name", [*PART, *MACHINE])
def test_part(shape: str, name: str, times: dict[str, list[float]], benchmark: Any) -> None:
    """Report a part of the step by itself, and the machine's own rates."""
    benchmark.group = f"parts {shape}"
    benchmark.extra_info["share of the step"] = ratio(times[name], times["engine_1_seed"])
    if name == "gradient":
        benchmark.extra_info["backward, median seconds"] = statistics.median(backward_seconds(times))
    CLOCK.hand_over(benchmark, times[name])


@pytest.fixture(scope="session")
def run_times(report: Report) -> dict[str, list[float]]:
    """Time real runs of the default shape with and without recording, and the recorder alone."""
    config = SHAPES["default"]
    found = candidates.whole_runs(config)
    found |= {"engine": candidates.engine(config, 1), "record": candidates.parts(config)["record"]}
    return timed(found, 7)


def recording_cost(times: dict[str, list[float]]) -> dict[str, float]:
    """Return what recording costs in the default preset: as seen in short runs, and by the recorder alone.

    Both are shares of the time that the preset's steps take without recording.
    """
    config = SHAPES["default"]
    short, full = (candidates.n_records(config, n) for n in (candidates.RUN_STEPS, config.train.n_steps))
    on, off, alone, step = (statistics.median(times[n]) for n in ("recording_on", "recording_off", "record", "engine"))
    each = (on - off) * candidates.RUN_STEPS / (short - 2)
    whole = step * config.train.n_steps
    return {
        "records of the default preset": full,
        "ms per record in a run": 1e3 * each,
        "ms per record alone": 1e3 * alone,
        "share of the default preset": each * full / whole,
        "share of the default preset by the recorder alone": alone * full / whole,
    }


@pytest.mark.parametrize("name", RECORDING)
def test_recording(name: str, run_times: dict[str, list[float]], report: Report, benchmark: Any) -> None:
    """Report whole short runs through `simulate`."""
    benchmark.group = "recording default"
    found = recording_cost(run_times)
    benchmark.extra_info |= found
    line = "; ".join(f"{key} {value:.3g}" for key, value in found.items())
    report.lines += [line] if line not in report.lines else []
    CLOCK.hand_over(benchmark, run_times[name])


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, int], dict[str, float]]]:
    """Return a function that measures a process of its own; one cache folder per shape, empty at first."""

    def measure(shape: str, n_steps: int) -> dict[str, float]:
        cache = tmp_path_factory.getbasetemp() / f"cache_{shape}"
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}
        words = [sys.executable, "-m", "tests.benchmarks.fresh", shape, str(n_steps)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=300)
        return json.loads(done.stdout.splitlines()[-1])

    yield measure


@pytest.mark.parametrize("name", SHAPES)
def test_fresh_process(name: str, fresh: Callable[..., Any], report: Report, benchmark: Any) -> None:
    """Report seconds to the first step from an empty cache; in the extra information from a full one, and memory."""
    benchmark.group = "fresh process"
    few, many = FRESH_STEPS[name]
    cold, short, long = fresh(name, few), fresh(name, few), fresh(name, many)
    benchmark.extra_info |= {
        "from the cache, s": short["first_step_s"],
        f"peak memory at {few} steps, MB": short["peak_mb"],
        f"peak memory at {many} steps, MB": long["peak_mb"],
    }
    report.lines.append(
        f"{name}: {cold['first_step_s']:.1f} s to the first step, {short['first_step_s']:.1f} s from the cache; "
        f"peak memory {short['peak_mb']:.0f} MB at {few} steps, {long['peak_mb']:.0f} MB at {many}"
    )
    CLOCK.hand_over(benchmark, [cold["first_step_s"]])
