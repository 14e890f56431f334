"""What the comparison of losses concludes from its rows, by hand calculation, and how its methods differ."""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest

from dynsim.bridge.options import LossParts, Masking, NetworkShape, Supervised
from dynsim.config.checks import ConfigError
from dynsim.results.sealed import load_json
from dynsim.stats.power import detectable_difference
from experiments import long_tail
from experiments.long_tail.methods import ACL, COMPARED_METHODS, LOSS_METHODS
from experiments.long_tail.outcome import (
    PAIRS,
    PLAN_MARGINS,
    mask_verdicts,
    part_verdicts,
    plan_verdict,
    planned_differences,
    summarise_methods,
)
from experiments.long_tail.projection import principal_components, shown_classes
from experiments.long_tail.table import published_losses, quoted_losses, table_text
from experiments.long_tail.variants import (
    KNOWN_METHODS,
    MASK_PAIRS,
    MASKED_SHARE,
    PART_PAIRS,
    VARIANT_SETS,
    VARIANTS,
    method_names,
)
from experiments.long_tail_losses import PRESETS, check_study

BASE = Supervised(views=("probe",) * 4)
ONE_VIEW, BALANCED = "Balanced Softmax, one view", "Balanced Softmax"


def row(method: str, seed: int, accuracy: float, counts=(90, 9, 30)) -> dict:
    """A row of three classes, whose accuracies are accuracy, 0 and 1, with one record of two losses."""
    claims = {
        "epochs": [2],
        "losses": ["sup_con", "acl"],
        "conflicting": [[[6.0, 0.0, 1.0], [0.0, 0.0, 0.0]]],
        "pairs": [[12.0, 0.0, 4.0]],
        "compactness": [[0.5, 0.7, 0.9]],
        "margin": [[30.0, None, 60.0]],
    }
    numbers = dict.fromkeys(("all_classes", "many", "medium", "few"), accuracy)
    more = {"per_class": [accuracy, 0.0, 1.0], "counts": list(counts), "log": {"loss": [1.0]}, "claims": claims}
    return {"method": method, "seed": seed, "train_s": 30.0, **numbers, **more}


def rows_of(**by_method) -> list[dict]:
    return [row(name, seed, value) for name, values in by_method.items() for seed, value in enumerate(values)]


ROWS = rows_of(**{"ACL": (0.53, 0.56, 0.62), BALANCED: (0.50, 0.52, 0.57), ONE_VIEW: (0.40, 0.42, 0.46)})
NAMES = ("ACL", BALANCED, ONE_VIEW)


def test_differences_are_paired_by_seed_and_the_plan_decides():
    summary = summarise_methods(ROWS[::-1], NAMES, 0.01)
    found = {(one["first"], one["second"], one["metric"]): one for one in summary["contrasts"]}
    np.testing.assert_allclose(found["ACL", BALANCED, "few"]["values"], [0.03, 0.04, 0.05], atol=1e-12)
    half = 4.302652729911275 * 0.01 / np.sqrt(3)  # t quantile for two degrees of freedom
    np.testing.assert_allclose(found["ACL", BALANCED, "all_classes"]["low"], 0.04 - half, rtol=1e-9)
    assert summary["verdict"] == "helps" and summary["train_minutes"] == 4.5
    assert {one["first"] for one in summary["contrasts"]} == {"ACL", ONE_VIEW}


def test_the_first_seed_is_projected_and_rows_stay_small():
    rows = [one | {"projection": {"seed": one["seed"]}} for one in ROWS]
    summary = summarise_methods(rows[::-1], NAMES, 0.01)
    assert summary["projections"] == {name: {"seed": 0} for name in NAMES}
    assert not any("projection" in one for one in summary["rows"])
    assert summarise_methods(ROWS, NAMES, 0.01)["projections"] == {}  # rows of an earlier version


