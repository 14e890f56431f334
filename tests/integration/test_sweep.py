"""A sweep gives what single calls give, shares programs, and goes on where it was stopped."""

import functools

import pytest

from dynsim import results, sweep, sweeps
from dynsim.config import replace
from dynsim.engine import simulate
from dynsim.engine.numbers import resolve
from dynsim.engine.program import program
from tests.reference import toy

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
