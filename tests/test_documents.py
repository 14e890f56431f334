"""Documents are what their sources and the committed summaries say, and no measured number is typed in a source."""

import json
import re

import pytest

from experiments import make_figures, stage_tracking
from experiments.documents import bench, lookups
from experiments.documents.numbers import ROOT, DocumentError, Names, Quantity
from experiments.documents.sources import NOT_TEXT, SETTINGS, render, source_files, typed_numbers, wrap
from tests import quoted

ROWS = [
    {"reading": "literal", "noise": "none", "against": {"estimate": -0.771, "low": -0.85, "high": -0.69}},
    {"reading": "literal", "noise": "1 percent", "against": {"measured": 0.156, "interval": [0.07, 0.252]}},
]
NAMES = Names(run=Quantity({"rows": ROWS, "ends": [184, 175, 178], "0": {"share": 0.0157}, "empty": None}, "run"))


def test_every_document_is_up_to_date():
    for path, text in quoted.documents().items():
        there = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).exists() else ""
        if there != text:
            pytest.fail(f"{path} is out of date: run make documents", pytrace=False)


@pytest.mark.parametrize(
    ("placeholder", "text"),
    [
        ("{run[rows][reading=literal][noise=1 percent][against]:+.2f}", "+0.16 [0.07, 0.25]"),
        ("{run[rows][noise=none][against].negated:.1f}", "0.8 [0.7, 0.8]"),
        ("{run[rows][0][against][low]:.2f}", "-0.85"),
        ("{run[ends]}", "175-184"),
        ("{run[ends].median:.1f}", "178.0"),
        ("{run[ends].count}", "3"),
        ("{run[0][share]:.1%}", "1.6 %"),
        ("{{run}}", "{run}"),
    ],
)
def test_what_a_placeholder_prints(placeholder, text):
    assert render(placeholder, NAMES, "x.md").splitlines()[-1] == text


@pytest.mark.parametrize(
    ("placeholder", "message"),
    [
        ("{walk[ends]}", "x.md: there is no summary or look-up called 'walk'; there are run"),
        ("{run[end]}", "x.md: run[end] is in no committed summary; run has rows, ends, 0, empty"),
        ("{run[ends][7]}", "x.md: run[ends][7] is in no committed summary; run[ends] has 3 entries"),
        ("{run[rows][noise=high]}", "x.md: run[rows][noise=high] is in no committed summary; run[rows] has 2 entries"),
        ("{run[rows]:.2f}", "x.md: run[rows]: wanted a list of numbers; it has 2 entries"),
        ("{run[0]:.2f}", "x.md: run[0]: wanted an estimate with its interval; it has share"),
        ("{run[empty]:.2f}", "x.md: run[empty] is empty: nothing was measured there"),
        ("{run[ends].middle}", "x.md: a placeholder cannot be read"),
        ("a set {1, 2}", "x.md: "),
        ("gains 0.16 on average", "x.md:1: the number 0.16 is typed; read it from a summary by a placeholder"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(placeholder, message):
    with pytest.raises(DocumentError) as caught:
        render(placeholder, NAMES, "x.md")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        ("one of 3 groups, theory 6.1, P5, T1, d1, float32 and [text](figures/a_2.15.png) {run[0]:.2f}", []),
        ("`x = 0.5`\n\n```\n12.5 [0.1, 0.2]\n```\n1. first\n12. twelfth", []),
        ("[6.2](theory.md#6.2)", []),
        ("a\nb -4.7 c", [(2, "-4.7")]),
        ("in 10 of 10 seeds", [(1, "10"), (1, "10")]),
        ("in 2 of 3 seeds", [(1, "2")]),
        ("hardly 3 %", [(1, "3")]),
        ("2-3 neurons after 4,000 steps", [(1, "2"), (1, "4,000")]),
        ("the interval [1, 2]", [(1, "[1, 2]")]),
    ],
)
def test_typed_numbers_are_found(source, numbers):
    assert typed_numbers(source) == numbers


def test_paragraphs_are_wrapped_and_the_rest_is_kept():
    long = " ".join(["word"] * 40)
    code = "```\n" + "x" * 130 + "\n# y\n```\n"
    table = "| " + "x" * 130 + " |\n|---|\n"
    assert wrap(code + table) == code + table
    lines = wrap(f"- {long}\n  word\n- b\n").splitlines()
    assert [len(line) <= 120 for line in lines] == [True] * len(lines) and lines[1].startswith("  word")
    assert " ".join(lines).split() == f"- {long} word - b".split() and lines[-1] == "- b"


def test_every_setting_is_typed_somewhere():
    """An exception that no source needs would hide a measured number one day."""
    texts = [path.read_text(encoding="utf-8") for path in source_files()]
    for pattern in NOT_TEXT:
        texts = [re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL) for text in texts]
    unused = [
        pattern for pattern in SETTINGS if not any(re.search(pattern.replace(" ", r"\s+"), text) for text in texts)
    ]
    assert not unused, f"no source types these settings: {unused}"


