"""A study is a folder for several simulations, its parts; one that was interrupted continues where it stopped.

Finished parts, and checkpoints of the one that is running, lie in `<folder>/unfinished/`. Running the same command
again loads the finished parts and resumes from the last checkpoint. `finish` removes them once the results are saved.
"""

import functools
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import xarray as xr

from dynsim import results
from dynsim.config import Config
from dynsim.config.serial import config_hash
from dynsim.engine import checkpoint
from dynsim.engine.program import origins
from dynsim.engine.progress import StudyBar
from dynsim.engine.simulate import simulate
from dynsim.results.sealed import Json

UNFINISHED = "unfinished"
OWN_PARTS = ("data_model", "encoder", "loss", "record_fn")
NumbersT = TypeVar("NumbersT")
_BAR: ContextVar[StudyBar | None] = ContextVar("_BAR", default=None)


def part_path(folder: Path, name: str) -> Path:
    """Return the path at which a part of an unfinished study is saved."""
    return folder / UNFINISHED / (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".nc")


def simulate_part(
    folder: Path, name: str, config: Config, seeds: Sequence[int], *, finished: Sequence[Path] = (), **options: Any
) -> xr.Dataset:
    """Simulate one part of a study, or load it if an earlier call with the same program and functions finished it.

    Args:
        folder: the study's folder.
        name: the part's name within the study; the progress bar shows it.
        config, seeds: what to run.
        finished: result files of other, finished studies that may hold the same part.
        options: further arguments of `engine.simulate.simulate`.

    Returns:
        The part's Dataset, saved in the folder.
    Errors:
        `ConfigError` for a configuration that cannot run or a checkpoint that does not fit.
    """
    bar, part = _BAR.get(), StudyPart(name, config, seeds, options)
    if bar is not None:
        bar.announce(name, config, len(seeds))
    earlier = _finished_part(folder, part, finished)
    if earlier is None:
        return _simulated(folder, part, bar or True)
    text = f"{name}: finished earlier, taken from {earlier[1]}"
    if bar is None:
        print(text)
    else:
        bar.finished_earlier(name, text, float(results.provenance_of(earlier[0])["wall_s"]))
    return earlier[0]


class StudyPart(NamedTuple):
    """One part of a study; see `simulate_part`."""

    name: str
    config: Config
    seeds: Sequence[int]
    options: Mapping[str, Any]


@contextmanager
def simulated_meanwhile(
    folder: Path, parts: Sequence[StudyPart], at_once: int
) -> Iterator[dict[str, "Future[xr.Dataset]"]]:
    """Simulate parts in other threads while this block runs, several at once, and save them in the folder.

    This pays for many short parts: compiling one takes a single core, on the others another one runs meanwhile. The
    block gets the futures of the parts by name, but for those that an earlier call finished: these are left to
    `simulate_part`. It ends when all parts are finished. After an error in it, or an interrupt, it ends with the parts
    that have begun.

    Errors: those of `simulate_part`, where a future is asked for its result, and at the end.
    """
    with shared_bar("parts") as bar, ThreadPoolExecutor(at_once) as pool:
        for name, config, seeds, _ in parts:
            bar.announce(name, config, len(seeds))
        left = {part.name: part for part in parts if _finished_part(folder, part) is None}
        last = [time.perf_counter()]

        def tell(name: str, future: "Future[xr.Dataset]") -> None:
            if not future.cancelled() and future.exception() is None:
                with bar.lock:
                    before, last[0] = last[0], time.perf_counter()
                    bar.finished_elsewhere(name, last[0] - before)

        futures: dict[str, Future[xr.Dataset]] = {}
        try:
            for name, part in left.items():
                futures[name] = pool.submit(_simulated, folder, part, False)
                futures[name].add_done_callback(functools.partial(tell, name))
            yield futures
            for future in futures.values():
                future.result()  # a part that nobody asked for may have failed
        except BaseException:
            for future in futures.values():
                future.cancel()
            raise


