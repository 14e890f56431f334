"""Runs with everything recorded that the answer on pruning compares: specialists, a linear probe, held-out losses."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynsim.config import Config

if TYPE_CHECKING:
    import xarray as xr

HELD_OUT_BATCHES = 4  # batches per record for the losses


@cache
def record_fn(structure: Config, keep_weights: bool) -> Any:
    """Return the record function of a structure: always the same object, so that its program is compiled once."""
    from dynsim.engine import mask_effect, train

    parts = train.built_in_parts(structure)
    return mask_effect.recorder_with_loss(parts, HELD_OUT_BATCHES, keep_weights=keep_weights, with_probe=True)


def run_name(config: Config, seeds: Sequence[int], reweighted: bool) -> str:
    """Return the name of a part of a study: equal configurations with equal losses share it."""
    from dynsim.config.serial import config_hash

    return f"{'oracle' if reweighted else 'run'} {config_hash(config, seeds)}"


def probed_run(
    folder: Path, config: Config, seeds: Sequence[int], *, reweighted: bool = False, keep_weights: bool = False
) -> "xr.Dataset":
    """Return the result of a configuration; equal ones are simulated once in a folder.

    Args:
        reweighted: train with the loss whose anchors weigh by inverse frequency, which knows the frequencies.
        keep_weights: record the weights too.
    """
    from dynsim.engine.numbers import resolve
    from dynsim.study import simulate_part
    from experiments.pruning.reweighted import inverse_frequency_loss

    own: dict[str, Any] = {"loss": inverse_frequency_loss} if reweighted else {}
    record = record_fn(resolve(config).structure, keep_weights)
    return simulate_part(folder, run_name(config, seeds, reweighted), config, seeds, record_fn=record, **own)
