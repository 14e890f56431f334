"""Long runs: whatever stops them, they go on to the bits of an undisturbed run; diverged ones are set apart."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dynsim import results
from dynsim.analysis import summary
from dynsim.engine import checkpoint, resume, simulate
from dynsim.engine.checkpoint import CheckpointError
from dynsim.engine.numbers import resolve
from dynsim.engine.program import Program, program
from dynsim.results.sealed import load_json, save_json
from tests.reference import toy

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [3, 8]
BATCHINGS = ("map", "vmap")
CONFIGS = {batching: toy(train__batching=batching) for batching in BATCHINGS}
T = CONFIGS["map"].train.n_steps


@pytest.fixture(scope="module", params=BATCHINGS)
def undisturbed(request):
    config = CONFIGS[request.param]
    return config, simulate.simulate(config, SEEDS)


def assert_same_bits(one, two):
    assert set(one.data_vars) == set(two.data_vars)
    for name in one.data_vars:
        a, b = one[name].values, two[name].values
        assert a.dtype == b.dtype and a.shape == b.shape, name
        assert a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes(), name


def resumed(config, folder, monkeypatch):
    """Run again with the folder; return the result and the first step that was still to do."""
    begins, advance = [], Program.advance

    def watched(self, runs, begin, end):
        begins.append(begin)
        return advance(self, runs, begin, end)

    with monkeypatch.context() as patched:
        patched.setattr(Program, "advance", watched)
        result = simulate.simulate(config, SEEDS, checkpoint_folder=folder)
    return result, min(begins)


def stop(monkeypatch, method, when, error):
    """Let a method of Program raise at its call number `when`."""
    calls, original = [], getattr(Program, method)

    def stopping(self, *arguments):
        calls.append(None)
        if len(calls) == when:
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(Program, method, stopping)


# ----- checkpoint and resume


@pytest.mark.parametrize("method", ["advance", "record"])
def test_ctrl_c_keeps_what_is_done(undisturbed, method, tmp_path, monkeypatch):
    config, wanted = undisturbed
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop(patched, method, 4, KeyboardInterrupt)
        simulate.simulate(config, SEEDS, checkpoint_folder=tmp_path)
    assert checkpoint.latest(tmp_path) is not None
    result, begun = resumed(config, tmp_path, monkeypatch)
    assert 0 < begun < T
    assert_same_bits(result, wanted)


def test_a_crash_goes_on_from_the_last_checkpoint(undisturbed, tmp_path, monkeypatch):
    config, wanted = undisturbed
    monkeypatch.setattr(resume, "CHECKPOINT_EVERY_S", 0.0)
    for when in (3, 3):  # twice: what was resumed can be stopped and resumed again
        with monkeypatch.context() as patched, pytest.raises(MemoryError):
            stop(patched, "advance", when, MemoryError)
            simulate.simulate(config, SEEDS, checkpoint_folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # older checkpoints are gone
    result, begun = resumed(config, tmp_path, monkeypatch)
    assert 2 <= begun < T
    assert_same_bits(result, wanted)


def test_a_finished_run_is_taken_from_its_checkpoint(undisturbed, tmp_path, monkeypatch):
    config, wanted = undisturbed
    monkeypatch.setattr(resume, "CHECKPOINT_EVERY_S", 0.0)
    simulate.simulate(config, SEEDS, checkpoint_folder=tmp_path)
    monkeypatch.setattr(Program, "advance", None)  # nothing is left to do
    assert_same_bits(simulate.simulate(config, SEEDS, checkpoint_folder=tmp_path), wanted)


CHILD = """
import sys
from pathlib import Path
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
from dynsim.config import serial
from dynsim.engine import resume, simulate
resume.CHECKPOINT_EVERY_S = 0.0
simulate.simulate(serial.from_json(sys.argv[3]), [3, 8], checkpoint_folder=Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    from dynsim.config import serial

    config = toy(train__n_steps=4000, train__n_records=60)  # of the toy structure: compiled before
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(ROOT / ".cache" / "jax")
    words = [sys.executable, "-c", CHILD, str(tmp_path), cache, serial.to_json(config)]
    child = subprocess.Popen(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 100
    while checkpoint.latest(tmp_path) is None and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # somewhere in a later stretch or save
    child.send_signal(signal.SIGKILL)
    _, complaint = child.communicate()
    assert child.returncode == -signal.SIGKILL, complaint.decode()[-2000:]
    result, begun = resumed(config, tmp_path, monkeypatch)
    assert 0 < begun < config.train.n_steps
    assert_same_bits(result, simulate.simulate(config, SEEDS))


def refusal(config, folder, seeds=SEEDS, **options):
    with pytest.raises(CheckpointError) as caught:
        simulate.simulate(config, seeds, checkpoint_folder=folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def left(tmp_path, monkeypatch):
    """A folder that an interrupted run has left."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop(patched, "advance", 3, KeyboardInterrupt)
        simulate.simulate(CONFIGS["map"], SEEDS, checkpoint_folder=tmp_path)
    return tmp_path


def my_record(state, world):
    return {"weight_sum": state.params.weight.sum()}


def test_what_does_not_fit_is_refused(left):
    assert "config_hash" in refusal(toy(train__n_steps=T + 1), left)
    assert "config_hash" in refusal(toy(data__minority_ratio=0.9), left)
    assert "config_hash" in refusal(CONFIGS["map"], left, seeds=[3, 9])
    assert "config_hash" in refusal(CONFIGS["map"], left, record_fn=my_record)
    with pytest.raises(CheckpointError, match="config_hash"):  # the first of several is not all of them
        simulate.simulate_many([CONFIGS["map"], toy(data__minority_ratio=0.9)], SEEDS, checkpoint_folder=left)
    for name in ("jax", "device", "x64", "code"):
        meta = checkpoint.latest(left) / "meta.json"
        before = meta.read_text()
        save_json(load_json(meta) | {name: "another"}, meta)
        assert f"with {name} " in refusal(CONFIGS["map"], left)
        meta.write_text(before)


def test_a_damaged_checkpoint_is_refused(left):
    for part in (checkpoint.latest(left) / "arrays").rglob("*"):
        if part.is_file():
            part.write_bytes(part.read_bytes()[:-5])
    assert "damaged checkpoint" in refusal(CONFIGS["map"], left)


# ----- several configurations through one compiled program

NUMBERS = {
    "minority ratio": {"data__minority_ratio": 0.9},
    "temperature": {"loss__temperature": 2.0},
    "learning rate": {"optimizer__learning_rate": 0.05},
    "penalty": {"loss__l2_penalty": 0.1},
    "kappa": {"threshold__scale": 1.5},
    "keep probabilities": {"data__majority_keep": 0.6, "data__minority_keep": 0.3},
    "keep probability of each feature": {"data__keep_probability": (0.9, 0.8, 0.7, 0.6, 0.5)},
}


def test_numbers_share_one_program_and_each_is_its_own_run():
    base = {"data__majority_keep": 0.8}  # features may be dropped: that is structure, the chances are numbers
    configs = [toy(**base | change) for change in NUMBERS.values()]
    together = simulate.simulate_many(configs, SEEDS)
    compiled = program(resolve(configs[0]).structure, True)
    assert compiled.n_compiled() == 1
    for config, result in zip(configs, together, strict=True):
        assert results.config_of(result) == config
        assert_same_bits(simulate.simulate(config, SEEDS), result)
    assert compiled.n_compiled() == 1
    weights = {result.weight.values.tobytes() for result in together}
    assert len(weights) == len(configs)  # every number is seen


# ----- divergence

HUGE = 1e30


@pytest.fixture(scope="module")
def mixed():
    """One run set in which the second seed has diverged: joined from two, since a seed changes no learning rate."""
    wild, tame = simulate.simulate_many([toy(optimizer__learning_rate=HUGE), toy()], SEEDS)
    both = tame.copy(deep=True)
    for name in both.data_vars:
        both[name][1] = wild[name][1]
    return tame, wild, both


def test_a_diverged_run_has_step_and_reason(mixed):
    tame, wild, _ = mixed
    assert np.all(wild.diverged_step >= 1) and np.all(wild.diverged_step <= T)
    assert set(wild.diverged_reason.values) <= {"the loss was not finite", "a weight was not finite"}
    assert np.all(tame.diverged_step == -1) and set(tame.diverged_reason.values) == {""}


def test_a_diverged_run_is_listed_and_enters_no_average(mixed):
    tame, _, both = mixed
    ends = summary.all_stage_ends(both)
    assert {end.reason for by_stage in ends[1].values() for end in by_stage.values()} == {"the run diverged"}
    got = summary.summarise(both, ends)
    alone = tame.isel(seed=[0])
    wanted = summary.summarise(alone, summary.all_stage_ends(alone))
    assert list(got["diverged"]) == ["8"] and got["seeds"] == SEEDS and wanted["diverged"] == {}
    assert got["diverged"]["8"]["step"] == int(both.diverged_step[1]) and "not finite" in got["diverged"]["8"]["reason"]
    apart = {"seeds", "diverged"}
    assert {k: v for k, v in got.items() if k not in apart} == {k: v for k, v in wanted.items() if k not in apart}
    assert list(got["stages"]) == ["3"] and "diverged: seed 8" in summary.table_text(got)


def test_where_all_runs_diverged_there_is_still_a_summary(mixed, tmp_path):
    _, wild, _ = mixed
    got = summary.summarise(wild, summary.all_stage_ends(wild))
    assert list(got["diverged"]) == ["3", "8"]
    results.save_json(got, tmp_path / "summary.json")
    text = summary.table_text(got)
    assert "diverged: seed 3" in text and "diverged: seed 8" in text
