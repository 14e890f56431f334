"""Files are whole, carry their digest, and a damaged one is one line of error, whatever is wrong with it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings

from dynsim import results
from dynsim.config import Config, replace
from dynsim.results.sealed import ResultError
from dynsim.theory import feature_groups

CONFIG = replace(Config(), **{"data.n_features": 3, "data.token_dim": 3, "encoder.n_neurons": 2})
RESULT = results.to_dataset(
    CONFIG, feature_groups(CONFIG.data), np.array([4]), np.array([0, 1]), {"firing": np.ones((1, 2, 2))}, {}, {}
)
VALUES = {"T1": 12.5, "group": "minority", "found": None, "steps": [1, 2]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One file of each kind: (path, how it is loaded)."""
    folder = tmp_path_factory.mktemp("files")
    results.save(RESULT, folder / "result.nc")
    results.save_many({"main": RESULT, "control b = 0": RESULT}, folder / "curves.nc")
    results.save_json(VALUES, folder / "summary.json")
    load = {"result.nc": results.load, "curves.nc": results.load_many, "summary.json": results.load_json}
    return {name: ((folder / name).read_bytes(), fn) for name, fn in load.items()}


@pytest.mark.parametrize("name", ["result.nc", "curves.nc", "summary.json"])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60)
@example(share=0.0, bit=0)
@example(share=0.99999, bit=1)
def test_any_flipped_bit_is_one_line(written, tmp_path_factory, name, share, bit):
    content, load = written[name]
    damaged = bytearray(content)
    damaged[int(share * len(content))] ^= 1 << bit
    refused(tmp_path_factory.getbasetemp() / name, bytes(damaged), load)


@pytest.mark.parametrize("name", ["result.nc", "curves.nc", "summary.json"])
@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=20)
@example(share=0.0)
@example(share=0.9999)
def test_a_file_without_its_end_is_one_line(written, tmp_path_factory, name, share):
    content, load = written[name]
    refused(tmp_path_factory.getbasetemp() / name, content[: int(share * len(content))], load)
    refused(tmp_path_factory.getbasetemp() / name, content + b"\n", load)


def refused(path, content, load):
    path.write_bytes(content)
    with pytest.raises(ResultError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "digest does not fit; delete it" in message.replace(")", "")
    assert "\n" not in message


def test_the_comma_behind_the_digest_counts_too(written, tmp_path):
    content, load = written["summary.json"]
    assert content.count(b'",\n') >= 1
    refused(tmp_path / "summary.json", content.replace(b'",\n', b'"\n', 1), load)


@pytest.mark.parametrize("text", ["{}", '{"sha256": "0"}', "[1, 2]", "", '{\n "T1": 3\n}\n'])
def test_json_of_others_is_refused(tmp_path, text):
    refused(tmp_path / "summary.json", text.encode(), results.load_json)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values=st.dictionaries(st.text().filter(lambda key: key != "sha256"), PLAIN, max_size=4))
@settings(max_examples=60)
@example(values={})
def test_json_comes_back_and_is_plain_json(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "deep" / "summary.json"
    results.save_json(values, path)
    assert results.load_json(path) == values
    read = json.loads(path.read_text(encoding="utf-8"))
    assert next(iter(read)) == "sha256" and len(read.pop("sha256")) == 64 and read == values
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_json_refuses_what_is_not_finite_or_not_plain_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    results.save_json(VALUES, path)
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            results.save_json({"T1": [bad]}, path)
    with pytest.raises(TypeError):
        results.save_json({"T1": object()}, path)
    with pytest.raises(ValueError, match="sha256"):
        results.save_json({"sha256": "mine"}, path)
    assert results.load_json(path) == VALUES and list(tmp_path.iterdir()) == [path]


def test_many_results_come_back(written, tmp_path):
    content, load = written["curves.nc"]
    (tmp_path / "curves.nc").write_bytes(content)
    found = load(tmp_path / "curves.nc")
    assert list(found) == ["main", "control b = 0"]
    for part in found.values():
        xr.testing.assert_identical(part, RESULT)
    results.save_many({}, tmp_path / "curves.nc")
    assert load(tmp_path / "curves.nc") == {}


SAVE = """
import resource, signal, sys
from pathlib import Path
import numpy as np, xarray as xr
from dynsim import cli, results
if sys.argv[2] == "checkpoint":  # loads JAX, which takes as long as all the rest
    from dynsim.engine import checkpoint
sys.dont_write_bytecode = True  # Python takes a piece of a file, under the limit, for the whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
big = xr.Dataset({"a": ("x", np.arange(10_000.0))})
path, kind = Path(sys.argv[1]), sys.argv[2]
save = {
    "one": lambda: results.save(big, path),
    "many": lambda: results.save_many({"a": big}, path),
    "json": lambda: results.save_json({"a": list(range(10_000))}, path),
    "checkpoint": lambda: checkpoint.save(path, 3, {"a": np.arange(10_000.0)}, {}),
}
cli.run_main(save[kind], "test.py")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system sets no limit on the size of files")
@pytest.mark.parametrize("kind", ["one", "many", "json", "checkpoint"])
def test_no_space_is_one_line(tmp_path, kind):
    """The system refuses to let a file grow, as it does on a full disk."""
    path = tmp_path / "result.nc"
    done = subprocess.run(
        [sys.executable, "-c", SAVE, path, kind],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"test.py: error: {path}: could not be written (")
    assert "MB wanted" in done.stderr and "MB free" in done.stderr
    assert not [left for left in tmp_path.rglob("*") if left.is_file()]
