"""What a check is (`Check`), and what it says (`Row`).

A check works in two steps. `measure` takes runs and returns a few small arrays, which are saved. `judge` takes nothing
but these arrays, so that every number of the report can be computed again from them, and so that a test can hand it
arrays in which the claim holds, or does not.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from dynsim.results.sealed import Json
from dynsim.stats import verdicts
from dynsim.stats.intervals import t_interval
from paper_checks.runs import NOISES, Point, Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INF = math.inf
ABOVE_0, BELOW_0 = (0.0, INF), (-INF, 0.0)
Numbers = tuple[float, float, float]
"""A measured number and the ends of its 95 % interval."""
PAPER, RIVAL, OURS = "paper", "rival", "ours"
ORIGINS = {
    PAPER: "a statement of the paper, in our reading",
    RIVAL: "what another explanation than the paper's predicts, such as the race or the state of rest",
    OURS: "nothing that the paper states: our sampler, a control, or a question of ours or of the public discussion",
}
"""Whose claim a row is about."""


class Row(NamedTuple):
    """One verdict: a claim at one regime, with the number that decides it."""

    claim: str
    """What is claimed, in one plain sentence."""
    regime: str
    """Where it was measured, such as "false firing 1 %"; with the claim it names the row."""
    quantity: str
    """What the measured number is, with its unit."""
    verdict: str
    """One of `verdicts.CHECK_VERDICTS`."""
    measured: float | None = None
    interval: tuple[float, float] | None = None
    """Its 95 % interval."""
    predicted: float | None = None
    """What the statement predicts for it; None where it only gives a range."""
    wanted: tuple[float, float] | None = None
    """The range in which the claim holds; infinite ends are open."""
    rival: str = ""
    """What another explanation predicts, in words or as a number with a name."""
    note: str = ""
    """Why it is out of regime or vacuous, and the smallest size at which it would not be; or what else to know."""

    def plain(self) -> Json:
        """Return a dictionary that JSON can hold: None for ends that are open or not finite."""
        out: Json = self._asdict()
        for name in ("interval", "wanted"):
            if out[name] is not None:
                out[name] = [end if math.isfinite(end) else None for end in out[name]]
        for name in ("measured", "predicted"):
            if out[name] is not None and not math.isfinite(out[name]):
                out[name] = None
        return out


@dataclass(frozen=True)
class Check:
    """A statement of the theory and how it is tested. Texts are plain Markdown."""

    code: str
    """Its label in paper_checks/theory.md, such as "S1a", which also names its figure."""
    statement: str
    """The numbered statement of the paper that it belongs to, such as "Lemma 3.1"."""
    title: str
    """The claim in a few words."""
    formula: str
    """The claim as a formula, with the function of `dynsim.theory` that computes it."""
    rival: str
    """What else could be true."""
    constants: str
    """The free constants, and how each was fixed; "none"."""
    power: str
    """Sizes, seeds and margins. How well a number is known is not among them: its interval says so."""
    sets: tuple[str, ...]
    """Names of the run sets (`runs.RUN_SETS`) and of the committed summaries that it reads."""
    measure: Callable[[Source], xr.Dataset]
    """(source of runs) -> the arrays that it is judged by, at most a few hundred kilobytes."""
    judge: Callable[[xr.Dataset], list[Row]]
    """(arrays) -> rows, always in the same order."""
    draw: Callable[[xr.Dataset, Sequence[Row]], "Figure"]
    """(arrays, rows) -> prediction and measurement in one figure."""
    caption: str
    """Caption of the figure, the bottom line first."""
    primary: str = ""
    """How the claims of the rows begin that the summary shows; by default those with the claim of the first row."""
    origin: str = PAPER
    """Whose claims its rows are about, one of `ORIGINS`."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """How the claims begin that are another's than `origin`, and whose they are."""

    def origin_of(self, claim: str) -> str:
        """Return whose claim a row is about, one of `ORIGINS`."""
        return next((origin for begins, origin in self.origins.items() if claim.startswith(begins)), self.origin)


