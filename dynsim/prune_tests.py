"""The statements about pruning that can be judged by numbers, and the numbers (theory 8.5).

A statement says in which range a number lies. Its verdict comes from the 95 % interval over seeds alone: "as stated"
where the interval lies inside the range, "not as stated" where it lies outside, and "not at this size" where it
reaches over an end of the range, or where fewer than three seeds are left. Where the end of the range is a null
hypothesis, a verdict also needs a p-value of at most 0.05 after Holm's correction over the statements of its test.

Straight-through masks can drive weights without bound. Seeds that diverged, or in which the strength S_j of a group
ends above `EXPLODED` times that of the unpruned partner, are counted and left out of both sides of a pair.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynsim import compare, outcome, prune
from dynsim.summary import minority_mask

EXPLODED = 100.0
FEWEST = 3
LEVEL = 0.05
CLASSES = ("minority", "majority", "none", "silent")
HALF = 0.5  # added to counts before their logarithm is taken, so that none is that of zero


class Statement(NamedTuple):
    """One sentence that a number can refute."""

    claim: str
    quantity: str
    """What the number is, in words."""
    wanted: tuple[float, float]
    """Range of the number for which the claim holds; infinite ends are open."""
    rival: str
    """What else would explain the number."""
    refuted_by: str


def judge(low: float, high: float, wanted: tuple[float, float], p_holm: float | None = None) -> str:
    """Return the verdict by the rule at the top of the module; NaN ends are those of too few seeds."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "not at this size"
    inside, outside = wanted[0] <= low and high <= wanted[1], high < wanted[0] or low > wanted[1]
    if not (inside or outside) or (p_holm is not None and p_holm > LEVEL):
        return "not at this size"
    return "as stated" if inside else "not as stated"


def _null(wanted: tuple[float, float]) -> float | None:
    finite = [end for end in wanted if math.isfinite(end)]
    return finite[0] if len(finite) == 1 else None


def judged(parts: Sequence[tuple[Statement, np.ndarray]], **options: Any) -> list[dict[str, Any]]:
    """Return one summary entry per statement, with Holm's correction over all of them that test a null hypothesis.

    Args:
        parts: statements with one number per seed; NaN and infinity are left out and counted.
        options: those of `compare.paired_difference`.
    """
    found: list[compare.Interval] = []
    p_values: dict[str, float] = {}
    for position, (statement, values) in enumerate(parts):
        kept = np.asarray(values, np.float64)
        kept = kept[np.isfinite(kept)]
        null = _null(statement.wanted)
        if len(kept) == 0:
            found.append(compare.Interval(math.nan, math.nan, math.nan, math.nan, 0, compare.LEVEL))
        elif null is None:
            found.append(compare.interval(kept, **options))
        else:
            tested = compare.paired_difference(np.full_like(kept, null), kept, **options)
            moved = [null + end for end in tested[:3]]
            found.append(tested._replace(estimate=moved[0], low=moved[1], high=moved[2]))
            p_values[str(position)] = tested.p_value
    adjusted = compare.holm(p_values) if p_values else {}
    return [
        _entry(statement, np.size(values), one, adjusted.get(str(position)))
        for position, ((statement, values), one) in enumerate(zip(parts, found, strict=True))
    ]


def _entry(statement: Statement, n_given: int, found: compare.Interval, p_holm: float | None) -> dict[str, Any]:
    plain = found.plain()
    return {
        "claim": statement.claim,
        "quantity": statement.quantity,
        "measured": plain["estimate"],
        "interval": [plain["low"], plain["high"]],
        "wanted": [end if math.isfinite(end) else None for end in statement.wanted],
        "p_holm": p_holm,
        "seeds": found.n_seeds,
        "seeds_left_out": int(n_given) - found.n_seeds,
        "verdict": judge(found.low, found.high, statement.wanted, p_holm),
        "rival": statement.rival,
        "what_would_refute": statement.refuted_by,
    }


# ----- which seeds can be used