def test_every_summary_has_a_name():
    assert {path.stem for path in (ROOT / "figures" / "data").glob("*.json")} <= set(quoted.names())


def test_the_benchmarks_are_those_of_the_measurement():
    """The ratio of masks is that within rounds where it was kept, and the commit is the one that was measured."""
    report = json.loads(bench.MEASURED.read_text(encoding="utf-8"))
    text = quoted.documents()["tests/benchmarks/README.md"]
    assert f"commit {report['provenance']['commit'][:7]} ({report['date'][:10]})" in text
    found = bench.measured()
    assert (
        set(found["steps"]) == set(found["parts"]) == set(found["fresh"]) == {"default", "d64_m256_L8", "d128_m4096_L8"}
    )
    plain, masked = {"torch_eager / this": 2.0}, {"torch_eager / this": 1.0}
    assert bench.mask_speed({bench.ONE_RUN: plain, "masked": masked}, "masked") == 0.5
    assert bench.mask_speed({bench.ONE_RUN: plain, "masked": masked | {"no mask / this": 0.6}}, "masked") == 0.6
    rows = {row[0]: row[1:] for row in bench.bench_rows(found)}
    default = report["candidates"]["step[default-engine_1_seed]"]
    assert rows["one run, ms per step"][0] == f"{default['median_ms']:.3g}"
    assert rows["times faster than PyTorch eager, one run / 16"][0].startswith(f"{default['torch_eager / this']:.1f} /")


def test_the_benchmark_on_images_is_shown_once_it_was_measured(tmp_path, monkeypatch):
    report = json.loads(bench.MEASURED_ON_IMAGES.read_text(encoding="utf-8"))
    assert all(name.startswith("image_step") for name in report["candidates"])
    measured_rows = {
        "image_step[narrow-dynsim]": {
            **{"batch": 256, "images per second": 812.4, "share of the product rate": 0.316},
            **{"torch_eager / this": 1.254, "torch_compiled / this": 0.987},
        },
        "image_step[narrow-dynsim_random_views]": {"images per second": 700.2},
        "image_step[narrow-torch_eager]": {"share of the product rate": 0.252},
    }
    monkeypatch.setattr(bench, "MEASURED_ON_IMAGES", tmp_path / "measured_images.json")
    for rows in ({}, measured_rows):
        bench.MEASURED_ON_IMAGES.write_text(json.dumps(report | {"candidates": rows}), encoding="utf-8")
        found = bench.measured()
        assert found["recording"]["records of the default preset"] > 0  # not taken for a row of another kind
        table = bench.image_rows(found)
        assert [row[1] for row in table] == (
            ["narrow", "256", "812", "700", "1.25 / 0.99", "32", "25"] if rows else ["not measured yet"]
        )


