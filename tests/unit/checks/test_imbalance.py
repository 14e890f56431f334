"""I1 to I5 on planted arrays, and their measuring functions by hand."""

import math

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED, UNDECIDED, VACUOUS
from paper_checks.check import ABOVE_0, at_points, over_seeds, row
from paper_checks.imbalance import i1_width, i2_probe, i3_delay, i4_group_size, i5_balance
from paper_checks.jackknife import jackknife
from paper_checks.runs import NOISES, Point

GROUPS = ["majority", "minority"]
WIDTHS = (8, 16, 32, 64, 128, 256, 1024, 4096, 16384, 65536, 262144)


def verdicts(module, arrays):
    return {(one.claim, one.regime): one.verdict for one in module.CHECK.judge(arrays)}


def of_claim(found, part):
    return {verdict for (claim, _), verdict in found.items() if part in claim}


def test_a_difference_of_exactly_zero_is_not_above_zero():
    assert row("", "", "", (0.0, 0.0, 0.0), ABOVE_0).verdict == NOT_SUPPORTED
    assert row("", "", "", (0.0, 0.0, 0.0), (-1.0, 1.0)).verdict == SUPPORTED
    assert row("", "", "", (2.0, 2.0, 2.0), (2.0, 2.0)).verdict == SUPPORTED


def test_the_jackknife_of_a_mean_is_the_interval_of_students_t():
    values = np.array([1.0, 2.0, 4.0, 3.0, np.nan])
    assert jackknife(lambda kept: float(kept.mean()), values) == pytest.approx(over_seeds(values))
    assert math.isnan(jackknife(lambda kept: float(kept.mean()), values[:2])[1])


# ----- I1


def coverage_runs(log_half, seed, widths=WIDTHS):
    """Coverage that reaches one half at `log_half(r)`, by (noise, r, m)."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for r in (1.0, 0.7, 0.5):
            for m in widths:
                chance = 1 - 0.5 ** (m / math.exp(log_half(r)))
                covered = rng.binomial(8, chance, 6) / 8
                values = {"coverage": ("seed", covered), "settled": 1.0, "race_chance": 0.02, "wall_s": 30.0}
                parts[Point(noise, 16, r, m)] = xr.Dataset(values)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_widths_as_the_paper_implies(seed):
    found = verdicts(i1_width, coverage_runs(lambda r: 0.5 + math.log(16) / r**2, seed))
    assert of_claim(found, "1/r² as") == {SUPPORTED}
    assert of_claim(found, "race") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_widths_that_hardly_depend_on_r(seed):
    found = verdicts(i1_width, coverage_runs(lambda r: math.log(math.log(2) / 0.02), seed))
    assert of_claim(found, "1/r² as") == {NOT_SUPPORTED}
    assert of_claim(found, "at most as") == of_claim(found, "race") == {SUPPORTED}


def test_widths_that_are_all_too_small_name_one_that_is_not():
    rows = i1_width.CHECK.judge(coverage_runs(lambda r: 20.0, 0, widths=(8, 16)))
    assert {one.verdict for one in rows} == {OUT_OF_REGIME}
    assert "65,536" in rows[0].note and "34.1 hours" in rows[0].note  # 30 s at m = 16, and 4,096 times as many neurons


def test_half_coverage_is_interpolated():
    assert i1_width.half_width(np.array([4.0, 16.0]), np.array([0.25, 0.75])) == pytest.approx(math.log(8))
    assert i1_width.half_width(np.array([4.0]), np.array([0.5])) == pytest.approx(math.log(4))
    assert math.isnan(i1_width.half_width(np.array([4.0]), np.array([0.4])))


# ----- I2


def probed(explains, seed):
    """Accuracies that one of the three numbers explains; the others are noise."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for r in (0.7, 0.5):
            numbers = {
                "purity": rng.uniform(0.1, 1, (6, 16)),
                "largest": rng.uniform(0.1, 3, (6, 16)),
                "count": rng.integers(0, 8, (6, 16)).astype(float),
            }
            share = numbers[explains] / numbers[explains].max()
            numbers["probe_few"] = 0.6 + 0.35 * share + 0.02 * rng.standard_normal((6, 16))
            numbers["untrained_probe_few"] = np.full((6, 16), 0.6)
            values = {name: (("seed", "feature"), one) for name, one in numbers.items()}
            more = {"is_minority": ("feature", np.arange(16) >= 8), "wall_s": 36.0}
            parts[Point(noise, 16, r)] = xr.Dataset(values | more)
    n = len(i2_probe.QUOTES)
    quoted = {name: ("row", np.full(n, 1.0)) for name in ("settled", "hours")}
    side = np.array([-1.0 if quote.wanted[1] == 0 else 1.0 for quote in i2_probe.QUOTES])
    quoted |= {"value": ("row", side), "low": ("row", side - 0.1), "high": ("row", side + 0.1)}
    return at_points(parts).merge(xr.Dataset(quoted))


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_that_purity_explains(seed):
    assert set(verdicts(i2_probe, probed("purity", seed)).values()) == {SUPPORTED}


