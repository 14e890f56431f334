"""A pre-training run: epochs, masks, records, checkpoints."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from dynsim import results
from dynsim.bridge.networks import build
from dynsim.bridge.options.pretraining import Pretraining
from dynsim.bridge.training.epoch import (
    EpochInputs,
    EpochProgram,
    PretrainState,
    batches,
    compiled_epoch,
    initial_state,
)
from dynsim.bridge.training.masking import changed_share, make_mask, refresh_of_epoch
from dynsim.bridge.training.schedules import step_rates, temperature
from dynsim.config.checks import require
from dynsim.engine import checkpoint
from dynsim.engine.progress import Bar, running
from dynsim.prune import masks
from dynsim.randomness.streams import step_key

SAVE_EVERY_S = 60.0
LOGGED = ("loss", "positive_weight", "gradient_norm", "mask_changed")

StateMeasure = Callable[[PretrainState], dict[str, Any]]
"""(state) -> arrays that are recorded: the same names, shapes and dtypes each time."""


class Streams(NamedTuple):
    """The random keys of a run, each for one purpose: arms with the same seed share all of them."""

    weights: Any
    order: Any
    views: Any
    pruning: Any


class Trained(NamedTuple):
    """The end of a run, and its record."""

    state: PretrainState
    log: dict[str, np.ndarray]
    """Means over the steps of each epoch, shape (epoch,), by the names in `LOGGED`."""
    records: dict[str, np.ndarray]
    """What was measured, shape (record, ...), by name."""


class EpochsDone(NamedTuple):
    """A run after some epochs."""

    state: PretrainState
    epoch: int
    """Number of finished epochs."""
    log: np.ndarray
    """Shape (epoch, quantity), NaN for epochs to come."""
    records: dict[str, np.ndarray]
    """By name, shape (record, ...), zero for records to come."""


def streams(seed: int) -> Streams:
    """Return the random keys of a run."""
    base = jax.random.key(np.uint32(seed))
    return Streams(*(jax.random.fold_in(base, number) for number in range(len(Streams._fields))))


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
    wanted = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[-1] == 3 and len(pixels) > 1
    require(wanted, "pixels", "uint8 images of shape (image, side, side, 3)", f"{pixels.dtype} {pixels.shape}")
    run = _Run(pixels, options, seed, measure, tuple(record_epochs))
    keep = _Checkpoints(folder, run_hash(options, seed, pixels))
    done = keep.restore(run.start())
    n_images, first = len(pixels), done.epoch
    with running(progress, label, done.epoch * n_images, options.epochs * n_images) as bar:
        while done.epoch < options.epochs:
            since, compiles = time.perf_counter(), done.epoch == first
            done = run.epoch(done)
            bar.update(n_images, None if compiles else time.perf_counter() - since)
            keep.save_if_due(done, ended=done.epoch == options.epochs)
    return Trained(done.state, {name: done.log[:, k] for k, name in enumerate(LOGGED)}, done.records)


def run_hash(options: Pretraining, seed: int, pixels: np.ndarray) -> str:
    """Return 12 hexadecimal digits that identify a run: its options, seed and images."""
    values = {
        "options": options.values(),
        "seed": seed,
        "images": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


class _Run:
    """What stays the same in all epochs of a run."""

    def __init__(
        self,
        pixels: np.ndarray,
        options: Pretraining,
        seed: int,
        measure: StateMeasure | None,
        record_epochs: tuple[int, ...],
    ) -> None:
        self.options, self.keys, self.measure, self.record_epochs = options, streams(seed), measure, record_epochs
        self.network = build(options.network)
        self.program = compiled_epoch(EpochProgram.of(options))
        self.pixels = jnp.asarray(pixels)
        self.n_steps = -(-len(pixels) // options.batch_size)
        self.rates = step_rates(options, self.n_steps)

    def start(self) -> EpochsDone:
        """Return the run before its first epoch, with the record of it if that is asked for."""
        params, stats, mask = jax.jit(self._first, static_argnums=1)(self.keys.weights, self.pixels.shape[1])
        state = initial_state(EpochProgram.of(self.options), params, stats, mask)
        log = np.full((self.options.epochs, len(LOGGED)), np.nan, np.float32)
        return self._recorded(EpochsDone(state, 0, log, self._no_records(state)))

    def _first(self, key: jax.Array, side: int) -> tuple[PyTree, PyTree, PyTree]:
        params, stats = self.network.init(key, side)
        return params, stats, masks.all_kept(self.network.prunable(params))

    def _no_records(self, state: PretrainState) -> dict[str, np.ndarray]:
        if self.measure is None or not self.record_epochs:
            return {}
        forms = {name: np.asarray(value) for name, value in self.measure(state).items()}
        return {name: np.zeros((len(self.record_epochs), *one.shape), one.dtype) for name, one in forms.items()}

    def _recorded(self, done: EpochsDone) -> EpochsDone:
        if self.measure is not None and done.epoch in self.record_epochs:
            place = self.record_epochs.index(done.epoch)
            for name, value in self.measure(done.state).items():
                done.records[name][place] = value
        return done

    def epoch(self, done: EpochsDone) -> EpochsDone:
        """Return the run one epoch later."""
        options, epoch = self.options, done.epoch
        state, changed = self._with_mask(done.state, epoch)
        order, valid = batches(step_key(self.keys.order, jnp.uint32(epoch)), len(self.pixels), options.batch_size)
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
        state, log = self.program(state, self.pixels, inputs)
        done.log[epoch] = [*(np.mean(one) for one in log), changed]
        return self._recorded(done._replace(state=state, epoch=epoch + 1))

    def _with_mask(self, state: PretrainState, epoch: int) -> tuple[PretrainState, float]:
        """Return the state with the mask of an epoch, and the share of entries in which it differs from the last."""
        masking = self.options.masking
        number = refresh_of_epoch(masking, epoch)
        if number is None:
            return state, 0.0
        weights = self.network.prunable(state.params)
        rate, count = jnp.float32(masking.rate), jnp.uint32(number)
        mask = make_mask(weights, self.keys.pruning, count, rate, kind=masking.kind, scope=masking.scope)
        return state._replace(mask=mask), float(changed_share(mask, state.mask))


class _Checkpoints:
    """Where the progress of a run is kept, if anywhere."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self.folder, self.print = folder, checkpoint.fingerprint(name) | {"code": results.CODE}
        self.saved_at = time.perf_counter()

    def restore(self, start: EpochsDone) -> EpochsDone:
        """Return the progress of the newest checkpoint, or `start` where there is none."""
        path = None if self.folder is None else checkpoint.latest(self.folder)
        if path is None:
            return start
        checkpoint.check_fingerprint(path, self.print)
        tree = checkpoint.load(path, _tree(start))
        records = {name: np.array(one) for name, one in tree["records"].items()}
        return EpochsDone(tree["state"], checkpoint.load_meta(path)["epoch"], np.array(tree["log"]), records)

    def save_if_due(self, done: EpochsDone, *, ended: bool) -> None:
        """Save, if there is a folder and the run has ended or was last saved over `SAVE_EVERY_S` seconds ago."""
        if self.folder is not None and (ended or time.perf_counter() - self.saved_at > SAVE_EVERY_S):
            checkpoint.save(self.folder, done.epoch, _tree(done), self.print | {"epoch": done.epoch})
            self.saved_at = time.perf_counter()


def _tree(done: EpochsDone) -> dict[str, Any]:
    """Return the arrays of a checkpoint."""
    return {"state": done.state, "log": done.log, "records": done.records}
