"""One epoch as one compiled program: views, loss, gradient and update of every batch."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from dynsim.bridge import views
from dynsim.bridge.networks import Network, NetworkShape, build
from dynsim.bridge.options.pretraining import Pretraining
from dynsim.bridge.training.momentum import MomentumKeys, first_keys, follow, momentum_objective
from dynsim.bridge.training.objective import Objective, ViewPairs, masked_objective
from dynsim.bridge.training.schedules import optimizer


class PretrainState(NamedTuple):
    """What an epoch changes; all of it is in a checkpoint, and nothing else is needed to go on."""

    params: Any
    stats: Any
    optimizer: Any
    mask: Any
    keys: MomentumKeys | None = None
    """Key network and queue of moco."""


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
    key_momentum: Float[Array, ""]


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
    queue: int
    """Length of the queue of moco; 0 for simclr."""

    @classmethod
    def of(cls, options: Pretraining) -> "EpochProgram":
        """Return the program of some options."""
        together, queue = options.normalise == "together", options.queue if options.method == "moco" else 0
        shared = options.network, options.views, options.masking.semantics, together
        return cls(*shared, options.optimizer, options.focal, queue)


def initial_state(program: EpochProgram, params: Any, stats: Any, mask: Any) -> PretrainState:
    """Return the state before the first epoch."""
    zero, keys = jnp.float32(0), None
    if program.queue:
        keys = first_keys(params, stats, program.queue, program.network.embedding_dim, program.semantics)
    return PretrainState(params, stats, optimizer(program.optimizer, zero, zero, zero).init(params), mask, keys)


def _objective(
    program: EpochProgram, network: Network, params: Any, state: PretrainState, batch: ViewPairs, temperature: Array
) -> tuple[Objective, MomentumKeys | None]:
    """Return the loss of a batch by the method of the program, and what it makes of the keys."""
    of_program: dict[str, Any] = {"semantics": program.semantics, "focal": program.focal}
    if state.keys is not None:
        return momentum_objective(
            network, params, state.stats, state.mask, state.keys, batch, temperature, **of_program
        )
    of_program |= {"sets": (program.network.norm_sets - 1, 0), "together": program.together}
    return masked_objective(network, params, state.stats, state.mask, batch, temperature, **of_program), None


@functools.lru_cache(maxsize=8)
def compiled_epoch(program: EpochProgram) -> Epoch:
    """Return the compiled epoch of a program. The state that it is given is used up."""
    network, recipe = build(program.network), views.RECIPES[program.views]

    def step(state: PretrainState, pixels: Array, inputs: EpochInputs, number: Array) -> tuple[PretrainState, StepLog]:
        query, key = views.pair(jax.random.fold_in(inputs.key, number), pixels[inputs.order[number]], recipe)
        batch = ViewPairs(query, key, inputs.valid[number])
        if state.keys is not None:
            state = state._replace(keys=follow(state.keys, state.params, inputs.key_momentum))

        def loss(params: Any) -> tuple[Array, tuple[Objective, MomentumKeys | None]]:
            found, keys = _objective(program, network, params, state, batch, inputs.temperature)
            return found.loss, (found, keys)

        (value, (found, keys)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        rate = inputs.learning_rate[number]
        rule = optimizer(program.optimizer, rate, inputs.weight_decay, inputs.momentum)
        updates, after = rule.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        log = StepLog(value, found.positive_weight, optax.tree.norm(gradient))
        return PretrainState(params, found.stats, after, state.mask, keys), log

    def epoch(state: PretrainState, pixels: Array, inputs: EpochInputs) -> tuple[PretrainState, StepLog]:
        numbers = jnp.arange(inputs.order.shape[0])
        return jax.lax.scan(lambda carry, number: step(carry, pixels, inputs, number), state, numbers)

    return jax.jit(epoch, donate_argnums=0)
