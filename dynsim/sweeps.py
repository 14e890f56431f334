"""`sweep`: run a configuration for every combination of some of its values.

Points that differ only in numbers share one compiled program. They run in chunks of a few minutes, and with a folder
each finished point is saved there, so that a sweep that was stopped or killed goes on where it was. Axes may also be
extended later: what has been run already is loaded.
"""

import concurrent.futures
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import xarray as xr

from dynsim import results, study
from dynsim.config import Config, ConfigError
from dynsim.config.checks import did_you_mean, require
from dynsim.config.serial import config_hash
from dynsim.engine import checkpoint
from dynsim.engine.arguments import check_runnable, check_seeds
from dynsim.engine.numbers import resolve
from dynsim.engine.own_parts import check_own
from dynsim.engine.program import origins, runs_one_by_one
from dynsim.engine.progress import Bar, StudyBar, work_per_step
from dynsim.engine.simulate import simulate_many
from dynsim.points import Axes, GridPoint, grid
from dynsim.results.sealed import Json

CHUNK_WORK = 8e12  # multiply-adds of a chunk: about two minutes on two cores
TOGETHER = 20  # times as much for runs that are processed together, as on an accelerator

MADE = "sweep"  # attribute of a saved point: the digest of its configuration and seeds, and where `keep` comes from

Keep = Callable[[xr.Dataset], xr.Dataset]


