"""`simulate`: run a configuration for several seeds and return the labelled result.

`simulate_many` does the same for several configurations that share one compiled program.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from dynsim import results, theory
from dynsim.config import Config
from dynsim.config.checks import ConfigError
from dynsim.config.serial import config_hash
from dynsim.engine import train
from dynsim.engine.arguments import check_runnable, check_seeds
from dynsim.engine.data import DataModel
from dynsim.engine.encoder import Encoder, embedding_path
from dynsim.engine.numbers import Resolved, resolve
from dynsim.engine.own_parts import check_function, check_outputs, check_own
from dynsim.engine.program import (
    MAKING,
    Program,
    Runs,
    origins,
    peak_memory,
    program,
    pruned,
    runs_one_by_one,
    trained,
)
from dynsim.engine.progress import Bar, running
from dynsim.engine.reporting import OnRecord, OnRecordOf, report_records
from dynsim.engine.resume import Keeper, Progress, Recording
from dynsim.engine.train import RecordFn
from dynsim.theory import FeatureGroups

LOOK_EVERY_S = 1.0  # stretches of steps are made so long that the progress bar moves about this often


def record_grid(n_steps: int, n_records: int) -> np.ndarray:
    """Return the numbers of updates at which to record, in increasing order and without repeats.

    They are 0 and a geometric grid from 1 to `n_steps`. So the first steps are recorded one by one, since stage 1 lasts
    only 13 or 14 steps with the default options. From 50 records on, the last fifth of the steps has eleven evenly
    spaced ones instead, so that enough records show whether the run has converged.
    """
    grid = np.rint(np.geomspace(n_steps, 1, n_records - 1)).astype(np.int64)  # backwards: two records are 0 and the end
    if n_records < 50:
        return np.unique([0, *grid])
    tail = np.rint(np.linspace(n_steps, 0.8 * n_steps, 11)).astype(np.int64)
    return np.unique([0, *grid[grid < tail[-1]], *tail])


def simulate(
    config: Config,
    seeds: Sequence[int] | np.ndarray | jax.Array,
    *,
    data_model: DataModel | None = None,
    encoder: Encoder | None = None,
    loss: Callable[..., Any] | None = None,
    record_fn: RecordFn | None = None,
    on_record: OnRecord | None = None,
    progress: bool | Bar = False,
    checkpoint_folder: str | Path | None = None,
    label: str = "training",
) -> xr.Dataset:
    """Run one configuration for several seeds.

    Args:
        config: what to run.
        seeds: integers in [0, 2^32); there is one run for each.
        data_model, encoder, loss: your own functions in place of the built-in ones (see `data.DataModel`,
            `encoder.Encoder`). A loss is a function of (query embeddings, key embeddings, batch, numbers) and returns
            one number per query, or their mean, or a `LossValue`.
        record_fn: (state, world) -> NamedTuple or dictionary of arrays, which are kept at each record.
        on_record: (seed, step, values) -> anything, called for each run at each record as it comes in, for a tracker or
            a live plot; see `reporting.OnRecord`. The results are the same with and without it. A run that goes on from
            a checkpoint reports the records from there on. If it was killed, or if on_record raised an error, those
            since the checkpoint are reported again, with the same values, so a tracker keys them by seed and step.
        progress: show a progress bar with the time left; or the bar of a study that this is a part of.
        checkpoint_folder: save the state there about once a minute and on Ctrl-C. If it holds a saved state, continue
            from that.
        label: text beside the progress bar.

    Returns:
        A Dataset with dimensions seed, record, neuron and feature (see `results.to_dataset`). Its attribute
        `false_firing_rate` says how noisy the data are: `theory.false_firing_rate` (absent for architecture relu).
    Errors:
        `ConfigError` before anything is compiled; if your own functions do not fit, before the first step.
    """
    given = {"data_model": data_model, "encoder": encoder, "loss": loss, "record_fn": record_fn}
    own = {name: value for name, value in given.items() if value is not None}  # the cache tells None from left out
    if on_record is not None:
        check_function("on_record", on_record)
    of_one = None if on_record is None else lambda position, *record: on_record(*record)
    more: dict[str, Any] = {"progress": progress, "checkpoint_folder": checkpoint_folder, "label": label}
    return simulate_many([config], seeds, own=own, on_record=of_one, **more)[0]


def simulate_many(
    configs: Sequence[Config],
    seeds: Sequence[int] | np.ndarray | jax.Array,
    *,
    own: dict[str, Any] | None = None,
    on_record: OnRecordOf | None = None,
    progress: bool | Bar = False,
    checkpoint_folder: str | Path | None = None,
    label: str = "training",
) -> list[xr.Dataset]:
    """Run several configurations, each for all seeds, with one compiled program.

    Args:
        configs: configurations that differ only in numbers that do not need recompiling (`numbers.Numbers`). Their
            `train` sections must be equal.
        own: your own functions, by the names of the arguments of `simulate`.
        on_record: as for `simulate`, with the position in `configs` first: (position, seed, step, values).
        seeds, progress, checkpoint_folder, label: as for `simulate`.

    Returns:
        One Dataset per configuration, in their order.
    Errors:
        `ConfigError` as for `simulate`, and for configurations that cannot share one program.
    """
    seed_array = check_seeds(seeds)
    for config in configs:
        check_runnable(config)
    own = own or {}
    check_own(own)
    resolved, first = [resolve(config) for config in configs], configs[0].train
    structure = resolved[0].structure
    if any(one.structure != structure or config.train != first for one, config in zip(resolved, configs, strict=True)):
        raise ConfigError("configs: wanted equal sizes, rules and train sections, got others; simulate them one by one")
    began = time.perf_counter()
    with MAKING:
        compiled = program(structure, runs_one_by_one(configs[0]), **own)
    check_outputs(own, compiled.parts, compiled.record_fn, configs[0], resolved[0].numbers)
    runs = compiled.init(np.tile(seed_array, len(configs)), [one.numbers for one in resolved for _ in seed_array])
    stops = record_grid(first.n_steps, first.n_records)
    hashes = [config_hash(config, seed_array.tolist()) for config in configs]
    names = origins(own)
    folder = None if checkpoint_folder is None else Path(checkpoint_folder)
    keeper = Keeper(folder, " ".join([*hashes, json.dumps(names)]))
    tell = None if on_record is None else partial(report_records, on_record, seeds=seed_array.tolist(), stops=stops)
    runs, kept = _train(compiled, runs, stops, keeper, progress, label, tell)
    wall = time.perf_counter() - began
    return _results(configs, resolved, seed_array, stops, (*compiled.stacked(runs), kept), wall, names)


def _results(
    configs: Sequence[Config],
    resolved: Sequence[Resolved],
    seeds: np.ndarray,
    stops: np.ndarray,
    made: tuple[Any, ...],
    wall: float,
    names: dict[str, list[str]],
) -> list[xr.Dataset]:
    """Return the labelled result of each configuration; `made` is (carry, dictionary, recording) of all runs."""
    out = []
    for position, config in enumerate(configs):
        mine = slice(position * len(seeds), (position + 1) * len(seeds))
        carry, dictionary, record = jax.tree.map(lambda leaf, mine=mine: np.asarray(leaf[mine]), made)
        groups = resolved[position].groups
        out.append(_label(config, groups, seeds, stops, record, carry.state, dictionary, wall / len(configs), names))
    return out


def _train(
    compiled: Program,
    runs: Runs,
    stops: np.ndarray,
    keeper: Keeper,
    progress: bool | Bar,
    label: str,
    tell: Callable[[Recording], None] | None = None,
) -> tuple[Runs, Recording]:
    """Train to the last of `stops` and record at each of them. On Ctrl-C, save a checkpoint and raise the interrupt.

    `tell` is called after each record; if it fails, what came before that record is saved.
    """
    record, total, runs = compiled.record(runs)  # the first record, after no updates
    at_start = Recording([record], [total])
    so_far = keeper.restore(runs, at_start)
    if tell and so_far.kept is at_start:
        tell(at_start)
    length, compiling = 8, True
    try:
        with running(progress, label, so_far.n_done, int(stops[-1])) as bar:
            while so_far.n_done < stops[-1]:
                stop = int(stops[len(so_far.kept.records)])
                end = min(stop, so_far.n_done + length)
                clock = time.perf_counter()
                runs = compiled.advance(so_far.runs, so_far.n_done, end)
                took = time.perf_counter() - clock
                length = max(1, min(4 * length, int((end - so_far.n_done) * LOOK_EVERY_S / max(took, 1e-3))))
                bar.update(end - so_far.n_done, None if compiling else took)
                compiling = False
                kept = so_far.kept
                if end == stop:
                    record, total, runs = compiled.record(runs)
                    kept = Recording([*kept.records, record], [*kept.totals, total])
                    if tell:
                        _tell(tell, kept, keeper, so_far)
                so_far = Progress(runs, end, kept)  # in one go, since Ctrl-C may come between any two lines
                if keeper.due():
                    keeper.save(so_far)
    except KeyboardInterrupt:
        keeper.save(so_far)
        raise
    return so_far.runs, so_far.kept


def _tell(tell: Callable[[Recording], None], kept: Recording, keeper: Keeper, so_far: Progress) -> None:
    try:
        tell(kept)
    except Exception:
        keeper.save(so_far)
        raise


def _reasons(state: train.TrainState) -> np.ndarray:
    """Return for each run the reason why it diverged, or "" if it did not."""
    words = np.where(state.loss_was_finite, "a weight was not finite", "the loss was not finite")
    return np.where(state.diverged_step >= 0, words, "").astype(object)


def _embedding(config: Config) -> str:
    return embedding_path(config.encoder, config.data, np.dtype(config.train.precision).itemsize)


def _label(
    config: Config,
    groups: FeatureGroups,
    seeds: np.ndarray,
    stops: np.ndarray,
    kept: Recording,
    state: train.TrainState,
    dictionary: np.ndarray,
    wall: float,
    own: dict[str, list[str]],
) -> xr.Dataset:
    joined = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *kept.records)
    counts = np.diff(stops, prepend=0).astype(float)
    with np.errstate(invalid="ignore"):
        means = jax.tree.map(lambda *parts: np.stack(parts, axis=1) / counts, *kept.totals)
    per_seed = {
        "loss": means.loss,
        "positive_weight": means.positive_weight,
        "switch_step": state.thresholds.switch_step,
        "diverged_step": state.diverged_step,
        "diverged_reason": _reasons(state),
        "dictionary": dictionary,
    }
    per_seed |= {name: np.asarray(value) for name, value in (trained(state.params) | pruned(state.pruning)).items()}
    info = results.provenance() | {
        "own": own,
        "wall_s": round(wall, 3),
        "steps_per_s": round(len(seeds) * int(stops[-1]) / wall, 2),
        "precision": config.train.precision,
        "embedding": "own encoder" if "encoder" in own else _embedding(config),
        "batching": "one by one" if runs_one_by_one(config) else "vmap",
        **peak_memory(),
    }
    out = results.to_dataset(config, groups, seeds, stops, joined, per_seed, info)
    if "loss" in own:
        out["loss"].attrs["units"] = results.OWN_UNIT
    rate = theory.false_firing_rate(config) if config.encoder.architecture == "transformer" else None
    return out if rate is None else out.assign_attrs(false_firing_rate=rate)
