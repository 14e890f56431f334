"""Labelled results: saving is whole or nothing, and only our own finished, undamaged files load."""

import json
import os
import subprocess

import numpy as np
import pytest
import xarray as xr

from dynsim import results
from dynsim.config import Config, replace
from dynsim.measure import Snapshot
from dynsim.results import SNAPSHOT_DIMS, ResultError

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
    return results.to_dataset(CONFIG, SEEDS, STEPS, records, per_seed, PROVENANCE)


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
    made = results.to_dataset(CONFIG, SEEDS, STEPS, records, {}, {})
    assert made.spectrum.dims == ("seed", "record", "spectrum_0")
    assert made.alignment.dims == ("seed", "record", "alignment_0")


def test_what_went_in_comes_out(result):
    assert results.config_of(result) == CONFIG
    assert results.provenance_of(result) == PROVENANCE


def joined_pair(result):
    other = result.copy(deep=True)
    other["loss"] += 1
    changed = replace(CONFIG, **{"data.minority_ratio": 0.3})
    made = results.to_dataset(changed, SEEDS, STEPS, {}, {}, PROVENANCE | {"commit": "1" * 40})
    other = other.assign_attrs(made.attrs).assign_coords(activation_probability=made.activation_probability)
    return results.concat({"one": result, "two": other}, "study"), other, changed


def test_what_was_joined_can_be_saved_and_its_parts_taken(result, tmp_path):
    joined, other, changed = joined_pair(result)
    results.save(joined, tmp_path / "joined.nc")
    loaded = results.load(tmp_path / "joined.nc")
    xr.testing.assert_identical(loaded, joined)
    assert [c["data"]["minority_ratio"] for c in json.loads(loaded.configs)] == [CONFIG.data.minority_ratio, 0.3]
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


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    assert "not a readable netCDF-4 file" in refused(saved)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"{}", bytes(range(256)) * 64])
def test_a_file_of_other_bytes_is_refused(saved, content):
    saved.write_bytes(content)
    refused(saved)


@pytest.mark.parametrize("name", ["alignment", "weight", "switch_step", "step", "activation_probability"])
def test_one_damaged_bit_of_a_number_is_noticed(result, saved, name):
    content = bytearray(saved.read_bytes())
    place = bytes(content).find(np.ascontiguousarray(result[name].values).tobytes())
    assert place > 0
    content[place + 3] ^= 1
    saved.write_bytes(content)
    assert "not a readable netCDF-4 file" in refused(saved)


def save_raw(data: xr.Dataset, path) -> None:
    data.to_netcdf(path, engine="h5netcdf")


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "foreign.nc"
    save_raw(xr.Dataset({"loss": ("step", np.arange(3.0))}, attrs={"title": "weather"}), path)
    assert "wanted a dynsim result of format 1, found format none" in refused(path)


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


def test_json_is_saved_whole_and_refuses_what_is_not_finite(tmp_path):
    path = tmp_path / "deep" / "summary.json"
    values = {"T1": 12.5, "group": "minority", "found": None, "steps": [1, 2]}
    results.save_json(values, path)
    assert json.loads(path.read_text()) == values and path.read_text().endswith("}\n")
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            results.save_json({"T1": [bad]}, path)
    with pytest.raises(TypeError):
        results.save_json({"T1": object()}, path)
    assert json.loads(path.read_text()) == values
    assert list(path.parent.iterdir()) == [path]


def test_provenance_is_plain_and_says_how_to_make_the_result_again():
    info = results.provenance()
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
    assert results.code_digest(tmp_path) == one and len(one) == 16
    (tmp_path / "a.py").write_text("x = 2")
    edited = results.code_digest(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({one, edited, results.code_digest(tmp_path)}) == 3


def test_only_changed_committed_code_is_dirty(tmp_path, monkeypatch):
    package = tmp_path / "dynsim"
    package.mkdir()
    (package / "results.py").write_text("x = 1")
    (tmp_path / "README.md").write_text("one")
    name = ("-c", "user.name=n", "-c", "user.email=e@x")
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(results, "__file__", str(package / "results.py"))
    (package / "new.py").write_text("not committed")
    (tmp_path / "README.md").write_text("two")
    assert results.provenance()["dirty"] is False and len(results.provenance()["commit"]) == 40
    (package / "results.py").write_text("x = 2")
    assert results.provenance()["dirty"] is True