def end_strength(result: xr.Dataset) -> np.ndarray:
    """Return the larger of both groups' mean S_j at the last record, shape (seed,); NaN for weights that are lost."""
    squares = np.square(result["alignment"].isel(record=-1).values.astype(np.float64)).sum(axis=1)  # (seed, feature)
    minority = minority_mask(result)
    return np.max([squares[:, mask].mean(axis=1) for mask in (minority, ~minority) if mask.any()], axis=0)


def broken(result: xr.Dataset) -> np.ndarray:
    """Return the seeds of a result that diverged or in which a recorded loss is not finite, Boolean (seed,)."""
    finite = np.isfinite(result["held_out_loss"].values).all(axis=1) & np.isfinite(end_strength(result))
    return (result["diverged_step"].values >= 0) | ~finite


def exploded(dense: xr.Dataset, result: xr.Dataset) -> np.ndarray:
    """Return the seeds that end stronger than `EXPLODED` times their unpruned partner, Boolean (seed,)."""
    with np.errstate(invalid="ignore"):
        return end_strength(result) > EXPLODED * end_strength(dense)


def usable(dense: xr.Dataset, *others: xr.Dataset) -> np.ndarray:
    """Return the positions of the seeds in which all of these runs went well."""
    bad = broken(dense)
    for other in others:
        bad = bad | broken(other) | exploded(dense, other)
    return np.flatnonzero(~bad)


def difference(
    dense: xr.Dataset, first: xr.Dataset, second: xr.Dataset, may_differ: tuple[str, ...] = ("prune",)
) -> dict[str, Any]:
    """Return the paired differences second - first over the usable seeds, ready for summary.json.

    Args:
        dense: the unpruned partner of both, which says what has exploded; it may be `first` itself.
        may_differ: as for `compare.check_paired`. Where it is pruning alone, also compared at equal held-out loss.

    Returns:
        n_seeds, n_diverged and n_exploded (of `second`), `end` {measure: median over the finite seeds of `second`,
        exploded ones among them}, `equal steps` and, for pruning, `equal loss` {measure: interval}.
    """
    kept = usable(dense, first, second)
    lost, grown = broken(second), exploded(dense, second)
    out: dict[str, Any] = {
        "n_seeds": len(kept),
        "n_diverged": int(lost.sum()),
        "n_exploded": int((grown & ~lost).sum()),
        "end": {},
    }
    finite = np.flatnonzero(~lost)
    if len(finite):
        each = outcome.values(outcome.at_end(second.isel(seed=finite)))
        out["end"] = {name: float(np.median(values)) for name, values in each.items()}
    if len(kept):
        pair = [one.isel(seed=kept) for one in (first, second)]
        if may_differ == ("prune",):
            out |= outcome.compare_ends(pair[0], pair[1])
        else:
            ends = outcome.at_end(pair[0]), outcome.at_end(pair[1])
            out["equal steps"] = compare.compare_runs(ends[0], ends[1], outcome.MEASURES, may_differ=may_differ)
    return out


def end_difference(dense: xr.Dataset, first: xr.Dataset, second: xr.Dataset, name: str) -> np.ndarray:
    """Return second - first of one measure of `outcome.MEASURES` at the end, (seed,); NaN for seeds left out."""
    out = np.full(dense.sizes["seed"], np.nan)
    kept = usable(dense, first, second)
    if len(kept):
        values = [outcome.MEASURES[name](outcome.at_end(one.isel(seed=kept))) for one in (first, second)]
        out[kept] = values[1] - values[0]
    return out


# ----- P1: who is masked


