"""Runs with everything recorded that the answer on pruning compares: specialists, a linear probe, held-out losses."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dynsim.config import Config

if TYPE_CHECKING:
    import xarray as xr

HELD_OUT_BATCHES = 4  # batches per record for the losses


class OwnLoss(NamedTuple):
    """A loss other than that of the configuration."""

    name: str
    function: Callable[..., Any]


@cache
def record_fn(structure: Config, keep_weights: bool) -> Any:
    """Return the record function of a structure: always the same object, so that its program is compiled once."""
    from dynsim.engine import mask_effect, train

    parts = train.built_in_parts(structure)
    return mask_effect.recorder_with_loss(parts, HELD_OUT_BATCHES, keep_weights=keep_weights, with_probe=True)


def oracle() -> OwnLoss:
    """Return the loss whose anchors weigh by inverse frequency, which knows the frequencies."""
    from experiments.pruning.reweighted import inverse_frequency_loss

    return OwnLoss("oracle", inverse_frequency_loss)


def run_name(config: Config, seeds: Sequence[int], loss: OwnLoss | None = None) -> str:
    """Return the name of a part of a study: equal configurations with equal losses share it."""
    from dynsim.config.serial import config_hash

    return f"{loss.name if loss else 'run'} {config_hash(config, seeds)}"


def probed_run(
    folder: Path, config: Config, seeds: Sequence[int], *, loss: OwnLoss | None = None, keep_weights: bool = False
) -> "xr.Dataset":
    """Return the result of a configuration; equal ones are simulated once in a folder.

    Args:
        loss: to train with; None: that of the configuration.
        keep_weights: record the weights too.
    """
    from dynsim.engine.numbers import resolve
    from dynsim.study import simulate_part

    own: dict[str, Any] = {"loss": loss.function} if loss else {}
    record = record_fn(resolve(config).structure, keep_weights)
    return simulate_part(folder, run_name(config, seeds, loss), config, seeds, record_fn=record, **own)
