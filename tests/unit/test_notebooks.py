"""The sources of the notebooks, and the command that runs them; the gate runs the notebooks themselves.

jupytext and nbclient are not needed here. That each source is what jupytext writes is checked where they are run.
"""

import ast
import asyncio
import itertools
import queue
import runpy
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from dynsim.config import Config, replace
from dynsim.engine.numbers import resolve
from experiments.notebooks import __main__ as command

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments" / "notebooks"
SOURCES = sorted(FOLDER.glob("n[0-9]_*.py"))


def cells(source: Path) -> list[str]:
    return [cell.strip() for cell in source.read_text(encoding="utf-8").split("# %%")[1:]]


def test_there_are_four_and_no_outputs_are_committed():
    assert [source.stem[0:2] for source in SOURCES] == ["n1", "n2", "n3", "n4"]
    done = subprocess.run(["git", "ls-files", "*.ipynb"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""  # notebooks are made from the sources, and have no outputs to strip
    paired = tomllib.loads((FOLDER / "jupytext.toml").read_text(encoding="utf-8"))
    assert paired["formats"] == "ipynb,py:percent"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_begins_with_its_question_and_ends_with_sliders(source):
    first, *_, last = cells(source)
    assert first.startswith('[markdown]\n"""\n# ') and "**Question: " in first and "?**" in first
    assert "controls = interact(\n    redraw," in last and "continuous_update=False" in last
    said = [cell for cell in cells(source) if cell.startswith("[markdown]")]
    assert len(said) >= 4 and len(source.read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_sliders_move_numbers_that_a_compiled_program_is_passed(source):
    """What `redraw` changes does not change the structure, so that nothing is compiled again."""
    functions = [
        node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    redraw = next(node for node in functions if node.name == "redraw")
    texts = [node.value for node in ast.walk(redraw) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    changed = [text for text in texts if "." in text and " " not in text]
    assert len(changed) >= 2
    for name in changed:
        masked = {"prune.kind": "lowest", "prune.rate": 0.6} if name.startswith("prune.") else {}
        one, two = (replace(Config(), **masked | {name: value}) for value in values_of(name))
        assert resolve(one).structure == resolve(two).structure, name


def values_of(name: str) -> tuple[float, float]:
    return (100, 200) if name == "train.n_steps" else (0.25, 0.75)


def test_without_the_extra_there_is_one_line():
    code = (
        "import sys, experiments.notebooks.__main__ as command\n"
        "assert command.missing(('json', 'no_such_package')) == ['no_such_package']\n"
        "command.missing = lambda names: ['jupytext', 'nbclient']\n"
        "sys.exit(command.main(['run']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    advice = "install the extra: pip install 'dynsim[notebook]', or run make notebooks"
    assert done.stderr == f"notebooks: jupytext, nbclient missing; {advice}\n" and done.stdout == ""


@pytest.mark.parametrize(("slowest", "compiled", "status"), [(0.5, 0, 0), (60.0, 0, 0), (0.5, 1, 1)])
def test_a_slow_machine_is_no_error_and_a_slider_that_compiles_is(slowest, compiled, status, capsys, monkeypatch):
    """The gate ended in an error when a slider took 2.5 s of the processor on a machine that had other work."""
    report = {"slowest_s": slowest, "compiled": compiled, "seconds": 9.0}
    monkeypatch.setattr(command, "executed", lambda source, folder: report)
    for name in ("PYTHONPATH", "JAX_COMPILATION_CACHE_DIR"):  # set by the command, and taken back after the test
        monkeypatch.setenv(name, "")
    assert command.run_all(None) == status
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SOURCES)
    for line in lines:
        assert ("slower than the 2 s" in line) == (slowest > 2) and ("wanted 0" in line) == bool(compiled)


def test_an_answer_that_nobody_announces_is_found(monkeypatch):
    """nbclient looks for an answer when it is told of one, or when the time is up; sometimes it is not told."""
    monkeypatch.setattr(command, "POLL_EVERY_S", 0.01)
    there, asked = [], []

    async def unannounced(timeout=None):
        """Look only at the end of the time."""
        asked.append(timeout)
        await asyncio.sleep(timeout)
        if not there:
            raise queue.Empty
        return there.pop()

    class Client:
        def __init__(self):
            self.shell_channel, self.iopub_channel = (types.SimpleNamespace(get_msg=unannounced) for _ in range(2))

    client = Client()
    command.look_often(client)

    async def answer(channel, timeout):
        task = asyncio.ensure_future(channel.get_msg(timeout=timeout))
        await asyncio.sleep(0.03)
        there.append("done")
        return await task

    for channel, timeout in itertools.product((client.shell_channel, client.iopub_channel), (600, None)):
        assert asyncio.run(answer(channel, timeout)) == "done"
    assert len(asked) > 4 and set(asked) == {0.01}
    with pytest.raises(queue.Empty):
        asyncio.run(client.shell_channel.get_msg(timeout=0.025))
    assert 0 <= asked[-1] < 0.01


def test_the_gate_runs_them():
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "-m experiments.notebooks run" in make and "-m experiments.notebooks open" in make
    assert "notebooks-run" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    needed = runpy.run_path(str(FOLDER / "__main__.py"))["NEEDED"]
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {one.split(">=")[0] for one in extra["notebook"]} == set(needed)
    for pins in (ROOT / ".ci").glob("constraints-*.txt"):
        pinned = {line.split("==")[0] for line in pins.read_text(encoding="utf-8").splitlines()}
        assert set(needed) <= pinned, pins.name
