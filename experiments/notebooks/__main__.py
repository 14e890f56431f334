"""The notebooks: opens them, or runs them from top to bottom and measures how fast their sliders redraw.

Their sources are the Python files beside this one, in jupytext's percent format. `make notebooks` turns each into an
.ipynb file that stays paired with it, and opens them; `make notebooks-run` runs them as a part of the gate.
"""

import argparse
import functools
import importlib.util
import json
import math
import os
import queue
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NEEDED = ("ipykernel", "ipywidgets", "jupytext", "nbclient")
TO_OPEN = ("jupyterlab",)
HOW_TO_GET_THEM = "install the extra: pip install 'dynsim[notebook]', or run make notebooks"
SECONDS_PER_CELL = 600
"""How long a cell may take."""
POLL_EVERY_S = 0.2
"""How often the runner looks for an answer of the kernel; see `look_often`."""
REDRAWN_WITHIN_S = 2.0

MOVE_SLIDERS = """
import io, json, time
from dynsim.engine.program import program
sliders = redraw.widget.children[:-1]
start = {slider._kwarg: slider.value for slider in sliders}
compiled, slowest = program.cache_info().misses, 0.0
for slider in sliders:
    for value in (slider.min, slider.max):
        began = time.process_time()
        redraw(**(start | {slider._kwarg: value})).savefig(io.BytesIO())
        slowest = max(slowest, time.process_time() - began)
print(json.dumps({"slowest_s": slowest, "compiled": program.cache_info().misses - compiled}))
"""
"""A cell that is added to each notebook: moves every slider to both its ends, and says how long the slowest took, in
seconds of the processor, so that other work on the machine counts less."""


def notebook_sources() -> list[Path]:
    """Return the sources of the notebooks, in order."""
    return sorted(HERE.glob("n[0-9]_*.py"))


def missing(names: tuple[str, ...]) -> list[str]:
    """Return which of these packages cannot be imported."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def look_often(client: Any) -> None:
    """Let a kernel's client look for a message every `POLL_EVERY_S` seconds, until the time that it is given is up.

    By itself it looks when it is told that one has come, and when the time is up. In cells with widgets it is sometimes
    not told (nbclient, issue 312). Then the kernel waits for work and the client for the kernel, for as long as a cell
    may take.
    """
    for channel in (client.shell_channel, client.iopub_channel):
        channel.get_msg = functools.partial(_get_message, channel.get_msg)


async def _get_message(get_message: Callable[..., Awaitable[Any]], timeout: float | None = None) -> Any:
    end = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        left = max(0.0, end - time.monotonic())
        try:
            return await get_message(timeout=min(POLL_EVERY_S, left))
        except queue.Empty:
            if left <= POLL_EVERY_S:
                raise


def executed(source: Path, folder: Path | None) -> dict[str, Any]:
    """Run one notebook from top to bottom, with a fresh kernel.

    Args:
        source: its Python file.
        folder: where to save the notebook with its outputs; None saves nothing.

    Returns:
        `seconds` in all; `slowest_s`, the longest that a figure took to be redrawn after a slider was moved, and
        `compiled`, how many programs were compiled for it.
    Errors:
        `ValueError` in one line for a source that would change when it is opened as a notebook and saved;
        `nbclient.exceptions.CellExecutionError` with the traceback of the first cell that fails; `TimeoutError` for one
        that takes longer than `SECONDS_PER_CELL`.
    """
    import jupytext
    import nbformat
    from jupytext.config import load_jupytext_config
    from nbclient import NotebookClient

    began, paired = time.perf_counter(), load_jupytext_config(str(source))
    as_saved = jupytext.writes(jupytext.read(source, config=paired), fmt="py:percent", config=paired)
    if as_saved != source.read_text(encoding="utf-8"):
        raise ValueError(f"{source.name}: wanted text as jupytext writes it, got other text; run jupytext --sync on it")

    book = jupytext.read(source, config=paired)
    book.cells.append(nbformat.v4.new_code_cell(MOVE_SLIDERS))
    where = {"metadata": {"path": str(HERE)}}
    client = NotebookClient(book, timeout=SECONDS_PER_CELL, kernel_name="python3", resources=where)
    client.on_notebook_start = lambda notebook: look_often(client.kc)
    client.execute()
    report = json.loads("".join(output.get("text", "") for output in book.cells.pop().outputs).splitlines()[-1])
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, folder / f"{source.stem}.ipynb")
    return report | {"seconds": time.perf_counter() - began}


def told(report: dict[str, Any]) -> str:
    """Return what moving the sliders of a notebook cost, in words, with what was wanted where it cost more."""
    words = f"sliders redraw within {report['slowest_s']:.1f} s, {report['compiled']} programs compiled for them"
    if report["compiled"]:
        words += "; wanted 0: a slider must not change what is compiled"
    if report["slowest_s"] > REDRAWN_WITHIN_S:
        words += f"; slower than the {REDRAWN_WITHIN_S:.0f} s that one would like"
    return words


def run_all(folder: Path | None) -> int:
    """Run all notebooks, two at a time, print a line for each, and return the exit code.

    A slider that compiles a program is an error. One that redraws slowly is only told: a slow machine is no fault of
    the notebook.
    """
    root = HERE.parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(root / ".cache" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # most programs are small
    well = True
    with ThreadPoolExecutor(2) as pool:
        for source, report in zip(
            notebook_sources(), pool.map(lambda one: executed(one, folder), notebook_sources()), strict=True
        ):
            well = well and report["compiled"] == 0
            print(f"{source.stem:<18}{report['seconds']:>6.1f} s   {told(report)}", flush=True)
    return 0 if well else 1


def open_all() -> int:
    """Pair each source with an .ipynb file and open the folder in JupyterLab; return its exit code."""
    for source in notebook_sources():
        subprocess.run([sys.executable, "-m", "jupytext", "--sync", "-q", source], check=True)
    return subprocess.run([sys.executable, "-m", "jupyterlab", str(HERE)], check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """Run from a command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.notebooks", description=__doc__)
    parser.add_argument("what", choices=["open", "run"], help="open: in JupyterLab; run: all, from top to bottom")
    parser.add_argument("--out", type=Path, help="folder for the notebooks with their outputs, after a run")
    options = parser.parse_args(arguments)
    lacking = missing(NEEDED + TO_OPEN if options.what == "open" else NEEDED)
    if lacking:
        print(f"notebooks: {', '.join(lacking)} missing; {HOW_TO_GET_THEM}", file=sys.stderr)
        return 1
    return run_all(options.out) if options.what == "run" else open_all()


if __name__ == "__main__":
    sys.exit(main())
