"""What the pruning experiments measure beside the outcomes: who is masked, slopes, end states, curves."""

from collections.abc import Sequence

import jax
import numpy as np
import xarray as xr

from dynsim import prune
from dynsim.analysis import outcomes, pairs
from dynsim.analysis.groups import minority_mask
from dynsim.analysis.outcomes import usable
from dynsim.results.dataset import config_of

MASKED_CLASSES = ("minority", "majority", "none", "silent")
HALF = 0.5  # added to counts before their logarithm is taken, so that none is that of zero


def _lowest(scores: np.ndarray, rate: float) -> np.ndarray:
    """Return which scores a mask of the lowest hides, True = masked, for each seed and record (seed, record, ...)."""
    flat = scores.reshape(-1, *scores.shape[2:])
    kept = jax.vmap(lambda one: prune.lowest_mask(one, rate))(flat)
    return ~np.asarray(kept).reshape(scores.shape)


# ----- P1: who is masked


def masked_shares(result: xr.Dataset, rates: Sequence[float]) -> xr.Dataset:
    """Return who the lowest-norm mask hides at the recorded weights of an unpruned run (theory 8.5 P1).

    Returns:
        `masked` (seed, record, rate, neuron_class): share of a class that is masked, NaN where it has no member;
        `of_masked`: share of the masked neurons that are of that class; `size` (seed, record, neuron_class): share of
        all neurons. Classes: specialists for minority and for majority features, no specialists, and, among those,
        silent neurons: they fire on no probe sample.
    """
    specialists = outcomes.specialist_pairs(result)  # (seed, record, neuron, feature)
    minority = minority_mask(result)
    silent = (result["firing"].values == 0) & (result["false_firing"].values == 0)
    none = ~specialists.any(axis=-1)
    each = [specialists[..., minority].any(axis=-1), specialists[..., ~minority].any(axis=-1), none, none & silent]
    member = np.stack(each, axis=2).astype(float)  # (seed, record, neuron_class, neuron)
    norm = result["weight_norm"].values
    count = np.array([int(prune.masked_number(norm.shape[-1], rate)) for rate in rates])
    masked = np.stack([_lowest(norm, rate) for rate in rates], axis=2).astype(float)  # (seed, record, rate, neuron)
    both = np.einsum("trkn,trcn->trkc", masked, member)
    number = member.sum(axis=-1)[:, :, None, :]
    dims = ("seed", "record", "rate", "neuron_class")
    variables = {
        "masked": (dims, both / np.where(number > 0, number, np.nan)),
        "of_masked": (dims, both / np.maximum(count, 1)[None, None, :, None]),
        "size": (("seed", "record", "neuron_class"), member.mean(axis=-1)),
    }
    coords = {"rate": list(rates), "neuron_class": list(MASKED_CLASSES), "step": ("record", result["step"].values)}
    return xr.Dataset(variables, coords)


# ----- P2 and P4: slopes


def slope_through_origin(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of y = slope * x; y (..., point), x (point,)."""
    return (y * x).sum(axis=-1) / np.square(x).sum()


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of y = a + slope * x; y (..., point), x (point,) of at least two values."""
    centred = x - x.mean()
    return (y * centred).sum(axis=-1) / np.square(centred).sum()


def log_strength_ratio(result: xr.Dataset) -> np.ndarray:
    """Return log of `outcomes.strength_ratio`, (seed,), of a result with one record per seed."""
    with np.errstate(divide="ignore"):
        return np.log(outcomes.strength_ratio(result))


def log_count_ratio(result: xr.Dataset) -> np.ndarray:
    """Return log((minority + 1/2) / (majority + 1/2)) of the numbers of specialists, (seed,)."""
    minority, majority = (outcomes.specialists(group)(result) for group in ("minority", "majority"))
    return np.log((minority + HALF) / (majority + HALF))


QUANTITIES = {"strength ratio": log_strength_ratio, "specialist ratio": log_count_ratio}
COMPARED_AT = ("equal steps", "equal loss")


def end_states(dense: Sequence[xr.Dataset], pruned: Sequence[xr.Dataset]) -> dict[str, dict[str, np.ndarray]]:
    """Return {moment: {quantity: (run, ratio, seed)}} of unpruned and pruned runs at several r (theory 8.5 P4).

    Args:
        dense, pruned: results paired by r. A seed that is not usable at one r is NaN at that r.

    Returns:
        Values of `QUANTITIES` at equal steps and at equal held-out loss; run 0 is the unpruned one.
    """
    shape = (2, len(dense), dense[0].sizes["seed"])
    out = {moment: {name: np.full(shape, np.nan) for name in QUANTITIES} for moment in COMPARED_AT}
    for place, (first, second) in enumerate(zip(dense, pruned, strict=True)):
        kept = usable(first, second)
        if not len(kept):
            continue
        a, b = first.isel(seed=kept), second.isel(seed=kept)
        pairs.check_paired(a, b)
        cut = {"equal steps": (outcomes.at_end(a), outcomes.at_end(b)), "equal loss": outcomes.at_equal_loss(a, b)}
        for moment, pair in cut.items():
            for name, quantity in QUANTITIES.items():
                for run, one in enumerate(pair):
                    out[moment][name][run, place, kept] = quantity(one)
    return out


# ----- curves


def count_curves(result: xr.Dataset, kept: np.ndarray) -> xr.DataArray:
    """Return the number of specialists (seed, record, group) of the seeds at positions `kept`."""
    specialists = outcomes.specialist_pairs(result.isel(seed=kept))
    minority = minority_mask(result)
    counts = [specialists[..., mask].sum(axis=(-2, -1)) for mask in (minority, ~minority)]
    coords = {"group": ["minority", "majority"], "step": ("record", result["step"].values)}
    return xr.DataArray(np.stack(counts, axis=-1).astype(float), coords, ("seed", "record", "group"))


def uniform_until(result: xr.Dataset, tolerance: float = 0.1) -> float:
    """Return the last step up to which the median softmax weight of the positives stays near 1 / candidates.

    Near means within `tolerance` of its value over the first recorded stretch, where all similarities are small.
    """
    weight = np.median(result["positive_weight"].values[:, 1:], axis=0)  # before the first step there is none
    near = np.abs(weight / weight[0] - 1) <= tolerance
    last = len(near) if near.all() else int(np.argmin(near))
    return float(result["step"].values[last])


def life(result: xr.Dataset) -> dict[str, list[float]]:
    """Return, per record, how many minority features a neuron still responds to, and how much of the mask is old.

    "responded" is the share of the minority features, over all seeds, with a neuron whose projection |<w_i, M_j>| is
    above its threshold b_i. Nothing pulls a neuron towards a feature that none responds to, unless noise lifts it.
    "overlap" is the share of the masked weights that were masked at the start too, for masks of the smallest single
    weights at the run's own share; it is empty for a run without one, or whose weights were not recorded.
    """
    alive = (np.abs(result["alignment"].values) > result["threshold"].values[..., None]).any(axis=2)
    responded = alive[..., minority_mask(result)].mean(axis=(0, 2))
    out = {"steps": result["step"].values.tolist(), "responded": responded.tolist(), "overlap": []}
    pruning = config_of(result).prune
    if "neuron_weight" in result and pruning.kind == "lowest" and pruning.unit == "weight":
        masked = _lowest(result["neuron_weight"].values, pruning.rate)
        masked = masked.reshape(*masked.shape[:2], -1)
        kept = (masked & masked[:, :1]).sum(axis=-1) / masked.sum(axis=-1)
        out["overlap"] = kept.mean(axis=0).tolist()
    return out
