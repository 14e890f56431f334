"""What a run records by default: measurements of every neuron at one moment, while the run is going.

The measurements are the fields of `theory.specialists.Snapshot`. The same module says how they tell specialists from
other neurons (theory 5.5).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from dynsim.config import Config
from dynsim.engine.encoder import Encoder, Params, batched, mean_self_weight
from dynsim.engine.numbers import resolve
from dynsim.engine.own_parts import check_own
from dynsim.engine.pruning import kept_share
from dynsim.engine.train import Parts, RecordFn, TrainState, World, built_in_parts
from dynsim.theory.specialists import Snapshot


def snapshot(state: TrainState, world: World, parts: Parts) -> Snapshot:
    """Measure one run at one moment.

    The residual of a neuron is the part of its weights outside the span of the features. It is computed correctly for
    features that are not orthogonal, too.
    """
    w, M = state.params.weight, world.dictionary
    alignment = w @ M
    coefficients = alignment if parts.structure.data.dictionary != "correlated" else _project(alignment, M)
    residual = w - coefficients @ M.T
    fires, false = _firing(state, world, parts, alignment)
    self_weight = _self_weight(state, world, parts)
    return Snapshot(alignment, _norm(w), _norm(residual), state.thresholds.value, fires, false, self_weight)


def _self_weight(state: TrainState, world: World, parts: Parts) -> Array:
    structure = parts.structure.encoder
    ours = isinstance(state.params, Params) and structure.architecture == "transformer"
    if not ours or structure.attention == "token_wise":  # tokens are not mixed, or only the user knows how
        return jnp.ones((), world.probe.dtype)
    each = jax.vmap(mean_self_weight, in_axes=(None, 0, None))
    return jnp.mean(each(state.params, world.probe, structure.attention))


def _norm(rows: Array) -> Array:
    return jnp.sqrt(jnp.sum(rows * rows, axis=1))


def _project(alignment: Array, dictionary: Array) -> Array:
    return jnp.linalg.solve(dictionary.T @ dictionary, alignment.T).T


def _firing(state: TrainState, world: World, parts: Parts, alignment: Array) -> tuple[Array, Array]:
    best = jnp.argmax(jnp.abs(alignment), axis=1)
    hidden = batched(parts.encoder)(state.params, state.thresholds.value, world.probe)
    fired = (hidden != 0).astype(hidden.dtype)  # (sample, neuron)
    active = (world.probe_codes != 0).astype(hidden.dtype)  # (sample, feature)
    both = jnp.take_along_axis(fired.T @ active, best[:, None], axis=1)[:, 0]
    n_active = jnp.sum(active, axis=0)[best]
    n_silent = active.shape[0] - n_active
    alone = jnp.sum(fired, axis=0) - both
    if parts.structure.encoder.architecture == "relu":
        along = jnp.take_along_axis(alignment, best[:, None], axis=1)[:, 0]
        agrees = (world.probe_codes[:, best] * jnp.sign(along)[None, :] > 0).astype(hidden.dtype)  # (sample, neuron)
        both, n_active = jnp.sum(fired * agrees, axis=0), jnp.sum(agrees, axis=0)
    return both / jnp.maximum(n_active, 1), alone / jnp.maximum(n_silent, 1)


def built_in_record(config: Config, encoder: Encoder | None = None) -> RecordFn:
    """Return the default record function of runs with this configuration, for a record function of your own to call.

    Args:
        config: the configuration that is simulated.
        encoder: your own encoder, if `simulate` is given one; how neurons fire is then measured on it.

    Returns: a function of (state, world) that returns the named arrays that a run records by default.
    Errors: `ConfigError` in one line if `encoder` is not an `Encoder`.
    """
    check_own({"encoder": encoder})
    parts = built_in_parts(resolve(config).structure)
    record = recorder(parts._replace(encoder=encoder or parts.encoder))

    def named(state: TrainState, world: World) -> PyTree:
        found = record(state, world)
        return found._asdict() if isinstance(found, Snapshot) else found

    return named


def recorder(parts: Parts) -> RecordFn:
    """Return the default record function of a run. It records a `Snapshot` of the weights without the mask.

    In a run with masks the record is a dictionary with the fields of `Snapshot` and one more, `kept` (neuron,): the
    share of each neuron's weights that the mask of the next step keeps.
    """

    def record(state: TrainState, world: World) -> PyTree:
        dense = snapshot(state, world, parts)
        if state.pruning is None:
            return dense
        return dense._asdict() | {"kept": kept_share(state.pruning, dense.weight_norm.dtype)}

    return record
