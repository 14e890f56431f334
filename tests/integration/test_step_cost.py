"""The study of cost: what it times, what it writes, and that redrawing times nothing."""

import dataclasses
import json

import pytest

from dynsim import plots, results
from dynsim.config import Config
from dynsim.experiment import run
from experiments import make_figures, step_cost

# the sizes of the middle one of the sweep over features below: one program for both
TIMED = {"seeds": step_cost.Sweep("seeds", "seeds", {"K": 8, "L": 1, "d": 4, "d1": 8, "m": 4}, (1, 2, 4))}


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    sweeps = {**TIMED, "d": step_cost.Sweep("d", "features d", {"K": 8, "L": 1, "d1": 8, "m": 4}, (3, 4, 5))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_cost, "sweeps", lambda preset: sweeps)
        folder = run(step_cost.EXPERIMENT, step_cost.StepCost(out=out, rounds=2))
    return out, folder


@pytest.mark.slow
def test_what_is_written(timed):
    _, folder = timed
    numbers = json.loads((folder / "summary.json").read_text())
    assert set(numbers["sweeps"]) == {"seeds", "d"} and numbers["rounds"] == 2
    seeds = numbers["sweeps"]["seeds"]
    assert seeds["sizes"] == [1, 2, 4] and len(seeds["ms"]) == 3 and min(seeds["ms"]) > 0
    assert seeds["low"] <= seeds["exponent"] <= seeds["high"]
    assert all(fastest <= middle for fastest, middle in zip(seeds["ms"], seeds["ms_median"], strict=True))
    svg = (folder / "step_cost.svg").read_text()
    assert {path.name for path in folder.glob("step_cost.*")} == {f"step_cost.{kind}" for kind in plots.FORMATS}
    assert svg.count("<svg") == 1 and "Time against size on logarithmic axes" in svg


@pytest.mark.slow
def test_redrawing_times_nothing_and_gives_the_same_bytes(timed, monkeypatch):
    out, folder = timed
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.delattr(step_cost, "time_all")
    monkeypatch.delattr(step_cost, "fits")
    run(step_cost.EXPERIMENT, step_cost.StepCost(out=out, redraw=True))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
def test_figures_take_it_over_under_its_own_name(timed, monkeypatch, tmp_path):
    _, folder = timed
    monkeypatch.setattr(make_figures, "FIGURES", tmp_path)
    monkeypatch.setattr(make_figures, "run", lambda experiment, options: folder)
    rows = make_figures.renew(step_cost.EXPERIMENT, make_figures.MakeFigures(simulate=True))
    assert [row["figure"] for row in rows] == ["step_cost.png"] and rows[0]["caption"] == step_cost.CAPTION
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"step_cost.png", "step_cost.pdf", "data/step_cost.json"}


@pytest.mark.parametrize("broken", ["analyse", "draw"])
def test_times_outlive_what_fails_after_them(broken, tmp_path, monkeypatch, capsys):
    """The raw times are on disk before a fit, and stay there until the figure is drawn: nothing is timed twice."""
    now = results.provenance()
    monkeypatch.setattr(results, "provenance", lambda: now | {"dirty": False})
    sweeps = {"d": step_cost.Sweep("d", "features d", {}, (3, 4, 5))}
    times, made = {"d": {"sizes": [3, 4, 5], "seconds": [[1.0, 2.0], [1.5, 2.0], [2.0, 2.5]]}}, []
    monkeypatch.setattr(step_cost, "sweeps", lambda preset: sweeps)
    monkeypatch.setattr(step_cost, "time_all", lambda *a: made.append(a) or times)
    monkeypatch.setattr(plots, "save_figure", lambda fig, path, caption, metadata: path.write_bytes(b""))
    options = step_cost.StepCost(out=tmp_path, rounds=2)
    with pytest.raises(ZeroDivisionError):
        run(dataclasses.replace(step_cost.EXPERIMENT, **{broken: lambda *a: 1 / 0}), options)
    kept = tmp_path / "step_cost-default" / "unfinished" / "times.json"
    assert results.load_json(kept)["numbers"] == times
    folder = run(step_cost.EXPERIMENT, options)
    assert len(made) == 1 and "finished earlier" in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {
        "summary.json",
        *(f"step_cost.{kind}" for kind in plots.FORMATS),
    }
    assert results.load_json(folder / "summary.json")["sweeps"]["d"]["ms"] == [1000, 1500, 2000]
    run(step_cost.EXPERIMENT, dataclasses.replace(options, rounds=3))  # a finished study keeps no times
    assert len(made) == 2


@pytest.mark.parametrize("preset", ["default", "quick"])
def test_the_sweeps_hold_all_but_one_size(preset):
    of = {
        "K": lambda c: c.data.batch_size,
        "L": lambda c: c.data.n_tokens,
        "d": lambda c: c.data.n_features,
        "d1": lambda c: c.data.token_dim,
        "m": lambda c: c.encoder.n_neurons,
    }
    for name, sweep in step_cost.sweeps(preset).items():
        for size in sweep.sizes:
            config = sweep.config(size)
            assert isinstance(config, Config)
            found = {size_name: read(config) for size_name, read in of.items()}
            wanted = sweep.base | ({name: size} if name in of else {})
            assert found == wanted, (preset, name)


def test_what_is_above_the_limit_is_named():
    fit = {"low": 1.0, "high": 1.3, "last": 1.2}
    made = {
        "sweeps": {
            "d": {"label": "features d", "exponent": 1.2, **fit},
            "m": {"label": "m", "exponent": 1.04, **fit},
            "K": {"label": "K", "exponent": 1.3, **fit},
        }
    }
    assert step_cost.table_text(made).splitlines()[-2:] == [
        "fits above 1.05: d (1.20) of d, m, L, seeds",
        "last two sizes above 1.05: d (1.20), m (1.20) of d, m, L, seeds",
    ]
    made["sweeps"]["m"]["last"] = made["sweeps"]["d"]["last"] = 1.05
    assert step_cost.table_text(made).splitlines()[-1] == "last two sizes above 1.05: none of d, m, L, seeds"
