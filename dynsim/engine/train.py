"""The training step and the loop around it.

A step draws a new batch and makes one update of the weights, the thresholds and the mask. With plain SGD the weights
become w' = (1 - eta lambda) w - eta grad, where eta is the learning rate, lambda the coefficient of the L2 penalty and
grad the gradient of the loss without the penalty (theory 4.2). Steps report their loss. The loop only keeps the sum of
these reports since the last record, from which the caller computes the mean loss between two records.
"""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.stages import Compiled
from jaxtyping import Array, Bool, Float, Integer, PyTree

from dynsim.config import Config, LossConfig, OptimizerConfig
from dynsim.config.checks import ConfigError, require
from dynsim.engine.data import Batch, DataModel, batch_at, sparse_coding
from dynsim.engine.encoder import Encoder, Params, batched, make_encoder
from dynsim.engine.numbers import Numbers
from dynsim.engine.pruning import Moment, PruneState, thresholds_under, update_pruning
from dynsim.engine.thresholds import ThresholdState, update_thresholds
from dynsim.losses.contrastive import LossValue, contrastive_loss, l2_penalty, nt_xent
from dynsim.prune.gradients import branches
from dynsim.randomness.streams import RunKeys

_FINITE = "updates that are finite"


class TrainState(NamedTuple):
    """The state that one step passes to the next."""

    params: PyTree
    """`encoder.Params`, or a NamedTuple of your own with a field `weight` (neuron, token_dim)."""
    thresholds: ThresholdState
    opt_state: optax.OptState
    diverged_step: Integer[Array, ""]
    """Number of updates after which the loss or a weight was infinite or NaN for the first time; -1 until then."""
    loss_was_finite: Bool[Array, ""]
    """False if it was the loss that was not finite at that step; true if it was only a weight, and before that step."""
    pruning: PruneState | None = None
    """The mask, and the steps at which masking started and stopped; None in a run without masks."""


class StepInfo(NamedTuple):
    """What a step reports. Later steps do not depend on it."""

    loss: Float[Array, ""]
    """Contrastive loss of the step's batch, without the L2 penalty."""
    positive_weight: Float[Array, ""]
    """Softmax weight q_Y of the positive among all candidates, averaged over the batch."""


class World(NamedTuple):
    """What is drawn or set once and stays the same throughout a run."""

    keys: RunKeys
    numbers: Numbers
    dictionary: Float[Array, "token_dim feature"]
    probe: Float[Array, "sample token token_dim"]
    """Samples that are not trained on, used to measure how often each neuron fires (is not silent)."""
    probe_codes: Float[Array, "sample feature"]
    """Codes of the probe samples, summed over tokens: which features are active in each, and with which sign."""


class Parts(NamedTuple):
    """The functions of a run that a user can replace, and the structure (see `engine.numbers`) they were made for."""

    structure: Config
    data: DataModel
    encoder: Encoder
    loss: Callable[..., LossValue]
    """(query embeddings, key embeddings, batch, numbers) -> LossValue. For a fifth argument see `built_in_loss`."""
    own: frozenset[str] = frozenset()
    """Names of the parts that the user has replaced: data_model, encoder, loss."""


