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

from dynsim import prune
from dynsim.config import Config, PruneConfig
from dynsim.engine import data, train
from dynsim.engine.encoder import batched
from dynsim.engine.mask_effect import driver, held_out_batches
from dynsim.engine.numbers import Hyper, hyper, structure
from dynsim.engine.pruning import draw_mask
from dynsim.results.dataset import config_of
from dynsim.stats.intervals import FEWEST_SEEDS, bca_interval
from experiments.pruning import regimes

DRIVER_BATCHES = 16


def drivers(
    dense: xr.Dataset, readings: Mapping[str, PruneConfig], n_batches: int = DRIVER_BATCHES
) -> dict[str, Float[np.ndarray, "seed feature"]]:
    """Return {"dense": D_j, reading: D_j under the mask that it would draw at the dense weights}, each (seed, feature).

    The softmax weights are those of the masked network on both views; of one_branch, and of masked_query, those of the
    masked query against the dense key.

    Args:
        dense: result of runs without masks, with `threshold` in its record.
        readings: mask options by name.
        n_batches: held-out batches of the run's own streams.
    """
    config = config_of(dense)
    compute = _program(structure(config), tuple(readings.items()), n_batches)
    numbers = jax.tree.map(jnp.asarray, hyper(config))
    thresholds = dense["threshold"].isel(record=-1).transpose("seed", "neuron").values
    weights = dense["weight"].transpose("seed", "neuron", "token_dim").values
    each = [
        compute(jnp.uint32(seed), jnp.asarray(weight), jnp.asarray(threshold), numbers)
        for seed, weight, threshold in zip(dense["seed"].values, weights, thresholds, strict=True)
    ]
    return {name: np.stack([np.asarray(one[name], np.float64) for one in each]) for name in ("dense", *readings)}


@lru_cache(maxsize=32)
def _program(
    shape: Config, readings: tuple[tuple[str, PruneConfig], ...], n_batches: int
) -> Callable[..., dict[str, Array]]:
    """Return the compiled (seed, weight, threshold, numbers) -> {name: D_j}."""
    parts = train.built_in_parts(shape)
    embed = batched(parts.encoder)
    cosine = shape.loss.similarity == "cosine"

    @jax.jit
    def compute(seed: Array, weight: Array, threshold: Array, numbers: Hyper) -> dict[str, Array]:
        state, world = train.init(seed, numbers, parts)
        params = state.params._replace(weight=weight)
        masks: dict[str, Any] = {"dense": None}
        for name, config in readings:
            rate = jnp.asarray(config.rate, weight.dtype)
            masks[name] = draw_mask(params, config, rate, world.keys.pruning, jnp.asarray(0, jnp.int32))
        dense_key = {name for name, config in readings if config.semantics in ("one_branch", "masked_query")}

        def masked(name: str, views: Array) -> Array:
            shown = params if masks[name] is None else prune.apply_mask(params, masks[name])
            return embed(shown, threshold, views)

        def one(batch: data.Batch) -> dict[str, tuple[Array, Array]]:
            found = {}
            for name in masks:
                key = masked("dense" if name in dense_key else name, batch.key)
                found[name] = driver(masked(name, batch.query), key, batch, numbers.temperature, cosine=cosine)
            return found

        sums = jax.lax.map(one, held_out_batches(world, parts, n_batches))
        return {
            name: jnp.sum(total, axis=0) / jnp.maximum(jnp.sum(count, axis=0), 1).astype(total.dtype)
            for name, (total, count) in sums.items()
        }

    return compute


def driver_summary(drivers: Mapping[str, np.ndarray], minority: np.ndarray) -> dict[str, Any]:
    """Return the mean driver of both groups with and without each mask, and what the mask does to their gap.

    Args:
        drivers: {"dense" or reading: D_j of shape (seed, feature)} (`drivers`).
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
            ends = [span.estimate, span.low, span.high]
            out[name]["effect"] = ends if np.all(np.isfinite(ends)) else [span.estimate] * 3
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
