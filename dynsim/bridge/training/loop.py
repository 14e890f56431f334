"""What all trainings on images share: random streams, epoch after epoch, records, checkpoints.

A training is anything with the attributes and methods of `EpochRun`. `run_epochs` takes it from its start, or from its
last checkpoint, to its last epoch; a run that was killed ends with the same bits as one that was not.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from dynsim import results
from dynsim.config.checks import require
from dynsim.engine import checkpoint
from dynsim.engine.progress import Bar, running
from dynsim.randomness.streams import step_key

SAVE_EVERY_S = 60.0

StateMeasure = Callable[[Any], dict[str, Any]]
"""(state) -> arrays that are recorded: the same names, shapes and dtypes each time. It must not change the state."""


class Streams(NamedTuple):
    """The random keys of a run, each for one purpose: arms with the same seed share all of them."""

    weights: Any
    order: Any
    views: Any
    pruning: Any
    positives: Any


def streams(seed: int) -> Streams:
    """Return the random keys of a run."""
    base = jax.random.key(np.uint32(seed))
    return Streams(*(jax.random.fold_in(base, number) for number in range(len(Streams._fields))))


class EpochsDone(NamedTuple):
    """A run after some epochs."""

    state: Any
    """Everything that training changes: a tree of arrays."""
    epoch: int
    """Number of finished epochs."""
    log: np.ndarray
    """Shape (epoch, quantity), NaN for epochs to come."""
    records: dict[str, np.ndarray]
    """By name, shape (record, ...), zero for records to come."""


class Recorder:
    """What is measured of a state, and after how many epochs."""

    def __init__(self, measure: StateMeasure | None, epochs: Sequence[int]) -> None:
        """Take the measure, None for none, and the numbers of finished epochs; 0 is before the first."""
        self.measure, self.epochs = measure, tuple(epochs)

    def empty(self, state: Any) -> dict[str, np.ndarray]:
        """Return the records before any was made."""
        if self.measure is None or not self.epochs:
            return {}
        forms = {name: np.asarray(value) for name, value in self.measure(state).items()}
        return {name: np.zeros((len(self.epochs), *one.shape), one.dtype) for name, one in forms.items()}

    def recorded(self, done: EpochsDone) -> EpochsDone:
        """Return the run with the record that is due after its last epoch, if one is."""
        if self.measure is not None and done.epoch in self.epochs:
            place = self.epochs.index(done.epoch)
            for name, value in self.measure(done.state).items():
                done.records[name][place] = value
        return done


@runtime_checkable
class EpochRun(Protocol):
    """What stays the same in all epochs of a run, and how it goes on by one."""

    n_epochs: int
    n_images: int
    """Images of an epoch, in which the progress bar counts."""
    n_logged: int
    """Quantities that are logged of each epoch."""
    recorder: Recorder

    def start(self) -> Any:
        """Return the state before the first epoch."""

    def epoch(self, state: Any, epoch: int) -> tuple[Any, Sequence[float]]:
        """Return the state after an epoch, counted from 0, and what is logged of it. The given state is used up."""


def run_epochs(run: EpochRun, name: str, folder: Path | None, label: str, progress: bool | Bar) -> EpochsDone:
    """Take a run to its last epoch, from its newest checkpoint where there is one.

    Args:
        name: identifies the run: a checkpoint of another one is refused.
        folder: where checkpoints are kept, None for nowhere.
        label, progress: text of the progress bar, and whether to show one, or the bar of a study.

    Errors: `CheckpointError` in one line for a damaged or foreign checkpoint.
    """
    keep = _Checkpoints(folder, name)
    done = keep.restore(_started(run))
    first = done.epoch
    with running(progress, label, done.epoch * run.n_images, run.n_epochs * run.n_images) as bar:
        while done.epoch < run.n_epochs:
            since, compiles = time.perf_counter(), done.epoch == first
            state, done.log[done.epoch] = run.epoch(done.state, done.epoch)
            done = run.recorder.recorded(done._replace(state=state, epoch=done.epoch + 1))
            bar.update(run.n_images, None if compiles else time.perf_counter() - since)
            keep.save_if_due(done, ended=done.epoch == run.n_epochs)
    return done


def _started(run: EpochRun) -> EpochsDone:
    """Return a run before its first epoch, with the record of it if that is asked for."""
    state = run.start()
    log = np.full((run.n_epochs, run.n_logged), np.nan, np.float32)
    return run.recorder.recorded(EpochsDone(state, 0, log, run.recorder.empty(state)))


def spaced_epochs(epochs: int, n_records: int) -> tuple[int, ...]:
    """Return after how many epochs to record: at the start, then ever more seldom, and at the end.

    Args:
        epochs: those of the run.
        n_records: records beside the one at the start, where there are so many different epochs.
    """
    steps = np.unique(np.round(np.geomspace(1, epochs, n_records)).astype(int))
    return (0, *(int(step) for step in steps))


def order_of_epoch(keys: Streams, epoch: int, n_images: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of each batch of an epoch, as `batches` does; the same for all runs with these keys."""
    return batches(step_key(keys.order, jnp.uint32(epoch)), n_images, batch_size)


def batches(key: Any, n_images: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a random order of all images in batches, and which entries are more than padding: shapes (step, image).

    Errors: none; a batch larger than the set makes one padded step.
    """
    order = np.asarray(jax.random.permutation(key, n_images))
    n_steps = -(-n_images // batch_size)
    padded = np.zeros(n_steps * batch_size, np.int32)
    padded[:n_images] = order
    valid = np.arange(n_steps * batch_size) < n_images
    return padded.reshape(n_steps, batch_size), valid.reshape(n_steps, batch_size)


def check_pixels(pixels: np.ndarray) -> None:
    """Refuse anything but at least two uint8 images. Errors: `ConfigError` in one line."""
    wanted = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[-1] == 3 and len(pixels) > 1
    require(wanted, "pixels", "uint8 images of shape (image, side, side, 3)", f"{pixels.dtype} {pixels.shape}")


def digest_of(*arrays: np.ndarray) -> str:
    """Return the SHA-256 digest of some arrays, which identifies the images of a run."""
    found = hashlib.sha256()
    for one in arrays:
        found.update(np.ascontiguousarray(one).tobytes())
    return found.hexdigest()


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
