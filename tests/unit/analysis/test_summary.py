"""The quoted numbers, on a record made by hand."""

import json

import numpy as np
import pytest
import xarray as xr

from dynsim.analysis import stages, summary
from dynsim.config import serial
from dynsim.theory.specialists import Snapshot
from tests.reference import toy

STEPS = np.array([0, 5, 10, 20])
GROUP = np.array(["majority", "majority", "minority"], dtype=object)
# neurons are rows: 0 and 1 become specialists of features 0 and 2, 2 stays mixed, 3 stays small
ALIGNMENT = np.array(
    [
        [[0.6, 0.4, 0.4], [0.4, 0.4, 0.6], [0.5, 0.5, 0.5], [0.5, 0.1, 0.1]],
        [[2.0, 0.4, 0.4], [0.4, 0.4, 0.6], [0.5, 0.5, 0.5], [0.5, 0.1, 0.1]],
        [[5.0, 0.1, 0.1], [0.4, 0.4, 3.0], [1.5, 1.5, 1.5], [0.2, 0.0, 0.0]],
        [[5.0, 0.1, 0.1], [0.1, 0.1, 6.0], [1.5, 1.5, 1.5], [0.2, 0.0, 0.0]],
    ]
)
RESIDUAL = 0.3


def by_hand(n_seeds=2, diverged=()):
    """The same record for every seed; those in `diverged` are not finite from record 2 on."""
    norm = np.sqrt(np.sum(ALIGNMENT**2, axis=2) + RESIDUAL**2)
    fields = {
        "alignment": ALIGNMENT,
        "weight_norm": norm,
        "residual_norm": np.full_like(norm, RESIDUAL),
        "threshold": np.zeros_like(norm),
        "firing": np.tile([1.0, 1.0, 1.0, 0.9], (4, 1)),
        "false_firing": np.zeros_like(norm),
        "self_weight": np.ones(4),
    }
    assert set(fields) == set(Snapshot._fields)
    names = {"alignment": ("neuron", "feature"), "self_weight": ()}
    data = {
        name: (("seed", "record", *names.get(name, ("neuron",))), np.stack([value] * n_seeds))
        for name, value in fields.items()
    }
    loss = np.array([np.nan, 2.0, 1.5, 1.0])
    data["loss"] = ("seed", "record"), np.stack([loss + s for s in range(n_seeds)])
    data["switch_step"] = "seed", np.full(n_seeds, 7)
    data["diverged_step"] = "seed", np.array([9 if s in diverged else -1 for s in range(n_seeds)])
    data["diverged_reason"] = "seed", np.array(["why" if s in diverged else "" for s in range(n_seeds)], object)
    attrs = {
        "config": serial.to_json(toy(data__n_features=3, data__minority_fraction=0.3)),
        "provenance": json.dumps({"wall_s": 4.0, "steps_per_s": 10.0}),
        "false_firing_rate": 0.125,
    }
    result = xr.Dataset(
        data, {"seed": np.arange(n_seeds), "step": ("record", STEPS), "group": ("feature", GROUP)}, attrs
    )
    for seed in diverged:
        for name in ("alignment", "weight_norm", "residual_norm", "loss"):
            result[name][seed, 2:] = np.nan
    return result


def test_counts_by_hand():
    result = by_hand()
    ends = summary.all_stage_ends(result)
    counts = summary.counts_at(result, ends)
    assert counts[0]["end"] == {
        "majority": {"specialists": 1, "coverage": 0.5},
        "minority": {"specialists": 1, "coverage": 1.0},
        "all": {"specialists": 2, "coverage": pytest.approx(2 / 3)},
    }
    # a floor of 0.01 of the largest norm lets the small neuron in: its purity is 0.2 / sqrt(0.2^2 + 0.3^2) < 0.7
    assert summary.counts_at(result, ends, 0.01) == counts
    picked = summary.pick(counts, "specialists")
    assert picked["end"]["all"] == [2, 2] and set(picked) == {"T1", "T2", "T3", "end"}
    for stage in stages.STAGES:
        for group, end in ((group, ends[0][group][stage]) for group in ends[0]):
            value = counts[0][stage][group]
            assert (value is None) == (end.step is None)
            if end.step is not None:
                record = STEPS.tolist().index(end.step)
                pure = (
                    np.abs(ALIGNMENT[record])
                    / np.linalg.norm(np.c_[ALIGNMENT[record], [RESIDUAL] * 4], axis=1)[:, None]
                )
                mask = {"majority": [0, 1], "minority": [2], "all": [0, 1, 2]}[group]
                own = {i: int(pure[i].argmax()) for i in range(3) if pure[i].max() >= 0.7}
                assert value["specialists"] == sum(feature in mask for feature in own.values())


