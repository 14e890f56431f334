"""What the comparison on images concludes from its rows, by hand calculation."""

import dataclasses

import numpy as np
import pytest

from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.training import Masking, Pretraining
from experiments.cifar.arms import ARMS, IMAGE_PLACEBOS, MAIN
from experiments.cifar.outcome import METRICS, PROBES, AccuracyContrast, accuracy_contrast, of_seeds, planned_contrasts
from experiments.cifar.table import (
    _cell,
    accuracy_rows,
    answer_lines,
    difference_text,
    in_points,
    published_table,
    table_text,
)
from experiments.cifar.verdict import HELPS_NOT_BEYOND, MARGIN, PLAN_FILE, planned_question, planned_verdict

BASE = Pretraining(network=NetworkShape(norm_sets=2), masking=Masking(kind="lowest", rate=0.9), weight_decay=5e-4)


def row(arm: str, seed: int, accuracy: float) -> dict:
    numbers = dict.fromkeys(METRICS, accuracy)
    return {"arm": arm, "seed": seed, **{probe: dict(numbers) for probe in PROBES}}


ROWS = [
    *(row("no mask", seed, value) for seed, value in enumerate((0.50, 0.52, 0.57))),
    *(row("magnitude", seed, value) for seed, value in enumerate((0.53, 0.56, 0.62))),
]


def test_a_contrast_is_paired_by_seed():
    found = accuracy_contrast(ROWS[::-1], AccuracyContrast("magnitude", "no mask", "linear", "few"))
    np.testing.assert_allclose(found["values"], [0.03, 0.04, 0.05], atol=1e-12)
    half = 4.302652729911275 * 0.01 / np.sqrt(3)  # t quantile for two degrees of freedom
    np.testing.assert_allclose([found["low"], found["high"]], [0.04 - half, 0.04 + half], rtol=1e-9)
    # the noncentral t with two degrees of freedom reaches 80 % power near 4.2 standard errors beyond half the cut
    assert 0.02 < found["detectable"] < 0.04


def test_two_seeds_have_no_interval():
    found = accuracy_contrast(
        [one for one in ROWS if one["seed"] < 2], AccuracyContrast("magnitude", "no mask", "linear", "few")
    )
    assert found["low"] is None and found["p_value"] is None
    np.testing.assert_allclose(found["estimate"], 0.035)


def test_a_seed_that_one_arm_lacks_is_left_out():
    found = accuracy_contrast(ROWS[:-1], AccuracyContrast("magnitude", "no mask", "knn", "few"))
    assert len(found["values"]) == 2
    assert of_seeds(ROWS, "magnitude", "knn", "few") == {0: 0.53, 1: 0.56, 2: 0.62}


def test_every_arm_is_compared_with_no_mask_and_magnitude_with_every_placebo():
    pairs = {(one.first, one.second) for one in planned_contrasts((*MAIN, *IMAGE_PLACEBOS))}
    assert {(arm, "no mask") for arm in ("magnitude", *IMAGE_PLACEBOS)} <= pairs
    assert {("magnitude", arm) for arm in IMAGE_PLACEBOS} <= pairs
    assert planned_contrasts(("no mask",)) == []


@pytest.mark.parametrize("arm", [*MAIN, *IMAGE_PLACEBOS])
def test_a_controlled_arm_differs_in_one_thing_only(arm):
    changed = ARMS[arm].change(BASE)
    same_mask = dataclasses.replace(changed, masking=BASE.masking)
    if arm == "less decay":
        assert changed.weight_decay == pytest.approx(5e-5)
        same_mask = dataclasses.replace(same_mask, weight_decay=BASE.weight_decay)
    assert same_mask == BASE
    kinds = {"no mask": "none", "less decay": "none", "magnitude": "lowest", "largest": "highest"}
    kinds |= {"random, fixed": "random_fixed", "random, redrawn": "random"}
    assert changed.masking.kind == kinds[arm]
    assert changed.masking.rate == (0.0 if kinds[arm] == "none" else 0.9)


def test_published_arms_have_the_published_differences():
    simclr, sdclr = (ARMS[arm].change(BASE) for arm in ("published SimCLR", "published SDCLR"))
    assert (simclr.network.head_layers, simclr.normalise, simclr.network.norm_sets) == (2, "together", 1)
    assert (sdclr.network.head_layers, sdclr.normalise, sdclr.network.norm_sets) == (3, "apart", 2)
    assert sdclr.masking.semantics == "one_branch" and simclr.masking.kind == "none"


