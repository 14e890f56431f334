"""The comparison on images from end to end: its runs, what it saves and resumes, and what it refuses."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import experiment, plots, results
from dynsim.bridge import networks
from dynsim.bridge.training import encoder, epoch, run
from experiments import cifar_lt
from experiments.cifar import figures as drawing
from experiments.cifar import runs
from tests.saved_figures import mostly_png
from tests.shallow_network import shallow

BUILD, SAVE = networks.build, runs.save_encoder
WORDS = [
    "--preset",
    "smoke",
    "--epochs",
    "2",
    "--seeds",
    "2",
    "--measured",
    "4",
    "--views",
    "probe",
    "--batch-size",
    "64",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Run the experiment with a network that compiles quickly; return the folder, and a function to run it again."""
    out = tmp_path_factory.mktemp("cifar")
    with pytest.MonkeyPatch.context() as patch:
        for module in (networks, run, epoch, encoder):  # imported before: else they would keep the shallow one
            patch.setattr(module, "build", shallow)
        patch.setattr(experiment, "set_up_jax", lambda *arguments: None)
        patch.setattr(plots.style, "DPI", 30)
        patch.setattr(plots, "save_figure", mostly_png("contrasts"))
        patch.setattr(runs, "save_encoder", lambda *arguments: None)  # a file holds a ResNet
        epoch.compiled_epoch.cache_clear()

        def again(*words):
            cifar_lt.main([*WORDS, "--out", str(out), *words])

        again()
        yield next(out.glob("cifar_lt-*")), again
    epoch.compiled_epoch.cache_clear()


@pytest.fixture(scope="module")
def summary(study):
    return results.load_json(study[0] / "summary.json")


@pytest.mark.slow
def test_every_arm_is_judged_by_every_probe_with_every_seed(summary):
    assert list(summary["arms"]) == ["raw pixels", "untrained network", "no mask", "magnitude"]
    rows = {(row["arm"], row["seed"]): row for row in summary["rows"]}
    assert len(rows) == len(summary["rows"]) == 8
    for row in rows.values():
        for probe in ("linear", "few_shot", "knn"):
            assert np.isclose(row[probe]["all_classes"], np.mean(row[probe]["per_class"]))
    magnitude, plain = (summary["arms"][arm]["knn"]["all_classes"] for arm in ("magnitude", "no mask"))
    one = next(c for c in summary["contrasts"] if (c["probe"], c["metric"]) == ("knn", "all_classes"))
    np.testing.assert_allclose(one["values"], np.subtract(magnitude["values"], plain["values"]))
    assert summary["config_hash"] == cifar_lt.identity(options())


def options():
    smoke = cifar_lt.PRESETS["smoke"]
    changed = dataclasses.replace(smoke.pretraining, epochs=2, views="probe")
    return dataclasses.replace(smoke, pretraining=changed, measured=4)


@pytest.mark.slow
def test_a_mask_hides_weights_and_its_log_says_how_many_change(summary):
    logs = {(log["arm"], log["seed"]): log for log in summary["logs"]}
    assert logs["no mask", 0]["mask_changed"] == [0.0, 0.0]
    assert logs["magnitude", 0]["mask_changed"][0] == pytest.approx(0.9, abs=0.01)
    assert logs["no mask", 0]["loss"] != logs["no mask", 1]["loss"]


@pytest.mark.slow
def test_channels_are_measured_while_training(summary, study):
    assert {(one["arm"], one["n_channels"]) for one in summary["channels"]} == {("no mask", 4), ("magnitude", 4)}
    curves = results.load_many(study[0] / "curves.nc")
    assert list(curves) == ["no mask", "magnitude"]
    assert curves["magnitude"]["epoch"].values.tolist() == [0, 1, 2]


@pytest.mark.slow
def test_figures_are_drawn_and_drawn_again(study, capsys):
    folder, again = study
    names = {path.name for path in folder.glob("*.png")}
    assert names == {f"{name}.png" for name in ("accuracy", "contrasts", "channels", "measures", "views")}
    before = {name: (folder / name).read_bytes() for name in names}
    again("--redraw")
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert "magnitude - no mask, few labels, Few" in capsys.readouterr().out


def untimed(row):
    return {name: value for name, value in row.items() if name != "train_s"}


