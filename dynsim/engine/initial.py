"""The beginning of a run: what is drawn once for the whole run, and the state before the first step.

To compile these draws takes as long as to compile a step, and they depend on few options: the sizes, how samples and
the first weights are drawn. So they are compiled apart from the rest, and structures that draw alike share them.
"""

import functools
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.stages import Wrapped
from jaxtyping import Array, Integer, Key, PyTree

from dynsim.config import Config, OptimizerConfig, PruneConfig, ThresholdConfig
from dynsim.engine.numbers import Numbers
from dynsim.engine.pruning import Moment, init_pruning
from dynsim.engine.thresholds import init_thresholds
from dynsim.engine.train import Parts, TrainState, World, make_optimizer
from dynsim.randomness.streams import RunKeys, run_keys

N_KEPT = 48
"""How many compiled draws of each kind, and how many programs, are kept for later runs. A small program and its draws
were seen to take some 420 memory mappings, larger ones take more, and Linux gives a process 65,530 of them."""
_FINDING = threading.Lock()
"""Held while a compiled draw is looked up: its cache alone would let two threads each make one. JAX itself compiles a
function once, however many threads call it."""


_keys_of = jax.jit(run_keys)
"""The compiled seed -> keys of the run, the same for all structures."""


@functools.lru_cache(maxsize=N_KEPT)
def _data_drawer(
    init: Callable[..., Array], probe: Callable[..., tuple[Array, Array]], only_for: Config | None
) -> Wrapped:
    """Return the compiled (keys of the run, numbers) -> (dictionary, probe samples, their codes).

    The user's own functions may read values that have changed since, so theirs are compiled for one structure only.
    """

    def draw(keys: RunKeys, numbers: Numbers) -> tuple[Array, Array, Array]:
        dictionary = init(keys.dictionary, numbers)
        return dictionary, *probe(keys.probe, dictionary, numbers)

    return jax.jit(draw)


@functools.lru_cache(maxsize=N_KEPT)
def _params_drawer(init: Callable[..., PyTree], only_for: Config | None) -> Wrapped:
    """Return the compiled (key, numbers) -> first parameters of the encoder; `only_for` as in `_data_drawer`."""

    def draw(key: Key[Array, ""], numbers: Numbers) -> PyTree:
        return init(key, numbers)

    return jax.jit(draw)  # JAX would find `init` itself compiled already, for another structure


@functools.lru_cache(maxsize=N_KEPT)
def _state_maker(
    threshold: ThresholdConfig, optimizer: OptimizerConfig, prune: PruneConfig, n_features: int
) -> Wrapped:
    """Return the compiled (parameters, dictionary, key, numbers) -> state before the first step."""

    def make(params: PyTree, dictionary: Array, key: Key[Array, ""], numbers: Numbers) -> TrainState:
        scale, rate = numbers.threshold_scale, numbers.learning_rate
        thresholds = init_thresholds(params.weight, threshold, scale, rate, n_features)
        opt_state = make_optimizer(optimizer, rate).init(params)
        now = Moment(params, jnp.asarray(0, jnp.int32), thresholds.switch_step, dictionary)
        pruning = init_pruning(now, prune, numbers, key)
        return TrainState(params, thresholds, opt_state, jnp.asarray(-1, jnp.int32), jnp.asarray(True), pruning)

    return jax.jit(make)


def init(seed: Integer[Array, ""], numbers: Numbers, parts: Parts) -> tuple[TrainState, World]:
    """Return the state of a run before its first step, and its `World`; all randomness comes from `seed`.

    It need not be compiled: its parts are. NumPy numbers become JAX arrays, which is what all else in a run takes.
    """
    structure, numbers = parts.structure, jax.tree.map(jnp.asarray, numbers)
    with _FINDING:
        own = {name: structure if name in parts.own else None for name in ("data_model", "encoder")}
        draw = _data_drawer(parts.data.init, parts.data.probe, own["data_model"])
        draw_params = _params_drawer(parts.encoder.init, own["encoder"])
        make = _state_maker(structure.threshold, structure.optimizer, structure.prune, structure.data.n_features)
    keys = _keys_of(seed)
    dictionary, probe, probe_codes = draw(keys, numbers)
    params = draw_params(keys.weights, numbers)
    return make(params, dictionary, keys.pruning, numbers), World(keys, numbers, dictionary, probe, probe_codes)
