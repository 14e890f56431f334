"""A sweep gives what single calls give, shares programs, and goes on where it was stopped."""

import functools
import multiprocessing
import operator
import re
import runpy
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynsim
from dynsim import joined, points, results, sweep, sweeps
from dynsim.config import ConfigError, replace
from dynsim.engine import resume, simulate
from dynsim.engine.numbers import resolve
from dynsim.engine.program import Program, program
from dynsim.losses.contrastive import LossValue
from dynsim.results import ResultError
from tests.reference import toy

MAP = (Path(__file__).parents[2] / "dynsim" / "README.md").read_text(encoding="utf-8")
SEEDS = [3, 8]
BASE = toy()
RATIOS, TEMPERATURES = (0.3, 0.9), (0.5, 1.0)
AXES = {"data.minority_ratio": RATIOS, "loss.temperature": TEMPERATURES}
quiet = functools.partial(sweep, progress=False)


def assert_same_bits(one, two):
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        a, b = one[name].values, two[name].values
        assert a.shape == b.shape, name
        assert a.tolist() == b.tolist() if a.dtype.kind in "OU" else a.tobytes() == b.tobytes(), name


def assert_same_runs(one, two):
    assert list(one) == list(two)
    for point in one:
        assert_same_bits(one[point], two[point])


@pytest.fixture(scope="module")
def undisturbed():
    return quiet(BASE, AXES, SEEDS)


@pytest.fixture
def calls(monkeypatch):
    """The configurations of each call of `simulate_many` in a sweep."""
    made, original = [], sweeps.simulate_many

    def counted(configs, *arguments, **options):
        made.append(list(configs))
        return original(configs, *arguments, **options)

    monkeypatch.setattr(sweeps, "simulate_many", counted)
    return made


def final_loss(run):
    return run[["loss"]].isel(record=-1).mean("seed")


# ----- the results


def test_every_point_has_the_bits_of_a_single_call(undisturbed):
    assert list(undisturbed) == [(r, t) for r in RATIOS for t in TEMPERATURES]
    for point, run in undisturbed.items():
        config = replace(BASE, **{"data.minority_ratio": point.minority_ratio, "loss.temperature": point.temperature})
        assert results.config_of(run) == config
        assert_same_bits(run, simulate.simulate(config, SEEDS))
    losses = {float(run.loss[0, -1]) for run in undisturbed.values()}
    assert len(losses) == 4


def test_points_of_equal_structure_share_one_program(undisturbed, calls):
    compiled, before = program(resolve(BASE).structure, True), program.cache_info()
    n_compiled = compiled.n_compiled()
    runs = quiet(BASE, AXES, SEEDS, chunk_size=3)
    assert [len(configs) for configs in calls] == [3, 1]
    assert compiled.n_compiled() == n_compiled == 1 and program.cache_info().misses == before.misses
    assert_same_runs(runs, undisturbed)


def test_points_are_grouped_by_structure(calls):
    axes = {"train.n_steps": (2, 4), "data.minority_ratio": RATIOS}
    runs = quiet(replace(BASE, **{"train.n_records": 2}), axes, SEEDS[:1])
    assert [[c.train.n_steps for c in configs] for configs in calls] == [[2, 2], [4, 4]]
    assert [int(run.step[-1]) for run in runs.values()] == [2, 2, 4, 4]


def test_fields_that_move_together_are_one_axis_and_derive_comes_last():
    axes = {("data.n_features", "encoder.n_neurons"): [[4, 16], (6, 24)], "data.minority_ratio": np.array([0.5])}
    seen = []

    def derive(config):
        seen.append(config)
        return replace(config, **{"data.token_dim": 2 * config.data.n_features})

    found = points.grid(BASE, axes, derive)
    assert list(found) == [(4, 16, 0.5), (6, 24, 0.5)]
    first = next(iter(found))
    assert (first.n_features, first.n_neurons, first.minority_ratio) == (4, 16, 0.5)
    assert type(first.minority_ratio) is float
    assert [config.data.token_dim for config in found.values()] == [8, 12]
    assert [config.data.token_dim for config in seen] == [8, 8]


def test_entries_with_one_name_in_two_sections_have_both():
    found = points.grid(BASE, {"optimizer.name": ("sgd",), "loss.kind": ("info_nce",), "prune.kind": ("none",)})
    assert next(iter(found))._fields == ("name", "loss_kind", "prune_kind")


