"""The compiled functions of a structure: shared by equal arguments, compiled once, the same in every thread."""

import functools
import importlib
import importlib.machinery
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import results
from dynsim.engine.numbers import resolve
from dynsim.engine.program import origins, peak_memory, program
from dynsim.engine.simulate import simulate
from tests.reference import TOY, toy

ROOT = Path(__file__).resolve().parents[3]
SEEDS = np.asarray([3, 8], np.uint32)
BOTH = pytest.mark.parametrize("one_by_one", [True, False], ids=["map", "vmap"])


def prepared(one_by_one):
    compiled = program(resolve(TOY).structure, one_by_one)
    return compiled, compiled.init(SEEDS, [resolve(TOY).numbers] * 2)


def test_equal_arguments_share_the_compiled_functions():
    assert program(resolve(TOY).structure, True) is program(resolve(toy(data__minority_ratio=0.1)).structure, True)
    assert program(resolve(TOY).structure, True) is not program(resolve(TOY).structure, False)


@BOTH
def test_runs_have_a_leading_axis_where_they_are_handed_out(one_by_one):
    compiled, runs = prepared(one_by_one)
    record, total, runs = compiled.record(runs)
    m, d, d1 = 6, 5, 8
    assert record.alignment.shape == (2, m, d) and total.loss.shape == (2,)
    carry, dictionary = compiled.stacked(runs)
    assert carry.state.params.weight.shape == (2, m, d1) and dictionary.shape == (2, d1, d)


@BOTH
def test_totals_start_anew_after_a_record_and_the_state_stays(one_by_one):
    compiled, runs = prepared(one_by_one)
    runs = compiled.advance(runs, 0, 3)
    before = compiled.stacked(runs)[0]
    _, total, runs = compiled.record(runs)
    after = compiled.stacked(runs)[0]
    np.testing.assert_array_equal(total.loss, before.total.loss)
    assert np.all(np.asarray(before.total.loss) > 0) and not np.any(after.total.loss)
    np.testing.assert_array_equal(before.state.params.weight, after.state.params.weight)


@BOTH
def test_no_steps_change_nothing(one_by_one):
    compiled, runs = prepared(one_by_one)
    same = compiled.advance(runs, 4, 4)
    one, two = (compiled.stacked(each)[0].state.params.weight for each in (runs, same))
    np.testing.assert_array_equal(one, two)


@BOTH
def test_stretches_of_any_length_are_one_compilation(one_by_one):
    compiled, runs = prepared(one_by_one)
    for begin, end in ((0, 1), (1, 5), (5, 5), (5, 12)):
        runs = compiled.advance(runs, begin, end)
    assert compiled.n_compiled() == 1


def test_threads_keep_the_settings_of_the_caller():
    # JAX's context managers hold in one thread alone, and several runs are advanced in several threads
    config = toy(train__precision="float32", train__n_steps=3)
    with jax.enable_x64(False):
        result = simulate(config, [0, 1])
        assert program(resolve(config).structure, True).n_compiled() == 1
    assert result.alignment.dtype == np.float32 and np.all(result.diverged_step == -1)
    assert np.all(np.isfinite(result.weight)) and results.provenance_of(result)["x64"] is False


@pytest.fixture
def made(tmp_path):
    """Return (source text) -> the function `loss` of a module of that text."""

    def load(source):
        path = tmp_path / "own.py"
        path.write_text("import jax.numpy as jnp\n" + source + "\n")
        loader = importlib.machinery.SourceFileLoader("own", str(path))
        module = types.ModuleType("own")
        loader.exec_module(module)
        return module.loss

    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a second text within the second would be taken for the first
    yield load
    sys.dont_write_bytecode = before


def test_origins_tell_edited_functions_apart(made):
    texts = [
        "def loss(a):\n    return 2 * jnp.mean(a)",
        "def loss(a):\n    return 3 * jnp.mean(a)",  # another constant
        "def loss(a):\n    return 2 * jnp.sum(a)",  # another name
        "def loss(a):\n    return 2 + jnp.mean(a)",  # another operation
        "def loss(a, b=1):\n    return 2 * jnp.mean(a)",
        "def loss(a, b=2):\n    return 2 * jnp.mean(a)",  # another default
        "def loss(a):\n    return (lambda x: 2 * x)(jnp.mean(a))",
        "def loss(a):\n    return (lambda x: 3 * x)(jnp.mean(a))",  # inside an inner function
        *(f"def make(k):\n    def loss(a):\n        return k * a\n    return loss\nloss = make({k})" for k in (1, 2)),
    ]
    found = [origins({"loss": made(text)}) for text in texts]
    assert len({one["loss"][0] for one in found}) == len(texts)
    assert found == [origins({"loss": made("# moved down\n\n" + text)}) for text in texts]
    compiled = origins({"loss": jax.jit(made(texts[0]))})["loss"][0]
    assert compiled.split("#")[1] == found[0]["loss"][0].split("#")[1]
    assert origins({}) == {}
    assert len(origins({"loss": jnp.add})["loss"]) == 1  # a callable without code of its own


def test_origins_of_a_function_with_arguments_filled_in(made):
    """functools.partial: its own text holds an address, which is another one in every process."""
    loss = made("def loss(a, by=1, to=None):\n    return by * jnp.mean(a)")
    other = made("def loss(a, by=1, to=None):\n    return by * jnp.sum(a)")
    one, again = ({"loss": functools.partial(loss, by=2.0, to=np.arange(3))} for _ in range(2))
    assert origins(one) == origins(again) and "0x" not in origins(one)["loss"][0]
    others = [
        functools.partial(loss, by=3.0, to=np.arange(3)),
        functools.partial(loss, by=2.0, to=np.arange(3) + 1),
        functools.partial(other, by=2.0, to=np.arange(3)),
        functools.partial(loss, by=2.0),
        functools.partial(loss, to=loss),
        functools.partial(loss, to=other),
    ]
    found = {origins({"loss": fn})["loss"][0] for fn in (one["loss"], *others)}
    assert len(found) == 1 + len(others)


def test_origins_do_not_depend_on_the_process(tmp_path, monkeypatch):
    # a set of strings has another order in every process: of twelve, the same one by chance is one case in millions
    words = {f"word {k}" for k in range(12)}
    (tmp_path / "own.py").write_text(f"def loss(a):\n    return a in {words}\n", encoding="utf-8")
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    child = "import own; from dynsim.engine.program import origins; print(origins({'loss': own.loss}))"
    done = subprocess.run(
        [sys.executable, "-c", child],
        env=os.environ | {"PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    )
    monkeypatch.syspath_prepend(tmp_path)
    here = origins({"loss": importlib.import_module("own").loss})
    del sys.modules["own"]
    assert done.stdout == f"{here}\n" and "own.loss#" in here["loss"][0]


def test_peak_memory(monkeypatch):
    assert 10 < peak_memory()["peak_memory_mb"] < 1e6
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_memory() == {}
