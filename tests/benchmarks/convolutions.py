"""How fast are the convolutions of a ResNet-18 in training: XLA's, those of `dynsim.bridge`, and PyTorch's?

    python -m tests.benchmarks.convolutions --width 16 --batch 256 [--cpu-time]

The network has the convolutions, shortcuts and ReLUs of a ResNet-18 for images of 32x32 pixels, but no batch norms; its
loss is the mean square of the outputs. A step is the loss and its gradient with respect to all kernels. The candidates
are called in turn, as in the other benchmarks. On a machine that is busy with something else, CPU seconds on one core
(`--cpu-time`) say more than wall seconds on all.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from dynsim.bridge.networks.convolution import CHANNELS_LAST, convolve
from dynsim.engine.timing import interleaved, ratio

STAGES = (1, 2, 4, 8)
"""Channels of the four stages, as multiples of the width; all but the first begin with stride 2."""


def kernels(width: int) -> dict[str, np.ndarray]:
    """Return the kernels by name, (row, column, input, output)."""
    rng, found, inputs = np.random.default_rng(0), {}, width

    def draw(size: int, inputs: int, outputs: int) -> np.ndarray:
        return rng.normal(0, (2 / (size * size * inputs)) ** 0.5, (size, size, inputs, outputs)).astype(np.float32)

    found["stem"] = draw(3, 3, width)
    for stage, factor in enumerate(STAGES):
        for block in range(2):
            name, outputs = f"{stage}.{block}", factor * width
            found |= {f"{name}.first": draw(3, inputs, outputs), f"{name}.second": draw(3, outputs, outputs)}
            if inputs != outputs:
                found[f"{name}.shortcut"] = draw(1, inputs, outputs)
            inputs = outputs
    return found


def loss(
    apply: Callable[[Any, Any, int], Any], relu: Callable[[Any], Any], weights: dict[str, Any], images: Any
) -> Any:
    """Return the mean square of the outputs; `apply` convolves images with a kernel and a stride."""
    x = relu(apply(images, weights["stem"], 1))
    for stage in range(len(STAGES)):
        for block in range(2):
            name, stride = f"{stage}.{block}", 2 if stage and not block else 1
            inner = apply(relu(apply(x, weights[f"{name}.first"], stride)), weights[f"{name}.second"], 1)
            shortcut = weights.get(f"{name}.shortcut")
            x = relu(inner + (x if shortcut is None else apply(x, shortcut, stride)))
    return (x * x).mean()


def jax_step(function: Callable[..., Any], weights: dict[str, np.ndarray], images: np.ndarray) -> Callable[[], Any]:
    """Return a step in JAX; `function` is called like `jax.lax.conv_general_dilated`."""

    def apply(x: Any, kernel: Any, stride: int) -> Any:
        pad = kernel.shape[0] // 2
        return function(x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=CHANNELS_LAST)

    step = jax.jit(jax.value_and_grad(lambda w, x: loss(apply, jax.nn.relu, w, x)))
    arguments = jax.tree.map(jnp.asarray, (weights, images))
    return lambda: jax.block_until_ready(step(*arguments))


def torch_step(weights: dict[str, np.ndarray], images: np.ndarray) -> Callable[[], Any]:
    """Return a step in PyTorch, with channels last."""
    last = torch.channels_last
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=last)
    own = {name: torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=last) for name, w in weights.items()}
    own = {name: w.requires_grad_() for name, w in own.items()}

    def apply(x: Any, kernel: Any, stride: int) -> Any:
        return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    def step() -> tuple[Any, dict[str, Any]]:
        value = loss(apply, F.relu, own, x)
        return value, dict(zip(own, torch.autograd.grad(value, list(own.values())), strict=True))

    return step


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Return the largest difference between gradients, as a share of the largest entry of the same kernel."""
    pairs = [(np.asarray(found[name]), wanted[name].permute(2, 3, 1, 0).numpy()) for name in found]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def main() -> None:
    """Time the candidates and print a line for each."""
    parser = argparse.ArgumentParser(description="Time the convolutions of a ResNet-18.")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds on one core")
    given = parser.parse_args()
    if given.cpu_time:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before JAX counts the cores
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    weights = kernels(given.width)
    images = np.random.default_rng(1).normal(size=(given.batch, 32, 32, 3)).astype(np.float32)
    plain = jax_step(lax.conv_general_dilated, weights, images)
    steps = {"xla": plain, "dynsim": jax_step(convolve, weights, images), "torch": torch_step(weights, images)}
    wanted = steps["torch"]()[1]
    off = {name: difference(steps[name]()[1], wanted) for name in ("xla", "dynsim")}
    clock = time.process_time if given.cpu_time else time.perf_counter
    times = interleaved(steps, rounds=given.rounds, warm_up=1, clock=clock)
    for name, seconds in times.items():
        speed = f"{ratio(times['torch'], seconds):.2f} times PyTorch's speed"
        line = f"width {given.width} {name}: {1e3 * min(seconds):.0f} ms at best, {speed}"
        print(line + (f", gradients within {off[name]:.0e} of PyTorch's" if name in off else ""))


if __name__ == "__main__":
    main()
