"""What the comparison on images concludes from its rows, by hand calculation."""

import dataclasses

import numpy as np
import pytest

from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.training import Masking, Pretraining
from experiments.cifar.arms import ARMS, IMAGE_PLACEBOS, MAIN
from experiments.cifar.outcome import METRICS, PROBES, AccuracyContrast, accuracy_contrast, of_seeds, planned_contrasts
from experiments.cifar.table import _cell, _difference, published_table, table_text

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
    assert "[" not in _difference(one | {"low": None, "detectable": None})


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
