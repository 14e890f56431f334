"""What masks would do at recorded weights of an unpruned run: one-step amplification and driver (theory 8.5 P2, P3).

The record must hold `neuron_weight` (`mask_effect.recorder_with_loss` with keep_weights). Nothing is trained.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, PyTree

from dynsim.analysis import outcomes
from dynsim.analysis.groups import DISJOINT_GROUPS, minority_mask
from dynsim.analysis.stages import find_stages
from dynsim.analysis.summary import seed_trajectory
from dynsim.engine import mask_effect, replay, train
from dynsim.engine.numbers import Numbers, resolve
from dynsim.engine.train import Parts, TrainState, World
from dynsim.results.dataset import config_of

PROBE_MOMENTS = ("stage 1", "thresholds on", "T2", "end")


class Functions(NamedTuple):
    """The functions of one structure, which run compiled; masks are stacked on a leading axis."""

    restored: Callable[..., tuple[TrainState, World]]
    """(seed, numbers, weight, thresholds) -> (state, world), as `replay.restored`."""
    masks: Callable[..., PyTree]
    """(state, world, kind, rates (mask,)) -> masks of neurons."""
    growth: Callable[..., tuple[Array, Array]]
    """(state, world, masks) -> growth without masks (neuron, feature) and with each (mask, neuron, feature)."""
    driver: Callable[..., tuple[Array, Array]]
    """(state, world, masks) -> driver without masks (feature,) and with each (mask, feature)."""


@lru_cache(maxsize=32)
def functions(parts: Parts, semantics: str, n_batches: int) -> Functions:
    """Return what measures masks of neurons with these semantics, on `n_batches` held-out batches."""
    masked_parts = mask_effect.with_masks(parts, semantics)

    def masks(state: TrainState, world: World, kind: str, rates: Array) -> PyTree:
        return jax.lax.map(lambda rate: mask_effect.neuron_mask(state, world, kind, rate), rates)

    def growth(state: TrainState, world: World, kept: PyTree) -> tuple[Array, Array]:
        batches = replay.held_out_batches(world, parts, n_batches)
        dense = mask_effect.growth(state, world, parts, None, batches)
        return dense, jax.lax.map(lambda mask: mask_effect.growth(state, world, masked_parts, mask, batches), kept)

    def driver(state: TrainState, world: World, kept: PyTree) -> tuple[Array, Array]:
        batches = replay.held_out_batches(world, parts, n_batches)
        dense = mask_effect.driver(state, world, parts, None, semantics, batches)
        return dense, jax.lax.map(lambda mask: mask_effect.driver(state, world, parts, mask, semantics, batches), kept)

    return Functions(
        lambda seed, numbers, *at: replay.restored(seed, numbers, parts, *at),
        jax.jit(masks, static_argnums=2),
        jax.jit(growth),
        jax.jit(driver),
    )


_parts = lru_cache(maxsize=32)(train.built_in_parts)


def moments(result: xr.Dataset) -> np.ndarray:
    """Return the records at which to look, shape (seed, moment), in the order of `PROBE_MOMENTS`.

    stage 1: the last record without thresholds; thresholds on: the first record at or after three times the step at
    which they came on; T2: that of all features, or a tenth of the steps where it was not found; end: the last record.
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


class _Replay(NamedTuple):
    """A result, and what puts its runs back to one of its records."""

    result: xr.Dataset
    numbers: Numbers
    measured: Functions

    def at(self, seed: int, record: int) -> tuple[TrainState, World]:
        """Return (state, world) of one run with its weights and thresholds at one record; both are positions."""
        weights = replay.recorded(self.result, seed, record)
        return self.measured.restored(jnp.uint32(self.result["seed"].values[seed]), self.numbers, *weights)


def _replay(result: xr.Dataset, semantics: str, n_batches: int) -> _Replay:
    resolved = resolve(config_of(result))
    return _Replay(result, resolved.numbers, functions(_parts(resolved.structure), semantics, n_batches))


def _masks(
    measured: Functions, state: TrainState, world: World, kinds: Sequence[str], rates: Float[Array, " rate"]
) -> PyTree:
    """Return the masks of all kinds, each at all rates, on one leading axis."""
    each = [measured.masks(state, world, kind, rates) for kind in kinds]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)


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
    runs = _replay(result, semantics, n_batches)
    places, specialists = moments(result), outcomes.specialist_pairs(outcomes.at_end(result))
    minority = minority_mask(result)
    out = np.full((result.sizes["seed"], len(PROBE_MOMENTS), len(kinds), len(rates), len(DISJOINT_GROUPS)), np.nan)
    share = jnp.asarray(rates, result["neuron_weight"].dtype)
    for seed, moment in np.ndindex(out.shape[:2]):
        state, world = runs.at(seed, int(places[seed, moment]))
        kept = _masks(runs.measured, state, world, kinds, share)
        dense, masked = (np.asarray(part, np.float64) for part in runs.measured.growth(state, world, kept))
        shape = (len(kinds), len(rates))
        for g, mask in enumerate((minority, ~minority)):
            own = specialists[seed] & mask[None, :]
            without = (dense * own).sum()
            if own.any() and without > 0:
                out[seed, moment, :, :, g] = (masked * own[None]).sum(axis=(1, 2)).reshape(shape) / without
    coords = {"moment": list(PROBE_MOMENTS), "kind": list(kinds), "rate": list(rates), "group": list(DISJOINT_GROUPS)}
    return xr.DataArray(out, coords, ("seed", "moment", "kind", "rate", "group"))


def group_drivers_over_time(
    result: xr.Dataset, kinds: Sequence[str], rate: float, records: Sequence[int], n_batches: int = 8
) -> xr.DataArray:
    """Return D (seed, record, kind, group), the mean over a group of D_j (theory 8.5 P3); kind "none" is unmasked.

    Args:
        result: an unpruned run with `neuron_weight`.
        kinds, rate: of the masks of neurons, drawn at each of the records.
        records: positions on the record axis.
    """
    runs = _replay(result, "straight_through", n_batches)
    minority = minority_mask(result)
    out = np.full((result.sizes["seed"], len(records), 1 + len(kinds), len(DISJOINT_GROUPS)), np.nan)
    share = jnp.asarray([rate], result["neuron_weight"].dtype)
    for seed, place in np.ndindex(out.shape[:2]):
        state, world = runs.at(seed, int(records[place]))
        kept = _masks(runs.measured, state, world, kinds, share)
        dense, masked = (np.asarray(part, np.float64) for part in runs.measured.driver(state, world, kept))
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
