"""The comparison of pruning at toy size: what it runs, writes and refuses, and that redrawing trains nothing."""

import contextlib
import io
import math

import jax
import pytest

from dynsim import plots, results, study
from dynsim.analysis.pairs import check_pair
from dynsim.engine import simulate
from dynsim.engine.numbers import resolve
from dynsim.stats import verdicts
from experiments import make_figures, pruning_comparison
from experiments.pruning import runs as table
from experiments.pruning.keys import MAIN_DENSE, DimensionKey, FactorKey, RunKey
from experiments.pruning_comparison import PRESETS, all_runs
from tests.saved_figures import mostly_png

SIZES = "--train.n-steps 40 --train.n-records 8 --data.batch-size 16 --encoder.n-neurons 12"
TOY = ["--preset", "quick", "--seeds", "3", *SIZES.split()]
TESTS = [f"P{k}" for k in range(1, 9)]
VERDICTS = {"supported", "not supported", "undecided"}
FULL = all_runs(PRESETS["default"])


@pytest.fixture(scope="module", autouse=True)
def jax_settings_stay():
    names = ("jax_enable_x64", "jax_platforms", "jax_default_matmul_precision", "jax_compilation_cache_dir")
    before = {name: getattr(jax.config, name) for name in names}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
        patched.setattr(plots.style, "DPI", 30)
        patched.setattr(plots, "save_figure", mostly_png("balance"))
        yield
    for name, value in before.items():
        jax.config.update(name, value)


# ----- the table of runs


BASE = RunKey("small", "dense", ratio=0.5)


def test_the_sweeps_change_what_their_keys_say():
    base = FULL[RunKey("small", "neurons", ratio=0.5)].config
    assert base.data.n_features == 16 and FULL[RunKey("main", "neurons")].config.data.n_features == 64
    assert FULL[RunKey("small", "neurons", released=True)].config.prune.stop_step == 500
    assert FULL[RunKey("small", "neurons", implicit=True)].config.data.minority_keep == table.KEEP
    assert FULL[RunKey("small", "negatives x 3")].config.data.n_negatives == 3 * 127
    faster = FULL[RunKey("small", "learning rate x 2")].config
    assert faster.optimizer.learning_rate == 2 * base.optimizer.learning_rate
    assert not FULL[RunKey("small", "temperature x 2, no prefactor")].config.loss.temperature_prefactor
    assert FULL[RunKey("main", "weights")].config.prune.semantics == "one_branch"
    assert [key for key, run in FULL.items() if run.oracle] == [RunKey("small", "oracle")]
    kept = {key for key, run in FULL.items() if run.keep_weights}
    assert kept == {MAIN_DENSE, BASE, DimensionKey(16), DimensionKey(32)}


def test_every_pair_differs_in_what_is_compared_and_in_nothing_else():
    for key, run in FULL.items():
        if isinstance(key, FactorKey):
            check_pair(FULL[BASE].config, run.config)
        elif isinstance(key, RunKey) and key.shape == "main":
            check_pair(FULL[MAIN_DENSE].config, run.config)
        elif isinstance(key, RunKey) and (key.ratio is not None or key.implicit):
            check_pair(FULL[key._replace(variant="dense")].config, run.config)
        elif isinstance(key, RunKey):
            check_pair(FULL[BASE].config, run.config, ("prune", *table.OTHERS.get(key.variant, ())))


def test_equal_runs_are_trained_once_and_numbers_do_not_recompile():
    distinct = table.unique(list(FULL.items()))
    assert len(distinct) < len(FULL) and set(distinct) == set(FULL.values())
    swept = [run for key, run in FULL.items() if isinstance(key, FactorKey) and key.factor.startswith("ratio, neurons")]
    rates = {resolve(run.config).structure for run in swept}
    assert len(rates) == 2  # one with masks, and the unpruned one of rate 0
    quick = {resolve(run.config).structure for run in all_runs(PRESETS["quick"]).values()}
    assert len(quick) == 4, "each structure costs seconds of compilation in CI"


