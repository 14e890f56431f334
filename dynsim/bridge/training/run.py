"""A pre-training run: epochs, masks, records, checkpoints."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from dynsim.bridge.networks import build
from dynsim.bridge.options.pretraining import Pretraining
from dynsim.bridge.training.epoch import EpochInputs, EpochProgram, PretrainState, compiled_epoch, initial_state
from dynsim.bridge.training.loop import (
    Recorder,
    StateMeasure,
    check_pixels,
    digest_of,
    order_of_epoch,
    run_epochs,
    streams,
)
from dynsim.bridge.training.masking import next_mask
from dynsim.bridge.training.schedules import step_rates, temperature
from dynsim.engine.progress import Bar
from dynsim.prune import masks
from dynsim.randomness.streams import step_key

LOGGED = ("loss", "positive_weight", "gradient_norm", "mask_changed")


class Trained(NamedTuple):
    """The end of a run, and its record."""

    state: PretrainState
    log: dict[str, np.ndarray]
    """Means over the steps of each epoch, shape (epoch,), by the names in `LOGGED`."""
    records: dict[str, np.ndarray]
    """What was measured, shape (record, ...), by name."""


def pretrain(
    pixels: np.ndarray,
    options: Pretraining,
    seed: int,
    *,
    folder: Path | None = None,
    measure: StateMeasure | None = None,
    record_epochs: Sequence[int] = (),
    label: str = "pre-training",
    progress: bool | Bar = False,
) -> Trained:
    """Train a network on images without labels, or go on with a run that was interrupted.

    A run that was killed and taken up again ends with the same bits as one that was not, on the same machine. Runs with
    the same seed start from the same weights and see the same views in the same order, whatever their masks.

    Args:
        pixels: uint8, shape (image, side, side, 3).
        options: network, mask, views, optimiser.
        seed: chooses weights, order, views and random masks.
        folder: where checkpoints are kept, None for nowhere. The last one holds the finished run: whoever has saved
            what is needed of it removes them (`engine.checkpoint.clear`).
        measure: what to record beside the log; it must not change the state.
        record_epochs: numbers of finished epochs after which to record; 0 is before the first.
        label, progress: text of the progress bar, and whether to show one, or the bar of a study.

    Errors: `CheckpointError` in one line for a damaged or foreign checkpoint; `ConfigError` for images that do not fit.
    """
    check_pixels(pixels)
    run = _Run(pixels, options, seed, Recorder(measure, record_epochs))
    done = run_epochs(run, run_hash(options, seed, pixels), folder, label, progress)
    return Trained(done.state, {name: done.log[:, k] for k, name in enumerate(LOGGED)}, done.records)


def run_hash(options: Pretraining, seed: int, pixels: np.ndarray) -> str:
    """Return 12 hexadecimal digits that identify a run: its options, seed and images."""
    values = {
        "options": options.values(),
        "seed": seed,
        "images": digest_of(pixels),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


class _Run:
    """What stays the same in all epochs of a run."""

    n_logged = len(LOGGED)

    def __init__(self, pixels: np.ndarray, options: Pretraining, seed: int, recorder: Recorder) -> None:
        self.options, self.keys, self.recorder = options, streams(seed), recorder
        self.n_epochs, self.n_images = options.epochs, len(pixels)
        self.network = build(options.network)
        self.program = compiled_epoch(EpochProgram.of(options))
        self.pixels = jnp.asarray(pixels)
        self.n_steps = -(-len(pixels) // options.batch_size)
        self.rates = step_rates(options, self.n_steps)

    def start(self) -> PretrainState:
        """Return the state before the first epoch."""
        params, stats, mask = jax.jit(self._first, static_argnums=1)(self.keys.weights, self.pixels.shape[1])
        return initial_state(EpochProgram.of(self.options), params, stats, mask)

    def _first(self, key: jax.Array, side: int) -> tuple[PyTree, PyTree, PyTree]:
        params, stats = self.network.init(key, side)
        return params, stats, masks.all_kept(self.network.prunable(params))

    def epoch(self, state: PretrainState, epoch: int) -> tuple[PretrainState, list[float]]:
        """Return the state one epoch later, and what is logged."""
        options = self.options
        weights = self.network.prunable(state.params)
        mask, changed = next_mask(options.masking, weights, state.mask, self.keys.pruning, epoch)
        order, valid = order_of_epoch(self.keys, epoch, self.n_images, options.batch_size)
        inputs = EpochInputs(
            jnp.asarray(order),
            jnp.asarray(valid),
            step_key(self.keys.views, jnp.uint32(epoch)),
            jnp.asarray(self.rates[epoch * self.n_steps : (epoch + 1) * self.n_steps]),
            *(
                jnp.float32(one)
                for one in (temperature(options, epoch), options.weight_decay, options.momentum, options.key_momentum)
            ),
        )
        state, log = self.program(state._replace(mask=mask), self.pixels, inputs)
        return state, [*(float(np.mean(one)) for one in log), changed]
