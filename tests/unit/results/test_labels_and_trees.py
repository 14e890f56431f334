"""Every variable of a result says what it is, and several results of any shapes travel in one sealed file."""

import numpy as np
import pytest
import xarray as xr

from dynsim import results
from dynsim.config import Config, replace
from dynsim.engine.simulate import simulate
from dynsim.results.sealed import ResultError
from dynsim.theory import feature_groups
from tests.reference import toy


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return simulate(toy(train__n_steps=1), [0, 1])


def without_labels(data: xr.Dataset) -> list[str]:
    return [str(name) for name, one in data.variables.items() if not (one.attrs["long_name"] and one.attrs["units"])]


def small(d: int, **records) -> xr.Dataset:
    """Return a result of another size, without records but the given ones."""
    config = replace(Config(), **{"data.n_features": d, "data.token_dim": 8, "encoder.n_neurons": 3})
    seeds, steps = np.array([0], np.uint32), np.array([0, 2])
    return results.to_dataset(config, feature_groups(config.data), seeds, steps, records, {}, {"commit": ""})


def test_every_variable_of_a_result_has_a_long_name_and_a_unit(run):
    assert without_labels(run) == []
    # every one of them has words of its own; nothing that the engine makes is taken for the user's own
    assert set(run.variables) <= set(results.VARIABLES)
    assert all(one.attrs["units"] != results.labels.OWN_UNIT for one in run.variables.values())
    assert run.step.attrs == {"long_name": "number of updates made", "units": "steps"}


def test_masked_probed_and_own_records_have_them_too():
    masked = simulate(toy(train__n_steps=1, prune__kind="lowest", prune__rate=0.3, prune__semantics="literal"), [0])
    assert set(masked.variables) <= set(results.VARIABLES) and without_labels(masked) == []
    own = small(4, mine=np.zeros((1, 2, 5)))
    assert without_labels(own) == []
    assert own.mine.attrs["long_name"].startswith("mine, recorded by a function of the user's own")


def test_the_words_stay_through_joining_saving_and_arithmetic(run, tmp_path):
    joined = results.concat({"a": run, "b": run.assign(loss=run.loss + 1)}, "study")
    assert without_labels(joined.drop_vars("study")) == []
    results.save(run, str(tmp_path / "run.nc"))
    assert without_labels(results.load(str(tmp_path / "run.nc"))) == []


def test_a_file_of_an_earlier_version_gets_them_when_it_is_loaded(run, tmp_path):
    bare = run.copy()
    for name in bare.variables:
        bare[name].attrs = {}
    results.save(bare, tmp_path / "old.nc")
    xr.testing.assert_identical(results.load(tmp_path / "old.nc"), run)


def test_a_tree_gives_back_runs_of_different_shapes(run, tmp_path):
    named = {"r = 0.5": run, "five features": small(5, mine=np.ones((1, 2, 4)))}
    results.save_tree(named, tmp_path / "tree.nc")
    tree = results.load_tree(tmp_path / "tree.nc")
    assert list(tree.children) == list(named)
    for name, one in named.items():
        xr.testing.assert_identical(tree[name].to_dataset(), one)
        assert results.config_of(tree[name].to_dataset()) == results.config_of(one)
    # it is an ordinary netCDF-4 file to others
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "tree.nc", group="r = 0.5", engine="h5netcdf"), run)


def test_a_damaged_tree_and_other_files_are_refused_in_one_line(run, tmp_path):
    path = tmp_path / "tree.nc"
    results.save_tree({"one": run}, path)
    with pytest.raises(ResultError, match=r"a tree of them; load it with load_tree$"):
        results.load(path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ResultError, match="its digest does not fit"):
        results.load_tree(path)
    results.save(run, path)
    with pytest.raises(ResultError, match=r"wanted a tree of results, found another file; load one result with load$"):
        results.load_tree(path)
    results.save_sealed(b"nothing", path)
    with pytest.raises(ResultError, match="not a readable netCDF-4 file"):
        results.load_tree(path)


@pytest.mark.parametrize(
    ("named", "word"),
    [
        ({}, "wanted at least one result"),
        ({"a/b": small(4)}, "wanted names without '/' and outer blanks, got 'a/b'"),
        ({"": small(4)}, "got ''"),
        ({"a": small(4).assign_attrs(finished=0)}, "a: the run that wrote this did not finish"),
        ({"a": xr.Dataset()}, "a: wanted a dynsim result of format 1, found format none"),
    ],
)
def test_what_cannot_be_in_a_tree_is_refused_before_a_file_is_written(named, word, tmp_path):
    with pytest.raises(ResultError, match=word) as caught:
        results.save_tree(named, tmp_path / "tree.nc")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