def test_joined_has_the_axes_and_knows_each_configuration(undisturbed):
    whole = joined(undisturbed)
    assert whole.loss.dims == ("minority_ratio", "temperature", "seed", "record")
    for point, run in undisturbed.items():
        one = whole.sel(minority_ratio=point.minority_ratio, temperature=point.temperature)
        assert_same_bits(one.drop_vars(["minority_ratio", "temperature", "point"]), run)
        assert results.config_of(one) == results.config_of(run)
    assert whole.temperature.attrs["long_name"] == "loss.temperature"
    assert whole.group.dims == ("feature",)  # the same everywhere
    with pytest.raises(ResultError, match="several joined; select one"):
        results.config_of(whole.sel(minority_ratio=0.3))


def test_joined_can_be_saved(undisturbed, tmp_path):
    whole = joined(undisturbed)
    results.save(whole, tmp_path / "whole.nc")
    assert results.load(tmp_path / "whole.nc").identical(whole)


def test_joined_takes_a_complete_part_in_any_order(undisturbed):
    some = dict(reversed([(point, run) for point, run in undisturbed.items() if point.temperature == 1.0]))
    assert joined(some).minority_ratio.values.tolist() == [0.9, 0.3]
    assert joined(some).temperature.values.tolist() == [1.0]


def test_joined_refuses_what_is_no_grid(undisturbed):
    some = dict(list(undisturbed.items())[1:])
    for runs, said in (
        (some, "wanted a complete grid of 4 points, got 3"),
        ({tuple(point): run for point, run in undisturbed.items()}, "wanted results by point"),
        ({}, "wanted results by point"),
        ({p: run.rename(neuron="temperature") for p, run in undisturbed.items()}, "that the results do not use"),
    ):
        with pytest.raises(ResultError, match=said) as refused:
            joined(runs)
        assert "\n" not in str(refused.value)


def test_joined_keeps_fields_that_move_together_on_one_dimension(undisturbed):
    axes = {("loss.temperature", "data.minority_ratio"): [(0.5, 0.3), (1.0, 0.9)]}
    runs = quiet(BASE, axes, SEEDS)
    whole = joined(runs)
    assert whole.loss.dims == ("temperature", "seed", "record")
    assert whole.minority_ratio.dims == ("temperature",)
    assert whole.minority_ratio.sel(temperature=1.0) == 0.9
    assert_same_bits(runs[0.5, 0.3], undisturbed[0.3, 0.5])


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([None, 3], ["None", "3"]), ([True, False], [True, False]), ([1, 2.5], [1.0, 2.5]), ([(1, 2)], ["(1, 2)"])],
)
def test_values_of_every_kind_become_a_coordinate(values, wanted):
    assert points._coordinate(values).tolist() == wanted


def test_a_point_that_diverges_is_no_error():
    runs = quiet(BASE, {"optimizer.learning_rate": (0.01, 1e30)}, SEEDS[:1])
    assert [int(run.diverged_step[0]) >= 0 for run in runs.values()] == [False, True]


# ----- what is refused


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"data.minority_ration": (1,)}, "data.minority_ration: no such field; did you mean data.minority_ratio?"),
        ({"minority_ratio": (1,)}, "minority_ratio: no such field; did you mean data.minority_ratio?"),
        ({"data.minority_ratio": ()}, "data.minority_ratio: wanted at least one value, got none"),
        ({"data.minority_ratio": 0.3}, "data.minority_ratio: wanted a list of values, got 0.3"),
        ({"loss.kind": "nt_xent"}, "loss.kind: wanted a list of values, got 'nt_xent'"),
        ({"data.minority_ratio": (0.3, 2)}, "minority_ratio: wanted .* got 2 .at data.minority_ratio = 2"),
        ({"data.minority_ratio": (0.3, 0.3)}, "data.minority_ratio: wanted each value once, got 0.3 twice"),
        ({"data.n_features": ({},)}, "data.n_features: wanted numbers, texts or tuples of them"),
        ({("data.n_features", "encoder.n_neurons"): (4, 8)}, "wanted tuples of 2 values, one for each field, got 4"),
        ({"data.n_features": (4,), ("data.n_features",): (5,)}, "wanted each field once, got data.n_features twice"),
        ({3: (4,)}, "axes: wanted the name of a field"),
        ({(): (4,)}, "axes: wanted the name of a field"),
        ({}, "axes: wanted fields with their values"),
    ],
)
def test_axes_that_do_not_fit_are_one_line_and_nothing_runs(axes, said, calls):
    with pytest.raises(ConfigError, match=said) as refused:
        quiet(BASE, axes, SEEDS)
    assert "\n" not in str(refused.value) and not calls


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"own": {"los": abs}}, "own: wanted parts named .* got 'los'; did you mean loss?"),
        ({"own": {"loss": abs}}, "loss: wanted a function of "),
        ({"chunk_size": 0}, "chunk_size: wanted an integer of at least 1, got 0"),
        ({"derive": lambda config: None}, "derive: wanted a function that returns a Config, got NoneType"),
        ({"derive": lambda c: replace(c, **{"data.n_tokens": 0})}, "n_tokens: wanted .*at data.minority_ratio = 0.3"),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_nothing_runs(options, said, calls):
    with pytest.raises(ConfigError, match=said) as refused:
        quiet(BASE, AXES, SEEDS, **options)
    assert "\n" not in str(refused.value) and not calls


