"""The measures by which runs with and without masks are compared, and which seeds count (theory 8.5 P4).

A measure is one number per seed, taken at one record of each run.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr

from dynsim import theory
from dynsim.analysis import pairs
from dynsim.analysis.groups import minority_mask
from dynsim.analysis.pairs import compare_runs
from dynsim.results.dataset import config_of
from dynsim.results.sealed import Json
from dynsim.theory.specialists import is_specialist

Measure = Callable[[xr.Dataset], np.ndarray]
"""(result with one record per seed) -> one number per seed, shape (seed,)."""


def at_record(result: xr.Dataset, records: np.ndarray) -> xr.Dataset:
    """Return a result cut to one record per seed.

    Args:
        records: shape (seed,), positions on the record axis.
    """
    return result.isel(record=xr.DataArray(records, dims="seed"))


def at_end(result: xr.Dataset) -> xr.Dataset:
    """Return a result cut to its last record."""
    return at_record(result, np.full(result.sizes["seed"], result.sizes["record"] - 1))


def at_equal_loss(first: xr.Dataset, second: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return two paired results, each cut per seed to the first record at which it reaches the same held-out loss.

    For each seed this loss is the larger of the lowest `held_out_loss` of both runs, so that both of them reach it.
    """
    loss = [result["held_out_loss"].values for result in (first, second)]
    level = np.maximum(*(part.min(axis=1) for part in loss))
    reached = [np.argmax(part <= level[:, None], axis=1) for part in loss]
    return at_record(first, reached[0]), at_record(second, reached[1])


def specialist_pairs(result: xr.Dataset) -> np.ndarray:
    """Return which neuron is a specialist for which feature, Boolean (..., neuron, feature) (theory 5.5)."""
    return is_specialist(*(result[name].values for name in ("alignment", "weight_norm", "firing")))


def _of_group(result: xr.Dataset, group: str) -> np.ndarray:
    return result["group"].values == group


def specialists(group: str) -> Measure:
    """Return the measure: number of specialist neurons of the features of a group."""
    return lambda result: specialist_pairs(result)[..., _of_group(result, group)].sum(axis=(-2, -1)).astype(float)


def coverage(group: str) -> Measure:
    """Return the measure: share of the features of a group that have a specialist."""
    return lambda result: specialist_pairs(result)[..., _of_group(result, group)].any(axis=-2).mean(axis=-1)


def strength(group: str) -> Measure:
    """Return the measure: mean over the features of a group of S_j = sum_i <w_i, M_j>^2, over all neurons."""
    return lambda result: (result["alignment"].values ** 2).sum(axis=-2)[..., _of_group(result, group)].mean(axis=-1)


def strength_ratio(result: xr.Dataset) -> np.ndarray:
    """Return sqrt(minority strength / majority strength) (see `strength`), shape (seed,)."""
    return np.sqrt(strength("minority")(result) / strength("majority")(result))


def specialist_share(result: xr.Dataset) -> np.ndarray:
    """Return the minority's share of all specialists, shape (seed,); 0 where there is none."""
    minority, majority = specialists("minority")(result), specialists("majority")(result)
    return minority / np.maximum(minority + majority, 1)


def final_loss(result: xr.Dataset) -> np.ndarray:
    """Return `held_out_loss`, shape (seed,)."""
    return result["held_out_loss"].values


MEASURES: dict[str, Measure] = {
    "minority specialists": specialists("minority"),
    "majority specialists": specialists("majority"),
    "minority share of specialists": specialist_share,
    "minority coverage": coverage("minority"),
    "majority coverage": coverage("majority"),
    "minority strength": strength("minority"),
    "majority strength": strength("majority"),
    "strength ratio": strength_ratio,
    "held-out loss": final_loss,
}
"""The measures compared at the end of training, by their names in summaries and figures."""


def values(result: xr.Dataset) -> dict[str, list[float]]:
    """Return every measure of `MEASURES` per seed, of a result with one record per seed."""
    return {name: [float(x) for x in fn(result)] for name, fn in MEASURES.items()}


def compare_ends(first: xr.Dataset, second: xr.Dataset) -> Json:
    """Return the paired differences second - first at equal steps (the end) and at equal held-out loss.

    Args:
        first, second: paired results with `held_out_loss` in their record.

    Returns:
        {"equal steps": {measure: interval}, "equal loss": {measure: interval}}.
    """
    pairs = {"equal steps": (at_end(first), at_end(second)), "equal loss": at_equal_loss(first, second)}
    return {name: compare_runs(*pair, MEASURES) for name, pair in pairs.items()}


# ----- which runs count


