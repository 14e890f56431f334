"""The command line of an experiment, and the options with which its committed figures are made."""

import dataclasses
import json

import pytest

from dynsim import cli, experiment
from dynsim.config.checks import ConfigError
from experiments import make_figures, stage_tracking


def refuse(options):
    raise ConfigError("n_tokens: wanted a positive integer, got 0")


def test_a_configuration_that_cannot_be_built_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(experiment, "set_up_jax", lambda *a: pytest.fail("JAX was set up for a wrong option"))
    wrong = dataclasses.replace(stage_tracking.EXPERIMENT, configuration=refuse)
    with pytest.raises(SystemExit) as stopped:
        experiment.main(wrong, ["--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "stage_tracking.py: error: n_tokens: wanted a positive integer, got 0\n"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Options that make_figures runs an experiment with, instead of running it."""
    given = []
    (tmp_path / "done").mkdir()
    for name in ("summary.json", "curves.nc"):
        (tmp_path / "done" / name).write_text(json.dumps({}))
    monkeypatch.setattr(make_figures, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(make_figures, "run", lambda one, options: given.append(options) or tmp_path / "done")
    monkeypatch.setattr(make_figures, "load", lambda *a: ({}, {}))
    monkeypatch.setattr(make_figures, "save_figures", lambda *a: {})
    return given


@pytest.mark.parametrize("one", make_figures.EXPERIMENTS, ids=lambda one: one.name)
def test_the_published_options_are_those_of_the_published_command(one, runs, tmp_path):
    python, script, *words = one.command.split()
    assert (python, script) == ("python", f"experiments/{one.program}")
    words += ["--out", str(tmp_path)]
    if len(one.presets) > 1:
        _, wanted = cli.parse(dict(one.presets), words, program=one.program, description="")
    else:
        wanted = cli.parse_plain(type(one.options()), words, program=one.program, description="")
    make_figures.renew(one, make_figures.MakeFigures(simulate=True, out=tmp_path))
    assert runs == [wanted]


def test_published_options_of_an_experiment_are_a_field_of_its_record(runs, tmp_path):
    other = dataclasses.replace(stage_tracking.EXPERIMENT, published=stage_tracking.StageTracking(seeds=7))
    make_figures.renew(other, make_figures.MakeFigures(simulate=True, out=tmp_path))
    assert runs == [stage_tracking.StageTracking(seeds=7, out=tmp_path)]
