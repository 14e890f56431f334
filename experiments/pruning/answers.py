"""From runs to verdicts: what is measured of an arm, how two arms are compared, and the word for each reading.

Everything after `outcome` works on plain numbers per seed, so that data in which the answer is known can be judged too.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import xarray as xr

from dynsim.analysis import convergence, outcomes
from dynsim.analysis.groups import minority_mask
from dynsim.analysis.summary import FLOORS
from dynsim.stats import verdicts
from dynsim.stats.intervals import CONFIDENCE, Interval, equivalence_p_value, holm, t_paired
from experiments.pruning.arms import UNMASKED, Arm, placebos
from experiments.pruning.plan import Planned

DECIDING = "minority coverage"
LEAST_SHARE = 0.75
"""A comparison of which more than a quarter of the seeds is lost is called unstable."""


class Labelled(Protocol):
    """The key of a set of runs."""

    @property
    def label(self) -> str:
        """The runs in words, without their point."""

    def __hash__(self) -> int:
        """Keys are used in dictionaries."""


class AnyPoint(Protocol):
    """Where runs are compared: a NamedTuple."""

    def _asdict(self) -> dict[str, Any]:
        """Return its fields."""


KeyT = TypeVar("KeyT", bound=Labelled)
PointT = TypeVar("PointT", bound=AnyPoint)


class Outcome(NamedTuple):
    """What one arm ended with."""

    values: dict[str, np.ndarray]
    """By name, one number per seed; NaN for a seed that diverged or grew without bound."""
    settled: bool
    n_steps: int
    curves: Mapping[str, list[float]] = MappingProxyType({})
    """Of `measures.life`."""


class Contrast(NamedTuple):
    """A paired difference over the seeds that both arms kept."""

    interval: Interval
    n_lost: int

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the interval; NaN where too many seeds are lost."""
        return self.interval.low, self.interval.high

    def plain(self) -> dict[str, Any]:
        """Return it ready for summary.json: None stands for what is not finite."""
        return self.interval.plain() | {"n_lost": self.n_lost}


