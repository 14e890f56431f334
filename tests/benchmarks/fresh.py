"""One short run in a process of its own: what compiling costs before the first step, and how much memory a run takes.

Command:  python -m tests.benchmarks.fresh SHAPE N_STEPS     (JAX_COMPILATION_CACHE_DIR names the cache); prints JSON
"""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from dynsim.cli import set_up_jax
from dynsim.config import replace
from dynsim.engine.numbers import resolve
from dynsim.engine.program import peak_memory, program, runs_one_by_one
from tests.benchmarks.shapes import SHAPES


def peak_mb() -> float:
    """Return the most memory that this process has held, in 10^6 bytes.

    Linux counts the memory of the process that started this one towards `ru_maxrss`, so its own figure comes first.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 / 1e6 if found else peak_memory()["peak_memory_mb"]


def main(name: str, n_steps: int) -> None:
    """Compile what a run needs by calling it, go on for `n_steps` steps with recording, and print both measures."""
    set_up_jax("cpu", "float32", "fresh")
    from dynsim.engine.simulate import simulate

    config = replace(SHAPES[name], **{"train.n_steps": n_steps, "train.n_records": 10})
    began = time.perf_counter()
    compiled = program(resolve(config).structure, runs_one_by_one(config))
    runs = compiled.init(np.zeros(1, np.uint32), [resolve(config).numbers])
    _, _, runs = compiled.record(runs)
    compiled.advance(runs, 0, 1)
    first = time.perf_counter() - began
    simulate(config, [0])
    print(json.dumps({"first_step_s": first, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