def test_principal_components_of_points_on_two_lines():
    """Four points along (3, 4, 0) / 5, twice as far apart as two along (0, 0, 1): lengths squared 2 * 4 and 2 * 1."""
    points = np.array([[0.6, 0.8, 0], [-0.6, -0.8, 0], [0, 0, 0.5], [0, 0, -0.5]]) * 2 + 7.0
    found, shares = principal_components(points)
    np.testing.assert_allclose(found, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12)
    np.testing.assert_allclose(shares, [0.8, 0.2])
    np.testing.assert_allclose(principal_components(points[[1, 0, 3, 2]])[0], found[[1, 0, 3, 2]], atol=1e-12)
    assert shown_classes(np.array([5, 90, 7, 90, 1, 30])).tolist() == [1, 3, 0, 4]
    assert shown_classes(np.array([5, 90, 7])).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("published", "matched", "expected"),
    [
        ((0.05, 0.06, 0.07), (0.03, 0.04, 0.05), "helps"),
        ((0.05, 0.06, 0.07), (0.000, 0.001, -0.001), "helps by its views: no difference beyond them"),
        ((0.05, 0.06, 0.07), (0.05, 0.00, -0.04), "helps, beyond its views undecided"),
        ((0.05, 0.06, 0.08), (-0.05, -0.04, -0.03), "harms"),
        ((0.05, 0.00, -0.04), (0.000, 0.001, -0.001), "nothing"),
        ((0.05, 0.00, -0.04), (0.05, 0.00, -0.04), "undecided"),
        ((0.05, 0.06), (0.03, 0.04), ""),
    ],
)
def test_verdicts_follow_the_rules_of_the_plan(published, matched, expected):
    base = 0.5 + np.zeros(len(published))
    acl = base + matched
    rows = rows_of(**{"ACL": acl, BALANCED: base, ONE_VIEW: acl - published})
    assert summarise_methods(rows, NAMES, 0.01)["verdict"] == expected
    assert plan_verdict([], 0.01) == ""


def test_classes_are_ordered_by_their_size_in_each_seed():
    rows = [row("ACL", 0, 0.5), row("ACL", 1, 0.7, counts=(9, 30, 90))]
    summary = summarise_methods(rows, ["ACL"], 0.01)
    of_size = summary["by_class"]["ACL"]
    assert of_size["counts"] == [90, 30, 9]
    assert of_size["values"] == [[0.5, 1.0, 0.0], [1.0, 0.0, 0.7]]
    claims = summary["claims"]["ACL"]
    assert claims["conflict_ratio"] == [[[7 / 16, 1 / 4, 6 / 12], [0.0, 0.0, 0.0]]]
    np.testing.assert_allclose(claims["compactness"][0], [0.7, 0.8, 0.5 * (0.7 + 0.5)])
    assert claims["margin"][0] == [45.0, None, None]


def test_a_class_without_pairs_has_no_ratio():
    found = summarise_methods([row("ACL", 0, 0.5)], ["ACL"], 0.01)["claims"]["ACL"]
    assert found["conflict_ratio"] == [[[0.5, 0.25, None], [0.0, 0.0, None]]]


def test_tables_show_every_method_and_leave_empty_what_was_not_run():
    summary = summarise_methods(ROWS, NAMES, 0.01)
    text = table_text(summary)
    assert "ACL - Balanced Softmax, All" in text and "+4.0 [1.5, 6.5], could see" in text
    assert "By the plan's rules, ACL: helps" in text and "50 % / 25 %" in text
    assert "*" not in published_losses([])
    ours = summary | {"long_tail": {"images": "cifar100", "imbalance": 100.0}, "about": "what was run"}
    lines = published_losses([ours]).splitlines()
    starred = [line.split("  ")[0] for line in lines if " * " in line]
    assert starred == ["Balanced Softmax", "ACL"] and "57.0 *" in "".join(lines)