def measures(result: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the quantities at the end of training, each (seed,)."""
    end = outcomes.at_end(result)
    minority = minority_mask(result)
    found: dict[str, np.ndarray] = {}
    for group, mask in (("minority", minority), ("majority", ~minority)):
        found[f"{group} coverage"] = outcomes.coverage(group)(end)
        found[f"{group} probe, few labels"] = end["probe_few"].values[:, mask].mean(axis=1)
        found[f"{group} probe, many labels"] = end["probe_many"].values[:, mask].mean(axis=1)
        for floor in FLOORS:
            pairs = outcomes.specialist_pairs(end, norm_floor=floor)
            found[f"{group} specialists, norm floor {floor:g}"] = pairs[..., mask].sum(axis=(-2, -1)).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        found["log strength ratio"] = np.log(outcomes.strength_ratio(end))
    found["held-out loss"] = end["held_out_loss"].values
    found["held-out loss, temperature refitted"] = end["refitted_loss"].values
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def outcome(result: xr.Dataset, partner: xr.Dataset | None, more: Mapping[str, np.ndarray] | None = None) -> Outcome:
    """Return what an arm ended with.

    Args:
        result: of the arm, with the record of `mask_effect.recorder_with_loss`.
        partner: its unmasked partner with the same seeds, which says what has grown without bound; None for itself.
        more: further quantities, (seed,).
    """
    lost = outcomes.broken(result)
    if partner is not None:
        lost = lost | outcomes.exploded(partner, result)
    values = {name: np.where(lost, np.nan, value) for name, value in (measures(result) | dict(more or {})).items()}
    sound = result.isel(seed=np.flatnonzero(~lost))
    settled = bool((~lost).any()) and convergence.has_settled(sound)
    return Outcome(values, settled, int(result["step"].values[-1]))


def paired_contrast(second: Outcome, first: Outcome | None, quantity: str) -> Contrast:
    """Return second - first of a quantity over the seeds that both have; first None stands for zero."""
    values = np.asarray(second.values[quantity], np.float64)
    if first is not None:
        values = values - first.values[quantity]
    kept = values[np.isfinite(values)]
    n_lost = len(values) - len(kept)
    if len(kept) >= LEAST_SHARE * len(values):
        return Contrast(t_paired(kept), n_lost)
    mean = float(np.mean(kept)) if len(kept) else np.nan
    return Contrast(Interval(mean, np.nan, np.nan, np.nan, len(kept), CONFIDENCE), n_lost)


def reading_verdict(found: Mapping[Arm, Outcome], arm: Arm, margin: float, quantity: str = DECIDING) -> dict[str, Any]:
    """Return the verdict on one reading at one point, with the differences that it rests on.

    Args:
        found: outcomes of the reading, its partner and its placebos; a placebo that was not run is not asked.
        arm: the reading, with the kind "lowest".
        margin: largest difference of `quantity` that counts as none.
    """
    against = [one for one in placebos(arm) if one in found]
    mine, base = found[arm], found[arm.partner]
    unmasked = paired_contrast(mine, base, quantity)
    each = {one.label: paired_contrast(mine, found[one], quantity) for one in against}
    # a placebo that lost too many seeds or never settles says nothing; the others decide
    usable = {
        one.label: each[one.label] for one in against if found[one].settled and np.isfinite(each[one.label].span[0])
    }
    settled = mine.settled and base.settled and bool(usable)
    word = verdicts.judge_reading(unmasked.span, [one.span for one in usable.values()], margin, settled=settled)
    if not np.isfinite(unmasked.span[0]):
        word = verdicts.UNSTABLE
    return {
        "reading": arm.reading,
        "noise": arm.noise,
        "ratio": arm.ratio,
        "quantity": quantity,
        "verdict": word,
        "settled": {UNMASKED: base.settled, arm.label: mine.settled, **{a.label: found[a].settled for a in against}},
        "ends": {one.label: ends(found[one], quantity) for one in [arm.partner, arm, *against]},
        "against": {UNMASKED: unmasked.plain(), **{name: one.plain() for name, one in each.items()}},
        "placebos_that_count": sorted(usable),
    }


def ends(one: Outcome, quantity: str) -> dict[str, Any]:
    """Return mean and interval of a quantity over the seeds that an arm kept."""
    return paired_contrast(one, None, quantity).plain()


def all_verdicts(
    found: Mapping[Arm, Outcome], arms: Sequence[Arm], margin: float, quantity: str = DECIDING
) -> list[dict[str, Any]]:
    """Return one verdict per reading and point for which its runs are there."""
    return [reading_verdict(found, arm, margin, quantity) for arm in arms if arm in found and arm.partner in found]


def judge_statements(
    contrasts: Sequence[tuple[Planned, PointT, KeyT, KeyT | None]], found: Mapping[KeyT, Outcome]
) -> list[dict[str, Any]]:
    """Return one entry per planned contrast whose runs are there, with Holm's correction over all of them.

    The p-value is that of the null hypothesis which the statement denies: no difference, or one beyond the margin.

    Args:
        contrasts: (statement, point, second, first); the point is a NamedTuple whose fields go into the entry.
        found: outcomes by key.
    """
    parts = [part for part in contrasts if part[2] in found and (part[3] is None or part[3] in found)]
    raw, rows = [], []
    for planned, _, second, first in parts:
        mine, base = found[second], None if first is None else found[first]
        got = paired_contrast(mine, base, planned.quantity)
        values = mine.values[planned.quantity] - (0 if base is None else base.values[planned.quantity])
        within = planned.wanted == "within the margin"
        if not np.isfinite(got.span[0]):  # too few seeds are left to test anything
            raw.append(1.0)
        else:
            kept = values[np.isfinite(values)]
            raw.append(equivalence_p_value(kept, planned.margin) if within else got.interval.p_value)
        rows.append((got, mine.settled and (base is None or base.settled)))
    adjusted = holm(raw) if raw else []
    return [
        _statement(planned, point, (second, first), row, p)
        for (planned, point, second, first), row, p in zip(parts, rows, adjusted, strict=True)
    ]


def _statement(
    planned: Planned,
    point: AnyPoint,
    sides: tuple[Labelled, Labelled | None],
    row: tuple[Contrast, bool],
    p_holm: float,
) -> dict[str, Any]:
    got, settled = row
    within = planned.wanted == "within the margin"
    wanted = (-planned.margin, planned.margin) if within else (0.0, np.inf)
    word = verdicts.judge(*got.span, wanted, p_holm) if settled else verdicts.NOT_CONVERGED
    return {
        "name": planned.name,
        "claim": planned.claim,
        "said_by": planned.said_by,
        **point._asdict(),
        "quantity": planned.quantity,
        "contrast": sides[0].label + ("" if sides[1] is None else f" - {sides[1].label}"),
        "wanted": planned.wanted,
        "margin": planned.margin,
        "found": got.plain(),
        "p_holm": p_holm,
        "verdict": word,
        "rival": planned.rival,
        "what_would_refute": planned.refuted_by,
    }