def masked_shares(result: xr.Dataset, rates: Sequence[float]) -> xr.Dataset:
    """Return who the lowest-norm mask hides at the recorded weights of an unpruned run (theory 8.5 P1).

    Returns:
        `masked` (seed, record, rate, neuron_class): share of a class that is masked, NaN where it has no member;
        `of_masked`: share of the masked neurons that are of that class; `size` (seed, record, neuron_class): share of
        all neurons. Classes: specialists for minority and for majority features, no specialists, and, among those,
        silent neurons: they fire on no probe sample.
    """
    learned = outcome.learned(result)  # (seed, record, neuron, feature)
    minority = minority_mask(result)
    silent = (result["firing"].values == 0) & (result["false_firing"].values == 0)
    none = ~learned.any(axis=-1)
    each = [learned[..., minority].any(axis=-1), learned[..., ~minority].any(axis=-1), none, none & silent]
    member = np.stack(each, axis=2).astype(float)  # (seed, record, neuron_class, neuron)
    norm = result["weight_norm"].values
    # ties go by position, as in `prune.lowest_mask`
    rank = np.argsort(np.argsort(norm, axis=-1, kind="stable"), axis=-1, kind="stable")
    count = np.array([int(prune.masked_number(norm.shape[-1], rate)) for rate in rates])
    masked = (rank[:, :, None, :] < count[None, None, :, None]).astype(float)  # (seed, record, rate, neuron)
    both = np.einsum("trkn,trcn->trkc", masked, member)
    number = member.sum(axis=-1)[:, :, None, :]
    dims = ("seed", "record", "rate", "neuron_class")
    variables = {
        "masked": (dims, both / np.where(number > 0, number, np.nan)),
        "of_masked": (dims, both / np.maximum(count, 1)[None, None, :, None]),
        "size": (("seed", "record", "neuron_class"), member.mean(axis=-1)),
    }
    coords = {"rate": list(rates), "neuron_class": list(CLASSES), "step": ("record", result["step"].values)}
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
    """Return log of `outcome.strength_ratio`, (seed,), of a result with one record per seed."""
    with np.errstate(divide="ignore"):
        return np.log(outcome.strength_ratio(result))


def log_count_ratio(result: xr.Dataset) -> np.ndarray:
    """Return log((minority + 1/2) / (majority + 1/2)) of the numbers of specialists, (seed,)."""
    minority, majority = (outcome.specialists(group)(result) for group in ("minority", "majority"))
    return np.log((minority + HALF) / (majority + HALF))


QUANTITIES = {"strength ratio": log_strength_ratio, "specialist ratio": log_count_ratio}
MOMENTS = ("equal steps", "equal loss")


def end_states(dense: Sequence[xr.Dataset], pruned: Sequence[xr.Dataset]) -> dict[str, dict[str, np.ndarray]]:
    """Return {moment: {quantity: (run, ratio, seed)}} of unpruned and pruned runs at several r (theory 8.5 P4).

    Args:
        dense, pruned: results paired by r. A seed that is not usable at one r is NaN at that r.

    Returns:
        Values of `QUANTITIES` at equal steps and at equal held-out loss; run 0 is the unpruned one.
    """
    shape = (2, len(dense), dense[0].sizes["seed"])
    out = {moment: {name: np.full(shape, np.nan) for name in QUANTITIES} for moment in MOMENTS}
    for place, (first, second) in enumerate(zip(dense, pruned, strict=True)):
        kept = usable(first, second)
        if not len(kept):
            continue
        a, b = first.isel(seed=kept), second.isel(seed=kept)
        compare.check_paired(a, b)
        pairs = {"equal steps": (outcome.at_end(a), outcome.at_end(b)), "equal loss": outcome.at_equal_loss(a, b)}
        for moment, pair in pairs.items():
            for name, quantity in QUANTITIES.items():
                for run, one in enumerate(pair):
                    out[moment][name][run, place, kept] = quantity(one)
    return out


# ----- curves


def count_curves(result: xr.Dataset, kept: np.ndarray) -> xr.DataArray:
    """Return the number of specialists (seed, record, group) of the seeds at positions `kept`."""
    learned = outcome.learned(result.isel(seed=kept))
    minority = minority_mask(result)
    counts = [learned[..., mask].sum(axis=(-2, -1)) for mask in (minority, ~minority)]
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
