"""What the benchmark times: each candidate is a function that waits for its own result, and how many steps it makes."""

import functools
import os
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.config import Config, replace
from dynsim.engine import train
from dynsim.engine.data import Batch, batch_at
from dynsim.engine.simulate import record_grid, simulate
from dynsim.engine.timing import Steps

TRAINED = 40  # steps before the timing starts, so that the thresholds are on as for most of a run
TRAINED_LARGE = 4  # and at large shapes, where 16 runs take minutes for 40; a step costs the same with thresholds of 0
CALL_S = 0.1  # about how long one call takes, so that the clock and the call itself do not count
SIDE = 1024
COPIED = 256 * 2**20  # bytes
RUN_STEPS = 300


class Candidate(NamedTuple):
    """Something to time."""

    run: Callable[[], object]
    steps: int = 1
    """Steps of one run that a call makes; the reported times are per step."""


def n_cores() -> int:
    """Return the number of cores that this process may use, which is also the number of threads that JAX takes."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def trained(config: Config) -> int:
    """Return the number of steps that come before the timing."""
    return TRAINED if config.encoder.n_neurons <= 1000 else TRAINED_LARGE


def engine(config: Config, n_seeds: int) -> Candidate:
    """Return the engine's training loop for `n_seeds` runs at once."""
    steps = Steps(config, n_seeds, begin=trained(config)).fill(CALL_S)
    return Candidate(steps, n_seeds * steps.n_steps)


def masked(config: Config) -> dict[str, Candidate]:
    """Return the training loop of one run with a new mask at each step: of neurons, and of single weights."""
    masks = {"prune.kind": "lowest", "prune.rate": 0.5, "prune.semantics": "straight_through"}
    units = ("neuron", "weight")
    return {f"engine_{unit}_masks": engine(replace(config, **masks, **{"prune.unit": unit}), 1) for unit in units}


def peers(config: Config, n_steps: int) -> dict[str, Candidate]:
    """Return the PyTorch program, eager and compiled in two ways; no compiled ones where there is no C++ compiler.

    Sixteen runs of it go one after the other, so that its time per step of one run is the same.
    """
    import torch

    from tests.benchmarks.torch_peer import TorchPeer

    torch.set_num_threads(n_cores())
    torch._dynamo.reset()  # each shape is compiled afresh, and none counts as a recompilation of another

    def new() -> TorchPeer:
        peer = TorchPeer(config)
        for _ in range(trained(config)):
            peer.step()
        return peer

    def repeated(peer: TorchPeer, step: Callable[[], object]) -> Candidate:
        start = peer.weight, peer.threshold, peer.switched

        def run() -> None:
            peer.weight, peer.threshold, peer.switched = start  # the same steps at every call, as for the engine
            for _ in range(n_steps):
                step()

        return Candidate(run, n_steps)

    eager, whole, update = new(), new(), new()
    found = {"torch_eager": repeated(eager, eager.step)}
    if shutil.which("g++") or shutil.which("clang++"):
        found["torch_compiled"] = repeated(whole, whole.compiled_step(draw_too=True))
        found["torch_compiled_update"] = repeated(update, update.compiled_step(draw_too=False))
    return found


def machine() -> dict[str, Candidate]:
    """Return what the machine can do, through JAX: a float32 matrix product, and a pass that reads and writes memory.

    The pass writes where it has read: memory that is asked for anew would be ten times slower, by page faults.
    """
    a = jnp.asarray(np.random.default_rng(0).standard_normal((SIDE, SIDE)), jnp.float32)
    product = jax.jit(lambda left: left @ left)
    negative = jax.jit(jnp.negative, donate_argnums=0)
    held = [jnp.ones((COPIED // 4,), jnp.float32)]

    def copy() -> None:
        held[0] = negative(held[0]).block_until_ready()

    return {"product": Candidate(lambda: product(a).block_until_ready()), "copy": Candidate(copy)}


def parts(config: Config) -> dict[str, Candidate]:
    """Return the parts of a step, each compiled alone: drawing, the loss (forward), loss and gradient, a record.

    Alone they write down what the whole step may keep in registers, so their sum may exceed the step.
    """
    begin = trained(config)
    steps = Steps(config, 1, begin=begin)
    if not isinstance(steps.runs, list):
        raise TypeError("parts are timed on a CPU, where runs go one by one")
    carry, world = steps.runs[0]
    state, made = carry.state, steps.compiled.parts
    draw = jax.jit(lambda n, world: batch_at(made.data, world.keys, n, world.dictionary, world.numbers))
    batch = draw(jnp.int32(begin), world)

    def loss(params: Any, b: jax.Array, batch: Batch, world: train.World) -> jax.Array:
        return train.objective(params, b, batch, world.numbers, made)[0]

    forward, gradient = jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    arguments = state.params, state.thresholds.value, batch, world
    return {
        "draw": Candidate(lambda: jax.block_until_ready(draw(jnp.int32(begin), world))),
        "forward": Candidate(lambda: jax.block_until_ready(forward(*arguments))),
        "gradient": Candidate(lambda: jax.block_until_ready(gradient(*arguments))),
        "record": Candidate(lambda: steps.compiled.record(steps.runs)),
    }


def whole_runs(config: Config) -> dict[str, Candidate]:
    """Return short real runs through `simulate`, with the record of a full run's length and with two records only."""
    found = {}
    for name, n_records in (("recording_on", config.train.n_records), ("recording_off", 2)):
        short = replace(config, **{"train.n_steps": RUN_STEPS, "train.n_records": n_records})
        found[name] = Candidate(functools.partial(simulate, short, [0]), RUN_STEPS)
    return found


def n_records(config: Config, n_steps: int) -> int:
    """Return how many records a run of `config` keeps when it has `n_steps` steps."""
    return len(record_grid(n_steps, config.train.n_records))
