"""The user's own data model, encoder, loss and record function: what they must be, and one-line errors if they are not.

Two kinds of checks come before anything is compiled. `check_own` looks at the objects: is a function given where one
is wanted, and can it be called with these arguments? `check_outputs` lets JAX trace the functions on arrays without
values, which computes nothing, and compares the shapes and types of what they return with what is wanted.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from dynsim.config import Config
from dynsim.config.checks import ConfigError, require
from dynsim.engine import initial
from dynsim.engine.data import Batch, DataModel
from dynsim.engine.encoder import Encoder, Params, batched
from dynsim.engine.numbers import Numbers, at_step
from dynsim.engine.train import Parts, RecordFn
from dynsim.losses.contrastive import LossValue
from dynsim.randomness.streams import run_keys, step_keys

PER_SEED = {
    *("loss", "positive_weight", "switch_step", "diverged_step", "diverged_reason", "dictionary"),
    *("prune_start_step", "prune_stop_step", *Params._fields),
}
"""Names that a result uses itself, so that no record may use them."""

CALLED_WITH = {
    "data_model.init": "key, numbers",
    "data_model.sample": "codes_key, noise_key, dictionary, numbers",
    "data_model.probe": "key, dictionary, numbers",
    "encoder.init": "key, numbers",
    "encoder.apply": "params, thresholds, tokens",
    "encoder.embed": "params, thresholds, samples",
    "loss": "query, key, batch, numbers",
    "record_fn": "state, world",
    "on_record": "seed, step, values",
}
"""What each function is called with, in this order."""


def check_function(name: str, fn: object) -> None:
    """Refuse what cannot be called with the arguments of `CALLED_WITH[name]`. Errors: `ConfigError` in one line."""
    wanted = f"a function of ({CALLED_WITH[name]})"
    if not callable(fn):
        raise ConfigError(f"{name}: wanted {wanted}, got {type(fn).__name__}; pass the function itself")
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return
    n = CALLED_WITH[name].count(",") + 1
    try:
        signature.bind(*range(n))
    except TypeError:
        told = str(signature).partition(" -> ")[0]
        raise ConfigError(f"{name}: wanted {wanted}, got one of {told}; let it take these {n} arguments") from None


def check_own(own: Mapping[str, Any]) -> None:
    """Refuse own parts of the wrong kind, and functions that cannot be called as they will be.

    Args:
        own: the parts by the names of the arguments of `simulate`.
    Errors:
        `ConfigError` in one line.
    """
    for name, kind in (("data_model", DataModel), ("encoder", Encoder)):
        part = own.get(name)
        if part is None:
            continue
        functions = ", ".join(kind._fields)
        if not isinstance(part, kind):
            advice = f"make one of your functions: {kind.__name__}({functions})"
            raise ConfigError(f"{name}: wanted a dynsim.{kind.__name__}, got {type(part).__name__}; {advice}")
        for field, fn in zip(kind._fields, part, strict=True):
            if fn is not None or field != "embed":
                check_function(f"{name}.{field}", fn)
    for name in ("loss", "record_fn"):
        if own.get(name) is not None:
            check_function(name, own[name])


def as_loss_value(value: object, n_queries: int) -> LossValue:
    """Return what a loss returned as a `LossValue`.

    Args:
        value: a `LossValue`; or a scalar, the mean over samples; or one number per query, of which the mean is taken.
            For the last two the softmax weight of the positive is not known, and is NaN.
        n_queries: number of queries of the batch.
    Errors:
        `ConfigError` in one line for anything else.
    """
    wanted = f"a LossValue, a number, or one number for each of the {n_queries} queries"
    if isinstance(value, LossValue):
        for name, part in value._asdict().items():
            _array(f"loss.{name}", part, (), "a scalar", "take the mean over queries")
        return value
    if not _is_array(value):
        raise ConfigError(f"loss: wanted {wanted}, got {_kind(value)}; return jnp.mean(...) of the values per query")
    found = jnp.asarray(value)
    floating = jnp.issubdtype(found.dtype, jnp.floating)
    fits = floating and found.shape in ((), (n_queries,))
    require(fits, "loss", wanted, _Shown(_kind(found)), "return the values per query, or their mean")
    return LossValue(jnp.mean(found), jnp.full((), jnp.nan, found.dtype))


def completed(loss: Callable[..., Any]) -> Callable[..., LossValue]:
    """Return an own loss as a function that returns a `LossValue`, whatever of `as_loss_value` it returns itself."""

    def complete(query: Array, key: Array, batch: Batch, numbers: Numbers) -> LossValue:
        return as_loss_value(loss(query, key, batch, numbers), query.shape[0])

    return complete


class _Shown(str):
    """Text that a message shows without quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def _is_array(value: object) -> bool:
    return isinstance(value, jax.Array | np.ndarray | np.generic | float | int) and not isinstance(value, bool)


def _kind(value: object) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and type {value.dtype}"
    return type(value).__name__


def _array(name: str, value: object, shape: tuple[int | None, ...], words: str, advice: str) -> None:
    """Refuse what is no array of this shape; None stands for any size."""
    found = tuple(jnp.shape(value)) if _is_array(value) else None  # type: ignore[arg-type]
    fits = found is not None and len(found) == len(shape)
    fits = fits and all(want in (None, size) for want, size in zip(shape, found or (), strict=True))
    sizes = "" if None in shape or not shape else f" = {shape}"
    came = _kind(value) if found is None or not sizes else str(found)
    require(fits, name, f"{words}{sizes}", _Shown(came), advice)