def test_table_shows_every_arm_and_difference():
    found = {"mean": 0.5, "low": 0.4, "high": 0.6, "values": [0.4, 0.6]}
    arms = {arm: {probe: dict.fromkeys(METRICS, found) for probe in PROBES} for arm in ("no mask", "magnitude")}
    one = accuracy_contrast(ROWS, AccuracyContrast("magnitude", "no mask", "few_shot", "few"))
    text = table_text({"arms": arms, "contrasts": [one], "above_baselines": {"no mask": {"raw pixels": 0.07}}})
    assert text.count("50.0 +-10.0") == 2 * len(PROBES) * len(METRICS)
    assert "magnitude - no mask, few labels, Few" in text and "+4.0 [1.5, 6.5], could see" in text
    assert "+7.0 points to the raw pixels" in text
    assert _cell([0.25]) == "25.0"
    assert "[" not in difference_text(one | {"low": None, "detectable": None})


def test_a_published_cell_that_was_not_run_is_empty():
    empty = published_table([])
    assert "81.31 +-0.94" in empty and "*" not in empty
    ours = {
        "long_tail": {"images": "cifar10", "imbalance": 100.0},
        "arms": {
            "magnitude": {"linear": {"all_classes": {"mean": 0.4321}}, "few_shot": {"all_classes": {"mean": 0.3}}}
        },
        "about": "what was run",
    }
    lines = published_table([ours]).splitlines()
    pruned = [line for line in lines if line.startswith("pruning") and " cifar10 " in line]
    assert ["43.2 *" in line for line in pruned] == [False, False, True]  # factors 10, 50 and 100
    assert not any("43.2" in line for line in lines if line.startswith("no pruning"))
    assert lines[-1] == "Here: what was run"


def found_by_seed(first: str, second: str, values: list[float]) -> dict:
    """A contrast of the planned probe and classes whose paired differences are these."""
    rows = [row(second, seed, 0.4) for seed in range(3)] + [row(first, k, 0.4 + one) for k, one in enumerate(values)]
    return accuracy_contrast(rows, AccuracyContrast(first, second, "few_shot", "few"))


def of_plan(difference: list[float], placebos: dict[str, list[float]] | None = None) -> dict:
    each = {arm: [0.05, 0.06, 0.07] for arm in IMAGE_PLACEBOS} | (placebos or {})
    contrasts = [found_by_seed("magnitude", arm, values) for arm, values in each.items()]
    return {"contrasts": [found_by_seed("magnitude", "no mask", difference), *contrasts]}


@pytest.mark.parametrize(
    ("difference", "placebos", "verdict"),
    [
        ([0.05, 0.06, 0.07], {}, "helps more than every placebo"),
        ([0.05, 0.06, 0.07], {"largest": [0.05, 0.06, -0.07]}, HELPS_NOT_BEYOND),
        ([-0.05, -0.06, -0.07], {}, "harms"),
        ([-0.050, -0.051, 0.049], {}, "undecided"),
        ([0.001, -0.002, 0.002], {}, "nothing within the margin"),
        # the 95 % interval leaves the margin, the 90 % interval does not: half-widths 0.0248 and 0.0169 at this scatter
        ([0.01, -0.01, 0.0], {}, "nothing within the margin"),
        ([-0.010, -0.011, -0.012], {}, "harms"),  # the rules stand in an order, and this one comes first
    ],
)
def test_the_rules_of_the_plan(difference, placebos, verdict):
    found = planned_verdict(of_plan(difference, placebos))
    assert found is not None and found.verdict == verdict and set(found.placebos) == set(IMAGE_PLACEBOS)
    assert answer_lines(of_plan(difference, placebos))[1] == f"  verdict: {verdict}"


def test_without_all_arms_or_seeds_the_plan_is_not_answered():
    summary = of_plan([0.05, 0.06, 0.07])
    assert planned_verdict({"contrasts": summary["contrasts"][:-1]}) is None
    assert planned_verdict(of_plan([0.05, 0.06])) is None and answer_lines(of_plan([0.05, 0.06])) == []


def test_the_rules_are_those_that_the_plan_has_in_words():
    asked, text = planned_question(), PLAN_FILE.read_text(encoding="utf-8")
    assert [asked[name] for name in ("first", "second", "probe", "classes")] == [*MAIN[::-1], "few_shot", "few"]
    assert f"the 90 % t interval lies within {100 * MARGIN:g} points of 0" in text


def test_documents_quote_points_and_a_row_for_each_arm():
    one = {"values": [0.25, None], "n_seeds": 3, "p_value": 0.5, "level": 0.95}
    assert in_points(one) == {"values": [25.0, None], "n_seeds": 3}
    found = {"values": [0.4, 0.6]}
    arms = {arm: {probe: dict.fromkeys(METRICS, found) for probe in PROBES} for arm in ("raw pixels", "largest")}
    rows = accuracy_rows({"arms": arms})
    assert [one[0] for one in rows] == ["arm", "raw pixels", ARMS["largest"].text]
    assert rows[1][1:] == ["50.0 +-10.0"] * 5 and rows[0][4] == "few labels, Few"
