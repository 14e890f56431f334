"""Checks of the questions on planted arrays of runs: variants, temperature, implicit imbalance."""

import numpy as np
import pytest
import xarray as xr

from dynsim.stats.verdicts import NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED, UNDECIDED, VACUOUS
from paper_checks.check import at_points
from paper_checks.questions import attention, correlated, cosine, implicit, narrow, survival, temperature
from paper_checks.runs import NOISES, VARIANTS, Point
from paper_checks.variant_results import PLAIN, RESULTS

GROUPS = ["majority", "minority"]
FAIR, UNFAIR = {"harm": 0.0}, {"harm": 1.0}


def ends(rng, *, harm=1.0, sizes=-0.5, n_neurons=64.0):
    """One run set of 6 seeds; with harm 1 the minority is worse off in everything, with -0.3 it is better off."""
    gap = harm + 0.02 * rng.standard_normal(6)
    both = lambda majority, minority: (("seed", "group"), np.stack([majority, minority], axis=1))  # noqa: E731
    one = np.ones(6)
    values = {
        "coverage": both(0.7 * one, 0.7 - 0.4 * gap),
        "specialists": both(n_neurons * (0.5 + 0.3 * gap), n_neurons * (0.5 - 0.3 * gap)),
        "log_size": both(0 * one, sizes + 0.02 * rng.standard_normal(6)),
        "probe_few": both(0.9 * one, 0.9 - 0.2 * gap),
        "growth": both(0.08 * one, 0.08 * np.exp(-0.7 * gap)),
        "T2": both(20.0 * one, 30.0 * one),
    }
    return xr.Dataset(values | {"settled": 1.0, "n_neurons": n_neurons}, {"group": GROUPS})


def variants(seed, change=None, balanced=0.0, **options):
    """All variants at both noise levels; `change` gives options by name of the variant."""
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for name in VARIANTS:
            own = options | (change or {}).get(name, {})
            parts[Point(noise, 16, 0.5, name)] = ends(rng, **own)
            parts[Point(noise, 16, 1.0, name)] = ends(rng, **options | {"harm": balanced})
    return at_points(parts)


def found(module, arrays, part=""):
    return {one.verdict for one in module.CHECK.judge(arrays) if part in one.claim}


@pytest.mark.parametrize("seed", range(3))
def test_results_that_survive_and_that_do_not(seed):
    assert found(correlated, variants(seed)) == {SUPPORTED}
    better = {name: {"harm": -0.3, "sizes": 0.5} for name in correlated.VARIANTS}
    rows = correlated.CHECK.judge(variants(seed, better))
    assert {one.verdict for one in rows} == {NOT_SUPPORTED}
    counts = next(one for one in rows if "fewer specialists" in one.claim)
    assert counts.note.startswith("variant - plain: -0.7")  # 0.6 * (-0.3 - 1)


def test_what_plain_runs_do_not_show_cannot_survive():
    spared = {PLAIN: {"harm": -0.3}}
    for module in (correlated, attention):
        rows = [one for one in module.CHECK.judge(variants(0, spared)) if "rare features" in one.claim]
        assert {one.verdict for one in rows} == {VACUOUS}
    rows = [one for one in survival.CHECK.judge(variants(0, spared)) if "coverage" in one.claim or "left" in one.claim]
    assert {one.verdict for one in rows} == {VACUOUS}
    arrays = variants(0, balanced=1.0)  # equal gaps at r = 0.5 and r = 1
    assert found(cosine, arrays, "NT-Xent") == {VACUOUS} and SUPPORTED not in found(cosine, arrays, "plain")


def test_runs_that_still_change_decide_nothing_about_the_end():
    arrays = variants(0)
    arrays["settled"][:] = 0.0
    for module in (attention, cosine, narrow):
        rows = module.CHECK.judge(arrays)
        assert {one.verdict for one in rows} == {OUT_OF_REGIME}
        assert all("hours on 2 cores" in one.note for one in rows)
    assert found(correlated, arrays, "grow more slowly") <= {SUPPORTED, VACUOUS}
    assert found(correlated, arrays, "fewer") == {OUT_OF_REGIME}
    one_unsettled = variants(0)
    one_unsettled["settled"][one_unsettled["level"].values == "Adam"] = 0.0
    rows = [one for one in survival.CHECK.judge(one_unsettled) if "fewer specialists" in one.claim]
    n = len(survival.DEPARTURES) - 1
    assert [(one.verdict, one.measured) for one in rows] == [(SUPPORTED, n)] * len(NOISES)
    assert all("Adam" in one.note for one in rows)


def test_a_mask_has_nothing_to_gain_where_all_is_covered():
    arrays = variants(0)
    arrays["coverage"][np.isin(arrays["level"].values, ["trained attention", attention.AT_RANDOM])] = 1.0
    assert found(attention, arrays, "under trained") == {VACUOUS}


