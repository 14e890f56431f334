"""What the runs of the comparison of losses say: means, paired differences, conflicts and geometry by class size."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.long_tail.methods import ACL, BALANCED, ONE_VIEW
from experiments.long_tail.variants import MASK_PAIRS, PART_PAIRS, VARIANTS

if TYPE_CHECKING:
    from experiments.long_tail.runs import MethodRow

ACCURACY_GROUPS = {"all_classes": "All", "many": "Many", "medium": "Medium", "few": "Few"}
PAIRS = (
    *((ACL, other) for other in (ONE_VIEW, BALANCED, "SupCon", "BCL", "RCL", "cross-entropy")),
    *((other, BALANCED) for other in (ONE_VIEW, "cross-entropy", "SupCon", "BCL", "RCL")),
)
"""The differences that are reported of the methods of the plan, the first two of which it decides by."""
PLAN_MARGINS = {"all_classes": 0.01, "few": 0.03}
"""Largest difference that counts as none in the plans of masks and parts, by classes: those that decide, the rarest."""
OTHER_PAIRS = tuple(
    (name, other) for name in ("KCL", "TSC", "PaCo", "GPaCo", "published BCL") for other in (BALANCED, "SupCon")
)


class MethodContrast(NamedTuple):
    """A difference between two methods, over some classes."""

    first: str
    second: str
    metric: str


def planned_differences(methods: Sequence[str]) -> list[MethodContrast]:
    """Return the differences that are reported between these methods, each variant against what it varies."""
    varied = [(name, VARIANTS[name].base) for name in methods if name in VARIANTS]
    known = [pair for pair in (*PAIRS, *OTHER_PAIRS, *varied, *MASK_PAIRS) if set(pair) <= set(methods)]
    return [MethodContrast(*pair, metric) for pair in known for metric in ACCURACY_GROUPS]


def summarise_methods(rows: "Sequence[MethodRow]", methods: Sequence[str], margin: float) -> dict[str, Any]:
    """Return the summary of a study: accuracies by method, differences, the verdict of the plan, what was measured.

    Args:
        margin: largest difference that counts as none.
    """
    contrasts = [method_contrast(rows, one) for one in planned_differences(methods)]
    large, first = ("log", "claims", "projection"), {name: _first(rows, name) for name in methods}
    return {
        "methods": {name: _of_groups(rows, name) for name in methods},
        "contrasts": contrasts,
        "verdict": plan_verdict(contrasts, margin),
        "by_class": {name: _by_size(rows, name) for name in methods},
        "claims": {name: _claims(rows, name) for name in methods},
        "rows": [{key: value for key, value in row.items() if key not in large} for row in rows],
        "logs": [{"method": row["method"], "seed": row["seed"], **row["log"]} for row in rows],
        "projections": {name: one["projection"] for name, one in first.items() if "projection" in one},
        "train_minutes": round(sum(row["train_s"] for row in rows) / 60, 1),
    }


def _first(rows: "Sequence[MethodRow]", method: str) -> "MethodRow":
    """Return the run of a method with its first seed."""
    return min((row for row in rows if row["method"] == method), key=lambda row: row["seed"])


def accuracies_of(rows: "Sequence[MethodRow]", method: str, metric: str) -> dict[int, float]:
    """Return {seed: accuracy} of a method."""
    return {row["seed"]: row[metric] for row in rows if row["method"] == method}


def method_contrast(rows: "Sequence[MethodRow]", one: MethodContrast) -> dict[str, Any]:
    """Return a paired difference over seeds with its interval and what so many seeds find (`paired_report`)."""
    from dynsim.stats.power import paired_report

    first, second = (accuracies_of(rows, name, one.metric) for name in (one.first, one.second))
    differences = np.array([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])
    return {**one._asdict(), **paired_report(differences)}


def plan_verdict(contrasts: Sequence[dict[str, Any]], margin: float) -> str:
    """Return what the rules of experiments/long_tail/plan.toml make of the differences; "" where they were not run."""
    from dynsim.stats.verdicts import HARMS, HELPS, NOTHING, UNDECIDED

    published, matched = (_between(contrasts, ACL, other, "all_classes") for other in (ONE_VIEW, BALANCED))
    if published is None or matched is None:
        return ""
    if matched["low"] > 0 and published["low"] > 0:
        return HELPS
    if matched["high"] < 0:
        return HARMS
    if published["low"] > 0:
        within = _is_within(matched, margin)
        return "helps by its views: no difference beyond them" if within else "helps, beyond its views undecided"
    return NOTHING if _is_within(matched, margin) else UNDECIDED


def mask_verdicts(contrasts: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return what the rules of experiments/long_tail/plan_masks.toml make of smallest against random, by loss.

    Returns: {loss: {"all_classes": word, which decides, "few": word}}; {} where no such pair was run.
    """
    judged = ((VARIANTS[first].base, _by_classes(contrasts, first, second)) for first, second in MASK_PAIRS)
    return {loss: words for loss, words in judged if words}


