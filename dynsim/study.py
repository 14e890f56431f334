"""A study is a folder that fills up part by part: finished parts are kept, an unfinished one has checkpoints.

Until the study is finished its parts lie in `<folder>/unfinished/`, so that the same command goes on where a kill or
Ctrl-C left it; `finish` takes them away.
"""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from dynsim import results
from dynsim.config import Config
from dynsim.config.serial import config_hash
from dynsim.engine import checkpoint
from dynsim.engine.simulate import simulate

UNFINISHED = "unfinished"


def part_path(folder: Path, name: str) -> Path:
    """Return where a part of an unfinished study lies."""
    return folder / UNFINISHED / (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".nc")


def simulate_part(
    folder: Path, name: str, config: Config, seeds: Sequence[int], *, finished: Sequence[Path] = (), **options: Any
) -> xr.Dataset:
    """Simulate one part of a study, or load it where an earlier call finished it.

    Args:
        folder: the study's folder.
        name: the part's name within the study; the progress bar shows it.
        config, seeds: what to run.
        finished: results of earlier, finished studies that may hold the same part.
        options: further arguments of `simulate`.

    Returns:
        The part's Dataset, saved in the folder.
    Errors:
        `ConfigError` for a configuration that cannot run or a checkpoint that does not fit.
    """
    path = part_path(folder, name)
    wanted = config_hash(config, seeds)
    for earlier in (path, *finished):
        if earlier.is_file():
            part = results.load(earlier)
            if config_hash(results.config_of(part), part["seed"].values.tolist()) == wanted and _same_program(part):
                print(f"{name}: finished earlier, taken from {earlier}")
                return part
    keep = path.with_suffix("")
    part = simulate(config, seeds, progress=True, checkpoint_folder=keep / wanted, label=name, **options)
    results.save(part, path)
    checkpoint.clear(keep)
    return part


def keep_numbers(folder: Path, name: str, made_from: dict[str, Any], make: Callable[[], Any]) -> Any:
    """Return numbers that take long to make: those that an earlier call of an unfinished study kept, or new ones.

    Args:
        folder, name: as for `simulate_part`.
        made_from: what the numbers depend on beside the program, as plain values; kept numbers must have the same.
        make: makes them, as plain values without tuples; they are saved before they are returned.
    """
    path = part_path(folder, name).with_suffix(".json")
    origin = {"made_from": made_from, "program": _program(results.provenance())}
    if path.is_file():
        kept = results.load_json(path)
        if {key: kept[key] for key in origin} == json.loads(json.dumps(origin)):
            print(f"{name}: finished earlier, taken from {path}")
            return kept["numbers"]
    numbers = make()
    results.save_json({**origin, "numbers": numbers}, path)
    return numbers


def _program(provenance: dict[str, Any]) -> dict[str, Any]:
    return {name: provenance[name] for name in ("code", "versions", "device", "x64")}


def _same_program(part: xr.Dataset) -> bool:
    """Return whether a saved part was made by this code and these versions, so that its bits can be trusted."""
    return _program(results.provenance_of(part)) == _program(results.provenance())


def finish(folder: Path) -> None:
    """Remove the parts of a study whose results have been saved."""
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