@pytest.mark.slow
def test_finished_parts_are_not_trained_again(study, tmp_path, monkeypatch, capsys):
    """A kill after the first arm: what had finished is taken from the folder, and the rest is run."""
    arm, calls = runs._arm, []

    def stops_at_the_second(*arguments):
        calls.append(arguments[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return arm(*arguments)

    monkeypatch.setattr(runs, "_arm", stops_at_the_second)
    monkeypatch.setattr(drawing, "draw", lambda *found: {})
    words = [*WORDS, "--out", str(tmp_path), "--seeds", "1"]
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        cifar_lt.main(words)
    cifar_lt.main(words)
    assert calls == ["no mask", "magnitude", "magnitude"]
    found = results.load_json(next(tmp_path.glob("cifar_lt-*")) / "summary.json")
    earlier = [row for row in results.load_json(study[0] / "summary.json")["rows"] if row["seed"] == 0]
    assert [untimed(row) for row in found["rows"]] == [untimed(row) for row in earlier]
    assert not list(tmp_path.glob("cifar_lt-*/unfinished"))


@pytest.mark.slow
def test_comparisons_of_the_paper_run_to_their_end(study, tmp_path, monkeypatch):
    """Masked shares with own and shared batch norms, a balanced arm, and the probe on augmented images."""
    words = [*WORDS, "--seeds", "1", "--batch-size", "200", "--judging.few-shot", "sdclr_few_shot"]
    cifar_lt.main([*words, "--shares", "0.5", "--out", str(tmp_path / "shares")])
    found = results.load_json(next(tmp_path.glob("shares/*/summary.json")))
    assert list(found["arms"])[2:] == ["mask 0.5, own norms", "mask 0.5, shared norms"]
    assert {(one["first"], one["second"]) for one in found["contrasts"]} == {tuple(list(found["arms"])[2:])}
    figures = {path.name for path in tmp_path.glob("shares/*/*.png")}
    assert figures == {f"{name}.png" for name in ("accuracy", "shares", "channels", "measures", "views")}
    monkeypatch.setattr(drawing, "draw", lambda *found: {})  # which takes as long as all the rest
    cifar_lt.main([*words, "--arms", "no mask", "no mask, balanced set", "--out", str(tmp_path / "balanced")])
    found = results.load_json(next(tmp_path.glob("balanced/*/summary.json")))
    plain, balanced = (next(log for log in found["logs"] if log["arm"] == arm) for arm in list(found["arms"])[2:])
    assert plain["loss"] != balanced["loss"]  # the same weights and keys, other images
    assert ("no mask, balanced set", "no mask") in {(one["first"], one["second"]) for one in found["contrasts"]}


def test_published_table_runs_nothing(capsys, tmp_path):
    cifar_lt.main(["--table", "--out", str(tmp_path)])
    assert "82.00 +-0.68" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_saved_encoder_is_judged(tmp_path, capsys):
    """An untrained ResNet, saved as the encoder of an arm is, is judged from its file alone."""
    smoke = cifar_lt.PRESETS["smoke"].pretraining
    network = BUILD(smoke.network)
    params, stats = network.init(jax.random.key(0), 16)
    mask = jax.tree.map(lambda part: jnp.abs(part) > 0.1, network.prunable(params))
    path = tmp_path / "new" / "untrained.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "build", BUILD)
        SAVE(path, smoke, epoch.PretrainState(params, stats, None, mask), stats)
        words = ["--preset", "smoke", "--out", str(tmp_path / "results"), "--seeds", "1"]
        cifar_lt.main([*words, "--encoder", str(path)])
        cifar_lt.main([*words, "--exemplars", str(path)])
    text = capsys.readouterr().out
    assert "mask: its own; batch norms of the masked network: its own" in text and "3 of 300 test images" in text
    assert "untrained.safetensors: resnet20 of width 0.25" in text and "nearest neighbours" in text
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--preset smoke --encoder none.safetensors", "none.safetensors: wanted"),
        ("--arms magnitude magnitude", "arms: wanted at least one arm, none of them twice"),
        ("--judging.linear sgd", "linear: wanted one of sdclr, sdclr_few_shot, boosted, short"),
        ("--preset smoke --measured 7", "measured: wanted at most 6, the images of a class that are held out"),
        ("--preset smoke --epochs 1", "epochs: wanted at least 2, since stages are read off three records"),
        ("--method moco", "network.norm_sets: wanted 1 with moco"),
        ("--method moco --network.norm-sets 1 --masking.semantics one_branch --queue 9", "queue: wanted at least"),
        ("--shares 0.5 1", "shares: wanted shares in [0, 1)"),
        ("--shares 0.5 0.5", "shares: wanted none of them twice"),
        ("--preset smoke --exemplars none.safetensors", "none.safetensors: wanted"),
        ("--arms nothing", "arms: wanted one of 'no mask', 'magnitude', 'random, fixed'"),
        ("--data-folder nowhere", "nowhere: wanted CIFAR-10"),
        ("--preset smoke --long-tail.imbalance 99", "imbalance factor: wanted"),
        ("--network.width -1", "width: wanted"),
        ("--network.norm-sets 2 --normalise together", "normalise: wanted apart"),
        ("--network.architecture resnet9", "did you mean resnet50?"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(words, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        cifar_lt.main([*words.split(), "--out", str(tmp_path / "new")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error and error.count("\n") == 1, error
    assert not list((tmp_path / "new").rglob("*.json"))


def test_help_loads_no_jax(capsys):
    code = (
        "import sys; sys.argv = ['cifar_lt.py', '--help']\n"
        "from experiments import cifar_lt\n"
        "try: cifar_lt.main()\n"
        "except SystemExit: pass\n"
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "--masking.rate" in done.stdout and "cpu: CIFAR-10-LT" in done.stdout