def test_purity_and_residual_by_hand():
    result = by_hand()
    norm = np.sqrt(np.sum(ALIGNMENT[-1] ** 2, axis=1) + RESIDUAL**2)
    pure = (np.abs(ALIGNMENT[-1]).max(axis=1) / norm)[:3]  # the small neuron is below a tenth of the largest
    wanted = {f"{q:g}": np.quantile(np.tile(pure, 2), q) for q in (0.1, 0.25, 0.5, 0.75, 0.9)}
    assert summary.purity_quantiles(result) == pytest.approx(wanted)
    got = summary.summarise(result, summary.all_stage_ends(result))
    assert got["residual_share"] == pytest.approx(np.mean(RESIDUAL**2 / norm[:3] ** 2))


def test_summary_by_hand():
    result = by_hand()
    got = summary.summarise(result, summary.all_stage_ends(result))
    assert got["final_loss"] == {"mean": 1.5, "per_seed": [1.0, 2.0]}
    assert got["false_firing_rate"] == 0.125
    assert got["switch_step"] == [7, 7] and got["records_before_switch"] == [2, 2]
    assert got["seeds"] == [0, 1] and got["diverged"] == {} and got["wall_s"] == 4.0 and got["steps_per_s"] == 10.0
    assert json.loads(json.dumps(got, allow_nan=False)) == got  # plain values
    assert json.loads(summary.as_text(got)) == got


def test_stage_table_has_a_step_or_a_reason():
    result = by_hand()
    ends = summary.all_stage_ends(result)
    table = summary.stage_table(result, ends)
    for seed, found in zip(("0", "1"), ends, strict=True):
        for group, by_stage in found.items():
            for stage, end in by_stage.items():
                assert table[seed][group][stage] == end.step
                assert table[seed][group].get(f"{stage}_reason", "") == end.reason
    counts = summary.found_counts(ends)
    assert counts["all"]["T1"] == sum(found["all"]["T1"].step is not None for found in ends)


@pytest.mark.parametrize("diverged", [0, 1, 2])
def test_a_diverged_run_enters_no_number(diverged):
    result = by_hand(3, diverged=[diverged])
    good = [seed for seed in range(3) if seed != diverged]
    assert summary.finite_runs(result).seed.values.tolist() == good
    got = summary.summarise(result, summary.all_stage_ends(result))
    assert got["diverged"] == {str(diverged): {"step": 9, "reason": "why"}}
    alone = by_hand(3).isel(seed=good)
    wanted = summary.summarise(alone, summary.all_stage_ends(alone))
    assert {k: v for k, v in got.items() if k not in ("seeds", "diverged")} == {
        k: v for k, v in wanted.items() if k not in ("seeds", "diverged")
    }
    assert f"diverged: seed {diverged} at step 9, why" in summary.table_text(got).splitlines()


def test_all_runs_diverged():
    result = by_hand(2, diverged=[0, 1])
    got = summary.summarise(result, summary.all_stage_ends(result))
    assert list(got["diverged"]) == ["0", "1"] and "stages" not in got and "final_loss" not in got
    assert summary.table_text(got).splitlines()[0] == "no run to summarise"
    assert summary.control_numbers(result) == {"n_seeds": 0, "n_diverged": 2}


def test_control_numbers():
    got = summary.control_numbers(by_hand(3, diverged=[1]))
    assert (got["n_seeds"], got["n_diverged"]) == (2, 1)
    assert got["specialists_at_end"]["all"] == [2, 2]
    alone = by_hand(2)
    assert got["found"] == summary.found_counts(summary.all_stage_ends(alone))


