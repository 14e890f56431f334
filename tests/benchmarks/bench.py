"""How fast is one training step, against an idiomatic PyTorch program and against the machine?

Everything is timed in one go, interleaved, with the same number of threads, after warm-up; ratios are medians over
rounds of the ratio within a round.

Command:  make bench                    all shapes, about 5 minutes on 2 CPU cores; writes results/bench.json

          make bench ARGS="default"     one shape (default, d64_m256_L8, d128_m4096_L8)
"""

import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from dynsim.config import Config
from dynsim.hyper import hyper, structure
from dynsim.program import program
from dynsim.results import provenance, save_json
from tests.benchmarks.interleave import interleaved, ratio
from tests.benchmarks.shapes import SHAPES, useful_operations
from tests.benchmarks.torch_peer import TorchPeer

TRAINED = 40  # steps before the timing starts, so that the thresholds are on as for most of a run


def engine_steps(config: Config, n_seeds: int, n_steps: int) -> Callable[[], object]:
    """Return a function that makes `n_steps` steps of `n_seeds` runs and waits for them."""
    compiled = program(structure(config), True)
    runs = compiled.init(np.arange(n_seeds, dtype=np.uint32), [hyper(config)] * n_seeds)
    runs = compiled.advance(runs, 0, TRAINED)
    return lambda: compiled.advance(runs, TRAINED, TRAINED + n_steps)


def torch_steps(config: Config, n_steps: int, *, compiled: bool) -> Callable[[], object]:
    """Return a function that makes `n_steps` steps of one run of the PyTorch peer."""
    peer = TorchPeer(config)
    for _ in range(TRAINED):
        peer.step()
    if compiled:
        peer.draw = torch.compile(peer.draw)  # type: ignore[method-assign]
        peer.value_and_grad = torch.compile(peer.value_and_grad)  # type: ignore[method-assign]

    def run() -> None:
        for _ in range(n_steps):
            peer.step()

    return run


def products(config: Config) -> Callable[[], object]:
    """Return the machine's rate as a function: a matrix product of 1024 in float32, through JAX."""
    side = 1024
    a = jnp.asarray(np.random.default_rng(0).standard_normal((side, side)), jnp.float32)
    product = jax.jit(lambda left: left @ left)
    return lambda: product(a).block_until_ready()


def time_shape(name: str, config: Config, *, with_compile: bool) -> dict[str, float]:
    """Time one shape and return milliseconds, ratios and shares."""
    n_steps = 2 if config.encoder.n_neurons > 1000 else 20
    candidates = {
        "engine, 1 seed": engine_steps(config, 1, n_steps),
        "engine, 16 seeds": engine_steps(config, 16, max(1, n_steps // 10)),
        "PyTorch eager": torch_steps(config, n_steps, compiled=False),
        "matrix product": products(config),
    }
    if with_compile:
        candidates["PyTorch compiled"] = torch_steps(config, n_steps, compiled=True)
    times = interleaved(candidates, rounds=5 if n_steps == 2 else 9)
    per = {label: n_steps for label in candidates} | {"engine, 16 seeds": 16 * max(1, n_steps // 10)}
    middle = {label: statistics.median(seconds) for label, seconds in times.items()}
    rate = 2 * 1024**3 / min(times["matrix product"])
    out = {f"{label}, ms per step": 1e3 * middle[label] / per[label] for label in candidates if "product" not in label}
    out["machine, GFLOP/s"] = rate / 1e9
    out["share of the machine, 1 seed"] = useful_operations(config) * n_steps / middle["engine, 1 seed"] / rate
    many = useful_operations(config) * per["engine, 16 seeds"] / middle["engine, 16 seeds"] / rate
    out["share of the machine, 16 seeds"] = many
    for peer in ("PyTorch eager", "PyTorch compiled"):
        if peer in times:
            out[f"times faster than {peer}"] = ratio(times, peer, "engine, 1 seed")
    print(f"\n{name}")
    for label, value in out.items():
        print(f"  {label:<34}{value:10.3f}")
    return out


def main(arguments: list[str]) -> None:
    """Time the shapes named on the command line, or all."""
    unknown = [name for name in arguments if name not in SHAPES]
    if unknown:
        print(f"bench: wanted names among {', '.join(SHAPES)}, got {unknown[0]!r}", file=sys.stderr)
        raise SystemExit(2)
    torch.set_num_threads(os.cpu_count() or 1)
    table = {name: time_shape(name, SHAPES[name], with_compile=True) for name in arguments or SHAPES}
    out = Path("results") / "bench.json"
    save_json({"provenance": provenance() | {"torch": torch.__version__}, "shapes": table}, out)
    print(out)


if __name__ == "__main__":
    main(sys.argv[1:])