def _finished_part(folder: Path, part: StudyPart, others: Sequence[Path] = ()) -> tuple[xr.Dataset, Path] | None:
    """Return the part as an earlier call saved it, in the folder or another file, and that file; None if none fits."""
    own = origins({name: part.options[name] for name in OWN_PARTS if part.options.get(name) is not None})
    for path in (part_path(folder, part.name), *others):
        if path.is_file():
            found = results.load(path)
            runs = config_hash(results.config_of(found), found["seed"].values.tolist())
            if runs == config_hash(part.config, part.seeds) and made_by(found, this_program(), own):
                return found, path
    return None


def _simulated(folder: Path, part: StudyPart, progress: bool | StudyBar) -> xr.Dataset:
    """Simulate a part, or go on with it from its last checkpoint, and save it."""
    path = part_path(folder, part.name)
    keep = path.with_suffix("")
    where = keep / config_hash(part.config, part.seeds)
    result = simulate(
        part.config, part.seeds, progress=progress, checkpoint_folder=where, label=part.name, **part.options
    )
    results.save(result, path)
    checkpoint.clear(keep)
    return result


@contextmanager
def one_bar(label: str) -> Iterator[StudyBar]:
    """Show one progress bar for all parts that are simulated in this block."""
    bar = StudyBar(label)
    with bar:
        token = _BAR.set(bar)
        try:
            yield bar
        finally:
            _BAR.reset(token)


@contextmanager
def shared_bar(label: str, *, shown: bool = True) -> Iterator[StudyBar]:
    """Give the progress bar of the study that is running, or a new one, shown or not, for this block."""
    bar = _BAR.get()
    if bar is not None:
        yield bar
        return
    bar = StudyBar(label, shown=shown)
    with bar:
        yield bar


def announce(parts: Mapping[str, tuple[Config, Sequence[int]]]) -> None:
    """Tell the progress bar of the study which parts are to come: {name: (configuration, seeds)}.

    The bar then shows how far the whole is. Parts that are not known beforehand join it when they begin.
    """
    bar = _BAR.get()
    if bar is not None:
        for name, (config, seeds) in parts.items():
            bar.announce(name, config, len(seeds))


def say(text: str) -> None:
    """Print a line, above the progress bar where there is one."""
    bar = _BAR.get()
    if bar is None:
        print(text, flush=True)
    else:
        bar.say(text)


def keep_numbers(folder: Path, name: str, made_from: Json, make: Callable[[], NumbersT]) -> NumbersT:
    """Compute numbers that take long, or load them if an earlier call of this unfinished study saved them.

    Args:
        folder, name: as for `simulate_part`.
        made_from: what the numbers depend on beside the program; saved numbers are used only if it is the same.
        make: computes them, as values that JSON can hold, without tuples. They are saved before they are returned.
    """
    path = part_path(folder, name).with_suffix(".json")
    origin = {"made_from": made_from, "program": this_program()}
    if path.is_file():
        kept = results.load_json(path)
        if {key: kept[key] for key in origin} == json.loads(json.dumps(origin)):
            say(f"{name}: finished earlier, taken from {path}")
            bar = _BAR.get()
            if bar is not None and name not in bar.counted:
                bar.earlier_s += kept["took_s"]
            return kept["numbers"]
    began = time.perf_counter()
    numbers = make()
    results.save_json({**origin, "numbers": numbers, "took_s": time.perf_counter() - began}, path)
    return numbers


def _program(provenance: Json) -> Json:
    """Return the part of a provenance that says which program, versions and device made a result."""
    return {name: provenance[name] for name in ("code", "versions", "device", "x64")}


def this_program() -> Json:
    """Return what of this program, its versions and its device must be the same for a result to be used again."""
    return _program(results.provenance())


def made_by(result: xr.Dataset, program: Json, own: Json) -> bool:
    """Return whether a saved result was made by this program (`this_program`) and these own functions (`origins`)."""
    found = results.provenance_of(result)
    return found.get("own") == own and _program(found) == program


def finish(folder: Path) -> None:
    """Remove the parts of a study whose results have been saved."""
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