def test_keep_must_return_a_dataset_that_can_be_saved(tmp_path):
    for keep, said in (
        (lambda run: run.loss, "keep: wanted a function that returns a Dataset, got DataArray"),
        (lambda run: run[["loss"]].assign_attrs(odd={"a": 1}), "keep: wanted a Dataset that a netCDF file can hold"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            quiet(BASE, {"data.minority_ratio": (0.3,)}, SEEDS, keep=keep, folder=tmp_path)
        assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("*.nc"))


# ----- the folder


def test_finished_points_are_loaded_and_an_axis_may_grow(undisturbed, calls, tmp_path):
    first = quiet(BASE, AXES | {"data.minority_ratio": RATIOS[:1]}, SEEDS, folder=tmp_path)
    assert [len(configs) for configs in calls] == [2]
    whole = quiet(BASE, AXES, SEEDS, folder=tmp_path)
    assert [[c.data.minority_ratio for c in configs] for configs in calls[1:]] == [[0.9, 0.9]]
    again = quiet(BASE, AXES, SEEDS, folder=tmp_path)
    assert len(calls) == 2
    assert_same_runs(whole, undisturbed)
    assert_same_runs(again, undisturbed)
    for point, run in again.items():
        assert results.config_of(run) == results.config_of(undisturbed[point])
        assert set(run.attrs) == set(undisturbed[point].attrs)
    assert list(first) == list(again)[:2]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".nc"] * 4  # no checkpoints are left


def test_what_keep_reduces_is_the_same_new_and_loaded(undisturbed, tmp_path):
    new, loaded = (quiet(BASE, AXES, SEEDS, folder=tmp_path, keep=final_loss) for _ in range(2))
    assert_same_runs(new, loaded)
    for point, run in new.items():
        assert list(run.data_vars) == ["loss"]
        assert run.loss.item() == undisturbed[point].loss[:, -1].mean().item()
        assert run.attrs == loaded[point].attrs
        assert results.config_of(run) == results.config_of(undisturbed[point])
    assert joined(new).loss.shape == (2, 2)


def scaled(by):
    def loss(query, key, batch, numbers):
        return LossValue(by * jnp.mean(query * key), jnp.zeros((), query.dtype))

    return loss


@pytest.mark.slow
def test_points_made_otherwise_run_anew(calls, tmp_path, monkeypatch, capsys):
    one = {"data.minority_ratio": (0.3,)}

    def anew(seeds=SEEDS, **options):
        before = len(calls)
        sweep(BASE, one, seeds, folder=tmp_path, **options)
        return len(calls) > before

    assert anew() and not anew()
    assert anew(keep=final_loss) and not anew(keep=final_loss)
    assert "sweep: 1 points in" in capsys.readouterr().err
    assert anew(keep=lambda run: run[["loss"]]) and anew(keep=final_loss)
    assert anew(keep=final_loss, seeds=SEEDS[:1])
    assert not anew(keep=final_loss)  # other seeds have another file
    assert anew(own={"loss": scaled(1.0)}) and not anew(own={"loss": scaled(1.0)})
    assert anew(own={"loss": scaled(2.0)}) and anew() and not anew()
    now = results.provenance()
    monkeypatch.setattr(results, "provenance", lambda: now | {"code": "other"})
    assert anew()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_sweep_that_is_stopped_goes_on(error, undisturbed, calls, tmp_path, monkeypatch):
    """Within the second of two chunks; after an error as hard as a kill, from the last checkpoint."""
    begins, advance = [], Program.advance

    def stopping(self, runs, begin, end):
        begins.append(begin)
        if len(calls) == 2 and begin >= 4:
            raise error
        return advance(self, runs, begin, end)

    monkeypatch.setattr(resume, "CHECKPOINT_EVERY_S", 0.0)
    with monkeypatch.context() as patched, pytest.raises(error):
        patched.setattr(Program, "advance", stopping)
        quiet(BASE, AXES, SEEDS, folder=tmp_path, chunk_size=2)
    stopped, done = begins[-1], len(list(tmp_path.glob("*.nc")))
    assert stopped > 0 and done == 2
    begins.clear()
    calls.extend([None, None])
    monkeypatch.setattr(Program, "advance", stopping)
    runs = quiet(BASE, AXES, SEEDS, folder=tmp_path, chunk_size=2)
    assert begins[0] == stopped and len(calls) == 5
    assert_same_runs(runs, undisturbed)
    assert not (tmp_path / "unfinished").exists()