@pytest.mark.parametrize("explains", ["largest", "count"])
@pytest.mark.parametrize("seed", range(3))
def test_accuracy_that_a_rival_explains(explains, seed):
    found = verdicts(i2_probe, probed(explains, seed))
    assert of_claim(found, "at least half") == {NOT_SUPPORTED}
    assert of_claim(found, i2_probe.PREDICTORS[explains]) == {NOT_SUPPORTED}


def test_where_every_feature_has_a_specialist_nothing_is_explained():
    arrays = probed("purity", 0)
    arrays["count"][:] = 1.0
    rows = [one for one in i2_probe.CHECK.judge(arrays) if "accuracy" in one.claim and "purity" in one.claim]
    assert len(rows) == 10 and {one.verdict for one in rows} == {OUT_OF_REGIME}
    assert "0.01 hours" in rows[0].note


# ----- I3


def delayed(factor, power, seed):
    """First steps whose ratio is factor / r^power, with records' scatter."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for d in (16, 32):
            for r in (1.0, 0.85, 0.7, 0.5, 0.3):
                late = factor / r**power * np.exp(0.1 * rng.standard_normal(6))
                first = 20.0 * np.stack([np.ones(6), late], axis=1)
                values = {"first": (("seed", "group"), first), "predicted": 1.01 / r}
                parts[Point(noise, d, r)] = xr.Dataset(values, {"group": GROUPS})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_delays_as_predicted(seed):
    assert set(verdicts(i3_delay, delayed(1.15, 1.0, seed)).values()) == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_delays_that_are_longer_or_shorter(seed):
    found = verdicts(i3_delay, delayed(1.0, 3.0, seed))
    assert of_claim(found, "exceeds") == {SUPPORTED}
    assert of_claim(found, "1/(P") == of_claim(found, "grows as") == {NOT_SUPPORTED}
    assert of_claim(verdicts(i3_delay, delayed(0.8, 0.8, seed)), "exceeds") == {NOT_SUPPORTED}


def test_runs_without_a_time_are_counted_and_left_out():
    arrays = delayed(1.15, 1.0, 0)
    arrays["first"][arrays["ratio"].values == 0.3, 0] = np.nan
    rows = i3_delay.CHECK.judge(arrays)
    assert "4 of 48 runs" not in rows[0].note and "2 of 48 runs" in rows[0].note
    assert {one.verdict for one in rows} == {SUPPORTED}


# ----- I4


def counted(growth, seed):
    """Counts per minority feature that change by `growth` over the shares; the race is flat."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for share in (0.125, 0.25, 0.5, 0.75):
            mean = 3.0 * (1 + growth * (share - 0.4))
            values = {"count": ("seed", mean + 0.1 * rng.standard_normal(6)), "settled": 1.0}
            parts[Point(noise, 16, 0.5, share)] = xr.Dataset(values | {"race": 3.0, "bound": 0.001})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_counts_that_do_and_do_not_depend_on_the_size_of_the_group(seed):
    flat, rising = verdicts(i4_group_size, counted(0.0, seed)), verdicts(i4_group_size, counted(1.0, seed))
    assert of_claim(flat, "do not depend") == of_claim(flat, "race") == {SUPPORTED}
    assert of_claim(rising, "do not depend") == {NOT_SUPPORTED}
    assert of_claim(flat, "at least") == of_claim(rising, "at least") == {VACUOUS}


def test_counts_that_still_change_decide_nothing():
    arrays = counted(0.0, 0)
    arrays = arrays.assign(settled=("point", np.zeros(arrays.sizes["point"])))
    found = verdicts(i4_group_size, arrays)
    assert of_claim(found, "do not depend") == of_claim(found, "race") == {UNDECIDED}


def test_counts_that_are_not_those_of_the_race():
    arrays = counted(0.0, 0).assign(race=("point", np.full(8, 1.5)))
    assert of_claim(verdicts(i4_group_size, arrays), "race") == {NOT_SUPPORTED}


# ----- I5


def halves(change, seed):
    """Group measures whose second half is larger by the factor `change`."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for d in (16, 24):
            factor = np.array([1.0, change])
            values = {
                name: (("seed", "group"), level * factor * (1 + 0.02 * rng.standard_normal((6, 2))))
                for name, level in (("specialists", 30.0), ("T1", 10.0), ("first", 20.0))
            }
            exact = {name: (("seed", "group"), np.ones((6, 1)) * factor / change) for name in ("coverage", "probe_few")}
            parts[Point(noise, d, 1.0)] = xr.Dataset(values | exact, {"group": GROUPS})
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_halves_that_are_alike_and_that_are_not(seed):
    assert set(verdicts(i5_balance, halves(1.0, seed)).values()) == {SUPPORTED}
    assert set(verdicts(i5_balance, halves(1.5, seed)).values()) == {NOT_SUPPORTED}