@runtime_checkable
class Submits(Protocol):
    """An executor, such as those of `concurrent.futures`."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any) -> concurrent.futures.Future:
        """Call a function elsewhere."""


class Origin(NamedTuple):
    """What a saved point must have been made by, apart from its configuration and seeds."""

    program: Json
    own: Json
    keep: list[str]


class Chunk(NamedTuple):
    """Configurations of equal structure that run together, by their digest, and where their results go."""

    label: str
    configs: dict[str, Config]
    seeds: tuple[int, ...]
    own: dict[str, Any]
    keep: Keep | None
    origin: Origin
    folder: Path | None

    def unfinished(self) -> Path | None:
        """Return where the checkpoints of this chunk lie; other programs and functions have other folders."""
        if self.folder is None:
            return None
        text = json.dumps([list(self.configs), *self.origin[:2]], sort_keys=True)
        return self.folder / study.UNFINISHED / hashlib.sha256(text.encode()).hexdigest()[:10]


Finished = Iterator[tuple[Chunk, list[xr.Dataset]]]


def sweep(
    base: Config,
    axes: Axes,
    seeds: Sequence[int] | np.ndarray | jax.Array,
    *,
    folder: str | Path | None = None,
    derive: Callable[[Config], Config] | None = None,
    keep: Keep | None = None,
    own: Mapping[str, Any] | None = None,
    executor: Submits | None = None,
    chunk_size: int | None = None,
    progress: bool = True,
    label: str = "sweep",
) -> dict[GridPoint, xr.Dataset]:
    """Run a configuration for every combination of the values of some of its fields, each for all seeds.

    Args:
        base: the configuration to change.
        axes: {"data.minority_ratio": (0.3, 0.7), ...}. Fields that move together are one axis, with tuples as values:
            {("data.n_features", "encoder.n_neurons"): ((16, 64), (32, 128))}.
        seeds: as for `simulate`; the same for all points.
        folder: keeps finished points and checkpoints. A second call loads what it finds there, if it was made by the
            same configuration, seeds, functions and program, and runs the rest.
        derive: (config) -> config, applied after the values of the axes are set, for what follows from them.
        keep: (Dataset) -> Dataset, reduces the result of each point before it is saved and returned. What it drops of
            the attributes, such as the configuration, is put back.
        own: your own functions, by the names of the arguments of `simulate`: data_model, encoder, loss, record_fn.
        executor: runs the chunks, for instance a `ProcessPoolExecutor`; without one, they run here one after another.
            Other processes must be able to import all functions, and see the folder.
        chunk_size: points that run together; by default what takes a few minutes, and one point with an executor.
        progress: show a progress bar over the whole sweep, with the time left.
        label: text beside the bar.

    Returns:
        {point: Dataset} in the order of the grid, the last axis varying fastest; see `points.joined`.
    Errors:
        `ConfigError` in one line before anything runs, for axes, values or functions that do not fit. A run that
        diverges is no error; its result says so.
    """
    points = grid(base, axes, derive)
    hashes, whole = _whole(list(points.values()), seeds, own or {}, keep, folder, label)
    done = _run(whole, executor, chunk_size, progress)
    return {point: done[wanted] for point, wanted in zip(points, hashes, strict=True)}


def _whole(
    configs: Sequence[Config],
    seeds: Sequence[int] | np.ndarray | jax.Array,
    own: Mapping[str, Any],
    keep: Keep | None,
    folder: str | Path | None,
    label: str,
) -> tuple[list[str], Chunk]:
    """Return the digest of each configuration with the seeds, and all that is to run as one chunk, checked."""
    values = tuple(check_seeds(seeds).tolist())
    used = {name: part for name, part in own.items() if part is not None}
    for name in used:
        if name not in study.OWN_PARTS:
            near = did_you_mean(name, study.OWN_PARTS)
            raise ConfigError(f"own: wanted parts named {', '.join(study.OWN_PARTS)}, got {name!r}{near}")
    check_own(used)
    if keep is not None and not callable(keep):
        raise ConfigError(f"keep: wanted a function of a Dataset, got {type(keep).__name__}")
    for config in configs:
        check_runnable(config)
    origin = Origin(study.this_program(), origins(used), [] if keep is None else origins({"keep": keep})["keep"])
    hashes = [config_hash(config, values) for config in configs]
    where = None if folder is None else Path(folder)
    return hashes, Chunk(label, dict(zip(hashes, configs, strict=True)), values, used, keep, origin, where)


def _run(whole: Chunk, executor: Submits | None, chunk_size: int | None, progress: bool) -> dict[str, xr.Dataset]:
    """Return the result of each configuration by its digest, run now or by an earlier call."""
    right = chunk_size is None or (type(chunk_size) is int and chunk_size > 0)
    require(right, "chunk_size", "an integer of at least 1", chunk_size)
    size = 1 if executor is not None and chunk_size is None else chunk_size
    with study.shared_bar(whole.label, shown=progress) as bar:
        done, chunks = _left(whole, size, bar)
        for chunk, kept in _here(chunks, bar) if executor is None else _elsewhere(chunks, bar, executor):
            done |= dict(zip(chunk.configs, kept, strict=True))
    if whole.folder is not None:
        checkpoint.clear(whole.folder / study.UNFINISHED)
    return done


def _left(whole: Chunk, size: int | None, bar: StudyBar) -> tuple[dict[str, xr.Dataset], list[Chunk]]:
    """Return the finished points by their digest, and the chunks of the others; tell the bar of both.

    The limits of chunks do not depend on what is finished, so that a chunk that was stopped finds its checkpoint.
    """
    work = {wanted: _work(config, whole) for wanted, config in whole.configs.items()}
    done = {} if whole.folder is None else _finished(whole, whole.folder, bar)
    if done:
        name = f"{whole.label}: finished earlier"
        bar.add(name, sum(work[wanted] for wanted in done))
        text = f"{whole.label}: {len(done)} of {len(work)} points finished earlier, taken from {whole.folder}"
        took_s = sum(float(results.provenance_of(one)["wall_s"]) for one in done.values())
        bar.finished_earlier(name, text, took_s)
    parts = _parts(whole, size)
    chunks = []
    for number, part in enumerate(parts, 1):
        left = {wanted: config for wanted, config in part.items() if wanted not in done}
        if left:
            name = whole.label if len(parts) == 1 else f"{whole.label}, part {number} of {len(parts)}"
            chunks.append(whole._replace(label=name, configs=left))
            bar.add(name, sum(work[wanted] for wanted in left))
    return done, chunks


def _parts(whole: Chunk, size: int | None) -> list[dict[str, Config]]:
    """Return the configurations by their digest, in parts of equal structure; equal configurations run once."""
    groups: dict[Any, dict[str, Config]] = {}
    for wanted, config in whole.configs.items():
        groups.setdefault((resolve(config).structure, config.train), {})[wanted] = config
    parts = []
    for group in groups.values():
        listed, first = list(group.items()), next(iter(group.values()))
        budget = CHUNK_WORK * (1 if runs_one_by_one(first) else TOGETHER)
        step = size or max(1, int(budget / _work(first, whole)))
        parts += [dict(listed[begin : begin + step]) for begin in range(0, len(listed), step)]
    return parts


def _work(config: Config, whole: Chunk) -> float:
    return work_per_step(config, len(whole.seeds)) * config.train.n_steps


def _file(folder: Path, wanted: str) -> Path:
    return folder / f"{wanted}.nc"


def _finished(whole: Chunk, folder: Path, bar: StudyBar) -> dict[str, xr.Dataset]:
    """Return the points that an earlier call finished, by their digest."""
    done, n_other = {}, 0
    for wanted in whole.configs:
        path = _file(folder, wanted)
        if path.is_file():
            result = results.load(path)
            made = json.loads(result.attrs.pop(MADE, "{}"))
            fits = made == {"hash": wanted, "keep": whole.origin.keep}
            if fits and study.made_by(result, whole.origin.program, whole.origin.own):
                done[wanted] = result
            else:
                n_other += 1
    if n_other:
        bar.say(f"{whole.label}: {n_other} points in {folder} were made by other functions or versions; they run anew")
    return done


def _here(chunks: Sequence[Chunk], bar: StudyBar) -> Finished:
    """Run the chunks in this process, one after another."""
    for chunk in chunks:
        yield chunk, run_chunk(chunk, bar)


def _elsewhere(chunks: Sequence[Chunk], bar: StudyBar, executor: Submits) -> Finished:
    """Run the chunks with an executor. If one fails, those that have not begun are not run."""
    futures = {executor.submit(run_chunk, chunk): chunk for chunk in chunks}
    clock = time.perf_counter()
    try:
        for future in concurrent.futures.as_completed(futures):
            kept, now = future.result(), time.perf_counter()
            bar.finished_elsewhere(futures[future].label, now - clock)
            clock = now
            yield futures[future], kept
    finally:
        for future in futures:
            future.cancel()


def run_chunk(chunk: Chunk, progress: bool | Bar = False) -> list[xr.Dataset]:
    """Run a chunk and return the result of each configuration, saved if there is a folder."""
    left = chunk.unfinished()
    runs = simulate_many(
        list(chunk.configs.values()),
        chunk.seeds,
        own=chunk.own,
        progress=progress,
        checkpoint_folder=left,
        label=chunk.label,
    )
    kept = [_reduced(run, chunk.keep) for run in runs]
    if chunk.folder is not None and left is not None:
        for wanted, result in zip(chunk.configs, kept, strict=True):
            made = json.dumps({"hash": wanted, "keep": chunk.origin.keep})
            _save(result.assign_attrs({MADE: made}), _file(chunk.folder, wanted))
        checkpoint.clear(left)
    return kept


def _save(result: xr.Dataset, path: Path) -> None:
    try:
        results.save(result, path)
    except (TypeError, ValueError) as error:  # of xarray, for what the user's function returned
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ConfigError(f"keep: wanted a Dataset that a netCDF file can hold, got another ({reason})") from None


def _reduced(run: xr.Dataset, keep: Keep | None) -> xr.Dataset:
    """Return what is kept of a result, with its configuration and provenance."""
    if keep is None:
        return run
    kept = keep(run)
    if not isinstance(kept, xr.Dataset):
        raise ConfigError(
            f"keep: wanted a function that returns a Dataset, got {type(kept).__name__}; see to_dataset()"
        )
    return kept.assign_attrs({**run.attrs, **kept.attrs})
