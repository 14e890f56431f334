"""How many images per second does pre-training take, against an idiomatic PyTorch program and against the machine?

A step is loss, gradient and update of a batch of pairs of views, without a mask and without random views: both views
are the image itself. With the random views of SDCLR it is timed as well. Everything at one shape is timed in one go,
interleaved, in float32. Only `make bench` runs this file: its name is not one that pytest collects.
"""

import dataclasses
import statistics
from typing import Any

import pytest

from dynsim.engine.timing import ratio
from dynsim.results.origin import provenance
from tests.benchmarks import candidates
from tests.benchmarks.image_candidates import IMAGE_SHAPES, image_peers, pretraining_step, useful_operations
from tests.benchmarks.reporting import CLOCK, Report, timed

ROUNDS = 7
IMAGE_STEP = ("dynsim", "dynsim_random_views", "torch_eager", "torch_compiled")
pytestmark = pytest.mark.benchmark(timer=CLOCK.read)


@pytest.fixture(scope="session", params=IMAGE_SHAPES)
def image_shape(request: pytest.FixtureRequest) -> str:
    """Return the name of a shape."""
    return request.param


@pytest.fixture(scope="session")
def image_times(image_shape: str, report: Report) -> dict[str, list[float]]:
    """Time everything at one shape in one interleaved measurement."""
    options = IMAGE_SHAPES[image_shape]
    found = {"dynsim": pretraining_step(options)}
    found["dynsim_random_views"] = pretraining_step(dataclasses.replace(options, views="sdclr"))
    try:
        found |= image_peers(options)
    except ModuleNotFoundError:
        report.lines.append(f"images, {image_shape}: PyTorch is not installed, so there is no peer")
    found["product"] = candidates.machine()["product"]
    times = timed(found, ROUNDS)
    report.lines += ["", *image_summary(image_shape, times)]
    return times


def image_shares(shape: str, times: dict[str, list[float]], name: str) -> dict[str, float]:
    """Return images per second, share of the machine's rate, and how many times faster than each peer it is."""
    options, mine = IMAGE_SHAPES[shape], times[name]
    operations = useful_operations(options)
    peers = {f"{peer} / this": ratio(times[peer], mine) for peer in IMAGE_STEP if peer in times and "torch" in peer}
    return {
        "images per second": options.batch_size / statistics.median(mine),
        "GFLOP per step": operations / 1e9,
        "share of the product rate": ratio(times["product"], mine) * operations / (2 * candidates.SIDE**3),
        "product, GFLOP/s": 2e-9 * candidates.SIDE**3 / statistics.median(times["product"]),
        "batch": options.batch_size,
    } | peers


def image_summary(shape: str, times: dict[str, list[float]]) -> list[str]:
    """Return the lines on one shape."""
    options = IMAGE_SHAPES[shape]
    lines = [
        f"images, {shape}: {options.network.architecture}, width {options.network.width:g}, stem"
        f" {options.network.stem}, batch {options.batch_size}, {candidates.n_cores()} threads"
    ]
    for name in IMAGE_STEP:
        if name in times:
            found = image_shares(shape, times, name)
            peers = [f"{v:.2f} times {k.removesuffix(' / this')}" for k, v in found.items() if k.endswith("/ this")]
            speed = f"{found['images per second']:.0f} images/s"
            share = f"{found['share of the product rate']:.0%} of the product rate"
            lines.append(f"  {name}: {', '.join([speed, share, *peers])}")
    return lines


@pytest.mark.parametrize("name", IMAGE_STEP)
def test_image_step(image_shape: str, name: str, image_times: dict[str, list[float]], benchmark: Any) -> None:
    """Report one step."""
    if name not in image_times:
        pytest.skip("needs PyTorch, and a C++ compiler where it is compiled")
    benchmark.group = f"image step {image_shape}"
    benchmark.extra_info |= image_shares(image_shape, image_times, name) | {"provenance": provenance()}
    CLOCK.hand_over(benchmark, image_times[name])