def test_what_the_paper_says_is_told_with_its_refutation():
    answer = quoted.names()["pruning_answer"].value
    told = lookups.paper_rows(answer).splitlines()
    of_paper = {
        row["claim"].rstrip(".") for row in answer["statements"] if row["said_by"].startswith(("Theorem", "Alg"))
    }
    assert len(told) == len(of_paper) > 5 and all(any(claim in line for line in told) for claim in of_paper)
    for line in told:
        cells = line.strip("| ").split(" | ")
        assert len(cells) == 4 and "[" in cells[2] and cells[3]


def test_verdicts_that_are_typed_follow_from_the_summary():
    """The tables of both READMEs begin with rows of stage_tracking, which judges nothing itself."""
    found = quoted.names()["stage_tracking"].value
    ends, counts, n_seeds = lookups.stage_ends(found), found["specialists"]["end"], len(found["seeds"])
    assert found["stages_found"]["minority"]["T3"] == found["stages_found"]["majority"]["T3"] == n_seeds
    assert all(late > early for late, early in zip(ends["minority"]["T2"], ends["majority"]["T2"], strict=True))
    assert max(counts["minority"]) < min(counts["majority"]) and found["controls"]["b = 0"]["found"]["all"]["T2"] == 0
    assert min(counts["majority"]) > 2 * max(counts["minority"])  # "Expected" in stage_tracking.py
    assert min(counts["all"]) > 0.95 * found["config"]["encoder"]["n_neurons"]
    for rate in (found["rates"]["small_learning_rate"][group] for group in ("majority", "minority")):
        assert rate["interval"][0] <= rate["predicted"] <= rate["interval"][1]
    largest = found["predictions"]["largest_magnitude"]["minority"]
    assert largest["interval"][0] > largest["predicted"]


def test_what_is_said_of_losses_with_labels_follows_from_the_summaries():
    """Their headings in experiments/README.md are typed: a new run that says otherwise must change them."""
    names = quoted.names()
    said, ends = names["label_statement"].value, names["label_end"].value
    for noise in ("1 percent", "default"):
        at = {name: shapes["wide"][noise] for name, shapes in said.items() if "wide" in shapes}
        assert {at[name]["verdict"] for name in ("LABELS", "SUPCON", "MASK", "MASK BEYOND LABELS")} == {"supported"}
        assert at["TRUE LABELS"]["found"]["high"] < 0 and at["REBALANCED"]["verdict"] != "supported"
        assert not ends["inner products"]["wide"][noise]["ACL"]["settled"]
        alone = ends["unit length"]["base"][noise]["no labels"]["ends"]["minority coverage"]
        assert alone["estimate"] == 1 and said["COST OF LABELS"]["base"][noise]["found"]["low"] > 0
    later, ends_later = names["label_statement_long"].value, names["pruning_labels_long"].value["methods"]
    assert all(row["equal_steps"]["settled"] for row in ends_later)  # "every method has settled"
    for noise in ("1 percent", "default"):
        at = {name: shapes["wide"][noise] for name, shapes in later.items()}
        assert {at[name]["verdict"] for name in ("LABELS", "SUPCON", "MASK")} == {"supported"}
        for name in ("LABELS", "TRUE LABELS", "RARE LABELS", "MASK BEYOND LABELS"):  # the same signs and sizes
            now, before = (one["found"]["estimate"] for one in (at[name], said[name]["wide"][noise]))
            assert now * before > 0 and abs(now - before) < 0.04
    beyond = later["MASK BEYOND LABELS"]["wide"]
    assert [beyond[noise]["verdict"] for noise in ("1 percent", "default")] == ["supported", "undecided"]
    wide, narrow = (one["default"]["found"] for one in (beyond, said["MASK BEYOND LABELS"]["wide"]))
    assert wide["low"] > 0  # "after Holm's correction"
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])  # "it scatters more"
    assert said["ALIGNED AND REWEIGHTED"]["wide"]["1 percent"]["verdict"] == "undecided"
    assert said["ALIGNED AND REWEIGHTED"]["wide"]["default"]["verdict"] == "supported"
    found = names["losses"].value["difference"]
    views = found["Balanced Softmax, one view"]["Balanced Softmax"]
    assert views["all_classes"]["high"] < 0 and views["few"]["high"] < 0
    for loss in ("SupCon", "BCL", "RCL", "ACL"):
        one = found[loss]["Balanced Softmax"]["all_classes"]
        assert one["low"] < 0 < one["high"]