def test_stages_that_are_not_found():
    arrays = variants(0)
    arrays["T2"][arrays["level"].values != PLAIN] = np.nan
    assert found(survival, arrays, "stages") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_masks_under_trained_attention(seed):
    helps = variants(seed, {attention.MASKED: {"harm": 0.0}})
    assert found(attention, helps) == {SUPPORTED}
    harms = variants(seed, {attention.MASKED: {"harm": 1.5}})
    assert found(attention, harms, "under trained") == {NOT_SUPPORTED}
    elsewhere = variants(seed, {name: {"harm": -0.3} for name in attention.VARIANTS})
    assert found(attention, elsewhere, "rare features") == {NOT_SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_harm_with_other_losses(seed):
    assert found(cosine, variants(seed)) == {SUPPORTED}
    spared = variants(seed, {name: {"harm": -0.3} for name in cosine.VARIANTS})
    assert found(cosine, spared, "NT-Xent") == found(cosine, spared, "cosine") == {NOT_SUPPORTED}
    assert found(cosine, spared, "plain") == {SUPPORTED}


@pytest.mark.parametrize("seed", range(3))
def test_what_narrow_networks_drop(seed):
    assert found(narrow, variants(seed)) == {SUPPORTED}
    luck = variants(seed, {narrow.NARROW: {"harm": -0.3}})
    assert found(narrow, luck, "rare") == {NOT_SUPPORTED}


def test_narrow_networks_whose_neurons_mix_features():
    arrays = variants(0)
    arrays["specialists"][arrays["level"].values == narrow.NARROW] /= 2
    assert found(narrow, arrays, "neurons specialise") == {NOT_SUPPORTED}


def test_shares_by_hand():
    one = xr.Dataset(
        {
            "coverage": (("seed", "group"), [[1.0, 0.5], [0.5, 1.0], [1.0, 1.0]]),
            "specialists": (("seed", "group"), [[4.0, 2.0], [1.0, 1.0], [np.nan, np.nan]]),
            "n_neurons": 8.0,
        },
        {"group": GROUPS},
    )
    assert narrow.dropped_share(one).tolist()[:2] == [1.0, 0.0] and np.isnan(narrow.dropped_share(one)[2])
    assert narrow.specialist_share(one).tolist()[:2] == [0.75, 0.25]


@pytest.mark.parametrize("seed", range(3))
def test_survival_counts_departures(seed):
    assert found(survival, variants(seed)) == {SUPPORTED}
    rows = survival.CHECK.judge(variants(seed, {"Adam": {"harm": -0.3}}))
    by_claim = {(one.claim, one.regime): one for one in rows}
    n = len(survival.DEPARTURES)
    coverage = by_claim[f"{RESULTS['coverage'].claim}, whatever the departure", "false firing 1 %"]
    assert (coverage.verdict, coverage.measured, coverage.wanted) == (NOT_SUPPORTED, n - 1, (n, n))
    assert "fails with: Adam" in coverage.note and "plain: supported" in coverage.note


@pytest.mark.parametrize("harm", [1.0, -0.3])
def test_few_departures_say_nothing_of_all(harm):
    arrays = variants(0, harm=harm)
    some = arrays.isel(point=np.flatnonzero(np.isin(arrays["level"].values, [PLAIN, *survival.DEPARTURES[:7]])))
    rows = survival.CHECK.judge(some)
    assert {one.verdict for one in rows} == {UNDECIDED}
    assert all(one.note.startswith("7 departures cannot decide this: at least 8 were planned") for one in rows)


def test_departures_leave_out_masks():
    assert PLAIN not in survival.DEPARTURES and len(survival.DEPARTURES) == len(VARIANTS) - 3


# ----- temperature and implicit imbalance


def by_temperature(drift, seed):
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for tau in (0.25, 0.5, 1.0, 2.0):
            parts[Point(noise, 16, 0.5, tau)] = ends(rng, harm=0.7 - drift * np.log(tau))
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_rates_and_ends_by_temperature(seed):
    flat = by_temperature(0.0, seed)
    assert found(temperature, flat, "early rates") == {SUPPORTED}
    assert SUPPORTED not in found(temperature, flat, "smaller temperature")
    better_when_warm = by_temperature(0.4, seed)
    assert found(temperature, better_when_warm, "early rates") == {NOT_SUPPORTED}
    assert found(temperature, better_when_warm, "smaller temperature") == {SUPPORTED}
    assert found(temperature, by_temperature(-0.4, seed), "smaller temperature") == {NOT_SUPPORTED}


def by_survival(harm, explicit, seed):
    rng, parts = np.random.default_rng(seed), {}
    for noise in NOISES:
        for keep in (1.0, 0.7, 0.5):
            one = ends(rng, harm=harm)
            one["growth"].values[:, 1] = one["growth"].values[:, 0] * (keep if harm > 0 else 1.0)
            parts[Point(noise, 16, keep, keep, implicit.IMPLICIT)] = one.assign(predicted=keep)
            parts[Point(noise, 16, keep, keep, implicit.EXPLICIT)] = ends(rng, harm=explicit).assign(predicted=keep)
    return at_points(parts)


@pytest.mark.parametrize("seed", range(3))
def test_features_that_survive_less_often(seed):
    assert found(implicit, by_survival(1.0, 1.0, seed)) == {SUPPORTED}
    assert found(implicit, by_survival(-0.3, 1.0, seed)) == {NOT_SUPPORTED}