class Exclusion(NamedTuple):
    """A rule by which a run that did not diverge is left out, because its weights grew without bound."""

    limit: float
    compares: str
    """What the limit is a multiple of, in words."""


EXCLUSION = {
    "strength": Exclusion(100.0, "larger mean S_j of the two groups at the end: that of the unpruned partner"),
    "loss": Exclusion(3.0, "held-out loss at the end: the loss `theory.chance_loss` when all similarities agree"),
}
"""The rules by name; `usable` applies "strength", `sound_by_loss` applies "loss", and both leave out diverged runs.

The published numbers of pruning_comparison use "strength", those of pruning_regimes "loss".
"""


def end_strength(result: xr.Dataset) -> np.ndarray:
    """Return the larger of the two groups' `strength` at the last record, shape (seed,); NaN if weights are NaN."""
    squares = np.square(result["alignment"].isel(record=-1).values.astype(np.float64)).sum(axis=1)  # (seed, feature)
    minority = minority_mask(result)
    return np.max([squares[:, mask].mean(axis=1) for mask in (minority, ~minority) if mask.any()], axis=0)


def broken(result: xr.Dataset) -> np.ndarray:
    """Return the seeds of a result that diverged or in which a recorded loss is not finite, Boolean (seed,)."""
    finite = np.isfinite(result["held_out_loss"].values).all(axis=1) & np.isfinite(end_strength(result))
    return (result["diverged_step"].values >= 0) | ~finite


def exploded(dense: xr.Dataset, result: xr.Dataset) -> np.ndarray:
    """Return the seeds that end above the limit of the rule "strength", Boolean (seed,)."""
    with np.errstate(invalid="ignore"):
        return end_strength(result) > EXCLUSION["strength"].limit * end_strength(dense)


def usable(dense: xr.Dataset, *others: xr.Dataset) -> np.ndarray:
    """Return the positions of the seeds in which all of these runs count by the rule "strength"."""
    bad = broken(dense)
    for other in others:
        bad = bad | broken(other) | exploded(dense, other)
    return np.flatnonzero(~bad)


def sound_by_loss(result: xr.Dataset) -> np.ndarray:
    """Return which runs neither diverged nor end above the limit of the rule "loss", Boolean (seed,)."""
    last = result["held_out_loss"].values[:, -1]
    finite = np.isfinite(last)
    # both losses have the factor tau where the loss has the prefactor
    limit = EXCLUSION["loss"].limit * theory.chance_loss(config_of(result))
    return finite & (result["diverged_step"].values < 0) & (np.where(finite, last, np.inf) <= limit)


def difference(
    dense: xr.Dataset, first: xr.Dataset, second: xr.Dataset, may_differ: tuple[str, ...] = ("prune",)
) -> Json:
    """Return the paired differences second - first over the usable seeds, as plain values for summary.json.

    Args:
        dense: unpruned runs of the same seeds, against which `exploded` judges; may be the same as `first`.
        may_differ: as for `pairs.check_paired`. If it is pruning alone, runs are compared at equal held-out loss too.

    Returns:
        `n_seeds`, the number of seeds compared; `n_diverged` and `n_exploded`, how many seeds of `second` are left out
        for either reason; `end` {measure: median over all seeds of `second` that did not diverge}; `equal steps`
        {measure: interval} and, if pruning alone differs, `equal loss` {measure: interval}.
    """
    kept = usable(dense, first, second)
    lost, grown = broken(second), exploded(dense, second)
    out: Json = {
        "n_seeds": len(kept),
        "n_diverged": int(lost.sum()),
        "n_exploded": int((grown & ~lost).sum()),
        "end": {},
    }
    finite = np.flatnonzero(~lost)
    if len(finite):
        each = values(at_end(second.isel(seed=finite)))
        out["end"] = {name: float(np.median(values)) for name, values in each.items()}
    if len(kept):
        pair = [one.isel(seed=kept) for one in (first, second)]
        if may_differ == ("prune",):
            out |= compare_ends(pair[0], pair[1])
        else:
            ends = at_end(pair[0]), at_end(pair[1])
            out["equal steps"] = pairs.compare_runs(ends[0], ends[1], MEASURES, may_differ=may_differ)
    return out


def end_difference(dense: xr.Dataset, first: xr.Dataset, second: xr.Dataset, name: str) -> np.ndarray:
    """Return second - first of one measure of `MEASURES` at the end, (seed,); NaN for seeds left out."""
    out = np.full(dense.sizes["seed"], np.nan)
    kept = usable(dense, first, second)
    if len(kept):
        values = [MEASURES[name](at_end(one.isel(seed=kept))) for one in (first, second)]
        out[kept] = values[1] - values[0]
    return out
