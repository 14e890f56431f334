"""Checkpoints: what is loaded is what was saved, a whole one is always there, and what does not fit is refused."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config.checks import ConfigError
from dynsim.engine import checkpoint
from dynsim.engine.checkpoint import CheckpointError
from dynsim.results.sealed import load_json, save_json


def tree(value: float = 1.5):
    """A little of everything that a run set holds."""
    return {
        "key": jax.random.key(7),
        "weight": jnp.full((3, 2), value, jnp.float32),
        "double": np.array([np.pi, np.nan, -0.0]),
        "counts": [jnp.asarray(-1, jnp.int32), np.array([True, False])],
        "nothing": None,
    }


def leaves(values):
    plain = jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, values
    )
    return [np.asarray(leaf) for leaf in jax.tree.leaves(plain)]


def same(one, two):
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(leaves(one), leaves(two), strict=True))


PRINT = checkpoint.fingerprint("abc")


@pytest.fixture(scope="module")
def one_saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    checkpoint.save(folder, 12, tree(), PRINT | {"n_done": 12})
    return folder


@pytest.fixture
def saved(one_saved, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(one_saved, tmp_path / "runs")


def refusal(function, *arguments):
    with pytest.raises(CheckpointError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400, message
    assert isinstance(caught.value, ConfigError)  # the command line turns it into one line and exit code 2
    return message


def test_load_returns_what_was_saved(saved):
    path = checkpoint.latest(saved)
    assert path.name == "step_12"
    loaded = checkpoint.load(path, tree(0.0))
    assert same(loaded, tree())
    assert jax.tree.structure(loaded) == jax.tree.structure(tree())
    assert checkpoint.load_meta(path).items() >= (PRINT | {"n_done": 12}).items()
    checkpoint.check_fingerprint(path, PRINT)


def test_no_checkpoint(tmp_path):
    assert checkpoint.latest(tmp_path / "nowhere") is None
    (tmp_path / "step_5").mkdir()  # arrays without meta.json: not whole
    (tmp_path / "step_x").mkdir()
    (tmp_path / ".building_1").mkdir()
    assert checkpoint.latest(tmp_path) is None


def test_the_newest_is_kept_alone(saved):
    checkpoint.save(saved, 100, tree(2.5), PRINT)
    assert [path.name for path in saved.iterdir()] == ["step_100"]  # 100 is newer than 12, though not by its letters
    assert same(checkpoint.load(checkpoint.latest(saved), tree()), tree(2.5))


def test_the_same_moment_twice_keeps_the_whole_one(saved):
    checkpoint.save(saved, 12, tree(2.5), PRINT)
    assert [path.name for path in saved.iterdir()] == ["step_12"]
    assert same(checkpoint.load(checkpoint.latest(saved), tree()), tree())


def test_a_kill_while_saving_leaves_the_one_before(saved, monkeypatch):
    def killed(*arguments):
        raise SystemExit(137)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(checkpoint, "leaf_forms", killed)  # after the arrays, before meta.json and the move
        checkpoint.save(saved, 20, tree(2.5), PRINT)
    assert same(checkpoint.load(checkpoint.latest(saved), tree()), tree())
    checkpoint.save(saved, 20, tree(2.5), PRINT)  # and what it left is no hindrance
    assert [path.name for path in saved.iterdir()] == ["step_20"]


@pytest.mark.parametrize("name", list(PRINT))
def test_another_writer_is_refused(saved, name):
    meta = checkpoint.latest(saved) / "meta.json"
    save_json(load_json(meta) | {name: "other"}, meta)
    message = refusal(checkpoint.check_fingerprint, checkpoint.latest(saved), PRINT)
    assert f"with {name} {PRINT[name]!r}, got 'other'" in message and "delete the folder" in message


def test_a_damaged_meta_is_refused(saved):
    meta = checkpoint.latest(saved) / "meta.json"
    whole = meta.read_text()
    for text in ('{"n_done": 1', "", "[1, 2]", "\x00\xff", whole.replace('"n_done": 1', '"n_done": 2'), "{}"):
        assert text != whole
        meta.write_text(text)
        assert "damaged checkpoint (meta.json)" in refusal(
            checkpoint.check_fingerprint, checkpoint.latest(saved), PRINT
        )


def files(path):
    return sorted(part for part in (path / "arrays").rglob("*") if part.is_file())


@pytest.mark.parametrize("damage", ["truncated", "emptied", "removed", "flipped"])
def test_a_damaged_file_is_refused(saved, damage):
    path = checkpoint.latest(saved)
    for part in files(path):
        bytes_before = part.read_bytes()
        if not bytes_before:
            continue
        if damage == "removed":
            part.unlink()
        elif damage == "flipped":
            middle = len(bytes_before) // 2
            part.write_bytes(bytes_before[:middle] + bytes([bytes_before[middle] ^ 255]) + bytes_before[middle + 1 :])
        else:
            part.write_bytes(bytes_before[: len(bytes_before) // 2 if damage == "truncated" else 0])
        assert "damaged checkpoint" in refusal(checkpoint.load, path, tree())
        part.write_bytes(bytes_before)
    assert same(checkpoint.load(path, tree()), tree())  # nothing but the damage was at fault


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": np.zeros((2, 3), np.float32)}, "wanted float32[2, 3] at ['weight'], got float32[3, 2]"),
        ({"weight": np.zeros((3, 2), np.float64)}, "wanted float64[3, 2] at ['weight'], got float32[3, 2]"),
        ({"more": np.zeros(3)}, "wanted float64[3] at ['more'], got nothing"),
        ({"double": None}, "wanted nothing at ['double'], got float64[3]"),
    ],
    ids=["shape", "dtype", "more", "fewer"],
)
def test_another_structure_is_refused(saved, change, words):
    assert words in refusal(checkpoint.load, checkpoint.latest(saved), tree() | change)


def test_clear(saved):
    checkpoint.clear(saved)
    checkpoint.clear(saved)  # nothing there is nothing to do
    assert not saved.exists()
