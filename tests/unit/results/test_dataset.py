"""Labelled results: saving is whole or nothing, and only our own finished, undamaged files load."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import hypothesis.strategies as st
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

import dynsim
from dynsim import results
from dynsim.config import Config, replace
from dynsim.results import origin
from dynsim.results.dataset import SNAPSHOT_DIMS
from dynsim.results.sealed import ResultError
from dynsim.theory import feature_groups
from dynsim.theory.specialists import Snapshot

SEEDS, STEPS, NEURONS, D, D1 = np.array([0, 2**32 - 1], np.uint32), np.array([0, 1, 5]), 7, 4, 6
CONFIG = replace(Config(), **{"data.n_features": D, "data.token_dim": D1, "encoder.n_neurons": NEURONS})
PROVENANCE = {"command": "stage_tracking.py --quick", "commit": "0" * 40, "dirty": False, "n_devices": 1}


def make_result() -> xr.Dataset:
    rng = np.random.default_rng(0)
    leading = (len(SEEDS), len(STEPS), NEURONS)
    sizes = {"neuron": NEURONS, "feature": D}
    shapes = (leading[:2] + tuple(sizes[dim] for dim in SNAPSHOT_DIMS[name]) for name in Snapshot._fields)
    records = Snapshot(*(rng.normal(size=shape) for shape in shapes))
    per_seed = {
        "loss": np.array([[np.nan, 5.0, 4.0], [np.nan, 5.5, 4.5]], np.float32),
        "positive_weight": rng.random((2, 3)),
        "switch_step": np.array([3, -1], np.int32),
        "dictionary": rng.normal(size=(2, D1, D)),
        "weight": rng.normal(size=(2, NEURONS, D1)).astype(np.float32),
    }
    return results.to_dataset(CONFIG, feature_groups(CONFIG.data), SEEDS, STEPS, records, per_seed, PROVENANCE)


@pytest.fixture
def result() -> xr.Dataset:
    return make_result()


@pytest.fixture
def saved(result, tmp_path):
    path = tmp_path / "result.nc"
    results.save(result, path)
    return path


def refused(path) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(ResultError) as caught:
        results.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_labels(result):
    assert dict(result.sizes) == {"seed": 2, "record": 3, "neuron": NEURONS, "feature": D, "token_dim": D1}
    dims = {
        "alignment": ("seed", "record", "neuron", "feature"),
        "firing": ("seed", "record", "neuron"),
        "loss": ("seed", "record"),
        "switch_step": ("seed",),
        "dictionary": ("seed", "token_dim", "feature"),
        "weight": ("seed", "neuron", "token_dim"),
    }
    assert {name: result[name].dims for name in dims} == dims
    assert result.group.values.tolist() == ["majority"] * 2 + ["minority"] * 2
    assert result.seed.values.tolist() == [0, 2**32 - 1]
    assert result.step.dims == ("record",) and result.step.values.tolist() == [0, 1, 5]
    # the aggregate rule with resampling: P_j = q_j / (1 - prod (1 - q_k))
    q = np.array([0.1, 0.1, 0.07, 0.07])
    np.testing.assert_allclose(result.activation_probability, q / (1 - np.prod(1 - q)), rtol=1e-12)


def test_axes_of_unknown_records_are_named_after_them():
    records = {"spectrum": np.zeros((2, 3, 5)), "alignment": np.zeros((2, 3, 8))}
    made = results.to_dataset(CONFIG, feature_groups(CONFIG.data), SEEDS, STEPS, records, {}, {})
    assert made.spectrum.dims == ("seed", "record", "spectrum_0")
    assert made.alignment.dims == ("seed", "record", "alignment_0")


def test_what_went_in_comes_out(result):
    assert results.config_of(result) == CONFIG
    assert results.provenance_of(result) == PROVENANCE


def joined_pair(result):
    other = result.copy(deep=True)
    other["loss"] += 1
    changed = replace(CONFIG, **{"data.minority_ratio": 0.3})
    made = results.to_dataset(
        changed, feature_groups(changed.data), SEEDS, STEPS, {}, {}, PROVENANCE | {"commit": "1" * 40}
    )
    other = other.assign_attrs(made.attrs).assign_coords(activation_probability=made.activation_probability)
    return results.concat({"one": result, "two": other}, "study"), other, changed


def test_what_was_joined_can_be_saved_and_its_parts_taken(result, tmp_path):
    joined, other, changed = joined_pair(result)
    results.save(joined, tmp_path / "joined.nc")
    loaded = results.load(tmp_path / "joined.nc")
    xr.testing.assert_identical(loaded, joined)
    assert [c["data"]["minority_ratio"] for c in json.loads(loaded.configs)] == [CONFIG.data.minority_ratio, 0.3]
    assert loaded.activation_probability.dims == ("study", "feature")
    assert loaded.group.dims == ("feature",)  # the same in both parts
    two = loaded.sel(study="two")
    assert results.config_of(loaded.sel(study="one")) == CONFIG and results.config_of(two) == changed
    assert results.provenance_of(two)["commit"] == "1" * 40
    np.testing.assert_array_equal(two.loss, other.loss)
    for what in (results.config_of, results.provenance_of, lambda whole: results.concat({"a": whole}, "again")):
        with pytest.raises(ResultError, match=r"several joined; select one, as with \.sel\(study='one'\)$"):
            what(loaded)


@pytest.mark.parametrize(
    "changes",
    [{"configs": "[]"}, {"configs": "{"}, {"configs": "[1, 2]"}, {"provenances": "[{}]"}, {"joined": "[1]"}],
)
def test_a_joined_file_with_other_attributes_is_refused(result, tmp_path, changes):
    save_raw(joined_pair(result)[0].assign_attrs(changes), tmp_path / "other.nc")
    assert "no valid configuration" in refused(tmp_path / "other.nc")


def test_load_after_save_is_the_identity(result, saved):
    loaded = results.load(saved)
    xr.testing.assert_identical(loaded, result)
    for name in result.variables:
        if result[name].dtype.kind != "O":
            assert loaded[name].dtype == result[name].dtype, name
    assert results.config_of(loaded) == CONFIG and results.provenance_of(loaded) == PROVENANCE


def test_what_was_loaded_can_be_cut_and_saved_again(saved, tmp_path):
    part = results.load(saved).isel(seed=[1], record=slice(0, 2))
    results.save(part, tmp_path / "part.nc")
    xr.testing.assert_identical(results.load(tmp_path / "part.nc"), part)
    results.save(part, saved)  # in place of the old file
    xr.testing.assert_identical(results.load(saved), part)


def test_folders_are_made_and_nothing_else_is_left(result, tmp_path):
    path = tmp_path / "a" / "b" / "result.nc"
    results.save(result, path)
    assert [entry.name for entry in path.parent.iterdir()] == ["result.nc"]


def test_files_have_the_usual_permissions(saved, tmp_path):
    (tmp_path / "plain").write_text("")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_file_is_refused(tmp_path):
    assert "found none" in refused(tmp_path / "result.nc")
    assert "found none" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"{}", bytes(range(256)) * 64])
def test_other_bytes_with_a_digest_are_refused(saved, content):
    results.save_sealed(content, saved)
    assert "not a readable netCDF-4 file" in refused(saved)


def save_raw(data: xr.Dataset, path) -> None:
    """Save as `results.save` does, whatever the attributes."""
    results.save(data, path)


def test_a_foreign_file_is_refused(tmp_path):
    path, foreign = tmp_path / "foreign.nc", xr.Dataset({"loss": ("step", np.arange(3.0))}, attrs={"title": "weather"})
    foreign.to_netcdf(path, engine="h5netcdf")
    assert "its digest does not fit" in refused(path)
    save_raw(foreign, path)
    assert "wanted a dynsim result of format 1, found format none" in refused(path)


def test_other_programs_can_read_a_result(result, saved):
    xr.testing.assert_identical(xr.load_dataset(saved, engine="h5netcdf"), result)
    with h5py.File(saved) as plain:
        np.testing.assert_array_equal(plain["alignment"], result.alignment)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"dynsim_format": 2}, "found format 2"),
        ({"dynsim_format": "two"}, "found format two"),
        ({"dynsim_format": [1, 2]}, "found format"),
        ({"finished": 0}, "did not finish"),
        ({"finished": "no"}, "did not finish"),
        ({"config": "not json"}, "no valid configuration"),
        ({"config": json.dumps({"schema": 99})}, "another version"),
        ({"config": 3}, "no valid configuration"),
        ({"provenance": "{"}, "provenance"),
    ],
)
def test_a_file_with_other_attributes_is_refused(result, tmp_path, changes, word):
    save_raw(result.assign_attrs(changes), tmp_path / "other.nc")
    assert word in refused(tmp_path / "other.nc")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("dynsim_format", "format none"),
        ("finished", "did not finish"),
        ("config", "config"),
        ("provenance", "provenance"),
    ],
)
def test_a_file_without_an_attribute_is_refused(result, tmp_path, name, word):
    del result.attrs[name]
    save_raw(result, tmp_path / "other.nc")
    assert word in refused(tmp_path / "other.nc")


class Failure(Exception):
    """What goes wrong in the middle of a write."""


def test_a_failing_write_leaves_the_old_file_and_no_other(saved, result):
    before = saved.read_bytes()

    def write(path):
        path.write_bytes(b"half of it")
        raise Failure

    with pytest.raises(Failure):
        results.atomic_write(saved, write)
    unsavable = result.assign(bad=("seed", np.array([object(), object()])))
    with pytest.raises((TypeError, ValueError)):
        results.save(unsavable, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(saved):
    before = saved.read_bytes()

    def write(path):
        path.write_bytes(b"new")
        assert saved.read_bytes() == before and path.parent == saved.parent

    results.atomic_write(saved, write)
    assert saved.read_bytes() == b"new"


def test_a_failed_move_leaves_nothing_behind(saved, monkeypatch):
    def replace_fails(source, target):
        raise OSError("no space")

    before = saved.read_bytes()
    monkeypatch.setattr(os, "replace", replace_fails)
    with pytest.raises(OSError, match="no space"):
        results.atomic_write(saved, lambda path: path.write_text("new"))
    assert list(saved.parent.iterdir()) == [saved] and saved.read_bytes() == before


def test_provenance_is_plain_and_says_how_to_make_the_result_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/long_tail_losses.py", "--methods", "ACL, random masked", "--seed", "1"])
    info = results.provenance()
    assert info["command"] == "long_tail_losses.py --methods 'ACL, random masked' --seed 1"
    assert json.loads(json.dumps(info)) == info
    assert {"command", "commit", "dirty", "python", "versions", "device", "n_devices", "x64"} <= set(info)
    assert info["code"] == results.CODE and info["cpu_count"] >= 1
    assert info["x64"] is True and {"jax", "numpy", "xarray"} <= set(info["versions"])


def test_provenance_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    info = results.provenance()
    assert info["commit"] == ""


def test_code_digest_tells_sources_apart(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    one = results.code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "left.py").write_text("x = 3")
    assert results.code_digest(tmp_path) == one and len(one) == 16
    (tmp_path / "a.py").write_text("x = 2")
    edited = results.code_digest(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({one, edited, results.code_digest(tmp_path)}) == 3


def test_code_digest_reads_folders_within(tmp_path):
    inner = tmp_path / "engine" / "deep"
    inner.mkdir(parents=True)
    digests = [results.code_digest(tmp_path)]
    for text in ("x = 1", "x = 2"):
        (inner / "train.py").write_text(text)
        digests.append(results.code_digest(tmp_path))
    inner.rename(tmp_path / "engine" / "other")
    digests.append(results.code_digest(tmp_path))
    assert len(set(digests)) == 4
    assert results.code_digest(Path(dynsim.__file__).parent) == results.CODE


def test_only_changed_committed_code_is_dirty(tmp_path, monkeypatch):
    package = tmp_path / "dynsim"
    package.mkdir()
    source = package / "results" / "origin.py"
    source.parent.mkdir()
    source.write_text("x = 1")
    (tmp_path / "README.md").write_text("one")
    name = ("-c", "user.name=n", "-c", "user.email=e@x")
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(origin, "__file__", str(source))
    (package / "new.py").write_text("not committed")
    (tmp_path / "README.md").write_text("two")
    assert results.provenance()["dirty"] is False and len(results.provenance()["commit"]) == 40
    source.write_text("x = 2")
    assert results.provenance()["dirty"] is True


def test_an_environment_inside_another_repository_has_no_commit(tmp_path, monkeypatch):
    """The package may be installed within a repository of the user, whose commit is not ours."""
    source = tmp_path / ".venv" / "site-packages" / "dynsim" / "results" / "origin.py"
    source.parent.mkdir(parents=True)
    source.touch()
    name = ("-c", "user.name=n", "-c", "user.email=e@x")
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "theirs"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(origin, "__file__", str(source))
    assert results.provenance()["commit"] == ""


LOSS = {"loss": np.array([[np.nan, 5.0, 4.0], [np.nan, 5.5, 4.5]])}
TEXTS = st.lists(st.text("abc/ =.é1", min_size=1, max_size=6), min_size=1, max_size=3, unique=True)
NUMBERS = st.lists(st.integers(-(2**40), 2**40) | st.floats(-9, 9), min_size=1, max_size=3, unique=True)


@given(keys=TEXTS | NUMBERS)
@settings(max_examples=25)
def test_joined_results_keep_their_axis(keys):
    ratios = np.linspace(0.3, 0.9, len(keys))
    configs = [replace(CONFIG, **{"data.minority_ratio": float(r)}) for r in ratios]
    parts = [results.to_dataset(config, feature_groups(config.data), SEEDS, STEPS, {}, LOSS, {}) for config in configs]
    joined = results.concat(dict(zip(keys, parts, strict=True)), "level")
    with tempfile.TemporaryDirectory() as folder:
        results.save(joined, Path(folder) / "joined.nc")
        loaded = results.load(Path(folder) / "joined.nc")
    assert loaded["level"].dtype.kind in ("U" if isinstance(keys[0], str) else "if")
    assert loaded["level"].values.tolist() == keys
    for position, (key, config) in enumerate(zip(keys, configs, strict=True)):
        for one in (loaded.sel(level=key), loaded.isel(level=position)):
            assert results.config_of(one) == config and results.provenance_of(one) == {}


@pytest.mark.parametrize("keys", [("a", 1), (True, 2), (0.5, float("nan")), (None, "a"), ((1, 2), "a"), ()])
def test_joined_results_have_names_of_one_kind(keys):
    part = results.to_dataset(CONFIG, feature_groups(CONFIG.data), SEEDS, STEPS, {}, {}, {})
    with pytest.raises(ResultError, match=r"^level: wanted names that are all strings or all finite numbers, got"):
        results.concat(dict.fromkeys(keys, part), "level")


@pytest.mark.parametrize("keys", [(2**53 + 1, 0.5), (-1, 2**63 + 1), (2**70, 1), ("a", "a\0")])
def test_names_that_an_array_would_change_are_refused(keys):
    part = results.to_dataset(CONFIG, feature_groups(CONFIG.data), SEEDS, STEPS, {}, {}, {})
    with pytest.raises(ResultError, match=r"^level: wanted names that an array holds exactly, got"):
        results.concat(dict.fromkeys(keys, part), "level")


@pytest.mark.parametrize(
    "keys", [(0.7, 0.5), ("one branch", "none"), (1, 4), tuple(np.arange(2)), tuple(np.arange(2) / 2)]
)
def test_joined_results_can_be_plotted(keys, tmp_path):
    parts = {key: results.to_dataset(CONFIG, feature_groups(CONFIG.data), SEEDS, STEPS, {}, LOSS, {}) for key in keys}
    results.save(results.concat(parts, "level"), tmp_path / "joined.nc")
    loss = results.load(tmp_path / "joined.nc").loss
    assert len(loss.isel(record=-1, seed=0).plot()[0].get_xdata()) == 2
    loss.isel(seed=0).plot.line(x="record", hue="level")
    plt.close("all")
