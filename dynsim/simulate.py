"""Configuration in, labelled result out."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from dynsim import results, train
from dynsim.checks import MAX_SEED, ConfigError
from dynsim.config import Config
from dynsim.hyper import hyper, structure
from dynsim.measure import recorder
from dynsim.train import Carry, Parts, RecordFn

LOOK_EVERY_S = 1.0  # a stretch of steps is cut so that the progress bar moves about this often


def record_grid(n_steps: int, n_records: int) -> np.ndarray:
    """Return the numbers of updates at which to record: 0, then a geometric grid from 1 to n_steps, equal ones joined.

    Stage 1 is short at the default learning rate, so the early steps are recorded one by one.
    """
    grid = np.rint(np.geomspace(n_steps, 1, n_records - 1)).astype(np.int64)  # backwards: two records are 0 and the end
    return np.unique(np.concatenate([[0], grid]))


def check_seeds(seeds: Sequence[int]) -> np.ndarray:
    """Return seeds as uint32. Errors: `ConfigError` for none, for repeats, or for one outside [0, 2^32)."""
    values = [int(seed) for seed in seeds]
    if not values:
        raise ConfigError("seeds: wanted at least one seed, got none")
    bad = [seed for seed in values if not 0 <= seed < MAX_SEED]
    if bad:
        raise ConfigError(f"seeds: wanted integers in [0, 2^32), got {bad[0]}")
    if len(set(values)) < len(values):
        raise ConfigError(f"seeds: wanted each seed once, got {values}")
    return np.asarray(values, np.uint32)


class Program:
    """The compiled functions of one structure: `init`, `advance` and `record`, each over a leading axis of runs."""

    def __init__(self, parts: Parts, record_fn: RecordFn, one_by_one: bool) -> None:
        self.parts = parts

        def over_runs(one: Callable[..., Any]) -> Callable[..., Any]:
            if one_by_one:
                return lambda args: jax.lax.map(lambda leaf: one(*leaf), args)
            return lambda args: jax.vmap(one)(*args)

        def init(seeds: Any, numbers: Any) -> Any:
            def one(seed: Any, number: Any) -> Any:
                state, world = train.init(seed, number, parts)
                return train.start(state), world

            return over_runs(one)((seeds, numbers))

        def advance(carry: Any, world: Any, begin: Any, end: Any) -> Any:
            return over_runs(lambda c, w: train.advance(c, w, begin, end, parts))((carry, world))

        def record(carry: Any, world: Any) -> Any:
            def one(c: Carry, w: Any) -> Any:
                return record_fn(c.state, w), c.total, train.start(c.state)

            return over_runs(one)((carry, world))

        self.init, self.advance, self.record = jax.jit(init), jax.jit(advance), jax.jit(record)


@lru_cache(maxsize=64)
def program(shape: Config, one_by_one: bool) -> Program:
    """Return the compiled functions of the built-in parts; equal structures share them, so numbers never recompile."""
    parts = train.built_in_parts(shape)
    return Program(parts, recorder(parts), one_by_one)


def runs_one_by_one(config: Config) -> bool:
    """Return whether runs go one after the other (lax.map) and not side by side (vmap)."""
    choice = config.train.batching
    return choice == "map" or (choice == "auto" and jax.default_backend() == "cpu")


def check_precision(config: Config) -> None:
    """Refuse float64 where JAX would silently make float32 of it."""
    if config.train.precision == "float64" and not results.has_x64():
        raise ConfigError("train.precision: float64 needs x64, which is off; set the variable JAX_ENABLE_X64=1")


def simulate(
    config: Config,
    seeds: Sequence[int],
    *,
    progress: bool = False,
    compiled: Program | None = None,
    label: str = "training",
) -> xr.Dataset:
    """Run one configuration for several seeds.

    Args:
        config: what to run.
        seeds: one run each.
        progress: show a bar with the time left.
        compiled: functions of your own parts or record function (`Program`); the built-in ones by default.
        label: what the bar says.

    Returns:
        A Dataset with dimensions seed, record, neuron, feature (see `results.to_dataset`).
    Errors:
        `ConfigError` before anything is compiled.
    """
    seed_array = check_seeds(seeds)
    check_precision(config)
    train.make_optimizer(config.optimizer, config.optimizer.learning_rate)
    began = time.perf_counter()
    shape = structure(config)
    compiled = compiled or program(shape, runs_one_by_one(config))
    n_runs = len(seed_array)
    numbers = jax.tree.map(lambda value: jnp.asarray(np.stack([value] * n_runs)), hyper(config))
    carry, world = compiled.init(jnp.asarray(seed_array), numbers)
    stops = record_grid(config.train.n_steps, config.train.n_records)
    records, sums = [], []
    with tqdm(total=int(stops[-1]), desc=label, unit="step", disable=None if progress else True) as bar:
        done = 0
        for stop in stops:
            carry = _advance_to(compiled, carry, world, done, int(stop), bar)
            done = int(stop)
            record, total, carry = compiled.record(carry, world)
            records.append(jax.device_get(record))
            sums.append(jax.device_get(total))
    wall = time.perf_counter() - began
    return _label(config, seed_array, stops, records, sums, carry, world, wall)


def _advance_to(compiled: Program, carry: Any, world: Any, begin: int, end: int, bar: tqdm) -> Any:
    """Advance in stretches of about a second; where the cuts fall does not change a bit."""
    length = max(1, min(8, end - begin))
    while begin < end:
        stop = min(end, begin + length)
        clock = time.perf_counter()
        carry = compiled.advance(carry, world, np.int32(begin), np.int32(stop))
        jax.block_until_ready(carry)
        took = time.perf_counter() - clock
        bar.update(stop - begin)
        length = max(1, min(4 * length, int(length * LOOK_EVERY_S / max(took, 1e-3))))
        begin = stop
    return carry


def _label(
    config: Config,
    seeds: np.ndarray,
    stops: np.ndarray,
    records: list[Any],
    sums: list[Any],
    carry: Carry,
    world: train.World,
    wall: float,
) -> xr.Dataset:
    joined = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *records)
    counts = np.diff(stops, prepend=0).astype(float)
    with np.errstate(invalid="ignore"):
        means = jax.tree.map(lambda *parts: np.stack(parts, axis=1) / counts, *sums)
    state = carry.state
    per_seed = {
        "loss": means.loss,
        "positive_weight": means.positive_weight,
        "switch_step": jax.device_get(state.thresholds.switch_step),
        "diverged_step": jax.device_get(state.diverged_step),
        "dictionary": jax.device_get(world.dictionary),
        "weight": jax.device_get(state.params.weight),
    }
    info = results.provenance() | {
        "wall_s": round(wall, 3),
        "steps_per_s": round(len(seeds) * int(stops[-1]) / wall, 2),
        "precision": config.train.precision,
        "batching": "map" if runs_one_by_one(config) else "vmap",
    }
    return results.to_dataset(config, seeds, stops, joined, per_seed, info)
