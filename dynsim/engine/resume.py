"""Interrupting and resuming a set of runs: what is saved of it, when, and how it is restored."""

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from dynsim import results
from dynsim.engine import checkpoint
from dynsim.engine.program import Runs
from dynsim.engine.train import Carry, StepInfo
from dynsim.results.sealed import Json

CHECKPOINT_EVERY_S = 60.0


class Recording(NamedTuple):
    """What has been recorded so far: one list entry per record, whose arrays have a leading run axis."""

    records: list[PyTree]
    totals: list[StepInfo]


class Progress(NamedTuple):
    """A set of runs after `n_done` updates: all that is needed to save it and to resume it later."""

    runs: Runs
    n_done: int
    kept: Recording


class Keeper:
    """Saves and restores a set of runs; without a folder it does nothing."""

    def __init__(self, folder: Path | None, name: str) -> None:
        # other code may compute other numbers, so a run is resumed only by the sources that saved it
        self.folder, self.print = folder, checkpoint.fingerprint(name) | {"code": results.CODE}
        self.saved_at = time.perf_counter()

    def due(self) -> bool:
        """Return whether there is a folder and the last save is more than `CHECKPOINT_EVERY_S` seconds ago."""
        return self.folder is not None and time.perf_counter() - self.saved_at > CHECKPOINT_EVERY_S

    def save(self, progress: Progress) -> None:
        """Save a checkpoint; without a folder, do nothing."""
        if self.folder is None:
            return
        runs, n_done, kept = progress
        meta = self.print | {"n_done": n_done, "n_records": len(kept.records)}
        checkpoint.save(self.folder, n_done, _tree(runs, kept), meta)
        self.saved_at = time.perf_counter()

    def restore(self, runs: Runs, kept: Recording) -> Progress:
        """Return the progress saved in the newest checkpoint, or the start if there is none.

        Args:
            runs, kept: the runs and the recording at the start, after no updates.

        Errors: `CheckpointError` in one line for a checkpoint that is damaged or was made by another run or program.
        """
        path = checkpoint.latest(self.folder) if self.folder is not None else None
        if path is None:
            return Progress(runs, 0, kept)
        checkpoint.check_fingerprint(path, self.print)
        meta = checkpoint.load_meta(path)
        like = Recording(*(part * meta["n_records"] for part in kept))  # every record has the shapes of the first
        tree = checkpoint.load(path, _tree(runs, like))
        return _untree(runs, tree, like, meta)


def _carries(runs: Runs) -> list[Carry] | Carry:
    return [carry for carry, _ in runs] if isinstance(runs, list) else runs[0]


def _tree(runs: Runs, kept: Recording) -> dict[str, PyTree]:
    """Return the arrays of a checkpoint. Records are stacked, since thousands of small arrays would be slow to save."""
    stacked = [jax.tree.map(lambda *leaves: np.stack(leaves), *part) for part in kept]
    return {"carry": _carries(runs), "records": jax.tree.leaves(stacked[0]), "totals": jax.tree.leaves(stacked[1])}


def _untree(runs: Runs, tree: dict[str, PyTree], like: Recording, meta: Json) -> Progress:
    parts = []
    for name, part in zip(("records", "totals"), like, strict=True):
        leaves = [np.asarray(leaf) for leaf in tree[name]]
        form = jax.tree.structure(part[0])
        parts.append([jax.tree.unflatten(form, [leaf[k] for leaf in leaves]) for k in range(meta["n_records"])])
    carry = tree["carry"]
    runs = (
        [(c, world) for c, (_, world) in zip(carry, runs, strict=True)] if isinstance(runs, list) else (carry, runs[1])
    )
    return Progress(runs, meta["n_done"], Recording(*parts))
