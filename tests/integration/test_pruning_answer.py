"""The answer on pruning at toy size: what it writes, that it goes on and redraws, and what a plan edited later does."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from dynsim import plots, study
from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError
from dynsim.config.serial import to_json
from dynsim.engine import simulate
from dynsim.experiment import run
from experiments import pruning_answer
from experiments.pruning import answer_overview, arms, measures, plan
from experiments.pruning.arms import UNMASKED
from tests.saved_figures import mostly_png

pytestmark = pytest.mark.slow  # eight programs are compiled

POINT = plan.PlanPoint("default", 0.5)
LENGTHS = (24, 40)
TINY = {
    "data.n_features": 5,
    "data.token_dim": 8,
    "encoder.n_neurons": 6,
    "data.batch_size": 6,
    "data.activation_rate": 0.4,
    "encoder.init_std": 0.3,
    "train.n_records": 16,
}


def toy_plan(preset):
    full = plan.load_plan()
    few = [one for one in full.statements if one.name in ("P1", "P2", "P3", "ESCAPE", "MAGNITUDE")]
    return full._replace(
        shape="tiny",
        lengths=LENGTHS,
        seeds=range(3),
        points=[POINT],
        readings=["one branch"],
        redrawn=[],
        statements=few,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(output folder, folder of the study, configurations simulated)."""
    out, simulated = tmp_path_factory.mktemp("out"), []

    def counted(config, seeds, **options):
        simulated.append((config, "loss" in options))
        return simulate.simulate(config, seeds, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots.style, "DPI", 30)
        patch.setattr(plots, "save_figure", mostly_png("answer"))
        patch.setitem(arms.ARM_SHAPES, "tiny", TINY)
        patch.setattr(pruning_answer, "plan_of", toy_plan)
        patch.setattr(study, "simulate", counted)
        patch.setattr(study, "finish", lambda folder: None)  # so that the second call finds the parts
        folder = run(pruning_answer.EXPERIMENT, pruning_answer.PruningAnswer(out=out))
        first = list(simulated)
        run(pruning_answer.EXPERIMENT, pruning_answer.PruningAnswer(out=out))
        assert simulated == first
        yield out, folder, first


def test_an_arm_is_trained_for_longer_until_it_has_settled(done):
    _, folder, simulated = done
    assert len(set(simulated)) == len(simulated)
    numbers = json.loads((folder / "summary.json").read_text())
    assert {arm["label"] for arm in numbers["arms"]} == {
        *(UNMASKED, *arms.PERTURBATIONS, "one branch", "one branch, fixed random")
    }
    lengths = {arm["n_steps"]: arm["settled"] for arm in numbers["arms"]}
    assert set(lengths) <= set(LENGTHS)
    assert all(arm["settled"] or arm["n_steps"] == LENGTHS[-1] for arm in numbers["arms"])
    wanted = sum(1 + (arm["n_steps"] == LENGTHS[-1]) for arm in numbers["arms"])
    assert len(simulated) == wanted


def test_what_is_written(done):
    _, folder, _ = done
    numbers = json.loads((folder / "summary.json").read_text())
    assert numbers["plan"] == plan.load_plan().digest and numbers["seeds"] == [0, 1, 2]
    (point,) = numbers["points"]
    assert 0 < point["false_firing_rate"] < 1 and point["config"]["data"]["minority_ratio"] == 0.5
    controls = point["probe_controls"]
    accuracy = {name: one["minority probe, many labels"]["estimate"] for name, one in controls.items()}
    assert 0.4 < accuracy["untrained encoder"] < accuracy["ideal encoder"] <= 1
    (verdict,) = numbers["verdicts"]
    assert verdict["reading"] == "one branch" and set(verdict["against"]) >= {UNMASKED, "one branch, fixed random"}
    assert [row["name"] for row in numbers["statements"]] == ["P1", "P2", "P3", "ESCAPE", "MAGNITUDE"]
    unmasked = next(arm for arm in numbers["arms"] if arm["label"] == UNMASKED)
    assert set(plan.MEASURED_ON_ONE) < set(unmasked["ends"])
    for curve in numbers["curves"]:
        assert len(curve["steps"]) == len(curve["responded"]) and set(curve["overlap"][:1]) <= {1.0}
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert files == {
        "summary.json",
        "plan.json",
        *(f"{name}.{kind}" for name in answer_overview.CAPTIONS for kind in plots.FORMATS),
    }


def test_redrawing_simulates_nothing_and_gives_the_same_bytes(done):
    out, folder, _ = done
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def fails(*unused):
        pytest.fail("simulated or analysed anew")

    drawn_only = dataclasses.replace(pruning_answer.EXPERIMENT, simulate=fails, analyse=fails)
    run(drawn_only, pruning_answer.PruningAnswer(out=out, redraw=True))
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_plan_that_was_edited_after_the_first_run_is_refused(done, monkeypatch):
    out, _, _ = done
    monkeypatch.setattr(pruning_answer, "plan_of", lambda preset: toy_plan(preset)._replace(digest="edited"))
    with pytest.raises(ConfigError, match="got an edited one"):
        run(pruning_answer.EXPERIMENT, pruning_answer.PruningAnswer(out=out))


def test_what_neurons_respond_to_and_how_much_of_a_mask_is_old_by_hand():
    """Of four weights the two smallest are masked: at first 0 and 1, then 0 and 2, which have one in common.

    Feature 1 is the minority: at first the second neuron's projection on it, 0.5, is above its threshold, then not.
    """
    weights = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 5.0], [3.0, 4.0]]]])  # (seed, record, neuron, token_dim)
    alignment = np.array([[[[0.1, 0.1], [0.1, -0.5]], [[0.9, 0.1], [0.1, -0.5]]]])  # (seed, record, neuron, feature)
    config = replace(Config(), **{"prune.kind": "lowest", "prune.unit": "weight", "prune.rate": 0.5})
    result = xr.Dataset(
        {
            "neuron_weight": (("seed", "record", "neuron", "token_dim"), weights),
            "alignment": (("seed", "record", "neuron", "feature"), alignment),
            "threshold": (("seed", "record", "neuron"), np.array([[[0.2, 0.2], [0.2, 0.6]]])),
        },
        {"step": ("record", [0, 9]), "group": ("feature", np.array(["majority", "minority"], dtype=object))},
        {"config": to_json(config)},
    )
    assert measures.life(result) == {"steps": [0, 9], "responded": [1.0, 0.0], "overlap": [1.0, 0.5]}
    assert measures.life(result.drop_vars("neuron_weight"))["overlap"] == []
