"""The experiments at toy size: what they write, that redrawing simulates nothing, and what odd configurations give."""

import contextlib
import dataclasses
import io
import shutil
import tomllib

import jax
import numpy as np
import pytest

from dynsim import plots, results, study
from dynsim.config import Config
from dynsim.config.differences import differing_numbers
from dynsim.engine import simulate
from dynsim.plots import style
from experiments import make_figures, stage_tracking
from tests.reference import toy
from tests.saved_figures import mostly_png

pytestmark = pytest.mark.slow  # a dozen programs are compiled

CONFIG = toy(train__n_steps=300, train__n_records=25)
SEEDS = 2


def words(config, out, *more):
    """Return a command line for a configuration."""
    line = ["--out", str(out), "--seeds", str(SEEDS), *more]
    for name in differing_numbers(config, Config()):
        section, field = name.split(".")
        line += ["--" + name.replace("_", "-"), str(getattr(getattr(config, section), field))]
    return line


WHOLE = "loss"
"""The figure that is saved in every format; the others, which are larger, are drawn as PNG alone."""
MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture(scope="module", autouse=True)
def jax_settings_stay():
    names = ("jax_enable_x64", "jax_platforms", "jax_default_matmul_precision", "jax_compilation_cache_dir")
    before = {name: getattr(jax.config, name) for name in names}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
        patched.setattr(style, "DPI", 30)
        patched.setattr(plots, "save_figure", mostly_png(WHOLE))
        yield
    for name, value in before.items():
        jax.config.update(name, value)


