"""The command `dynsim`: what it lists, what it runs, and what it says to a word that it does not know."""

import ast
from pathlib import Path

import pytest

from dynsim import __main__ as front
from dynsim import environment, experiment
from experiments import step_cost

ROOT = Path(__file__).resolve().parents[2]


def test_the_front_door_lists_the_experiments(capsys):
    for words in ([], ["--help"], ["-h"], ["help"], ["experiments"]):
        assert front.main(words) == 0
        out = capsys.readouterr().out
        assert ("doctor" in out) is (words != ["experiments"])
        assert "make figures" in out
        for path in (ROOT / "experiments").glob("[!_]*.py"):  # others are parts of an experiment
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
            assert first.endswith("?"), path  # the question that the experiment asks
            assert path.stem in ("make_documents", "make_figures") or (path.stem in out and first in out), path


def test_without_a_checkout_nothing_is_said_of_make(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "HOME", tmp_path)
    assert front.main(["experiments"]) == 0
    assert "make" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["docter"], "got 'docter'; did you mean doctor?"),
        (["experiment"], "did you mean experiments?"),
        (["stage_tracking.py"], "did you mean dynsim run stage_tracking?"),
        (["quite different"], "wanted one of run, experiments, doctor, --version, --help, got 'quite different'"),
        (["doctor", "now"], "doctor: wanted nothing after it, got 'now'"),
        (["run"], "run: wanted the name of an experiment, one of cifar_lt, "),
        (["run", "--preset", "quick"], "run: wanted the name of an experiment"),
        (["run", "stage_trakking"], "got 'stage_trakking'; did you mean stage_tracking?"),
        (["run", "make_figures"], "run: wanted one of cifar_lt, "),
    ],
)
def test_unknown_words_are_one_line(words, said, capsys):
    assert front.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith("dynsim: error: ") and said in printed.err


@pytest.mark.parametrize("name", ["step_cost", "step-cost", "step_cost.py"])
def test_run_hands_the_options_on(name, monkeypatch):
    given = []
    monkeypatch.setattr(experiment, "main", lambda one, words, *, program: given.append((one, words, program)))
    assert front.main(["run", name, "--rounds", "3"]) == 0
    assert given == [(step_cost.EXPERIMENT, ["--rounds", "3"], "dynsim run step_cost")]


def test_an_option_that_is_wrong_is_refused_by_the_name_that_was_typed(capsys):
    with pytest.raises(SystemExit) as stopped:
        front.main(["run", "step_cost", "--rounds", "-1"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("dynsim run step_cost: error: rounds: wanted an integer of at least 0")


def test_the_version(capsys, monkeypatch):
    assert front.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dynsim")
