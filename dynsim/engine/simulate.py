"""`simulate`: run a configuration for several seeds and return the labelled result.

`simulate_many` does the same for several configurations that share one compiled program.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from dynsim import results, theory
from dynsim.config import Config
from dynsim.config.checks import MAX_SEED, ConfigError, require
from dynsim.config.serial import config_hash
from dynsim.engine import train
from dynsim.engine.data import DataModel
from dynsim.engine.encoder import Encoder, embedding_path
from dynsim.engine.memory import check_fits
from dynsim.engine.numbers import resolve
from dynsim.engine.program import (
    Program,
    Runs,
    check_record,
    check_shapes,
    origins,
    peak_memory,
    program,
    pruned,
    runs_one_by_one,
    trained,
)
from dynsim.engine.progress import Bar, running
from dynsim.engine.resume import Keeper, Progress, Recording
from dynsim.engine.train import RecordFn
from dynsim.losses.contrastive import LossValue
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


def check_seeds(seeds: Sequence[int]) -> np.ndarray:
    """Return the seeds as uint32.

    Errors: `ConfigError` unless they are a sequence of at least one integer in [0, 2^32), without repeats.
    """
    given: object = seeds
    is_sequence = isinstance(given, Sequence) or (isinstance(given, np.ndarray) and given.ndim == 1)
    require(is_sequence, "seeds", "a sequence of integers such as range(3)", seeds)
    others = [seed for seed in seeds if not isinstance(seed, int | np.integer) or isinstance(seed, bool)]
    if others:
        raise ConfigError(f"seeds: wanted integers, got {others[0]!r}")
    values = [int(seed) for seed in seeds]
    if not values:
        raise ConfigError("seeds: wanted at least one seed, got none")
    bad = [seed for seed in values if not 0 <= seed < MAX_SEED]
    if bad:
        raise ConfigError(f"seeds: wanted integers in [0, 2^32), got {bad[0]}")
    if len(set(values)) < len(values):
        raise ConfigError(f"seeds: wanted each seed once, got {values}")
    return np.asarray(values, np.uint32)


def check_runnable(config: Config) -> None:
    """Make the checks of a configuration that need JAX or optax: precision, memory and optimiser.

    Errors: `ConfigError` in one line if float64 is asked for but off in JAX, if the arrays do not fit into memory, or
    if the optimiser cannot be used.
    """
    if config.train.precision == "float64" and not results.has_x64():
        raise ConfigError("train.precision: float64 needs x64, which is off; set the variable JAX_ENABLE_X64=1")
    check_fits(config)
    train.check_optimizer(config.optimizer, config.train.precision)


def simulate(
    config: Config,
    seeds: Sequence[int],
    *,
    data_model: DataModel | None = None,
    encoder: Encoder | None = None,
    loss: Callable[..., LossValue] | None = None,
    record_fn: RecordFn | None = None,
    progress: bool | Bar = False,
    checkpoint_folder: Path | None = None,
    label: str = "training",
) -> xr.Dataset:
    """Run one configuration for several seeds.

    Args:
        config: what to run.
        seeds: integers in [0, 2^32); there is one run for each.
        data_model, encoder, loss: your own functions in place of the built-in ones (see `data.DataModel`,
            `encoder.Encoder`, `train.Parts.loss`).
        record_fn: (state, world) -> NamedTuple or dictionary of arrays, which are kept at each record.
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
    return simulate_many([config], seeds, own=own, progress=progress, checkpoint_folder=checkpoint_folder, label=label)[
        0
    ]


def simulate_many(
    configs: Sequence[Config],
    seeds: Sequence[int],
    *,
    own: dict[str, Any] | None = None,
    progress: bool | Bar = False,
    checkpoint_folder: Path | None = None,
    label: str = "training",
) -> list[xr.Dataset]:
    """Run several configurations, each for all seeds, with one compiled program.

    Args:
        configs: configurations that differ only in numbers that do not need recompiling (`numbers.Numbers`). Their
            `train` sections must be equal.
        own: your own functions, by the names of the arguments of `simulate`.
        seeds, progress, checkpoint_folder, label: as for `simulate`.

    Returns:
        One Dataset per configuration, in their order.
    Errors:
        `ConfigError` as for `simulate`, and for configurations that cannot share one program.
    """
    seed_array = check_seeds(seeds)
    for config in configs:
        check_runnable(config)
    resolved, first = [resolve(config) for config in configs], configs[0].train
    structure = resolved[0].structure
    if any(one.structure != structure or config.train != first for one, config in zip(resolved, configs, strict=True)):
        raise ConfigError("configs: wanted equal sizes, rules and train sections, got others; simulate them one by one")
    began = time.perf_counter()
    compiled = program(structure, runs_one_by_one(configs[0]), **(own or {}))
    runs = compiled.init(np.tile(seed_array, len(configs)), [one.numbers for one in resolved for _ in seed_array])
    check_shapes(configs[0], runs)
    stops = record_grid(first.n_steps, first.n_records)
    hashes = [config_hash(config, seed_array.tolist()) for config in configs]
    names = origins(own or {})
    keeper = Keeper(checkpoint_folder, " ".join([*hashes, json.dumps(names)]))
    runs, kept = _train(compiled, runs, stops, keeper, progress, label)
    wall = time.perf_counter() - began
    stacked = compiled.stacked(runs)
    out = []
    for position, config in enumerate(configs):
        mine = slice(position * len(seed_array), (position + 1) * len(seed_array))
        carry, dictionary, record = jax.tree.map(lambda leaf, mine=mine: np.asarray(leaf[mine]), (*stacked, kept))
        groups = resolved[position].groups
        out.append(
            _label(config, groups, seed_array, stops, record, carry.state, dictionary, wall / len(configs), names)
        )
    return out


def _train(
    compiled: Program, runs: Runs, stops: np.ndarray, keeper: Keeper, progress: bool | Bar, label: str
) -> tuple[Runs, Recording]:
    """Train to the last of `stops` and record at each of them. On Ctrl-C, save a checkpoint and raise the interrupt."""
    record, total, runs = compiled.record(runs)  # the first record, after no updates
    check_record(record)
    so_far = keeper.restore(runs, Recording([record], [total]))
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
                so_far = Progress(runs, end, kept)  # in one go, since Ctrl-C may come between any two lines
                if keeper.due():
                    keeper.save(so_far)
    except KeyboardInterrupt:
        keeper.save(so_far)
        raise
    return so_far.runs, so_far.kept


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
    rate = theory.false_firing_rate(config) if config.encoder.architecture == "transformer" else None
    return out if rate is None else out.assign_attrs(false_firing_rate=rate)