def part_verdicts(contrasts: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, str]]]:
    """Return what the rules of experiments/long_tail/plan_parts.toml make of parts of a loss that are left out.

    Returns: {loss: {loss with fewer parts: {"all_classes": word, "few": word}}}, the words being those of the parts
        that are missing: "helps" where the loss is worse without them. Only "no part" decides.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, loss in PART_PAIRS:
        if words := _by_classes(contrasts, name, loss, sign=-1):
            found.setdefault(loss, {})[name] = words
    return found


def _by_classes(contrasts: Sequence[dict[str, Any]], first: str, second: str, sign: int = 1) -> dict[str, str]:
    """Return {classes: word} for first - second, or for second - first with the sign -1; {} where it was not run."""
    from dynsim.stats.verdicts import HARMS, HELPS, NOTHING, UNDECIDED

    found = {}
    for metric, margin in PLAN_MARGINS.items():
        one = _between(contrasts, first, second, metric)
        if one is not None:
            low, high = sorted((sign * one["low"], sign * one["high"]))
            other = NOTHING if _is_within(one, margin) else UNDECIDED
            found[metric] = HELPS if low > 0 else HARMS if high < 0 else other
    return found


def _between(contrasts: Sequence[dict[str, Any]], first: str, second: str, metric: str) -> dict[str, Any] | None:
    """Return the difference of two methods over some classes; None where it was not run or has no interval."""
    names = first, second, metric
    found = (c for c in contrasts if (c["first"], c["second"], c["metric"]) == names and c["low"] is not None)
    return next(found, None)


def _is_within(contrast: dict[str, Any], margin: float) -> bool:
    """Return whether a difference counts as none: two one-sided tests at 5 %, the same as a 90 % interval within."""
    from dynsim.stats.intervals import equivalence_p_value
    from dynsim.stats.verdicts import SIGNIFICANCE

    return equivalence_p_value(np.array(contrast["values"]), margin) < SIGNIFICANCE


def _of_groups(rows: "Sequence[MethodRow]", method: str) -> dict[str, dict[str, object]]:
    """Return {metric: mean, 95 % interval over seeds, and the values} of a method."""
    from dynsim.stats.intervals import mean_report

    return {
        metric: mean_report(np.array(list(accuracies_of(rows, method, metric).values()))) for metric in ACCURACY_GROUPS
    }


def _ranked(row: "MethodRow") -> np.ndarray:
    """Return the classes of a run from the most frequent to the rarest: seeds differ in which class is how frequent."""
    return np.argsort(-np.array(row["counts"]), kind="stable")


def _by_size(rows: "Sequence[MethodRow]", method: str) -> dict[str, list[Any]]:
    """Return class sizes, and the accuracy of the class of each size: mean over seeds, and values by seed."""
    own = [row for row in rows if row["method"] == method]
    values = np.array([np.array(row["per_class"])[_ranked(row)] for row in own])
    sizes = sorted(own[0]["counts"], reverse=True)
    return {"counts": sizes, "mean": values.mean(axis=0).tolist(), "values": values.tolist()}


def _claims(rows: "Sequence[MethodRow]", method: str) -> dict[str, Any]:
    """Return what was measured of a method, classes from the most frequent to the rarest, means over seeds.

    conflict_ratio is that of all seeds' pairs together, None for a class without a positive pair; margins are degrees.
    """
    own = [row for row in rows if row["method"] == method]
    found: dict[str, np.ndarray] = {}
    for name in ("conflicting", "pairs", "compactness", "margin"):
        each = [np.array(row["claims"][name], np.float64)[..., _ranked(row)] for row in own]
        found[name] = np.sum(each, axis=0) if name in ("conflicting", "pairs") else np.mean(each, axis=0)
    pairs = found["pairs"][:, None, :]
    ratio = np.where(pairs > 0, found["conflicting"] / np.where(pairs > 0, pairs, 1), np.nan)
    claims = own[0]["claims"]
    return {
        "epochs": claims["epochs"],
        "losses": claims["losses"],
        "counts": sorted(own[0]["counts"], reverse=True),
        "conflict_ratio": _without_nan(ratio),
        "compactness": _without_nan(found["compactness"]),
        "margin": _without_nan(found["margin"]),
        "mean_compactness": float(np.nanmean(found["compactness"][-1])),
        "mean_margin": float(np.nanmean(found["margin"][-1])),
    }


def _without_nan(values: np.ndarray) -> Any:
    """Return nested lists of numbers, None for NaN."""
    if values.ndim:
        return [_without_nan(one) for one in values]
    return float(values) if np.isfinite(values) else None
