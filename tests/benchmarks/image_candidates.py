"""What the benchmark on images times: a step of pre-training without a mask, here and in PyTorch."""

import math
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.bridge.networks import NetworkShape, build
from dynsim.bridge.options import Pretraining
from dynsim.bridge.training.epoch import EpochInputs, EpochProgram, PretrainState, compiled_epoch, initial_state
from dynsim.prune import masks
from tests.benchmarks.candidates import Candidate, n_cores

SIDE = 32
CALM = 1e-3  # learning rate of the timed steps, so that the loss stays finite however many there are
IMAGE_SHAPES = {
    # the network and the batch of the preset cpu of experiments/cifar_lt.py
    "narrow": Pretraining(
        network=NetworkShape(stem="cifar_strided", width=1 / 4), batch_size=256, views="none", learning_rate=CALM
    ),
    # the network of the papers
    "full": Pretraining(batch_size=64, views="none", learning_rate=CALM),
}


def useful_operations(options: Pretraining, side: int = SIDE) -> int:
    """Return the floating-point operations of the products that a step on one batch cannot do without.

    Those of all convolutions and of the head, two per multiply-add: forward, and for the gradients with respect to
    kernels and to images, other than that of the first convolution, which no one needs. Both views; the rest of the
    step, batch norms and loss included, is not counted.
    """
    counted: list[int] = []

    def convolve(images: Any, kernel: Any, strides: Any, padding: Any, dimension_numbers: Any) -> Any:
        out = jax.lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=dimension_numbers)
        counted.append(out.size * math.prod(kernel.shape[:3]))
        return out

    network = build(options.network, convolve)
    images = jax.ShapeDtypeStruct((options.batch_size, side, side, 3), jnp.float32)
    params, stats = jax.eval_shape(lambda: network.init(jax.random.key(0), side))
    counted.clear()
    jax.eval_shape(lambda p, s, x: network.apply(p, s, x, train=True), params, stats, images)
    kernels = [part["kernel"] for part in params["head"].values() if "kernel" in part]
    head = options.batch_size * sum(kernel.size for kernel in kernels)
    return 2 * 2 * (3 * (sum(counted) + head) - counted[0])


def images_of(options: Pretraining, side: int = SIDE) -> np.ndarray:
    """Return a batch of random images."""
    return np.random.default_rng(0).integers(0, 256, (options.batch_size, side, side, 3), np.uint8)


def first_state(options: Pretraining, side: int = SIDE) -> PretrainState:
    """Return the state before the first step."""
    network = build(options.network)

    def first(key: jax.Array) -> Any:
        params, stats = network.init(key, side)
        return params, stats, masks.all_kept(network.prunable(params))

    return initial_state(EpochProgram.of(options), *jax.jit(first)(jax.random.key(0)))


def step_inputs(options: Pretraining) -> EpochInputs:
    """Return what an epoch of one step is given."""
    n_images = options.batch_size
    rates = jnp.full(1, options.learning_rate, jnp.float32)
    given = (options.temperature, options.weight_decay, options.momentum, options.key_momentum)
    numbers = (jnp.float32(one) for one in given)
    order, valid = jnp.arange(n_images, dtype=jnp.int32)[None], jnp.ones((1, n_images), bool)
    return EpochInputs(order, valid, jax.random.key(1), rates, *numbers)


def pretraining_step(options: Pretraining) -> Candidate:
    """Return one step of the compiled epoch, which goes on from where the last call ended."""
    epoch, inputs = compiled_epoch(EpochProgram.of(options)), step_inputs(options)
    pixels, held = jnp.asarray(images_of(options)), [first_state(options)]

    def run() -> None:
        held[0], log = epoch(held[0], pixels, inputs)
        jax.block_until_ready((held[0], log))

    return Candidate(run)


def image_peers(options: Pretraining) -> dict[str, Candidate]:
    """Return the PyTorch step, eager and compiled; no compiled one where there is no C++ compiler."""
    import torch

    from tests.benchmarks.image_peer import ImagePeer

    torch.set_num_threads(n_cores())
    torch._dynamo.reset()
    pixels = torch.from_numpy(images_of(options))
    eager, other = ImagePeer(options), ImagePeer(options)
    found = {"torch_eager": Candidate(lambda: eager.step(pixels, pixels))}
    if shutil.which("g++") or shutil.which("clang++"):
        compiled = other.compiled()
        found["torch_compiled"] = Candidate(lambda: compiled(pixels, pixels))
    return found