def test_what_is_said_of_masks_under_losses_with_labels_follows_from_the_summary():
    """The heading is typed: "is not seen here, and not excluded", and "more than was planned for"."""
    masks = quoted.names()["loss_masks"].value
    words = masks["masks"]
    assert words["SupCon"] == {"all_classes": "undecided", "few": "nothing"}  # "within the plan's margin"
    assert words["ACL"] == {"all_classes": "undecided", "few": "undecided"}
    for loss in ("SupCon", "ACL"):
        found = masks["difference"][f"{loss}, smallest masked"][f"{loss}, random masked"]
        assert found["all_classes"]["detectable"] > 3.9


def test_what_is_said_of_parts_of_losses_follows_from_the_summaries():
    """Typed are "no part is seen to matter", "none is excluded", "more", "hardly any", "more than was planned for"."""
    parts = quoted.names()["loss_parts"].value
    for loss, found in parts.items():
        assert {words["all_classes"] for words in found["parts"][loss].values()} == {"undecided"}
        for name in found["parts"][loss]:
            one = found["difference"][name][loss]["all_classes"]
            assert one["low"] < 0 < one["high"]
        assert found["difference"][f"{loss}: no part"][loss]["all_classes"]["detectable"] > 3.9
    largest = {name: by_loss["sup_con"][0] for name, by_loss in parts["ACL"]["conflicts"].items()}
    assert min(largest["ACL: aligned"], largest["ACL"]) > 1.3 * largest["ACL: no part"]
    assert largest["ACL: reweighted"] < 0.05
    compact = parts["ACL"]["compactness"].values()
    assert max(compact) - min(compact) < 0.02


def minutes(words):
    """Return the times in a text, in minutes."""
    fixed = {"half an hour": 30.0, "an hour": 60.0, "half a minute": 0.5, "a minute": 1.0, "seven hours": 420.0}
    units = {"minutes": 1.0, "seconds": 1 / 60}
    times = re.findall(r"half an hour|an hour|half a minute|a minute|seven hours|\d+ (?:minutes|seconds)", words)
    return [fixed[one] if one in fixed else int(one.split()[0]) * units[one.split()[1]] for one in times]


@pytest.mark.parametrize("one", make_figures.EXPERIMENTS, ids=lambda one: one.name)
def test_times_are_told_alike_and_as_measured(one):
    """--help of an experiment, what it says of its presets, and the seconds in the committed summary agree."""
    (told,) = (" ".join(part.split()) for part in one.about.split("\n\n") if part.startswith("Time:"))
    for preset, words in one.about_presets.items():
        assert preset not in ("default", "quick") or minutes(words)[0] in minutes(told), preset
    taken = quoted.names()[one.name].value["total_wall_s"] / 60
    said = minutes(told)[0] + (minutes(told)[-1] if "controls" in one.command else 0)
    assert said / 3 < taken < 1.5 * said  # the upper third may be compilation, which a second run has not


def test_the_time_of_all_figures_is_the_sum_of_the_experiments():
    (told,) = (part for part in make_figures.__doc__.split("\n\n") if part.startswith("Time:"))
    taken = sum(quoted.names()[one.name].value["total_wall_s"] for one in make_figures.EXPERIMENTS) / 60
    assert minutes(told)[-1] == pytest.approx(taken, rel=0.2)


def test_the_readme_takes_its_times_from_the_presets():
    help_says = stage_tracking.EXPERIMENT.about_presets
    text = quoted.documents()["README.md"]
    for preset in ("quick", "default"):
        assert help_says[preset].rpartition("; ")[2] in " ".join(text.split())


def test_the_readme_is_short():
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert sum(len(line.split()) for line in text.splitlines() if not line.startswith("|")) <= 1400
