"""Checks of pruning run nothing: they quote the committed summaries of the pruning experiments and judge them again.

A quotation is one number with its 95 % interval, found in a summary by what it is about, and the range in which the
paper's claim holds. Numbers, whether their runs had settled, and what longer runs would cost are saved as arrays;
claims and ranges stay in the code. So a report can be judged again without the summaries, and tests can plant numbers.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynsim.results.sealed import Json
from paper_checks.check import Check, Row, out_of_regime, row
from paper_checks.row_figure import rows_figure
from paper_checks.runs import DEFAULT, RARE, Source

NO_NOISE = "no noise"
POINTS = {"1 percent": (RARE, 0.3), "default": (DEFAULT, 0.15), "none": (NO_NOISE, 0.4)}
"""Points of pruning_answer by their name there: noise in our words, and r (where dense runs cover under a half)."""
NOISY = ("1 percent", "default")
"""The two of these points that the long tables have; the third, without noise, is in the experiments on pruning."""
WIDE = {"1 percent": RARE, "default": DEFAULT}
"""Noise levels of pruning_recipe, where d = 64 and r = 0.3."""
MAIN, SMALL = f"{DEFAULT}, d = 64, r = 0.5", f"{DEFAULT}, d = 16, r = 0.5"
"""The two sizes of pruning_comparison."""
MARGIN = 0.125
"""Largest difference in coverage that counts as none: one feature of the eight minority features at d = 16."""
COVERAGE = "minority coverage"
POWER = "16 seeds; 10 where d = 64 or the numbers are of the earlier comparison."
HOW = (
    "Points: measured, with 95 % intervals; grey: the range in which the claim holds; line: predicted. Numbers are "
    "those of the committed experiments on pruning."
)
LONGER = 2  # runs that had not settled are priced at twice their steps


class Found(NamedTuple):
    """A number of a summary."""

    value: float
    low: float
    """Ends of its 95 % interval; NaN where too few seeds were left."""
    high: float
    settled: bool = True
    """Whether all runs behind it had stopped changing."""
    hours: float = 0.0
    """What runs twice as long would take on 2 cores."""


class Quote(NamedTuple):
    """A claim and where its number stands."""

    claim: str
    regime: str
    quantity: str
    find: Callable[[Source], Found]
    wanted: tuple[float, float]
    predicted: float | None = None
    rival: str = ""
    note: str = ""


def answer_regime(noise: str, ratio: float | None = None) -> str:
    """Return the words for a point of pruning_answer."""
    words, own = POINTS[noise]
    return f"{words}, d = 16, r = {own if ratio is None else ratio:g}"


def measure(quotes: Sequence[Quote], source: Source) -> xr.Dataset:
    """Return the quoted numbers in the order of the quotations."""
    found = [quote.find(source) for quote in quotes]
    columns = {name: ("row", np.array([getattr(one, name) for one in found], np.float64)) for name in Found._fields}
    return xr.Dataset(columns, {"regime": ("row", np.array([quote.regime for quote in quotes], object))})


def judge(quotes: Sequence[Quote], arrays: xr.Dataset) -> list[Row]:
    """Return one row for each quotation; one whose runs had not settled is out of regime."""
    rows = []
    for quote, number in zip(quotes, (arrays.isel(row=k) for k in range(arrays.sizes["row"])), strict=True):
        found = (float(number["value"]), float(number["low"]), float(number["high"]))
        if number["settled"]:
            more: Any = {"predicted": quote.predicted, "rival": quote.rival, "note": quote.note}
            rows.append(row(quote.claim, quote.regime, quote.quantity, found, quote.wanted, **more))
        else:
            why = (
                f"some of the runs were still changing at their last step; the same sizes at {LONGER} times the steps "
                f"would take about {float(number['hours']):.2g} hours on 2 cores"
            )
            rows.append(out_of_regime(quote.claim, quote.regime, quote.quantity, why, found=found))
    return rows


def quoting(quotes: Sequence[Quote], bottom_line: str, **texts: Any) -> Check:
    """Return the check that these quotations make; the texts are the remaining fields of `Check`.

    The bottom line begins the caption, without a full stop.
    """
    asked = {"statement": "Theorem 3.2", "constants": "none.", "power": POWER, "caption": f"{bottom_line}. {HOW}"}
    return Check(
        measure=partial(measure, quotes),
        judge=partial(judge, quotes),
        draw=lambda arrays, rows: rows_figure(rows),
        **asked | texts,
    )


def interval(entry: Json, *, settled: bool = True, hours: float = 0.0, sign: float = 1.0) -> Found:
    """Return an interval of a summary; a sign of -1 turns the difference round."""
    ends = sorted(sign * _number(entry[name]) for name in ("low", "high"))
    return Found(sign * _number(entry["estimate"]), ends[0], ends[1], settled, hours)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _only(entries: Sequence[Json], **fields: object) -> Json:
    """Return the one entry with these values. Errors: `KeyError` where none or several have them."""
    kept = [entry for entry in entries if all(entry[name] == value for name, value in fields.items())]
    if len(kept) != 1:
        raise KeyError(f"wanted one entry with {fields}, got {len(kept)}")
    return kept[0]


def _longer_hours(summary: Json, n_arms: int) -> float:
    return LONGER * n_arms * summary["total_wall_s"] / len(summary["arms"]) / 3600


def statement(name: str, noise: str) -> Callable[[Source], Found]:
    """Find a statement of pruning_answer, whose name there is for instance "P1"."""

    def find(source: Source) -> Found:
        summary = source.committed("pruning_answer")
        one = _only(summary["statements"], name=name, noise=noise, ratio=POINTS[noise][1])
        hours = _longer_hours(summary, 2)
        return interval(one["found"], settled=one["verdict"] != "not converged", hours=hours)

    return find


def contrast(reading: str, against: str, noise: str, *, sign: float = 1.0) -> Callable[[Source], Found]:
    """Find the paired difference in minority coverage, pruned minus another arm, of a reading of pruning_answer."""

    def find(source: Source) -> Found:
        summary = source.committed("pruning_answer")
        one = _only(summary["verdicts"], reading=reading, noise=noise, ratio=POINTS[noise][1])
        settled = one["settled"][reading] and one["settled"][against]
        hours = _longer_hours(summary, 2)
        return interval(one["against"][against], settled=settled, hours=hours, sign=sign)

    return find


def between_arms(
    first: tuple[str, float | None], second: tuple[str, float | None], noise: str, quantity: str = COVERAGE
) -> Callable[[Source], Found]:
    """Find first - second of two arms of pruning_answer, each named by its label and r (None: that of the point).

    The summary has no paired differences of these, so that the interval is that of independent runs, which is wider.
    """

    def find(source: Source) -> Found:
        summary = source.committed("pruning_answer")
        arms = [
            _only(summary["arms"], label=label, noise=noise, ratio=POINTS[noise][1] if ratio is None else ratio)
            for label, ratio in (first, second)
        ]
        settled = all(arm["settled"] for arm in arms)
        a, b = (interval(arm["ends"][quantity]) for arm in arms)
        return difference(a, b)._replace(settled=settled, hours=_longer_hours(summary, 2))

    return find


def at_end(label: str, noise: str, quantity: str, factor: float = 1.0) -> Callable[[Source], Found]:
    """Find a number of one arm of pruning_answer at the end, times a factor."""

    def find(source: Source) -> Found:
        summary = source.committed("pruning_answer")
        arm = _only(summary["arms"], label=label, noise=noise, ratio=POINTS[noise][1])
        one = interval(arm["ends"][quantity], settled=arm["settled"], hours=_longer_hours(summary, 1))
        return one._replace(value=factor * one.value, low=factor * one.low, high=factor * one.high)

    return find


def difference(first: Found, second: Found) -> Found:
    """Return first - second of independent numbers: their half-widths add as squares."""
    half = math.hypot((first.high - first.low) / 2, (second.high - second.low) / 2)
    value = first.value - second.value
    return Found(value, value - half, value + half)


def compared(test: str, quantity: str, claim: str) -> Callable[[Source], Found]:
    """Find a statement of pruning_comparison by its quantity and its claim."""

    def find(source: Source) -> Found:
        one = _only(source.committed("pruning_comparison")["tests"][test], quantity=quantity, claim=claim)
        low, high = (_number(end) for end in one["interval"])
        return Found(_number(one["measured"]), low, high)

    return find


def recipe(name: str, noise: str) -> Callable[[Source], Found]:
    """Find a statement of pruning_recipe, after runs were continued until they settled."""

    def find(source: Source) -> Found:
        summary = source.committed("pruning_recipe")
        one = _only(summary["statements"], name=name, noise=noise)
        return interval(one["found"], settled=one["verdict"] != "not converged")

    return find