# ----- bad input


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--prune.rate", "1"], "rate: wanted a share in [0, 1)"),
        (["--prune.rate", "nan"], "rate"),
        (["--prune.refresh", "0"], "refresh: wanted an integer of at least 1"),
        (["--prune.kind", "none", "--prune.rate", "0"], "prune.kind: wanted lowest"),
        (["--prune.kind", "highest"], "prune.kind: wanted lowest"),
        (["--prune.unit", "weight"], "prune.unit: wanted neuron"),
        (["--data.minority-fraction", "0"], "data.minority_fraction"),
        (["--data.minority-keep", "0.5"], "data.minority_keep"),
        (["--data.n-negatives", "5"], "data.n_negatives"),
        (["--data.frequency-profile", "exponential"], "data.frequency_profile"),
        (["--loss.similarity", "cosine"], "loss: wanted its default kind"),
        (["--encoder.train-attention"], "encoder"),
        (["--train.n-records", "3"], "train.n_records"),
        (["--train.n-steps", "5"], "train.n_steps"),
        (["--sweeps", "some"], "sweeps"),
        (["--sweep-shape", "huge"], "sweep-shape"),
        (["--preset", "nonsense"], "--preset: wanted one of default, quick, large"),
        (["--redraw"], "wanted a summary, found none"),
    ],
)
def test_bad_input_is_one_line(words, wanted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(simulate, "program", lambda *a, **o: pytest.fail("bad input got as far as compiling"))
    with pytest.raises(SystemExit) as stopped:
        pruning_comparison.main(["--out", str(tmp_path), *words])
    printed = capsys.readouterr()
    assert stopped.value.code == 2 and printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("pruning_comparison.py: error: ") and wanted in printed.err
    assert not list(tmp_path.iterdir())


def test_presets_can_run():
    for options in PRESETS.values():
        table.check_base(options.config)
        assert all_runs(options)


# ----- from end to end


def run(line):
    """Return the lines that the command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        pruning_comparison.main(line)
    return printed.getvalue().splitlines()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    lines = run([*TOY, "--out", str(out)])
    (folder,) = out.iterdir()
    return lines, folder


@pytest.fixture(scope="module")
def summary_of(done):
    return results.load_json(done[1] / "summary.json")


@pytest.mark.slow
def test_what_is_written_and_printed(done, summary_of):
    lines, folder = done
    figures = {f"{name}.png" for name in pruning_comparison.captions()}
    files = {f"{name}.{kind}" for name in pruning_comparison.captions() for kind in plots.FORMATS}
    assert {path.name for path in folder.iterdir()} == files | {"curves.nc", "summary.json"}
    assert lines[-1] == str(folder / "summary.json")
    assert set(lines[-1 - len(figures) : -1]) == {str(folder / name) for name in figures}
    rows = [line for line in lines if line.startswith("    ") and line[4:].startswith(tuple(VERDICTS))]
    assert sum(len(entries) for entries in summary_of["tests"].values()) == len(rows)


@pytest.mark.slow
def test_every_test_has_entries_that_follow_the_rule(summary_of):
    assert list(summary_of["tests"]) == TESTS and summary_of["seeds"] == [100, 101, 102]
    for name, entries in summary_of["tests"].items():
        assert entries, name
        for entry in entries:
            assert {"claim", "measured", "interval", "seeds", "verdict", "rival", "what_would_refute"} <= set(entry)
            assert entry["verdict"] in VERDICTS
            if name != "P6":
                low, high = (math.nan if end is None else end for end in entry["interval"])
                ends = [-math.inf, math.inf]
                wanted = tuple(ends[k] if end is None else end for k, end in enumerate(entry["wanted"]))
                assert entry["verdict"] == verdicts.judge(low, high, wanted, entry["p_holm"])


@pytest.mark.slow
def test_redrawing_trains_nothing_and_gives_the_same_files(done, monkeypatch):
    lines, folder = done
    monkeypatch.setattr(study, "simulate", lambda *a, **o: pytest.fail("simulated anew"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.glob("*.png"):
        path.unlink()
    assert run([*TOY, "--out", str(folder.parent), "--redraw"]) == lines
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
def test_the_figure_maker_takes_it_over(done, monkeypatch, tmp_path):
    one = pruning_comparison.EXPERIMENT
    monkeypatch.setattr(make_figures, "FIGURES", tmp_path)
    monkeypatch.setattr(make_figures, "run", lambda experiment, options: done[1])
    rows = make_figures.renew(one, make_figures.MakeFigures(simulate=True))
    assert {row["figure"] for row in rows} == {f"pruning_comparison_{name}.png" for name in one.captions()}
    assert all(row["caption"] for row in rows)


def test_every_figure_has_a_caption():
    assert len(pruning_comparison.captions()) == 9
    assert all(text.endswith(".") and len(text) > 100 for text in pruning_comparison.captions().values())