# ----- executors


def test_threads_give_the_same_bits_with_one_program(undisturbed, tmp_path):
    base = replace(BASE, **{"data.batch_size": 7})  # nothing of this structure is compiled yet
    misses = program.cache_info().misses
    with ThreadPoolExecutor(4) as pool:
        runs = quiet(base, AXES, SEEDS, executor=pool, folder=tmp_path)
    assert program.cache_info().misses == misses + 1
    assert program(resolve(base).structure, True).n_compiled() == 1
    assert_same_runs(runs, quiet(base, AXES, SEEDS))
    assert len(list(tmp_path.glob("*.nc"))) == 4


def test_an_error_in_a_thread_stops_the_rest(monkeypatch):
    begun = []

    def failing(*arguments, **options):
        begun.append(arguments)
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(sweeps, "simulate_many", failing)
    axes = {"data.minority_ratio": np.linspace(0.1, 0.9, 50)}
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="the disk is full"):
        quiet(BASE, axes, SEEDS, executor=pool)
    assert len(begun) < 50


@pytest.mark.slow
def test_processes_give_the_same_bits(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    last = operator.methodcaller("isel", record=-1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = quiet(BASE, AXES, SEEDS, executor=pool, chunk_size=2, folder=tmp_path, keep=last)
    assert_same_runs(runs, {point: last(run) for point, run in undisturbed.items()})
    assert len(list(tmp_path.glob("*.nc"))) == 4


# ----- progress


def test_one_bar_over_the_whole_sweep(tmp_path, capsys):
    half = AXES | {"data.minority_ratio": RATIOS[:1]}
    sweep(BASE, half, SEEDS, folder=tmp_path)
    said = capsys.readouterr().err
    assert "sweep: 100%" in said and "left" in said
    sweep(BASE, AXES, SEEDS, folder=tmp_path, chunk_size=1, label="ratios")
    said = capsys.readouterr().err
    assert "ratios: 2 of 4 points finished earlier, taken from" in said
    assert "ratios, part 4 of 4: 100%" in said
    with ThreadPoolExecutor(2) as pool:
        sweep(BASE, AXES, SEEDS, executor=pool)
    assert "100%" in capsys.readouterr().err
    quiet(BASE, AXES, SEEDS, folder=tmp_path)
    assert not capsys.readouterr().err


# ----- the document


@pytest.mark.slow
def test_the_example_of_the_map(tmp_path, monkeypatch, capsys):
    example = re.search(r"## Sweeps\n.*?```python\n(.*?)```", MAP, re.S)[1]
    (tmp_path / "a_sweep.py").write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        names = runpy.run_path(str(tmp_path / "a_sweep.py"))
    runs, table = names["runs"], names["table"]
    assert list(runs) == [(r, d, m) for r in (0.3, 1.0) for d, m in ((4, 16), (8, 32))]
    for point, run in runs.items():
        config = results.config_of(run)
        assert (config.data.minority_ratio, config.data.n_features, config.encoder.n_neurons) == point
        assert dynsim.theory.false_firing_rate(config) == pytest.approx(0.01)
    assert table.loss.dims == ("minority_ratio", "n_features")
    assert len(list(tmp_path.rglob("*.nc"))) == 4
    printed = capsys.readouterr().out
    assert f"{runs[0.3, 8, 32].loss.item():.3f}" in printed
