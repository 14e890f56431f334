"""Paired comparison of two sets of runs, seed by seed: which results may be compared, and their differences."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from dynsim.config import Config
from dynsim.config.checks import ConfigError, require
from dynsim.config.differences import differing_numbers
from dynsim.results.dataset import config_of, provenance_of
from dynsim.stats.intervals import CONFIDENCE, N_RESAMPLES, holm, paired_difference


def check_pair(first: Config, second: Config, may_differ: tuple[str, ...] = ("prune",)) -> None:
    """Refuse two configurations that differ in more than `may_differ`.

    Args:
        may_differ: names of sections ("prune") and dotted names of fields ("threshold.scale").
    Errors:
        `ConfigError` in one line that names every other field in which they differ.
    """
    differing = differing_numbers(first, second)
    names = [name for name in differing if not {name, name.partition(".")[0]} & set(may_differ)]
    values = [tuple(_field(config, name) for config in (first, second)) for name in names]
    wanted = f"equal values in a pair, where only {', '.join(may_differ) or 'the seed'} may differ"
    require(not names, ", ".join(names), wanted, values, "run both with the same ones")


def _field(config: Config, dotted: str) -> object:
    section, _, name = dotted.partition(".")
    return getattr(getattr(config, section), name)


def check_paired(*datasets: xr.Dataset, may_differ: tuple[str, ...] = ("prune",)) -> None:
    """Refuse results that cannot be compared seed by seed with the first of them.

    All results need the same seeds in the same order, none of them twice; configurations that are equal except for
    `may_differ` (see `check_pair`); the same user-defined functions, unless "own" is in `may_differ` (the function that
    records may always differ, since it does not change the run); and bit-identical dictionaries, which show that the
    runs drew the same random numbers.

    Errors:
        `ConfigError` in one line; `results.ResultError` for several results joined into one (`results.concat`) from
        which no single one was selected.
    """
    require(len(datasets) >= 2, "results", "at least two to compare", len(datasets))
    first = datasets[0]
    seeds = _seeds(first)
    require(len(set(seeds)) == len(seeds), "seeds", "each seed once", seeds)
    for other in datasets[1:]:
        came = _seeds(other)
        same = sorted(came) == sorted(seeds)
        advice = "order one by the other, as with .sel(seed=other.seed)" if same else "run both with the same seeds"
        require(came == seeds, "seeds", "the same in the same order", (seeds, came), advice)
        check_pair(config_of(first), config_of(other), may_differ)
        if "own" not in may_differ:
            require(_own(first) == _own(other), "own functions", f"{_own(first)} in both", _own(other), "use the same")
        _check_dictionaries(first, other)


def _seeds(result: xr.Dataset) -> list[int]:
    has_axis = "seed" in result.indexes and result.sizes["seed"] > 0
    require(has_axis, "seeds", "an axis of at least one seed", dict(result.sizes), "select by a list of seeds")
    return [int(seed) for seed in result["seed"].values]


def _own(result: xr.Dataset) -> dict[str, list[str]]:
    """Return names and digests of the user-defined functions, without the one that only records."""
    return {name: fns for name, fns in provenance_of(result).get("own", {}).items() if name != "record_fn"}


def _check_dictionaries(first: xr.Dataset, other: xr.Dataset) -> None:
    for result in (first, other):
        require("dictionary" in result, "dictionary", "one in each result", list(result.data_vars))
    a, b = (result["dictionary"].transpose("seed", "token_dim", "feature").values for result in (first, other))
    kinds = [(part.dtype.name, part.shape) for part in (a, b)]
    require(kinds[0] == kinds[1], "dictionary", f"{kinds[0]} as in the first result", kinds[1])
    # compare bits, not values: runs with the same random numbers and the same arithmetic agree in every bit
    unequal = [seed for seed, x, y in zip(_seeds(first), a, b, strict=True) if x.tobytes() != y.tobytes()]
    came = f"others for seeds {unequal}"
    require(not unequal, "dictionary", "the same bits in both", came, "run both with one code on one machine")


def compare_runs(
    first: xr.Dataset,
    second: xr.Dataset,
    measures: Mapping[str, Callable[[xr.Dataset], np.ndarray]],
    *,
    may_differ: tuple[str, ...] = ("prune",),
    level: float = CONFIDENCE,
    n_resamples: int = N_RESAMPLES,
    rng_seed: int = 0,
) -> dict[str, dict[str, float | int | None]]:
    """Return the paired difference second - first over seeds of each measure, as plain values for summary.json.

    Args:
        first, second: results that `check_paired` accepts.
        measures: by name, functions (result) -> finite numbers of shape (seed,), in the order of its seed axis.
        may_differ: as for `check_paired`.
        level, n_resamples, rng_seed: as for `paired_difference`.

    Returns:
        {name: {estimate, low, high, p_value, n_seeds, level, p_holm}}; `p_holm` is the p-value after Holm's correction
        over all measures.
    Errors:
        `ConfigError` in one line for results that cannot be paired, or a measure of another shape or not finite.
    """
    check_paired(first, second, may_differ=may_differ)
    shape = (first.sizes["seed"],)
    found = {}
    for name, measure in measures.items():
        values = [np.asarray(measure(result)) for result in (first, second)]
        for value in values:
            require(value.shape == shape, f"measure {name}", f"shape {shape}, one number per seed", value.shape)
        try:
            found[name] = paired_difference(*values, level=level, n_resamples=n_resamples, rng_seed=rng_seed)
        except ConfigError as error:
            raise ConfigError(f"measure {name}: {error}") from None
    adjusted = holm({name: part.p_value for name, part in found.items()})
    return {name: part.plain() | {"p_holm": adjusted[name]} for name, part in found.items()}
