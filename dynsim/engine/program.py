"""The compiled functions of one structure (a configuration without its numbers), and how a set of runs uses them.

On a CPU, a program compiled for a single run processes the runs one by one, in as many threads as there are cores. That
is faster there than one program for all runs together, and gives each run the same bits as when it is run alone. On an
accelerator the runs are stacked and processed together (vmap).
"""

import functools
import hashlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import CodeType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled, Wrapped
from jaxtyping import Array, Integer, PyTree

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.engine import initial, train
from dynsim.engine.data import DataModel
from dynsim.engine.encoder import Encoder, Params
from dynsim.engine.numbers import Numbers
from dynsim.engine.own_parts import completed
from dynsim.engine.pruning import PruneState
from dynsim.engine.snapshot import recorder
from dynsim.engine.train import Carry, Parts, RecordFn, StepInfo, World

T = TypeVar("T")
Forms = tuple[tuple[tuple[int, ...], np.dtype], ...]
"""Shape and dtype of each array."""
Run = tuple[Carry, World]
Runs = list[Run] | Run
"""A set of runs: a list if they are processed one by one, else a single `Run` whose arrays have a leading run axis."""
MAKING = threading.Lock()
"""Held while `program` is called by sets of runs in several threads; its cache alone would let each make one."""


def runs_one_by_one(config: Config) -> bool:
    """Return whether runs are processed one by one rather than together (vmap)."""
    choice = config.train.batching
    return choice == "map" or (choice == "auto" and jax.default_backend() == "cpu")


class Program:
    """The compiled functions `advance` and `record` of a structure, and `init`, for a set of runs."""

    def __init__(self, parts: Parts, record_fn: RecordFn, one_by_one: bool) -> None:
        """Prepare the functions. Each is compiled when it is first called."""
        self.parts = parts
        self.record_fn = record_fn
        self.one_by_one = one_by_one
        self.n_threads = os.cpu_count() or 1
        self._pool: ThreadPoolExecutor | None = None

        def advance(carry: Carry, world: World, begin: Integer[Array, ""], end: Integer[Array, ""]) -> Carry:
            return train.advance(carry, world, begin, end, parts)

        def record(carry: Carry, world: World) -> tuple[PyTree, StepInfo, Carry]:
            return record_fn(carry.state, world), carry.total, train.start(carry.state)

        wrap: Callable[..., Any] = (lambda fn, axes: fn) if one_by_one else jax.vmap
        self._advance = jax.jit(wrap(advance, (0, 0, None, None)))
        self._record = jax.jit(wrap(record, (0, 0)))
        self._ready: dict[tuple[Wrapped, Forms], Compiled] = {}
        self._compiling = threading.Lock()  # sets of runs in several threads wait for one compilation
        # wide vectors make random numbers a third faster; a processor without them uses two narrow ones instead
        self._options: dict[str, Any] | None = (
            {"xla_cpu_prefer_vector_width": 512} if jax.default_backend() == "cpu" else None
        )

    def n_compiled(self) -> int:
        """Return how many versions of the training loop have been compiled."""
        return sum(fn is self._advance for fn, _ in self._ready)

    def _compiled(self, fn: Wrapped, *arguments: PyTree) -> Compiled:
        """Return a jitted function compiled for arguments of these shapes and dtypes.

        It must be compiled before threads start. Threads do not inherit JAX's context managers, such as
        `with jax.enable_x64()`, and would trace the function again in another mode.
        """
        form = fn, tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(arguments))
        with self._compiling:
            if form not in self._ready:
                self._ready[form] = fn.lower(*arguments).compile(compiler_options=self._options)
            return self._ready[form]

    def _each(self, one: Callable[[Run], T], runs: list[Run]) -> list[T]:
        """Return the results of `one` for all runs, computed in as many threads as there are cores."""
        if len(runs) == 1:
            return [one(runs[0])]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_threads)
        return list(self._pool.map(one, runs))  # compiled code does not hold Python's lock

    def lowered_step(self, platforms: Sequence[str], run: Run) -> jax.export.Exported:
        """Return the training loop of one run, lowered for the given platforms (`jax.export`) but not executed."""
        return jax.export.export(self._advance, platforms=platforms)(*run, np.int32(0), np.int32(1))

    def init(self, seeds: np.ndarray, numbers: Sequence[Numbers]) -> Runs:
        """Return the runs of the given seeds, each with its own numbers, before their first step."""

        def begin(seed: Integer[Array, ""], numbers: Numbers) -> Run:
            state, world = initial.init(seed, numbers, self.parts)
            return train.start(state), world

        if self.one_by_one:
            given = zip(seeds, numbers, strict=True)
            return [begin(jnp.asarray(seed), one) for seed, one in given]
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *numbers)
        return jax.vmap(begin)(jnp.asarray(seeds), stacked)

    def advance(self, runs: Runs, begin: int, end: int) -> Runs:
        """Train the runs from update `begin` to update `end`, wait until that is done, and return them."""
        bounds = np.int32(begin), np.int32(end)
        if not isinstance(runs, list):
            carry, world = runs
            return jax.block_until_ready(self._compiled(self._advance, *runs, *bounds)(carry, world, *bounds)), world
        go = self._compiled(self._advance, *runs[0], *bounds)

        def one(run: Run) -> Run:
            carry, world = run
            return jax.block_until_ready(go(carry, world, *bounds)), world

        return self._each(one, runs)

    def record(self, runs: Runs) -> tuple[PyTree, StepInfo, Runs]:
        """Return (record, summed step reports, runs ready to continue).

        Records and reports are NumPy arrays with a leading run axis.
        """
        if not isinstance(runs, list):
            record, total, carry = self._compiled(self._record, *runs)(*runs)
            return jax.device_get(record), jax.device_get(total), (carry, runs[1])
        go = self._compiled(self._record, *runs[0])
        parts = self._each(lambda run: jax.block_until_ready(go(*run)), runs)
        record, total = (
            jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get([part[k] for part in parts])) for k in (0, 1)
        )
        return record, total, [(part[2], run[1]) for part, run in zip(parts, runs, strict=True)]

    def stacked(self, runs: Runs) -> tuple[Carry, Array | np.ndarray]:
        """Return (carry, dictionary) of all runs, as arrays with a leading run axis."""
        if not isinstance(runs, list):
            return runs[0], runs[1].dictionary
        parts = jax.device_get([(carry, world.dictionary) for carry, world in runs])
        return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)


