"""What the runs of the comparison on images say: means, paired differences, and what could have been seen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.cifar.arms import (
    IMAGE_PLACEBOS,
    MAGNITUDE,
    MAIN,
    NO_MASK,
    ON_BALANCED,
    share_and_norms,
    share_arms,
)
from experiments.cifar.runs import BASELINES

if TYPE_CHECKING:
    import xarray as xr

    from experiments.cifar.runs import ImageRun

ImageRow = dict[str, Any]
PROBES = {"linear": "all labels", "few_shot": "few labels", "knn": "nearest neighbours"}
METRICS = {"all_classes": "All", "many": "Many", "medium": "Medium", "few": "Few", "group_std": "Std of groups"}


class AccuracyContrast(NamedTuple):
    """A difference between two arms, by probe and classes."""

    first: str
    second: str
    probe: str
    metric: str


def planned_contrasts(arms: Sequence[str]) -> list[AccuracyContrast]:
    """Return the differences that are reported: each arm against no mask, and magnitude against each placebo.

    An arm of `share_arms` is compared with the unmasked one of the same batch norms, and own with shared batch norms.
    """
    pairs = [(arm, NO_MASK) for arm in arms if arm != NO_MASK]
    pairs += [(MAGNITUDE, arm) for arm in IMAGE_PLACEBOS]
    pairs += [(MAGNITUDE + ON_BALANCED, NO_MASK + ON_BALANCED), (MAGNITUDE + ON_BALANCED, MAGNITUDE)]
    pairs += _pairs_of_shares(arms)
    pairs = [(first, second) for first, second in pairs if first in arms and second in arms]
    shown = [(probe, metric) for probe in PROBES for metric in ("all_classes", "few")]
    return [AccuracyContrast(*pair, *which) for pair in pairs for which in shown]


def _pairs_of_shares(arms: Sequence[str]) -> list[tuple[str, str]]:
    shares = dict.fromkeys(found[0] for arm in arms if (found := share_and_norms(arm)) is not None)
    unmasked, pairs = share_arms([0.0]), []
    for share in shares:
        own, shared = share_arms([share])
        pairs += [(own, unmasked[0]), (shared, unmasked[1])] if share > 0 else []
        pairs.append((own, shared))
    return pairs


def summarise_images(runs: "Sequence[ImageRun]", arms: Sequence[str]) -> dict[str, Any]:
    """Return the summary of a study: accuracies by arm, contrasts, baselines and what its seeds could detect."""
    from dynsim.bridge.measure.curves import channel_summary

    rows = [run.row for run in runs]
    return {
        "arms": {arm: _by_probe(rows, arm) for arm in (*BASELINES, *arms)},
        "contrasts": [accuracy_contrast(rows, one) for one in planned_contrasts(arms)],
        "above_baselines": _above_baselines(rows, arms),
        "rows": [{key: value for key, value in row.items() if key != "log"} for row in rows],
        "logs": [{"arm": row["arm"], "seed": row["seed"], **row["log"]} for row in rows if "log" in row],
        "channels": [
            {"arm": run.row["arm"], "seed": run.row["seed"], **channel_summary(run.channels)}
            for run in runs
            if run.channels is not None
        ],
        "train_minutes": round(sum(row.get("train_s", 0.0) for row in rows) / 60, 1),
    }


def channel_curves_by_arm(runs: "Sequence[ImageRun]") -> "dict[str, xr.Dataset]":
    """Return {arm: curves of its channels over epochs, one per seed}."""
    from dynsim.bridge.measure.curves import channel_curves

    by_arm: dict[str, list[xr.Dataset]] = {}
    for run in runs:
        if run.channels is not None:
            by_arm.setdefault(run.row["arm"], []).append(run.channels)
    return {arm: channel_curves(some) for arm, some in by_arm.items()}


def of_seeds(rows: Sequence[ImageRow], arm: str, probe: str, metric: str) -> dict[int, float]:
    """Return {seed: accuracy} of an arm."""
    return {row["seed"]: row[probe][metric] for row in rows if row["arm"] == arm}


def _by_probe(rows: Sequence[ImageRow], arm: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {probe: {metric: mean, 95 % interval over seeds, and the values}} of an arm."""
    from dynsim.stats.intervals import mean_report

    return {
        probe: {metric: mean_report(np.array(list(of_seeds(rows, arm, probe, metric).values()))) for metric in METRICS}
        for probe in PROBES
    }


def accuracy_contrast(rows: Sequence[ImageRow], one: AccuracyContrast) -> dict[str, Any]:
    """Return a paired difference over seeds with its interval and what so many seeds find (`paired_report`)."""
    from dynsim.stats.power import paired_report

    first, second = (of_seeds(rows, arm, one.probe, one.metric) for arm in (one.first, one.second))
    differences = np.array([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])
    return {**one._asdict(), **paired_report(differences)}


def _above_baselines(rows: Sequence[ImageRow], arms: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return {arm: {baseline: least lead over seeds in the linear probe of all classes}} of the main arms."""
    found: dict[str, dict[str, float]] = {}
    for arm in (arm for arm in MAIN if arm in arms):
        ours = of_seeds(rows, arm, "linear", "all_classes")
        found[arm] = {}
        for baseline in BASELINES:
            theirs = of_seeds(rows, baseline, "linear", "all_classes")
            found[arm][baseline] = min(ours[seed] - theirs[seed] for seed in ours)
    return found
