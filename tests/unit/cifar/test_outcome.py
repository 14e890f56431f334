"""What the comparison on images concludes from its rows, by hand calculation."""

import dataclasses

import numpy as np
import pytest

from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.training import Masking, Pretraining
from dynsim.config import ConfigError
from dynsim.stats.texts import in_points
from experiments.cifar.arms import ARMS, IMAGE_PLACEBOS, MAIN, find_arm, share_and_norms, share_arms
from experiments.cifar.outcome import METRICS, PROBES, AccuracyContrast, accuracy_contrast, of_seeds, planned_contrasts
from experiments.cifar.table import (
    accuracy_rows,
    answer_lines,
    difference_text,
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
    assert "[" not in difference_text(one | {"low": None, "detectable": None})


def summary(arms: tuple[str, ...], accuracy: float, epochs: int = 2000, **changes) -> dict:
    """A committed summary as the table reads it, without options that came later."""
    found = {probe: {"all_classes": {"mean": accuracy}} for probe in PROBES}
    network = {"architecture": "resnet18", "width": 1.0, "stem": "cifar"}
    train = {"epochs": epochs, "network": network, "masking": {"rate": 0.9}, "focal": 0.0, "weight_decay": 1e-4}
    data = {"images": "cifar10", "imbalance": 100.0, "balanced": False, "split": "released"}
    judging = {"linear": "sdclr", "few_shot": "sdclr_few_shot"}
    return {
        "arms": dict.fromkeys(arms, found),
        "pretraining": train | {name: changes[name] for name in changes if name not in data},
        "long_tail": data | {name: changes[name] for name in changes if name in data},
        "judging": judging,
        "about": f"{epochs} epochs",
    }


def cells(*summaries: dict) -> dict[tuple[str, str, str, str], str]:
    """{(method, images, factor, probe): the rest of the line} of the published table."""
    rows = [line for line in published_table(summaries).splitlines()[3:] if line and not line.startswith("[")]
    return {(line[:26].strip(), *line[26:56].split()): line[56:] for line in rows}


def test_a_published_cell_that_was_not_run_is_empty():
    empty = published_table([])
    assert "81.31 +-0.94" in empty and "[1]" not in empty
    found = cells(summary(("magnitude",), 0.4321))
    with_ours = {key for key, text in found.items() if "43.2 [1]" in text}
    assert with_ours == {("SDCLR", "cifar10", "100", probe) for probe in ("all", "few-shot")} | {
        ("pruning", "cifar10", "100", "all")
    }
    assert published_table([summary(("magnitude",), 0.4321)]).splitlines()[-1] == "[1] 2000 epochs"


def test_a_cell_says_in_what_its_run_differs_and_takes_the_nearest_epochs():
    key = ("SDCLR", "cifar10", "100", "all")
    exact = cells(summary(("magnitude",), 0.8))[key]
    assert "80.0 [1]" in exact and "; here" not in exact
    short = summary(("magnitude",), 0.5, epochs=20)
    assert "50.0 [1]" in cells(short)[key] and cells(short)[key].endswith("; here 20 epochs")
    assert "80.0 [2]" in cells(short, summary(("magnitude",), 0.8, epochs=500))[key]
    other = summary(("magnitude",), 0.5, split="drawn") | {"judging": {"linear": "short", "few_shot": "short"}}
    other["pretraining"]["network"]["width"] = 0.25
    other["pretraining"]["masking"]["rate"] = 0.5
    text = "; here probe short, splits drawn anew, resnet18 of width 0.25 with the stem cifar, 50% masked"
    assert cells(other)[key].endswith(text)
    unstated = cells(short)["pruning", "cifar10", "100", "all"]
    assert unstated.endswith("; here 20 epochs, probe sdclr")  # the poster names neither


@pytest.mark.parametrize(
    ("method", "arms", "changes"),
    [
        ("SimCLR, balanced set", ("no mask, balanced set",), {}),
        ("SimCLR, balanced set", ("no mask",), {"balanced": True}),
        ("MoCo-v2", ("no mask",), {"method": "moco"}),
        ("SimCLR, focal loss", ("no mask",), {"focal": 2.0}),
        ("SimCLR + TS", ("no mask",), {"highest_temperature": 1.0, "temperature": 0.1}),
        ("SimCLR, dropout 0.9", ("dropout",), {}),
    ],
)
def test_other_methods_fill_their_own_cells_only(method, arms, changes):
    found = cells(summary(arms, 0.4321, images="cifar100", **changes))
    with_ours = {key for key, text in found.items() if "43.2 [1]" in text}
    assert with_ours and {key[:2] for key in with_ours} == {(method, "cifar100")}


def test_arms_of_comparisons_in_the_paper():
    assert ARMS["magnitude, balanced set"].balanced and not ARMS["magnitude"].balanced
    assert ARMS["magnitude, balanced set"].change(BASE) == ARMS["magnitude"].change(BASE)
    names = share_arms((0.0, 0.3))
    assert names == ("mask 0, own norms", "mask 0, shared norms", "mask 0.3, own norms", "mask 0.3, shared norms")
    for name, (share, sets) in zip(names, [(0.0, 2), (0.0, 1), (0.3, 2), (0.3, 1)], strict=True):
        changed = find_arm(name).change(BASE)
        assert (changed.masking.rate, changed.network.norm_sets) == (share, sets)
        assert changed.masking.kind == ("lowest" if share else "none")
        assert share_and_norms(name)[0] == share
    assert share_and_norms("magnitude") is None and share_and_norms("mask .., own norms") is None
    with pytest.raises(ConfigError, match="arms: wanted one of 'no mask'"):
        find_arm("mask 0.3, other norms")
    pairs = {(one.first, one.second) for one in planned_contrasts(names)}
    assert pairs == {(names[0], names[1]), (names[2], names[3]), (names[2], names[0]), (names[3], names[1])}
    balanced = {(one.first, one.second) for one in planned_contrasts([f"{arm}, balanced set" for arm in MAIN])}
    assert balanced == {("magnitude, balanced set", "no mask, balanced set")}


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
