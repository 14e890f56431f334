"""The training step and the loop around it: state in, state out, recording by a function that the caller gives.

Update (theory 4.2): w' = (1 - eta lambda) w - eta grad, on fresh batches drawn inside the loop. Nothing is kept per
step but the mean of the loss between two records.
"""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, PyTree

from dynsim.config import Config, LossConfig, OptimizerConfig
from dynsim.config.checks import ConfigError, require
from dynsim.engine.data import Batch, DataModel, batch_at, sparse_coding
from dynsim.engine.encoder import Encoder, Params, batched, make_encoder
from dynsim.engine.numbers import Numbers
from dynsim.engine.pruning import Moment, PruneState, init_pruning, update_pruning
from dynsim.engine.thresholds import ThresholdState, init_thresholds, update_thresholds
from dynsim.losses.contrastive import LossValue, contrastive_loss, l2_penalty, nt_xent
from dynsim.prune.gradients import branches
from dynsim.randomness.streams import RunKeys, run_keys

_FINITE = "a first update that is finite"


class TrainState(NamedTuple):
    """What one step hands to the next."""

    params: PyTree
    """`encoder.Params`, or a NamedTuple of your own with a field `weight` (neuron, token_dim)."""
    thresholds: ThresholdState
    opt_state: optax.OptState
    diverged_step: Integer[Array, ""]
    """Number of updates after which the loss or a weight was no longer finite; -1 while all is well."""
    loss_was_finite: Bool[Array, ""]
    """False where it was the loss that stopped being finite first, true where it was a weight."""
    pruning: PruneState | None = None
    """Mask, start and stop; None in a run without masks."""


class StepInfo(NamedTuple):
    """What a step reports and does not need again."""

    loss: Float[Array, ""]
    """Contrastive loss of the step's batch, without the penalty."""
    positive_weight: Float[Array, ""]
    """q_Y averaged over the batch."""


class World(NamedTuple):
    """What stays fixed during one run."""

    keys: RunKeys
    numbers: Numbers
    dictionary: Float[Array, "token_dim feature"]
    probe: Float[Array, "sample token token_dim"]
    """Held-out samples on which firing is measured."""
    probe_codes: Float[Array, "sample feature"]


class Parts(NamedTuple):
    """The exchangeable functions of a run, and the structure that they were made for."""

    structure: Config
    data: DataModel
    encoder: Encoder
    loss: Callable[..., LossValue]
    """(query embeddings, key embeddings, batch, numbers) -> LossValue; see `built_in_loss` for a fifth argument."""
    own: frozenset[str] = frozenset()
    """Names of the parts that the user has replaced: data_model, encoder, loss."""


def built_in_loss(config: LossConfig) -> Callable[..., LossValue]:
    """Return the configured loss: (query, key, batch, numbers, shown=None) -> LossValue.

    `shown`: see `contrastive.contrastive_loss`.
    """

    def loss(
        query: Array, key: Array, batch: Batch, numbers: Numbers, shown: tuple[Array, Array] | None = None
    ) -> LossValue:
        flags = {
            "prefactor": config.temperature_prefactor,
            "stop_gradient": config.stop_gradient,
            "symmetric": config.symmetric,
        }
        if config.kind == "nt_xent":
            return nt_xent(query, key, batch.is_candidate, numbers.temperature, shown=shown, **flags)
        cosine = config.similarity == "cosine"
        return contrastive_loss(
            query, key, batch.is_candidate, numbers.temperature, cosine=cosine, shown=shown, **flags
        )

    return loss


def built_in_parts(structure: Config) -> Parts:
    """Return data model, encoder and loss of a structure (see `numbers.resolve`)."""
    data = sparse_coding(structure.data, structure.train.n_probe)
    return Parts(structure, data, make_encoder(structure.encoder, structure.data), built_in_loss(structure.loss))


