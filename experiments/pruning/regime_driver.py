"""The driver D_j of every feature at the weights where dense runs end, with and without the masks of several readings.

A mask can change the growth of a feature only through D_j (theory 8.5 P3), so pruning can favour the minority only
where it changes D_j of the two groups unequally. Nothing is trained here.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from scipy import stats

from dynsim.config import Config, PruneConfig
from dynsim.engine import train
from dynsim.engine.mask_effect import driver
from dynsim.engine.numbers import Numbers, resolve
from dynsim.engine.pruning import draw_mask
from dynsim.engine.replay import held_out_batches, recorded, restored
from dynsim.engine.train import TrainState, World
from dynsim.results.dataset import config_of
from dynsim.stats.intervals import FEWEST_SEEDS, bca_interval
from experiments.pruning import regimes

DRIVER_BATCHES = 16


def feature_drivers_at_end(
    dense: xr.Dataset, readings: Mapping[str, PruneConfig], n_batches: int = DRIVER_BATCHES
) -> dict[str, Float[np.ndarray, "seed feature"]]:
    """Return {"dense": D_j, reading: D_j under the mask that it would draw at the dense weights}, each (seed, feature).

    Args:
        dense: result of runs without masks, with `threshold` in its record.
        readings: mask options by name.
        n_batches: held-out batches of the run's own streams.
    """
    resolved = resolve(config_of(dense))
    compute = _program(resolved.structure, tuple(readings.items()), n_batches)
    numbers = jax.tree.map(jnp.asarray, resolved.numbers)
    each = [
        compute(jnp.uint32(seed), numbers, *recorded(dense, position))
        for position, seed in enumerate(dense["seed"].values)
    ]
    return {name: np.stack([np.asarray(one[name], np.float64) for one in each]) for name in ("dense", *readings)}


@lru_cache(maxsize=32)
def _program(
    structure: Config, readings: tuple[tuple[str, PruneConfig], ...], n_batches: int
) -> Callable[..., dict[str, Array]]:
    """Return the function (seed, numbers, weight, thresholds) -> {name: D_j}, compiled once for a structure."""
    parts = train.built_in_parts(structure)

    @jax.jit
    def at_state(state: TrainState, world: World) -> dict[str, Array]:
        batches = held_out_batches(world, parts, n_batches)
        found = {"dense": driver(state, world, parts, None, "literal", batches)}
        for name, config in readings:
            rate = jnp.asarray(config.rate, state.params.weight.dtype)
            mask = draw_mask(state.params, config, rate, world.keys.pruning, jnp.asarray(0, jnp.int32))
            found[name] = driver(state, world, parts, mask, config.semantics, batches)
        return found

    def compute(seed: Array, numbers: Numbers, weight: np.ndarray, thresholds: np.ndarray) -> dict[str, Array]:
        return at_state(*restored(seed, numbers, parts, weight, thresholds))

    return compute


def driver_summary(drivers: Mapping[str, np.ndarray], minority: np.ndarray) -> dict[str, Any]:
    """Return the mean driver of both groups with and without each mask, and what the mask does to their gap.

    Args:
        drivers: {"dense" or reading: D_j of shape (seed, feature)} (`feature_drivers_at_end`).
        minority: Boolean (feature,).

    Returns:
        {name: {"minority", "majority"}} with, for readings, "effect": [estimate, low, high] of the mask's change of
        D_minority minus its change of D_majority.
    """
    gap = {name: d[:, minority].mean(axis=1) - d[:, ~minority].mean(axis=1) for name, d in drivers.items()}
    out: dict[str, Any] = {}
    for name, d in drivers.items():
        out[name] = {"minority": float(d[:, minority].mean()), "majority": float(d[:, ~minority].mean())}
        if name != "dense":
            span = bca_interval(gap[name] - gap["dense"], n_resamples=999)
            out[name]["effect"] = [span.estimate, span.low, span.high]
    return out


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return Spearman's rank correlation over points, {"rho", "p_value", "n_points"}; rho is null if it has no value.

    Args:
        pairs: (effect on the driver, measured effect) of each stable point.
    """
    first, second = (np.asarray([pair[k] for pair in pairs], float) for k in (0, 1))
    if len(pairs) < FEWEST_SEEDS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return {"rho": None, "p_value": None, "n_points": len(pairs)}
    done = stats.spearmanr(first, second)
    return {"rho": float(done.statistic), "p_value": float(done.pvalue), "n_points": len(pairs)}


def correlations(points: list[dict[str, Any]], reading: str) -> dict[str, Any]:
    """Return by measure how the effect on the driver goes with the measured one, over the points (search seeds).

    Args:
        points: of the summary: "readings" with `regimes.evidence`, and "driver" of `driver_summary`.
        reading: name of the reading.
    """
    out = {}
    for measure in (regimes.PRIMARY, "minority share of specialists"):
        pairs = []
        for one in points:
            found = one["readings"][reading]["search"]
            usable = regimes.usable_contrasts(found)
            if usable and one["driver"] and usable["dense"]["equal steps"][measure]:
                effect = usable["dense"]["equal steps"][measure][0]
                pairs.append((one["driver"][reading]["effect"][0], effect))
        out[measure] = rank_correlation(pairs)
    return out