def run(main, line):
    """Return the lines that a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(line)
    return printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run with controls: (printed lines, folder)."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage_tracking, "N_CONTROL_SEEDS", 3)
        lines = run(stage_tracking.main, words(CONFIG, out, "--controls"))
    (folder,) = out.iterdir()
    return lines, folder


@pytest.fixture(scope="module")
def summary_of(done):
    return results.load_json(done[1] / "summary.json")


@pytest.fixture(scope="module")
def result_of(done):
    return results.load(done[1] / "result.nc")


@pytest.fixture
def no_simulation(monkeypatch):
    monkeypatch.setattr(study, "simulate", lambda *a, **o: pytest.fail("simulated anew"))


def test_what_is_written_and_printed(done):
    lines, folder = done
    figures = {f"{name}.png" for name in plots.CAPTIONS}
    files = {f"{name}.{kind}" for name in plots.CAPTIONS for kind in plots.FORMATS}
    assert {path.name for path in folder.iterdir()} == files | {"result.nc", "curves.nc", "summary.json"}
    assert lines[-1] == str(folder / "summary.json")
    assert set(lines[-1 - len(figures) : -1]) == {str(folder / name) for name in figures}
    assert lines[0] == f"Stages of training: median [min, max] over {SEEDS} seeds; found says in how many of them."
    head = [line.split() for line in lines].index(["group", "stage", "found", "step", "specialists", "coverage"])
    rows = [line.split()[:2] for line in lines[head + 1 : head + 5]]
    assert rows == [["majority", stage] for stage in ("T1", "T2", "T3", "end")]
    for name in figures:
        assert (folder / name).read_bytes().startswith(MAGIC["png"])
    for kind in plots.FORMATS:
        assert (folder / f"{WHOLE}.{kind}").read_bytes().startswith(MAGIC[kind])


def test_the_summary_has_the_numbers_that_a_reader_quotes(summary_of):
    assert {
        "config",
        "config_hash",
        "provenance",
        "seeds",
        "stages",
        "switch_step",
        "rates",
        "specialists",
        "coverage",
        "purity",
        "residual_share",
        "final_loss",
        "wall_s",
        "total_wall_s",
        "steps_per_s",
        "controls",
    } <= set(summary_of)
    assert summary_of["seeds"] == [0, 1] and list(summary_of["stages"]) == ["0", "1"]
    for by_group in summary_of["stages"].values():
        assert set(by_group) == {"majority", "minority", "all"}
        for ends in by_group.values():
            for stage in ("T1", "T2", "T3"):
                assert (ends[stage] is None) == (f"{stage}_reason" in ends)
    assert {"commit", "dirty", "command", "versions", "device"} <= set(summary_of["provenance"])
    assert set(summary_of["final_loss"]["floors"]) == {"chance", "oracle_b_zero", "oracle_thresholded"}
    for kind in ("small_learning_rate", "as_trained"):
        for group in ("majority", "minority"):
            assert set(summary_of["rates"][kind][group]) == {
                "measured",
                "interval",
                "predicted",
                "relative_error",
                "n_steps",
            }
    controls = summary_of["controls"]
    assert {name: row["n_seeds"] for name, row in controls.items()} == {
        "b = 0": 3,
        "threshold from step 0": SEEDS,
        "r = 1": SEEDS,
    }


def test_the_summary_agrees_with_the_result(summary_of, result_of):
    last = result_of.isel(record=-1)
    assert summary_of["final_loss"]["per_seed"] == pytest.approx(last.loss.values)
    assert summary_of["final_loss"]["mean"] == pytest.approx(float(last.loss.mean()))
    assert summary_of["switch_step"] == result_of.switch_step.values.tolist()
    assert results.config_of(result_of) == CONFIG
    minority = result_of.group.values == "minority"
    for s in range(SEEDS):
        w, M = last.weight.values[s], last.dictionary.values[s]
        norm = np.sqrt(np.sum(w**2, axis=1))
        cosine = np.abs(w @ M) / norm[:, None]
        own = np.argmax(cosine, axis=1)
        good = (cosine.max(axis=1) >= 0.7) & (last.firing.values[s] >= 0.5) & (norm >= 0.1 * norm.max())
        for group, mask in (("majority", ~minority), ("minority", minority), ("all", np.ones(5, bool))):
            specialists = [i for i in range(6) if good[i] and mask[own[i]]]
            assert summary_of["specialists"]["end"][group][s] == len(specialists)
            covered = len({own[i] for i in specialists}) / mask.sum()
            assert summary_of["coverage"]["end"][group][s] == pytest.approx(covered)
    w, M = last.weight.values, last.dictionary.values
    outside = w - np.einsum("sij,skj->sik", np.einsum("sik,skj->sij", w, M), M)
    norms = np.linalg.norm(w, axis=2)
    share = np.sum(outside**2, axis=2) / norms**2
    active = norms >= 0.1 * norms.max(axis=1, keepdims=True)
    assert summary_of["residual_share"] == pytest.approx(share[active].mean())


def test_redrawing_simulates_nothing_and_gives_the_same_files(done, no_simulation):
    lines, folder = done
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in plots.CAPTIONS:
        (folder / f"{name}.png").unlink()
    assert run(stage_tracking.main, words(CONFIG, folder.parent, "--controls", "--redraw")) == lines
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.fixture
def quick_figures(monkeypatch):
    """Draw the figures, and write empty files: laying out and compressing takes longest."""
    monkeypatch.setattr(plots, "save_figure", lambda fig, path, caption, metadata: path.write_bytes(b""))


@pytest.mark.usefixtures("quick_figures")
def test_a_second_run_gives_the_same_numbers(done, summary_of, tmp_path):
    run(stage_tracking.main, words(CONFIG, tmp_path))
    again = results.load_json(tmp_path / done[1].name.removesuffix("-controls") / "summary.json")
    apart = {"provenance", "wall_s", "total_wall_s", "steps_per_s", "controls"}
    assert {k: v for k, v in again.items() if k not in apart} == {k: v for k, v in summary_of.items() if k not in apart}


@pytest.mark.usefixtures("quick_figures")
def test_the_training_of_a_finished_study_is_not_repeated(done, summary_of, tmp_path, monkeypatch):
    labels, real = [], simulate.simulate
    monkeypatch.setattr(study, "simulate", lambda *a, **o: labels.append(o["label"]) or real(*a, **o))
    out = tmp_path / "results"
    out.mkdir()
    shutil.copytree(done[1], out / done[1].name)
    run(stage_tracking.main, words(CONFIG, out))
    assert labels and "training" not in labels
    again = results.load_json(out / done[1].name.removesuffix("-controls") / "summary.json")
    assert again["stages"] == summary_of["stages"]


@pytest.mark.usefixtures("quick_figures")
@pytest.mark.parametrize("broken_step", ["analyse", "draw"])
def test_what_was_trained_outlives_what_fails_after_it(broken_step, tmp_path, monkeypatch):
    config = toy(train__n_steps=30, train__n_records=9, prune__kind="lowest", prune__rate=0.3, prune__start="switch")
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        failing = dataclasses.replace(stage_tracking.EXPERIMENT, **{broken_step: lambda *a: 1 / 0})
        broken.setattr(stage_tracking, "EXPERIMENT", failing)
        stage_tracking.main(words(config, tmp_path))
    (folder,) = tmp_path.iterdir()
    assert results.config_of(results.load(folder / "result.nc")) == config
    monkeypatch.setattr(study, "simulate", lambda *a, **o: pytest.fail("simulated anew"))
    lines = run(stage_tracking.main, words(config, tmp_path))
    assert lines[-1] == str(folder / "summary.json")
    floors = results.load_json(folder / "summary.json")["final_loss"]["floors"]
    assert set(floors) == {"chance", "oracle_b_zero", "oracle_thresholded"}


def test_a_damaged_summary_is_one_line(done, tmp_path, capsys):
    folder = tmp_path / done[1].name.removesuffix("-controls")
    folder.mkdir()
    (folder / "summary.json").write_text("{")
    with pytest.raises(SystemExit) as stopped:
        stage_tracking.main(words(CONFIG, tmp_path, "--redraw"))
    line = capsys.readouterr().err
    assert stopped.value.code == 2 and line.count("\n") == 1 and "its digest does not fit" in line


# ----- configurations for which some numbers do not exist


def odd(config, tmp_path, *more):
    lines = run(stage_tracking.main, words(config, tmp_path, *more))
    (folder,) = tmp_path.iterdir()
    assert lines[-1] == str(folder / "summary.json")
    return lines, results.load_json(folder / "summary.json"), {path.stem for path in folder.glob("*.png")}


@pytest.mark.usefixtures("quick_figures")
def test_when_every_run_diverges_there_is_still_a_summary(tmp_path):
    config = toy(optimizer__learning_rate=1e30)
    lines, summary, figures = odd(config, tmp_path)
    assert list(summary["diverged"]) == ["0", "1"] and "stages" not in summary
    assert lines[0] == "no run to summarise" and lines[1].startswith("diverged: seed 0 at step ")
    assert not figures
    assert run(stage_tracking.main, words(config, tmp_path, "--redraw")) == lines


@pytest.mark.usefixtures("quick_figures")
def test_a_penalty_without_a_closed_form(tmp_path):
    config = toy(loss__l2_penalty=3.0, train__n_steps=20)  # eta lambda = 1.5: the weights change sign at every step
    _, summary, figures = odd(config, tmp_path)
    assert summary["rates"]["not_measured"].startswith("learning_rate: wanted learning_rate * penalty below 1")
    assert figures == {"projections", "specialists", "loss", "cosines"}


@pytest.mark.usefixtures("quick_figures")
def test_a_loss_without_a_closed_form(tmp_path):
    config = toy(loss__similarity="cosine", train__n_steps=20)
    _, summary, figures = odd(config, tmp_path)
    assert summary["rates"]["not_measured"].startswith("similarity: wanted inner")
    assert figures == {"projections", "specialists", "loss", "cosines"}


@pytest.mark.usefixtures("quick_figures")
def test_one_group_and_one_seed(tmp_path):
    config = toy(data__minority_fraction=0.0, train__n_steps=20)
    _, summary, figures = odd(config, tmp_path, "--seeds", "1")
    assert list(summary["stages"]["0"]) == ["majority", "all"]
    assert set(summary["rates"]["small_learning_rate"]) == {"majority"}
    assert len(figures) == 5


# ----- the committed figures


@pytest.fixture
def figures_folder(tmp_path, monkeypatch, done):
    toy = dataclasses.replace(stage_tracking.EXPERIMENT, statements='Lemma "3.1"')
    monkeypatch.setattr(make_figures, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(make_figures, "EXPERIMENTS", (toy,))
    monkeypatch.setattr(make_figures, "run", lambda experiment, options: done[1])
    return tmp_path / "figures"


def test_figures_data_and_manifest(figures_folder, summary_of, no_simulation):
    printed = run(make_figures.main, ["--simulate"])
    names = {f"stage_tracking_{name}.png" for name in plots.CAPTIONS}
    files = {path.relative_to(figures_folder).as_posix() for path in figures_folder.rglob("*") if path.is_file()}
    pdfs = {f"{name.removesuffix('.png')}.pdf" for name in names}
    data = {"data/stage_tracking.json", "data/stage_tracking.nc"}
    assert files == names | pdfs | data | {"manifest.toml", "README.md"}
    assert set(printed) == {str(figures_folder / name) for name in names}
    rows = tomllib.loads((figures_folder / "manifest.toml").read_text())["figure"]
    assert {row["figure"] for row in rows} == names and {row["pdf"] for row in rows} == pdfs
    for row in rows:
        kind = row["figure"].removeprefix("stage_tracking_").removesuffix(".png")
        assert row["caption"] == plots.CAPTIONS[kind] and row["statement"] == 'Lemma "3.1"'
        assert row["config_hash"] == summary_of["config_hash"] and row["script"] == "experiments/stage_tracking.py"

    # and once more from the data that is now there
    before = {path: path.read_bytes() for path in figures_folder.rglob("*") if path.is_file()}
    run(make_figures.main, ["--only", "stage_tracking"])
    assert {path: path.read_bytes() for path in figures_folder.rglob("*") if path.is_file()} == before


def test_figures_without_data_are_one_line(figures_folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_figures.main([])
    line = capsys.readouterr().err
    assert stopped.value.code == 2 and line.count("\n") == 1 and "wanted a summary, found none" in line
    assert not figures_folder.exists()