@pytest.mark.parametrize("name", COMPARED_METHODS)
def test_a_compared_method_differs_in_its_loss_alone(name):
    base = dataclasses.replace(BASE, parts=LossParts(mean_weight=2.0))
    changed = LOSS_METHODS[name].change(base)
    same = dataclasses.replace(changed, classifier=base.classifier, contrastive=base.contrastive, parts=base.parts)
    if name == ONE_VIEW:
        assert (changed.views, changed.view_counts) == (("probe",), "uniform")
        same = dataclasses.replace(same, views=base.views, view_counts=base.view_counts)
    assert same == base
    assert changed.classifier == ("cross_entropy" if name == "cross-entropy" else "balanced_softmax")
    assert changed.parts.mean_weight == (2.0 if name == "ACL" else 1.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_method_can_be_asked_for_with_every_preset(preset):
    training = PRESETS[preset].training
    losses = {name: KNOWN_METHODS[name].change(training).contrastive for name in KNOWN_METHODS}
    assert {losses["KCL"], losses["TSC"], losses["PaCo"], losses["GPaCo"]} == {"kcl", "tsc", "paco", "gpaco"}


def test_a_mask_is_for_methods_that_compare_embeddings():
    masked = dataclasses.replace(BASE, masking=Masking(kind="lowest", rate=0.9), network=NetworkShape(norm_sets=2))
    assert LOSS_METHODS["ACL"].change(masked).masking == masked.masking
    assert not LOSS_METHODS[BALANCED].change(masked).is_masked


def test_the_plan_is_that_of_the_preset():
    path = Path(long_tail.__file__).with_name("plan.toml")
    plan, cpu = tomllib.loads(path.read_text(encoding="utf-8")), PRESETS["cpu"]
    assert tuple(plan["methods"]) == cpu.methods == COMPARED_METHODS
    assert plan["seeds"] == list(range(cpu.seed, cpu.seed + cpu.seeds))
    assert (plan["shared"]["weight"], plan["shared"]["temperature"]) == (cpu.training.weight, cpu.training.temperature)
    assert plan["rules"]["margin"] == cpu.margin
    decides = [
        (plan["question"]["first"], plan[part][key]) for part, key in (("question", "second"), ("control", "method"))
    ]
    assert decides == list(PAIRS[:2])
    assert {(one.first, one.second) for one in planned_differences(COMPARED_METHODS)} == set(PAIRS)


def test_the_plan_of_the_masks_is_that_of_the_preset_and_of_its_set():
    path = Path(long_tail.__file__).with_name("plan_masks.toml")
    plan, cpu = tomllib.loads(path.read_text(encoding="utf-8")), PRESETS["cpu"]
    assert {tuple(pair) for pair in plan["question"]["pairs"]} <= set(MASK_PAIRS)
    assert set(plan["methods"]) == {name for pair in plan["question"]["pairs"] for name in pair}
    assert len(plan["seeds"]) == cpu.seeds and not set(plan["seeds"]) & set(range(cpu.seed, cpu.seed + cpu.seeds))
    assert plan["rules"]["margin"] == cpu.margin and plan["question"]["share"] == MASKED_SHARE
    assert list(PLAN_MARGINS) == plan["question"]["classes"]
    assert list(PLAN_MARGINS.values()) == pytest.approx([cpu.margin, 3 * cpu.margin])  # "three times the margin"
    power = plan["power"]
    assert detectable_difference(power["scatter_seen"], cpu.seeds) == pytest.approx(power["detectable_then"], abs=5e-4)
    committed = Path(long_tail.__file__).parents[2] / "figures" / "data" / "long_tail_losses.json"
    alike = {"SupCon", "BCL", "RCL", "ACL", BALANCED}
    seen = [
        np.std(one["values"], ddof=1)
        for one in load_json(committed)["contrasts"]
        if one["metric"] == "all_classes" and {one["first"], one["second"]} <= alike
    ]
    assert max(seen) == pytest.approx(power["scatter_seen"], abs=5e-4)


def test_the_plan_of_the_parts_is_that_of_the_preset_and_of_its_sets():
    path = Path(long_tail.__file__).with_name("plan_parts.toml")
    plan, cpu = tomllib.loads(path.read_text(encoding="utf-8")), PRESETS["cpu"]
    others = [
        tomllib.loads(path.with_name(name).read_text(encoding="utf-8")) for name in ("plan.toml", "plan_masks.toml")
    ]
    assert len(plan["seeds"]) == cpu.seeds and not set(plan["seeds"]) & {
        seed for one in others for seed in one["seeds"]
    }
    assert {tuple(pair) for pair in plan["question"]["pairs"]} <= set(PART_PAIRS)
    for loss in ("acl", "rcl"):
        whole, *parts = methods = plan[f"methods_of_{loss}"]
        assert {(name, whole) for name in parts} <= set(PART_PAIRS) and whole == loss.upper()
        summary = load_json(Path(long_tail.__file__).parents[2] / "figures" / "data" / f"long_tail_{loss}_parts.json")
        ran = {(row["method"], row["seed"]) for row in summary["rows"]}
        assert ran == {(method, seed) for method in methods for seed in plan["seeds"]}
    assert plan["rules"]["margin"] == cpu.margin == PLAN_MARGINS["all_classes"]
    assert list(PLAN_MARGINS) == plan["question"]["classes"]
    power = plan["power"]
    assert detectable_difference(power["scatter_seen"], cpu.seeds) == pytest.approx(power["detectable_then"], abs=5e-4)


BY_SEED = [
    ((0.02, 0.021, 0.022), "helps"),
    ((-0.02, -0.021, -0.022), "harms"),
    ((0.001, 0.0, -0.001), "nothing"),
    ((0.05, 0.0, -0.04), "undecided"),
]


@pytest.mark.parametrize(("by_seed", "expected"), BY_SEED)
def test_parts_help_where_the_loss_is_worse_without_them(by_seed, expected):
    without = np.array([0.50, 0.52, 0.57])
    rows = rows_of(**{"ACL": without + by_seed, "ACL: no part": without, "RCL": without})
    summary = summarise_methods(rows, ("ACL", "ACL: no part", "RCL"), 0.01)
    found = part_verdicts(summary["contrasts"])
    assert set(found) == {"ACL"} and set(found["ACL"]) == {"ACL: no part"}
    assert found["ACL"]["ACL: no part"]["all_classes"] == expected
    assert f"  ACL: no part: {expected} (Few: " in table_text(summary)


@pytest.mark.parametrize(("by_seed", "expected"), BY_SEED)
def test_a_mask_is_judged_against_random_ones_under_the_same_loss(by_seed, expected):
    random = np.array([0.50, 0.52, 0.57])
    rows = rows_of(**{"ACL, smallest masked": random + by_seed, "ACL, random masked": random, "ACL": random - 0.1})
    summary = summarise_methods(rows, ("ACL", "ACL, smallest masked", "ACL, random masked"), 0.01)
    assert mask_verdicts(summary["contrasts"])["ACL"]["all_classes"] == expected and summary["verdict"] == ""
    assert f"masks, ACL, smallest against random: {expected} (Few: " in table_text(summary)


def test_the_rarest_classes_have_a_margin_of_their_own():
    random = np.array([0.50, 0.52, 0.57])
    rows = rows_of(**{"ACL, smallest masked": random + np.array([0.021, 0.02, -0.001]), "ACL, random masked": random})
    summary = summarise_methods(rows, ("ACL, smallest masked", "ACL, random masked"), 0.01)
    # a mean of 0.0133 with a standard error of 0.0072 has a 90 % interval of [-0.0076, 0.0343]: not within 0.03
    assert mask_verdicts(summary["contrasts"])["ACL"] == {"all_classes": "undecided", "few": "undecided"}
    rows = rows_of(**{"ACL, smallest masked": random + np.array([0.011, 0.01, -0.001]), "ACL, random masked": random})
    summary = summarise_methods(rows, ("ACL, smallest masked", "ACL, random masked"), 0.01)
    # a mean of 0.0067 with a standard error of 0.0038: [-0.0046, 0.0179], within 0.03 alone
    assert mask_verdicts(summary["contrasts"])["ACL"] == {"all_classes": "undecided", "few": "nothing"}
    assert mask_verdicts([]) == {}


@pytest.mark.parametrize("name", VARIANT_SETS)
def test_a_set_varies_one_thing_of_methods_that_it_holds(name):
    varied = {
        "acl-parts": "parts",
        "rcl-parts": "parts",
        "rcl-scale": "parts",
        "weights": "weight",
        "views": "views",
        "masks": "masking",
    }
    base = dataclasses.replace(BASE, weight=0.35)
    for variant, one in VARIANT_SETS[name].items():
        mine, plain = one.method.change(base), LOSS_METHODS[one.base].change(base)
        assert getattr(mine, varied[name]) != getattr(plain, varied[name]), variant
        # views of a chosen number are uniform, and a masked network has batch norms of its own
        same = dataclasses.replace(
            mine, **{varied[name]: getattr(plain, varied[name])}, view_counts=plain.view_counts, network=plain.network
        )
        assert same == plain
    chosen = method_names((name, ACL))
    assert len(chosen) == len(set(chosen)) and set(VARIANT_SETS[name]) <= set(chosen)
    pairs = {(one.first, one.second) for one in planned_differences(chosen)}
    assert {(variant, one.base) for variant, one in VARIANT_SETS[name].items()} <= pairs


def test_every_choice_of_parts_is_there_once():
    assert len(VARIANT_SETS["acl-parts"]) == 2**3 - 1 and len(VARIANT_SETS["rcl-parts"]) == 2**2 - 1 + 1
    none = VARIANT_SETS["acl-parts"]["ACL: no part"].method.change(BASE).parts
    assert not (none.aligned or none.reweighted or none.centred)
    assert len(VARIANTS) == sum(len(of) for of in VARIANT_SETS.values()) and not set(VARIANTS) & set(LOSS_METHODS)


def test_methods_beside_the_plan_are_held_against_two_of_it_and_masks_against_each_other():
    pairs = [(one.first, one.second) for one in planned_differences((BALANCED, "SupCon", "KCL", "published BCL"))]
    assert {("KCL", BALANCED), ("KCL", "SupCon"), ("published BCL", BALANCED)} <= set(pairs)
    pairs = {(one.first, one.second) for one in planned_differences(method_names(("masks",)))}
    assert ("ACL, smallest masked", "ACL, random masked") in pairs


def test_two_names_of_the_same_training_are_refused_in_one_line():
    twice = dataclasses.replace(PRESETS["paper"], methods=("weights",))  # its weight is one of the set
    with pytest.raises(ConfigError, match="methods: wanted trainings that differ, got ") as error:
        check_study(twice)
    assert str(error.value).endswith("with these options; leave one of them out") and "\n" not in str(error.value)
    for name in VARIANT_SETS:
        check_study(dataclasses.replace(PRESETS["smoke"], methods=(name,)))


def test_documents_quote_the_class_with_most_conflicts_and_the_views():
    rows = rows_of(**{ACL: [0.5, 0.6], BALANCED: [0.4, 0.6]})
    summary = summarise_methods(rows, (ACL, BALANCED), 0.01) | {
        "about": "what was run",
        "long_tail": {"images": "cifar10", "imbalance": 100.0},
        "training": {"view_counts": "by_size", "views": ["probe"] * 4},
    }
    found = quoted_losses(summary)
    assert found["conflicts"][ACL]["sup_con"] == [0.5, 90, 0.25] and found["conflicts"][ACL]["acl"] == [0.0, 90, 0.0]
    assert found["views"] == "3 of each image of 2 classes, 4 of each image of 1 classes"
    assert found["rows"][1][:2] == [ACL, "55.0 +-5.0"]
    assert found["difference"][ACL][BALANCED]["all_classes"]["estimate"] == pytest.approx(5.0)
