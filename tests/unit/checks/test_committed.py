"""Checks that quote committed summaries: planted numbers inside and outside the ranges, and how numbers are found."""

import math

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED, UNDECIDED
from paper_checks import committed
from paper_checks.committed import Found, difference, interval
from paper_checks.questions import share_and_schedule
from paper_checks.runs import Source
from paper_checks.theorem_3_2 import (
    escape,
    freeze,
    magnitude,
    p1_premise,
    p2_amplification,
    p3_driver,
    p4_end_state,
    p5_placebos,
    p6_choices,
    p7_balance,
    p8_release,
)

QUOTING = [p1_premise, p2_amplification, p3_driver, p4_end_state, p5_placebos, p7_balance, p8_release]
QUOTING += [escape, freeze, magnitude, share_and_schedule]


def width(wanted):
    finite = [end for end in wanted if math.isfinite(end)]
    return finite[1] - finite[0] if len(finite) == 2 else 0.2


def inside(wanted):
    low, high = wanted
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    return low + 0.3 if math.isfinite(low) else high - 0.3


def outside(wanted):
    low, high = wanted
    return low - width(wanted) if math.isfinite(low) else high + width(wanted)


def planted(quotes, where, seed, settled=1.0):
    """Means of 16 seeds whose true value is `where` the claim holds, or not, with their t intervals."""
    rng, rows = np.random.default_rng(seed), []
    for quote in quotes:
        seeds = where(quote.wanted) + 0.1 * width(quote.wanted) * rng.standard_normal(16)
        half = 2.13 * seeds.std(ddof=1) / 4
        rows.append((seeds.mean(), seeds.mean() - half, seeds.mean() + half, settled, 1.0))
    columns = {name: ("row", column) for name, column in zip(Found._fields, np.array(rows).T, strict=True)}
    return xr.Dataset(columns)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("module", QUOTING, ids=lambda module: module.CHECK.code)
def test_numbers_that_are_planted(module, seed):
    judge = module.CHECK.judge
    assert {row.verdict for row in judge(planted(module.QUOTES, inside, seed))} == {SUPPORTED}
    assert {row.verdict for row in judge(planted(module.QUOTES, outside, seed))} == {NOT_SUPPORTED}


@pytest.mark.parametrize("module", QUOTING, ids=lambda module: module.CHECK.code)
def test_runs_that_had_not_settled_or_lost_their_seeds(module):
    judge = module.CHECK.judge
    rows = judge(planted(module.QUOTES, inside, 0, settled=0.0))
    assert {row.verdict for row in rows} == {OUT_OF_REGIME}
    assert all("2 times the steps would take about 1 hours on 2 cores" in row.note for row in rows)
    lost = planted(module.QUOTES, inside, 0).assign(low=("row", np.full(len(module.QUOTES), np.nan)))
    assert {row.verdict for row in judge(lost)} == {UNDECIDED}


@pytest.mark.parametrize("module", QUOTING, ids=lambda module: module.CHECK.code)
def test_every_quotation_is_found_and_drawn(module, tmp_path):
    arrays = module.CHECK.measure(Source(tmp_path))
    assert np.isfinite(arrays["value"].values).all()
    rows = module.CHECK.judge(arrays)
    assert len(rows) == len(module.QUOTES) == len({(row.claim, row.regime) for row in rows})


def test_numbers_are_those_of_the_summaries(tmp_path):
    source = Source(tmp_path)
    answer = source.committed("pruning_answer")
    stated = next(s for s in answer["statements"] if s["name"] == "MAGNITUDE" and s["noise"] == "1 percent")["found"]
    found = committed.statement("MAGNITUDE", "1 percent")(source)
    assert found[:3] == (stated["estimate"], stated["low"], stated["high"]) and found.settled
    turned = committed.contrast("one branch", "one branch, fixed random", "1 percent", sign=-1.0)(source)
    assert turned[:3] == (-stated["estimate"], -stated["high"], -stated["low"])
    with pytest.raises(KeyError, match="wanted one entry"):
        committed.statement("NO SUCH", "1 percent")(source)


def test_intervals_by_hand():
    assert difference(Found(3, 0, 6), Found(1, -3, 5)) == Found(2, -3.0, 7.0)
    entry = {"estimate": 1.0, "low": None, "high": 2.0}
    assert math.isnan(interval(entry).low)


def test_settings_of_the_search_are_paired_by_hand(tmp_path, monkeypatch):
    def one(share, start, covered, *, noise="1 percent"):
        schedule = {"share": share, "start": start, "release": 500, "once": False, "at_random": False}
        ends = {"minority coverage": {"estimate": covered}}
        return {"shape": "wide", "noise": noise, "ratio": 0.5, "schedule": schedule, "equal_steps": {"ends": ends}}

    searched = [one(s, "switch", 0.5 + s) for s in (0.1, 0.2, 0.3)] + [one(s, "at_step", 0.5) for s in (0.1, 0.2, 0.3)]
    searched += [one(0.4, "switch", 0.9), one(0.1, "switch", 0.0, noise="default")]
    monkeypatch.setattr(Source, "committed", lambda self, name: {"searched": searched})
    found = share_and_schedule._paired("start", "switch", "at_step", at_random=False)(Source(tmp_path))
    assert found.value == pytest.approx(0.2) and found.low < 0.2 < found.high


def ways_of_pruning(helping, settled=True, n=13):
    cells = np.full((3, n, 3), [0.3, 0.2, 0.4])
    cells[:, helping:] = [-0.3, -0.4, -0.2]
    quoted = planted(p6_choices.LARGE_SHARE, inside, 0)
    values = {
        "cells": (("noise", "way", "number"), cells),
        "cell_settled": (("noise", "way"), np.full((3, n), settled)),
    }
    names = {"noise": list(committed.POINTS), "way": [f"way {k}" for k in range(n)]}
    return xr.Dataset(values, names).merge(quoted)


def test_ways_of_pruning_are_counted():
    assert {row.verdict for row in p6_choices.CHECK.judge(ways_of_pruning(13))} == {SUPPORTED}
    first, *_ = p6_choices.CHECK.judge(ways_of_pruning(5))
    assert (first.verdict, first.measured, first.wanted) == (NOT_SUPPORTED, 5.0, (13, 13))
    assert "way 12" in first.note


def test_ways_of_pruning_are_found(tmp_path):
    arrays = p6_choices.CHECK.measure(Source(tmp_path))
    assert np.isfinite(arrays["cells"].values[..., 0]).all() and arrays.sizes["way"] == 13