@functools.lru_cache(maxsize=initial.N_KEPT)
def program(
    structure: Config,
    one_by_one: bool,
    data_model: DataModel | None = None,
    encoder: Encoder | None = None,
    loss: Callable[..., Any] | None = None,
    record_fn: RecordFn | None = None,
) -> Program:
    """Return the compiled functions of a structure. Calls with equal arguments share one program.

    Args:
        structure: a configuration without its numbers, made by `numbers.resolve`.
        one_by_one: whether runs are processed one by one; see `runs_one_by_one`.
        data_model, encoder, loss, record_fn: your own functions in place of the built-in ones.

    Errors: `ConfigError` for pruning options that need a built-in part. Straight-through gradients need the built-in
    loss; a `prune.scope` other than weight needs the built-in encoder.
    """
    straight = structure.prune.semantics == "straight_through"
    advice = "it needs the loss's derivative in each similarity; use literal, one_branch or masked_query"
    require(not (loss and straight), "prune.semantics", "another with a loss of your own", "straight_through", advice)
    beyond = encoder is not None and structure.prune.scope in ("global", "per_array")
    require(not beyond, "prune.scope", "weight or per_neuron with an encoder of your own", structure.prune.scope)
    parts = train.built_in_parts(structure)
    given = {"data_model": data_model, "encoder": encoder, "loss": loss}
    parts = parts._replace(
        data=data_model or parts.data,
        encoder=encoder or parts.encoder,
        loss=completed(loss) if loss else parts.loss,
        own=frozenset(name for name, part in given.items() if part is not None),
    )
    return Program(parts, record_fn or recorder(parts), one_by_one)


def origins(own: Mapping[str, PyTree]) -> dict[str, list[str]]:
    """Return, by the part that they replace, where the user's own functions come from, with a digest of their code.

    A run may only be resumed from a checkpoint that was made with the same functions.
    """
    return {name: [_origin(fn) for fn in jax.tree.leaves(own[name])] for name in sorted(own)}


def _origin(fn: Any) -> str:
    if isinstance(fn, functools.partial):
        filled = [*enumerate(fn.args), *sorted(fn.keywords.items())]
        return f"{_origin(fn.func)}({', '.join(f'{name}={_filled_in(value)}' for name, value in filled)})"
    return f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', repr(fn))}{_digest(fn)}"


def _filled_in(value: Any) -> str:
    """Return a text for an argument of a `functools.partial`: of arrays, a digest of their content."""
    if isinstance(value, np.ndarray | jax.Array):
        content = np.asarray(value)
        return f"{content.dtype}{list(content.shape)}#{hashlib.sha256(content.tobytes()).hexdigest()[:12]}"
    return _origin(value) if callable(value) else repr(value)


def _digest(fn: Any) -> str:
    """Return "#" and a digest of a function, or "" for an object without Python code.

    The digest covers the code, and those defaults and closure variables that are numbers, strings or Booleans. It does
    not cover the functions that the function calls by name.
    """
    fn = inspect.unwrap(fn)  # jax.jit and the like
    code = getattr(fn, "__code__", None)
    if code is None:
        return ""
    cells = [cell.cell_contents for cell in fn.__closure__ or ()]
    plain = [value for value in (*cells, *(fn.__defaults__ or ())) if isinstance(value, bool | int | float | str)]
    return "#" + hashlib.sha256(repr((_code(code), plain)).encode()).hexdigest()[:12]


def _code(value: object) -> object:
    """Return a code object, or a constant in one, as plain values that are the same in every process.

    Addresses are left out, and sets are sorted.
    """
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, [_code(constant) for constant in value.co_consts]
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def peak_memory() -> dict[str, float]:
    """Return {"peak_memory_mb": the most memory this process has used so far, in 10^6 bytes}; {} if unknown."""
    try:
        import resource
    except ImportError:  # not on Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)}


def trained(params: PyTree) -> dict[str, Array | np.ndarray]:
    """Return the parameters that a result keeps: all those of the built-in encoder, only `weight` of another one."""
    if not isinstance(params, Params):
        return {"weight": params.weight}
    return {name: value for name, value in params._asdict().items() if value is not None}


def pruned(pruning: PruneState | None) -> dict[str, Array | np.ndarray]:
    """Return the steps at which masking started and stopped, for the result; {} for a run without masks."""
    if pruning is None:
        return {}
    return {"prune_start_step": pruning.start_step, "prune_stop_step": pruning.stop_step}