def built_in_loss(config: LossConfig) -> Callable[..., LossValue]:
    """Return the loss of a configuration: a function (query, key, batch, numbers, shown=None) -> LossValue.

    The argument `shown` is only used by masks with straight-through gradients; see `contrastive.contrastive_loss`.
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
    """Return the built-in data model, encoder and loss for a structure (see `numbers.resolve`)."""
    data = sparse_coding(structure.data, structure.train.n_probe)
    return Parts(structure, data, make_encoder(structure.encoder, structure.data), built_in_loss(structure.loss))


def make_optimizer(config: OptimizerConfig, learning_rate: float | Array) -> optax.GradientTransformation:
    """Return the optax optimiser with the configured name and arguments.

    Its own weight decay is switched off: `loss.weight_decay` replaces it and works the same way for every optimiser.
    Errors: `ConfigError` if optax has no such optimiser, or if the optimiser does not take an argument.
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
    """Let JAX mix dtypes and ranks inside optax, even where the caller has forbidden it; optax's Adam needs this."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@functools.lru_cache(maxsize=48)
def _two_updates(config: OptimizerConfig, dtype: np.dtype) -> Compiled:
    """Return the compiled (learning rate) -> two updates of three numbers, one after the other; shape (6,).

    One program is compiled sooner than each operation by itself, and serves every learning rate.
    """

    def updates(rate: Float[Array, ""]) -> Float[Array, "six"]:
        with optax_arithmetic():
            optimizer = make_optimizer(config, rate)
            gradient, params = jnp.asarray([1.0, -0.5, 0.0], dtype), jnp.ones((3,), dtype)
            first, state = optimizer.update(gradient, optimizer.init(params), params)
            second, _ = optimizer.update(gradient, state, params)
            return jnp.concatenate([first, second])

    return jax.jit(updates).lower(jax.ShapeDtypeStruct((), dtype)).compile()


def check_optimizer(config: OptimizerConfig, precision: str = "float32") -> None:
    """Check that an optimiser works here: it makes two updates of three numbers, one with a gradient of zero.

    Errors: `ConfigError` in one line if the optimiser fails or its updates are not finite.
    """
    try:
        dtype = jax.dtypes.canonicalize_dtype(precision)
        tried = OptimizerConfig(config.name, arguments=config.arguments)
        found = _two_updates(tried, dtype)(np.asarray(config.learning_rate, dtype)).tolist()
        advice = f"change the learning rate or an argument of {config.name}"
        require(math.isfinite(sum(map(abs, found))), "optimizer.arguments", _FINITE, found, advice)
    except ConfigError:
        raise
    except Exception as error:  # optax's own checks raise errors of many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"optimizer.name: {config.name} cannot be used here ({reason}); try sgd or adam") from None


def objective(
    params: PyTree, thresholds: Array, batch: Batch, numbers: Numbers, parts: Parts, mask: PyTree = None
) -> tuple[Float[Array, ""], LossValue]:
    """Return (loss + L2 penalty, LossValue) of one batch; training differentiates the first in `params`.

    With a mask, the loss is that of the masked network, and the penalty is still that of all weights. Which gradient
    the weights get then depends on the option `prune.semantics`; see `prune.gradients` (theory 3.2, 8.4).
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
    embed = batched(parts.encoder)
    at_mask = thresholds_under(mask, thresholds, params.weight, parts.structure.threshold.rule)
    query, key, shown = branches(
        params,
        mask,
        config.semantics,
        lambda weights, samples: embed(weights, thresholds, samples),
        (batch.query, batch.key),
        embed_masked=lambda weights, samples: embed(weights, at_mask, samples),
        by_column=config.unit == "neuron" and "encoder" not in parts.own,
        hold_key=loss.stop_gradient and not loss.symmetric and "loss" not in parts.own,
    )
    if shown is None:
        return parts.loss(query, key, batch, numbers)
    return parts.loss(query, key, batch, numbers, shown)


def step(state: TrainState, n_done: Integer[Array, ""], world: World, parts: Parts) -> tuple[TrainState, StepInfo]:
    """Make one update of the weights, the thresholds and the mask.

    Args:
        state: the state after `n_done` updates.
        n_done: number of updates made so far; it also selects the batch.
        world, parts: what stays the same throughout the run.

    Returns:
        The next state, and the report of the step.
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
        # optax's optimisers multiply by the learning rate last, so this ratio exchanges one learning rate for the other
        ratio = numbers.attention_learning_rate / numbers.learning_rate
        updates = updates._replace(attention=updates.attention * ratio)
    new: PyTree = optax.apply_updates(params, updates)
    decay = numbers.learning_rate * numbers.weight_decay
    return new._replace(weight=new.weight - decay * params.weight)


RecordFn = Callable[[TrainState, World], PyTree]
"""(state, world) -> a pytree of arrays, the record of that moment."""


class Carry(NamedTuple):
    """What the training loop passes from one stretch of steps to the next."""

    state: TrainState
    total: StepInfo
    """Sum of the reports of the steps since the last record."""


def start(state: TrainState) -> Carry:
    """Return the carry with which a stretch begins, before the first step or after a record: the sum is zero."""
    zero = jnp.zeros((), state.params.weight.dtype)
    return Carry(state, StepInfo(zero, zero))


def advance(carry: Carry, world: World, begin: Integer[Array, ""], end: Integer[Array, ""], parts: Parts) -> Carry:
    """Train in one compiled loop until `end` updates are done; `begin` are done already.

    A step depends on its number and the carry alone, so the result has the same bits if a stretch is divided in two.
    """

    def body(n_done: Array, carry: Carry) -> Carry:
        state, info = step(carry.state, n_done, world, parts)
        return Carry(state, jax.tree.map(jnp.add, carry.total, info))

    return lax.fori_loop(begin, end, body, carry)