def row(
    claim: str,
    regime: str,
    quantity: str,
    found: Numbers,
    wanted: tuple[float, float],
    *,
    predicted: float | None = None,
    rival: str = "",
    note: str = "",
) -> Row:
    """Return a judged row: the verdict says whether the interval of the measured number lies in the wanted range."""
    value, low, high = (float(number) for number in found)
    verdict = verdicts.judge(low, high, wanted)
    if low == high and low in wanted and not all(math.isfinite(end) for end in wanted):
        verdict = verdicts.NOT_SUPPORTED  # a difference of exactly 0 in all seeds is not "above 0"
    return Row(claim, regime, quantity, verdict, value, (low, high), predicted, wanted, rival, note)


def planned(found: Row, n: int, at_least: int, what: str = "seeds") -> Row:
    """Return a row, but undecided where fewer seeds were run than it takes to decide it, whatever came out.

    How many it takes is planned before the runs, from the scatter between search seeds (9000 and above), and is the
    same for all presets. With fewer the interval is about as wide as the range, so that luck would choose the verdict.

    Args:
        n: number of seeds that were run, also of those that failed; or of what else is counted.
        what: what is counted, in the plural.
    """
    if n >= at_least or found.verdict not in (verdicts.SUPPORTED, verdicts.NOT_SUPPORTED, verdicts.UNDECIDED):
        return found
    why = f"{n} {what} cannot decide this: at least {at_least} were planned"
    return found._replace(verdict=verdicts.UNDECIDED, note="; ".join(filter(None, (why, found.note))))


def out_of_regime(claim: str, regime: str, quantity: str, why: str, *, found: Numbers | None = None) -> Row:
    """Return a row that says no more than why the runs cannot test the claim, and at which size they could."""
    measured, interval = (None, None) if found is None else (float(found[0]), (float(found[1]), float(found[2])))
    return Row(claim, regime, quantity, verdicts.OUT_OF_REGIME, measured, interval, note=why)


def vacuous(claim: str, regime: str, quantity: str, why: str, *, found: Numbers | None = None) -> Row:
    """Return a row that says why no outcome at these sizes could break the claim."""
    return out_of_regime(claim, regime, quantity, why, found=found)._replace(verdict=verdicts.VACUOUS)


def about(predicted: float, share: float) -> tuple[float, float]:
    """Return the range within `share` of a prediction on either side."""
    half = share * abs(predicted)
    return predicted - half, predicted + half


def over_seeds(values: np.ndarray) -> Numbers:
    """Return mean and Student's 95 % interval over seeds, without NaN values; of fewer than 3 the ends are NaN."""
    kept = np.asarray(values, np.float64).ravel()
    kept = kept[np.isfinite(kept)]
    if len(kept) < 3:
        return (float(kept.mean()) if len(kept) else math.nan), math.nan, math.nan
    return float(kept.mean()), *t_interval(kept)


def at_points(parts: Mapping[Point, xr.Dataset]) -> xr.Dataset:
    """Return the arrays of several points as one Dataset with the dimension `point`; shorter ones end in NaN.

    The fields of `Point` are coordinates along it. Dimensions are aligned by position, so that features of different
    sizes share an axis.
    """
    if len({tuple(sorted(part.sizes.items())) for part in parts.values()}) > 1:  # to align takes longer than to join
        parts = {point: part.assign_coords(_positions(part)) for point, part in parts.items()}
    out = xr.concat(list(parts.values()), "point", join="outer", data_vars="all")
    out = out.assign_coords(_positions(out))
    fields = {name: np.array([getattr(point, name) for point in parts]) for name in Point._fields}
    as_text = {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in fields.items()}
    return out.assign_coords({name: ("point", values) for name, values in as_text.items()})


def _positions(part: xr.Dataset) -> dict[Hashable, np.ndarray]:
    """Return 0, 1, ... for each dimension that has no coordinate, except for `point`."""
    bare = set(part.sizes) - {"point", *part.coords}
    return {dim: np.arange(part.sizes[dim]) for dim in part.sizes if dim in bare}


def only(arrays: xr.Dataset, **axes: float | str) -> xr.Dataset:
    """Return the points of `at_points` arrays at which the named fields of `Point` have these values, in order."""
    kept = np.ones(arrays.sizes["point"], bool)
    for name, value in axes.items():
        kept &= arrays[name].values == value
    return arrays.isel(point=np.flatnonzero(kept))


def noises_in(arrays: xr.Dataset) -> list[str]:
    """Return the noise levels of `at_points` arrays, in their usual order: the quick preset has not both everywhere."""
    present = set(arrays["noise"].values)
    return [noise for noise in NOISES if noise in present]
