"""One epoch as one compiled program: views, loss, gradient and update of every batch."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from dynsim.bridge import views
from dynsim.bridge.networks import NetworkShape, build
from dynsim.bridge.options.pretraining import Pretraining
from dynsim.bridge.training.objective import ViewPairs, masked_objective
from dynsim.bridge.training.schedules import optimizer


class PretrainState(NamedTuple):
    """What an epoch changes; all of it is in a checkpoint, and nothing else is needed to go on."""

    params: Any
    stats: Any
    optimizer: Any
    mask: Any


class EpochInputs(NamedTuple):
    """What an epoch is given beside the state and the images."""

    order: Int[Array, "step image"]
    """Positions of the images of each batch; the last batch is filled up with copies of image 0."""
    valid: Bool[Array, "step image"]
    """False for the images that fill up a batch."""
    key: Key[Array, ""]
    """Key of the views of this epoch."""
    learning_rate: Float[Array, " step"]
    temperature: Float[Array, ""]
    weight_decay: Float[Array, ""]
    momentum: Float[Array, ""]


class StepLog(NamedTuple):
    """What is noted at each step."""

    loss: Array
    positive_weight: Array
    gradient_norm: Array


Epoch = Callable[[PretrainState, UInt8[Array, "image side side 3"], EpochInputs], tuple[PretrainState, StepLog]]


class EpochProgram(NamedTuple):
    """What decides the compiled program; runs that agree in it share one."""

    network: NetworkShape
    views: str
    semantics: str
    together: bool
    optimizer: str
    focal: float

    @classmethod
    def of(cls, options: Pretraining) -> "EpochProgram":
        """Return the program of some options."""
        together = options.normalise == "together"
        return cls(
            options.network, options.views, options.masking.semantics, together, options.optimizer, options.focal
        )


def initial_state(program: EpochProgram, params: Any, stats: Any, mask: Any) -> PretrainState:
    """Return the state before the first epoch."""
    zero = jnp.float32(0)
    return PretrainState(params, stats, optimizer(program.optimizer, zero, zero, zero).init(params), mask)


@functools.lru_cache(maxsize=8)
def compiled_epoch(program: EpochProgram) -> Epoch:
    """Return the compiled epoch of a program. The state that it is given is used up."""
    network, recipe = build(program.network), views.RECIPES[program.views]
    sets = (program.network.norm_sets - 1, 0)

    def step(state: PretrainState, pixels: Array, inputs: EpochInputs, number: Array) -> tuple[PretrainState, StepLog]:
        query, key = views.pair(jax.random.fold_in(inputs.key, number), pixels[inputs.order[number]], recipe)
        batch = ViewPairs(query, key, inputs.valid[number])

        def loss(params: Any) -> tuple[Array, tuple[Array, Any]]:
            found = masked_objective(
                network,
                params,
                state.stats,
                state.mask,
                batch,
                inputs.temperature,
                semantics=program.semantics,
                sets=sets,
                together=program.together,
                focal=program.focal,
            )
            return found.loss, (found.positive_weight, found.stats)

        (value, (weight, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        rate = inputs.learning_rate[number]
        rule = optimizer(program.optimizer, rate, inputs.weight_decay, inputs.momentum)
        updates, after = rule.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return PretrainState(params, stats, after, state.mask), StepLog(value, weight, optax.tree.norm(gradient))

    def epoch(state: PretrainState, pixels: Array, inputs: EpochInputs) -> tuple[PretrainState, StepLog]:
        numbers = jnp.arange(inputs.order.shape[0])
        return jax.lax.scan(lambda carry, number: step(carry, pixels, inputs, number), state, numbers)

    return jax.jit(epoch, donate_argnums=0)
