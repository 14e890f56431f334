"""What masks would do at recorded weights of an unpruned run: one-step amplification and driver (theory 8.5 P2, P3).

The record must hold `neuron_weight` (`mask_effect.recorder_with_loss` with keep_weights). Nothing is trained.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dynsim.analysis import outcomes
from dynsim.analysis.groups import DISJOINT_GROUPS, minority_mask
from dynsim.analysis.stages import find_stages
from dynsim.analysis.summary import seed_trajectory
from dynsim.engine import train
from dynsim.engine.mask_effect import effect, neuron_mask, with_masks
from dynsim.engine.numbers import hyper, structure
from dynsim.engine.train import Parts
from dynsim.results.dataset import config_of

PROBE_MOMENTS = ("stage 1", "thresholds on", "T2", "end")


class Functions(NamedTuple):
    """The compiled functions of one structure."""

    init: Callable[..., Any]
    """(seed, numbers) -> (state, world)."""
    masks: Callable[..., Any]
    """(state, world, kind, rates (mask,)) -> Booleans (mask, neuron), True = kept."""
    growth: Callable[..., Any]
    """(state, world, masks (mask, neuron)) -> growth without masks (neuron, feature) and with each (mask, ...)."""
    driver: Callable[..., Any]
    """(state, world, masks (mask, neuron)) -> driver without masks (feature,) and with each (mask, ...)."""


@lru_cache(maxsize=32)
def functions(parts: Parts, semantics: str, n_batches: int) -> Functions:
    """Return what measures masks of neurons with these semantics, on `n_batches` held-out batches."""
    masked_parts = with_masks(parts, semantics)

    def masks(state: Any, world: Any, kind: str, rates: Any) -> Any:
        return jax.lax.map(lambda rate: neuron_mask(state, world, kind, rate).weight, rates)

    def both(state: Any, world: Any, kept: Any, field: str) -> Any:
        nothing = type(state.params)(*(None for _ in state.params))

        def one(row: Any) -> Any:
            return getattr(effect(state, world, masked_parts, nothing._replace(weight=row), n_batches), field)

        return getattr(effect(state, world, parts, None, n_batches), field), jax.lax.map(one, kept)

    return Functions(
        jax.jit(lambda seed, numbers: train.init(seed, numbers, parts)),
        jax.jit(masks, static_argnums=2),
        jax.jit(lambda state, world, kept: both(state, world, kept, "growth")),
        jax.jit(lambda state, world, kept: both(state, world, kept, "driver")),
    )


@lru_cache(maxsize=32)
def _parts(shape: Any) -> Parts:
    return train.built_in_parts(shape)


def moments(result: xr.Dataset) -> np.ndarray:
    """Return the records at which to look, shape (seed, moment), in the order of `PROBE_MOMENTS`.

    stage 1: the last record without thresholds; thresholds on: the first one at three times the step at which they
    came on; T2: that of all features, or a tenth of the steps where it was not found; end: the last record.
    """
    steps, found = result["step"].values, []
    minority = minority_mask(result)
    for seed in range(result.sizes["seed"]):
        switch = int(result["switch_step"].values[seed])
        switch = switch if switch > 0 else max(1, int(steps[-1]) // 100)
        t2 = find_stages(seed_trajectory(result, seed), minority)["all"]["T2"].step
        wanted = (3 * switch, steps[-1] // 10 if t2 is None else t2)
        before = max(0, int(np.searchsorted(steps, switch)) - 1)
        later = [min(int(np.searchsorted(steps, step)), len(steps) - 1) for step in wanted]
        found.append([before, *later, len(steps) - 1])
    return np.array(found)


def _seen(result: xr.Dataset, measured: Functions, seed: int, record: int) -> tuple[Any, Any]:
    """Return (state, world) of one run with its weights and thresholds at one record."""
    state, world = measured.init(np.uint32(result["seed"].values[seed]), hyper(config_of(result)))
    at = result.isel(seed=seed, record=record)
    params = state.params._replace(weight=jnp.asarray(at["neuron_weight"].values))
    thresholds = state.thresholds._replace(value=jnp.asarray(at["threshold"].values))
    world = world._replace(dictionary=jnp.asarray(result["dictionary"].values[seed]))
    return state._replace(params=params, thresholds=thresholds), world


def amplifications(
    result: xr.Dataset, semantics: str, kinds: Sequence[str], rates: Sequence[float], n_batches: int = 8
) -> xr.DataArray:
    """Return A (seed, moment, kind, rate, group): A_j averaged over the features of a group (theory 8.5 P2).

    Features weigh as much as they grow without a mask, so that one that hardly grows does not decide; NaN where the
    group does not grow. The neurons of feature j are those that end the run as its specialists, at every moment.

    Args:
        result: an unpruned run with `neuron_weight`.
        semantics, kinds, rates: of the masks of neurons.
    """
    measured = functions(_parts(structure(config_of(result))), semantics, n_batches)
    places, specialists = moments(result), outcomes.specialist_pairs(outcomes.at_end(result))
    minority = minority_mask(result)
    out = np.full((result.sizes["seed"], len(PROBE_MOMENTS), len(kinds), len(rates), len(DISJOINT_GROUPS)), np.nan)
    share = jnp.asarray(rates, result["neuron_weight"].dtype)
    for seed, moment in np.ndindex(out.shape[:2]):
        state, world = _seen(result, measured, seed, int(places[seed, moment]))
        kept = jnp.concatenate([measured.masks(state, world, kind, share) for kind in kinds])
        dense, masked = (np.asarray(part, np.float64) for part in measured.growth(state, world, kept))
        shape = (len(kinds), len(rates))
        for g, mask in enumerate((minority, ~minority)):
            own = specialists[seed] & mask[None, :]
            without = (dense * own).sum()
            if own.any() and without > 0:
                out[seed, moment, :, :, g] = (masked * own[None]).sum(axis=(1, 2)).reshape(shape) / without
    coords = {"moment": list(PROBE_MOMENTS), "kind": list(kinds), "rate": list(rates), "group": list(DISJOINT_GROUPS)}
    return xr.DataArray(out, coords, ("seed", "moment", "kind", "rate", "group"))


def recorded_drivers(
    result: xr.Dataset, kinds: Sequence[str], rate: float, records: Sequence[int], n_batches: int = 8
) -> xr.DataArray:
    """Return D (seed, record, kind, group), the mean over a group of D_j (theory 8.5 P3); kind "none" is unmasked.

    Args:
        result: an unpruned run with `neuron_weight`.
        kinds, rate: of the masks of neurons, drawn at each of the records.
        records: positions on the record axis.
    """
    measured = functions(_parts(structure(config_of(result))), "straight_through", n_batches)
    minority = minority_mask(result)
    out = np.full((result.sizes["seed"], len(records), 1 + len(kinds), len(DISJOINT_GROUPS)), np.nan)
    share = jnp.asarray([rate], result["neuron_weight"].dtype)
    for seed, place in np.ndindex(out.shape[:2]):
        state, world = _seen(result, measured, seed, int(records[place]))
        kept = jnp.concatenate([measured.masks(state, world, kind, share) for kind in kinds])
        dense, masked = (np.asarray(part, np.float64) for part in measured.driver(state, world, kept))
        each = np.concatenate([dense[None], masked])  # (kind, feature)
        for g, mask in enumerate((minority, ~minority)):
            if mask.any():
                out[seed, place, :, g] = each[:, mask].mean(axis=1)
    coords = {
        "kind": ["none", *kinds],
        "group": list(DISJOINT_GROUPS),
        "step": ("record", result["step"].values[list(records)]),
    }
    return xr.DataArray(out, coords, ("seed", "record", "kind", "group"))