def make_optimizer(config: OptimizerConfig, learning_rate: float | Array) -> optax.GradientTransformation:
    """Return the optax transformation of that name and those arguments.

    Decay inside the transformation is switched off: `loss.weight_decay` does it, the same way for every optimiser.
    Errors: `ConfigError` for a name that optax lacks or arguments that it refuses.
    """
    factory = getattr(optax, config.name, None)
    parameters = inspect.signature(factory).parameters if inspect.isfunction(factory) else {}
    if factory is None or "learning_rate" not in parameters:
        raise ConfigError(
            f"optimizer.name: wanted an optax optimiser that takes a learning rate, got {config.name!r}; "
            "try sgd, adam or adamw"
        )
    unknown = sorted({name for name, _ in config.arguments} - set(parameters))
    if unknown:
        raise ConfigError(f"optimizer.arguments: {config.name} does not take {unknown}; it takes {sorted(parameters)}")
    no_decay = {"weight_decay": 0.0} if "weight_decay" in parameters else {}
    return factory(learning_rate=learning_rate, **dict(config.arguments), **no_decay)


@contextlib.contextmanager
def optax_arithmetic() -> Iterator[None]:
    """Let optax mix dtypes and ranks, as its Adam does, where the caller has made JAX refuse that."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def check_optimizer(config: OptimizerConfig, precision: str = "float32") -> None:
    """Refuse what cannot train here, by making two updates of three numbers; `ConfigError` in one line.

    One of the gradients is zero, as that of a silent neuron is.
    """
    try:
        with jax.ensure_compile_time_eval(), optax_arithmetic():
            optimizer = make_optimizer(config, config.learning_rate)
            gradient, params = jnp.asarray([1.0, -0.5, 0.0], precision), jnp.ones((3,), precision)
            first, state = optimizer.update(gradient, optimizer.init(params), params)
            second, _ = optimizer.update(gradient, state, params)
            found = jnp.concatenate([first, second]).tolist()
        advice = f"change the learning rate or an argument of {config.name}"
        require(math.isfinite(sum(map(abs, found))), "optimizer.arguments", _FINITE, found, advice)
    except ConfigError:
        raise
    except Exception as error:  # optax's own checks raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"optimizer.name: {config.name} cannot be used here ({reason}); try sgd or adam") from None


def init(seed: Integer[Array, ""], numbers: Numbers, parts: Parts) -> tuple[TrainState, World]:
    """Return state and surroundings of a run before its first step."""
    keys = run_keys(seed)
    dictionary = parts.data.init(keys.dictionary, numbers)
    params = parts.encoder.init(keys.weights, numbers)
    probe, probe_codes = parts.data.probe(keys.probe, dictionary, numbers)
    structure = parts.structure
    thresholds = init_thresholds(
        params.weight, structure.threshold, numbers.threshold_scale, numbers.learning_rate, structure.data.n_features
    )
    opt_state = make_optimizer(structure.optimizer, numbers.learning_rate).init(params)
    now = Moment(params, jnp.asarray(0, jnp.int32), thresholds.switch_step, dictionary)
    pruning = init_pruning(now, structure.prune, numbers, keys.pruning)
    state = TrainState(params, thresholds, opt_state, jnp.asarray(-1, jnp.int32), jnp.asarray(True), pruning)
    return state, World(keys, numbers, dictionary, probe, probe_codes)


def objective(
    params: PyTree, thresholds: Array, batch: Batch, numbers: Numbers, parts: Parts, mask: PyTree = None
) -> tuple[Float[Array, ""], LossValue]:
    """Return (loss + penalty, LossValue) of one batch; the gradient is taken in `params` (theory 3.2, 8.4).

    With a mask the loss is that of the masked network, and the penalty still that of the dense weights.
    """
    embed = batched(parts.encoder)
    if mask is None:
        value = parts.loss(embed(params, thresholds, batch.query), embed(params, thresholds, batch.key), batch, numbers)
    else:
        value = _masked_loss(params, thresholds, batch, numbers, parts, mask)
    return value.loss + l2_penalty(params.weight, numbers.l2_penalty), value


def _masked_loss(
    params: PyTree, thresholds: Array, batch: Batch, numbers: Numbers, parts: Parts, mask: PyTree
) -> LossValue:
    config, loss = parts.structure.prune, parts.structure.loss
    query, key, shown = branches(
        params,
        mask,
        config.semantics,
        lambda weights, samples: batched(parts.encoder)(weights, thresholds, samples),
        (batch.query, batch.key),
        by_column=config.unit == "neuron" and "encoder" not in parts.own,
        hold_key=loss.stop_gradient and not loss.symmetric and "loss" not in parts.own,
    )
    if shown is None:
        return parts.loss(query, key, batch, numbers)
    return parts.loss(query, key, batch, numbers, shown)


def step(state: TrainState, n_done: Integer[Array, ""], world: World, parts: Parts) -> tuple[TrainState, StepInfo]:
    """Make one update.

    Args:
        state: the state after `n_done` updates.
        n_done: number of updates made so far; it also names the batch.
        world, parts: what stays fixed.

    Returns:
        The next state, and what the step reports.
    """
    numbers, structure = world.numbers, parts.structure
    batch = batch_at(parts.data, world.keys, n_done, world.dictionary, numbers)
    grad_fn = jax.grad(objective, has_aux=True)
    mask = None if state.pruning is None else state.pruning.mask
    grads, value = grad_fn(state.params, state.thresholds.value, batch, numbers, parts, mask)
    with optax_arithmetic():
        optimizer = make_optimizer(structure.optimizer, numbers.learning_rate)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = _apply(state.params, updates, numbers)
    square = jnp.sum(params.weight * params.weight, axis=1)
    n_updates = n_done + 1
    thresholds = update_thresholds(
        state.thresholds,
        square,
        n_updates,
        structure.threshold,
        numbers.threshold_scale,
        numbers.learning_rate,
        structure.data.n_features,
    )
    finite = jnp.isfinite(value.loss) & jnp.isfinite(jnp.sum(square))
    first_bad = (state.diverged_step < 0) & ~finite
    diverged = jnp.where(first_bad, n_updates.astype(jnp.int32), state.diverged_step)
    loss_was_finite = jnp.where(first_bad, jnp.isfinite(value.loss), state.loss_was_finite)
    pruning = state.pruning
    if pruning is not None:
        now = Moment(params, n_updates, thresholds.switch_step, world.dictionary)
        pruning = update_pruning(pruning, now, structure.prune, numbers, world.keys.pruning)
    new = TrainState(params, thresholds, opt_state, diverged, loss_was_finite, pruning)
    return new, StepInfo(value.loss, value.positive_weight)


def _apply(params: PyTree, updates: PyTree, numbers: Numbers) -> PyTree:
    if isinstance(params, Params) and params.attention is not None:
        # every optax optimiser scales its update by the learning rate last, so this ratio sets another one
        ratio = numbers.attention_learning_rate / numbers.learning_rate
        updates = updates._replace(attention=updates.attention * ratio)
    new: PyTree = optax.apply_updates(params, updates)
    decay = numbers.learning_rate * numbers.weight_decay
    return new._replace(weight=new.weight - decay * params.weight)


RecordFn = Callable[[TrainState, World], PyTree]
"""(state, world) -> any pytree of arrays: what to keep of a moment."""


class Carry(NamedTuple):
    """What goes from one stretch of steps to the next."""

    state: TrainState
    total: StepInfo
    """Sum of the step reports since the last record."""


def start(state: TrainState) -> Carry:
    """Return the carry before the first step, or after a record."""
    zero = jnp.zeros((), state.params.weight.dtype)
    return Carry(state, StepInfo(zero, zero))


def advance(carry: Carry, world: World, begin: Integer[Array, ""], end: Integer[Array, ""], parts: Parts) -> Carry:
    """Train from update `begin` to update `end` in one compiled loop; both may be traced.

    Cutting a stretch in two gives the same bits, since a step depends on its number and the carry alone.
    """

    def body(n_done: Array, carry: Carry) -> Carry:
        state, info = step(carry.state, n_done, world, parts)
        return Carry(state, jax.tree.map(jnp.add, carry.total, info))

    return lax.fori_loop(begin, end, body, carry)