def test_table_text_by_hand():
    row = {"T1": 5, "T2": None, "T2_reason": "no stage 2", "T3": None, "T3_reason": "no stage 2 before it"}
    other = {"T1": 9, "T2": 12, "T3": None, "T3_reason": "no stage 2 before it"}
    values = {"T1": [0, 1], "T2": [None, 3], "T3": [None, None], "end": [2, 4]}
    cover = {stage: [None if v is None else v / 4 for v in column] for stage, column in values.items()}
    numbers = {
        "diverged": {},
        "stages": {"0": {"all": row}, "1": {"all": other}},
        "specialists": {stage: {"all": column} for stage, column in values.items()},
        "coverage": {stage: {"all": column} for stage, column in cover.items()},
    }
    lines = summary.table_text(numbers).splitlines()
    assert lines[0] == "Stages of training: median [min, max] over 2 seeds; found says in how many of them."
    assert [line.split()[0] for line in lines[1:5]] == ["T1", "T2", "T3", "T1*"]
    assert "90% of the features" in lines[2]
    head = lines.index("") + 1
    assert lines[head].split() == ["group", "stage", "found", "step", "specialists", "coverage"]
    split = [line.split() for line in lines[head + 1 :]]
    assert split[0] == ["all", "T1*", "2/2", "7", "[5,", "9]", "0", "[0,", "1]", "0.12", "[0.00,", "0.25]"]
    assert split[1] == ["all", "T2", "1/2", "12", "[12,", "12]", "3", "[3,", "3]", "0.75", "[0.75,", "0.75]"]
    assert split[2] == ["all", "T3", "0/2", "-", "-", "-"]
    assert split[3] == ["all", "end", "3", "[2,", "4]", "0.75", "[0.50,", "1.00]"]
    assert lines[head + 5].startswith("Each row is over the seeds in which its stage was found")
    assert lines[head + 7 :] == [
        "not found: all T2 in 1/2: no stage 2",
        "not found: all T3 in 2/2: no stage 2 before it",
    ]
    one = {"stages": {"0": numbers["stages"]["0"]}}
    assert "over 1 seed; found" in summary.table_text(numbers | one)
    rate = "false firing: noise alone makes a neuron fire on 0.15 of the tokens"
    assert summary.table_text(numbers | {"false_firing_rate": 0.15}).splitlines()[-1] == rate


def printed(found: dict[str, list[int | None]]) -> dict[str, list[str]]:
    """Return the words of each row of the printed table, by stage, for the steps of one group."""
    n = len(found["T1"])
    rows = {str(seed): {"minority": {stage: steps[seed] for stage, steps in found.items()}} for seed in range(n)}
    counts = {stage: {"minority": steps} for stage, steps in (found | {"end": [1] * n}).items()}
    numbers = {"diverged": {}, "stages": rows, "specialists": counts, "coverage": counts}
    lines = summary.table_text(numbers).splitlines()
    return {line.split()[1]: line.split()[2:] for line in lines if line.startswith("minority")} | {
        "note": [line for line in lines if "fewer seeds" in line]
    }


def test_a_stage_that_few_seeds_reach_has_no_median():
    """The median T3 of 2 of 5 seeds, 40, came before the median T2 of all five, 50."""
    early = {"T1": [5, 5, 5, 5, 5], "T2": [20, 30, 50, 70, 80]}
    few = printed(early | {"T3": [35, 45, None, None, None]})
    assert few["T3"] == ["2/5", "-", "-", "-"] and few["T2"][:4] == ["5/5", "50", "[20,", "80]"]
    most = printed(early | {"T3": [35, 45, 48, None, None]})
    assert most["T3"][:4] == ["3/5", "45", "[35,", "48]"]
    assert len(few["note"]) == len(most["note"]) == 1
    assert printed(early | {"T3": [35, 45, 60, 90, 95]})["note"] == []


def test_the_table_shows_the_controls():
    result = by_hand()
    ends = summary.all_stage_ends(result)
    numbers = summary.summarise(result, ends)
    plain = summary.table_text(numbers)
    control = summary.control_numbers(by_hand(n_seeds=3, diverged=(1,)))
    text = summary.table_text(numbers | {"controls": {"b = 0": control}})
    assert "control" not in plain and text.startswith(plain.split("not found")[0])
    lines = text.splitlines()
    assert "Null controls: in how many of their runs each stage was found." in lines
    place = lines.index("control b = 0, 2 runs (1 diverged)")
    for line, (group, found) in zip(lines[place + 1 :], control["found"].items(), strict=False):
        wanted = "  ".join(f"{stage} in {found[stage]}/2" for stage in ("T1", "T2", "T3"))
        assert line.startswith(f"  {group:<10}{wanted}  specialists at the end ")


def test_few_features_reach_t2_with_the_last_one():
    """The legend says below which number nine tenths of whole features are all of them."""
    least = [min(k for k in range(n + 1) if k >= stages.COVERED * n) for n in range(1, 40)]
    assert [k == n for n, k in enumerate(least, start=1)] == [n < summary.ALL_BELOW for n in range(1, 40)]