def check_outputs(own: Mapping[str, Any], parts: Parts, record_fn: RecordFn, config: Config, numbers: Numbers) -> None:
    """Trace the user's own parts, and refuse outputs of other kinds and shapes than a run needs.

    An error that one of the functions raises itself comes through as it is, since its own lines tell where it is.

    Args:
        own: the parts by the names of the arguments of `simulate`.
        parts: all parts of the run; record_fn: its record function.
        config, numbers: what is run.
    Errors:
        `ConfigError` in one line that names the part and what came.
    """
    if not own:
        return

    def walk(seed: Array, numbers: Numbers) -> Array:
        keys = run_keys(seed)
        dictionary = parts.data.init(keys.dictionary, numbers)
        d, d1 = config.data.n_features, config.data.token_dim
        set_sizes = "set these sizes in config"
        words = "a dictionary of shape (token_dim, n_features)"
        _array("data_model", dictionary, (d1, d), words, set_sizes)
        params = parts.encoder.init(keys.weights, numbers)
        named = isinstance(params, tuple) and hasattr(params, "_replace") and hasattr(params, "weight")
        advice = "let encoder.init return one"
        require(named, "encoder", "parameters in a NamedTuple with a field weight", _Shown(_kind(params)), advice)
        m = config.encoder.n_neurons
        _array("encoder", params.weight, (m, d1), "a weight of shape (n_neurons, token_dim)", set_sizes)
        if "data_model" in own:
            _check_probe(parts.data.probe(keys.probe, dictionary, numbers), d, d1)
        step = jnp.asarray(0, jnp.int32)
        draws = step_keys((keys.codes, keys.noise), step)
        batch: Any = parts.data.sample(*draws, dictionary, at_step(numbers, step))
        _check_batch(batch, d, d1)
        thresholds = jnp.zeros((m,), params.weight.dtype)
        query, key = (batched(parts.encoder)(params, thresholds, samples) for samples in batch[:2])
        own_record = "record_fn" in own
        size = None if own_record else m  # dynsim's own record measures every neuron
        words = "embeddings of shape (sample, neuron)"
        _array("encoder", query, (batch.query.shape[0], size), words, "return one number per neuron for a sample")
        parts.loss(query, key, batch, numbers)
        return seed

    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    if set(own) != {"record_fn"}:  # dynsim's own parts need no check
        jax.eval_shape(walk, seed, numbers)
    if "record_fn" in own:
        jax.eval_shape(lambda s, n: _check_record(record_fn(*initial.init(s, n, parts))), seed, numbers)


def _check_probe(probe: Any, d: int, d1: int) -> None:
    pair = isinstance(probe, tuple) and len(probe) == 2
    require(pair, "data_model.probe", "a pair (samples, codes)", _Shown(_kind(probe)), "return these two arrays")
    samples, codes = probe
    advice = "set these sizes in config"
    _array("data_model.probe", samples, (None, None, d1), f"samples of shape (n, token, token_dim = {d1})", advice)
    shape = (samples.shape[0], d)
    _array("data_model.probe", codes, shape, "codes of shape (n, n_features)", "return the summed code of each sample")


def _check_batch(batch: Any, d: int, d1: int) -> None:
    is_batch = isinstance(batch, Batch)
    advice = f"return Batch({', '.join(Batch._fields)})"
    require(is_batch, "data_model.sample", "a dynsim.Batch", _Shown(_kind(batch)), advice)
    query, key, codes, is_candidate = batch
    name, advice = "data_model.sample", "let each sample be a row"
    _array(f"{name}: query", query, (None, None, d1), f"shape (query, token, token_dim = {d1})", advice)
    _array(f"{name}: key", key, (None, None, d1), f"shape (candidate, token, token_dim = {d1})", advice)
    n_queries, n_candidates = query.shape[0], key.shape[0]
    enough = n_candidates >= n_queries
    require(enough, f"{name}: key", f"at least {n_queries} candidates", n_candidates, "give each query its key first")
    _array(f"{name}: codes", codes, (n_candidates, d), "shape (candidate, n_features)", advice)
    shape = (n_queries, n_candidates)
    _array(f"{name}: is_candidate", is_candidate, shape, "shape (query, candidate)", "say who is compared with whom")
    boolean = is_candidate.dtype == jnp.bool_
    require(boolean, f"{name}: is_candidate", "Booleans", _Shown(is_candidate.dtype), "compare with > 0")


def _check_record(record: PyTree) -> None:
    """Refuse a record whose arrays have no names, or names that a result uses itself."""
    names = getattr(record, "_fields", None) or (tuple(record) if isinstance(record, dict) else None)
    if names is None:
        raise ConfigError(
            f"record_fn: wanted a NamedTuple or a dictionary of arrays, got {type(record).__name__}; "
            'return {"name": array}'
        )
    values = record if isinstance(record, dict) else record._asdict()
    for name, value in values.items():
        array = isinstance(name, str) and _is_array(value)
        advice = "return one array under each name"
        require(array, f"record_fn: {name}", "an array", _Shown(_kind(value)), advice)
    taken = sorted(set(names) & PER_SEED)
    if taken:
        raise ConfigError(f"record_fn: wanted names that no result uses, got {', '.join(taken)}; rename them")
