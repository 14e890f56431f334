"""What do statements about pruning share? Words for prunings, ranges, and rows of paired differences."""

from typing import Any, TypedDict

import numpy as np
import xarray as xr

from dynsim.analysis.outcomes import difference
from dynsim.config import PruneConfig
from dynsim.results.dataset import config_of
from dynsim.stats.verdicts import Statement
from experiments.pruning.keys import MAIN_DENSE, Key, RunKey

NamedRuns = dict[Key, xr.Dataset]
Measured = tuple[Statement, np.ndarray]
"""A statement, and the number that decides it for every seed, (seed,)."""
Judged = tuple[list[dict[str, Any]], dict[str, Any], dict[str, xr.Dataset]]
"""(entries of the summary, details, reduced Datasets for the figures)."""


class PairedRow(TypedDict):
    """A row of a forest: how far the numbers of specialists of a run lie from those of the unpruned one."""

    label: str
    filled: bool
    """Whether the mark is filled: the pruning itself, no placebo."""
    n_seeds: int
    n_given: int
    minority: dict[str, Any] | None
    """Interval of the paired difference, None where no seed is left; the same for the majority."""
    majority: dict[str, Any] | None
    all: dict[str, Any]
    """The whole of `outcomes.difference`."""


def label(prune: PruneConfig) -> str:
    """Return a pruning in words."""
    if prune.kind == "none":
        return "no pruning"
    kind = prune.kind.replace("random_fixed", "fixed random")
    return f"{kind} {prune.rate:.0%} of {prune.unit}s, {prune.semantics.replace('_', ' ')}"


def label_of(run: xr.Dataset) -> str:
    """Return the pruning of a result in words."""
    return label(config_of(run).prune)


def row(name: str, dense: xr.Dataset, run: xr.Dataset, may_differ: tuple[str, ...], filled: bool) -> PairedRow:
    """Return a row of a forest, with all differences from the unpruned run behind it."""
    found = difference(dense, dense, run, may_differ)
    steps = found.get("equal steps", {})
    return {
        "label": name,
        "filled": filled,
        "n_seeds": found["n_seeds"],
        "n_given": dense.sizes["seed"],
        "minority": steps.get("minority specialists"),
        "majority": steps.get("majority specialists"),
        "all": found,
    }


def base_key(runs: NamedRuns, variant: str) -> RunKey:
    """Return the key of the run of the sweeps' shape at the frequency ratio of the command line."""
    return RunKey("small", variant, ratio=config_of(runs[MAIN_DENSE]).data.minority_ratio)


def base(runs: NamedRuns, variant: str) -> xr.Dataset:
    """Return the run of the sweeps' shape at the frequency ratio of the command line."""
    return runs[base_key(runs, variant)]
