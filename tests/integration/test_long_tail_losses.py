"""The comparison of losses from end to end: its runs, what it saves and resumes, and what it refuses."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import experiment, plots, results
from dynsim.bridge.supervised import claims, epoch, parts
from experiments import long_tail_losses
from experiments.long_tail import runs
from tests.saved_figures import mostly_png
from tests.shallow_network import shallow

SMALL_NETWORK = "--network.width 0.0625 --network.embedding-dim 4 --network.head-width 4 --views none none none none"
WORDS = f"--preset smoke --epochs 2 --methods ACL --measured 4 --measured-batches 1 {SMALL_NETWORK}".split()


@pytest.fixture
def study(tmp_path):
    """Return a function that runs the experiment with a network that compiles quickly, and gives its folder."""
    caches = (epoch.compiled_label_epoch, parts.network_of, parts.evaluation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "build", shallow)
        patch.setattr(experiment, "set_up_jax", lambda *arguments: None)
        patch.setattr(plots.style, "DPI", 30)
        patch.setattr(plots, "save_figure", mostly_png("methods"))
        patch.setattr(runs, "save_classifier", lambda *arguments: None)  # a file holds a ResNet
        for one in caches:
            one.cache_clear()

        def again(*words):
            long_tail_losses.main([*WORDS, "--out", str(tmp_path), *words])
            return next(tmp_path.glob("long_tail_losses-*"))

        yield again
    for one in caches:
        one.cache_clear()


@pytest.mark.slow
def test_a_study_is_run_resumed_and_drawn(study, tmp_path, monkeypatch, capsys):
    """A kill after the first seed: what had finished is taken from the folder, and the rest is run."""
    trained, calls = runs._trained, []

    def stops_at_the_second(*arguments):
        calls.append(arguments[3])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return trained(*arguments)

    monkeypatch.setattr(runs, "_trained", stops_at_the_second)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        study()
    folder = study()
    assert calls == ["ACL, seed 0", "ACL, seed 1", "ACL, seed 1"]
    assert not list(tmp_path.glob("*/unfinished"))
    summary = results.load_json(folder / "summary.json")
    assert [(row["method"], row["seed"]) for row in summary["rows"]] == [("ACL", 0), ("ACL", 1)]
    for row in summary["rows"]:
        assert np.isclose(row["all_classes"], np.mean(row["per_class"])) and row["chosen_epoch"] in (1, 2)
    measured = summary["claims"]["ACL"]
    assert measured["epochs"] == [0, 1, 2] and measured["losses"] == ["sup_con", "bcl", "acl"]
    known = [[one for one in of_loss if one is not None] for of_loss in measured["conflict_ratio"][-1]]
    assert len(known[0]) > 5 and all(0 <= one <= 1 for one in known[0]) and max(known[2]) == 0  # ACL repels none
    names = {path.name for path in folder.glob("*.png")}
    assert names == {"methods.png", "by_class.png", "conflicts.png", "geometry.png", "projection.png"}
    shown = summary["projections"]["ACL"]
    assert [len(points) for points in shown["points"]] == [30] * 4 and 0 < sum(shown["variance"]) <= 1.0001
    ranked = sorted(summary["rows"][0]["counts"], reverse=True)
    assert shown["counts"] == [*ranked[:2], *ranked[-2:]]
    assert not any("projection" in row for row in summary["rows"])
    before = {name: (folder / name).read_bytes() for name in names}
    study("--redraw")
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert "Accuracy on the test images" in capsys.readouterr().out


@pytest.mark.slow
def test_conflicts_are_summed_over_batches():
    """Each batch has two views of class 0 that point the same way, a third across, and one of class 1, of length 2.

    At temperature 1 the two repel each other in SupCon, since e / (e + 2) > 1/2, see test_conflicts.py.
    """
    z = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    labels, counts = np.array([[0, 0, 0, 1]] * 2, np.int32), np.array([9, 2, 1], np.float32)
    given = (jnp.asarray(one) for one in (2 * np.stack([z, z]), labels, counts, np.float32(1)))
    conflicting, pairs = claims.conflicts_of_batches(*given)
    assert pairs.tolist() == [12, 0, 0]
    assert conflicting[0].tolist() == [4, 0, 0] and conflicting[2].tolist() == [0, 0, 0]


def test_the_published_table_runs_nothing(capsys, tmp_path):
    long_tail_losses.main(["--table", "--out", str(tmp_path)])
    assert "52.6" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--methods ACL ACL", "methods: wanted at least one method, none of them twice"),
        ("--methods nothing", "methods: wanted one of 'cross-entropy', 'Balanced Softmax, one view'"),
        ("--contrastive pacoo", "contrastive: wanted one of none, sup_con, kcl, tsc, paco"),
        ("--methods KCL --parts.queue 300", "have no such part, got 300; name the loss too, as in --contrastive kcl"),
        ("--data-folder nowhere", "nowhere: wanted CIFAR-10"),
        ("--views none", "views: wanted 4 for view_counts by_size"),
        ("--measured 0", "measured: wanted an integer of at least 1"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(words, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        long_tail_losses.main([*words.split(), "--out", str(tmp_path / "new")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error and error.count("\n") == 1, error
    assert not list((tmp_path / "new").rglob("*.json"))


def test_help_loads_no_jax():
    code = (
        "import sys; sys.argv = ['long_tail_losses.py', '--help']\n"
        "from experiments import long_tail_losses\n"
        "try: long_tail_losses.main()\n"
        "except SystemExit: pass\n"
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "--parts.feature-scale" in done.stdout and "cpu: CIFAR-10-LT" in done.stdout
