"""Reference losses: what no training at all, and an ideal encoder W = a M^T, reach under the same sampling rule."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynsim import theory
from dynsim.config import Config, PruneConfig
from dynsim.engine import train
from dynsim.engine.data import Batch
from dynsim.engine.numbers import resolve
from dynsim.engine.replay import held_out_batch, with_weights
from dynsim.engine.thresholds import init_thresholds
from dynsim.engine.train import TrainState

N_BATCHES = 16
SCALES = np.geomspace(0.3, 6.0, 40)


class Floor(NamedTuple):
    """Loss of the best ideal encoder, and its scale a."""

    loss: float
    scale: float


def chance_loss(config: Config) -> float:
    """Return log(|N|+1) (times tau with the prefactor): the loss when all similarities agree (theory 3.2)."""
    factor = config.loss.temperature if config.loss.temperature_prefactor else 1.0
    # nt_xent counts both views of the other samples
    views = 2 if config.loss.kind == "nt_xent" else 1
    return factor * float(np.log1p(views * theory.n_negatives(config.data)))


def oracle_losses(
    config: Config, seed: int, scales: np.ndarray = SCALES, *, thresholded: bool, n_batches: int = N_BATCHES
) -> Float[np.ndarray, " scale"]:
    """Return the mean loss of W = a M^T over held-out batches of one seed, for every a.

    Args:
        config: data, encoder and loss; the encoder gets one neuron per feature.
            Its masks are left out: the losses are those of the unpruned network.
        thresholded: give the neurons the norm-tracking threshold of `config` instead of b = 0.
    """
    name: Literal["norm_tracking", "zero"] = "norm_tracking" if thresholded else "zero"
    rule = dataclasses.replace(config.threshold, rule=name, start="at_step", start_step=0)
    resolved = resolve(config)
    one_each = dataclasses.replace(resolved.structure.encoder, n_neurons=config.data.n_features)
    # in one go: masks that wait for a switch are refused beside thresholds that stay off
    structure = dataclasses.replace(resolved.structure, encoder=one_each, threshold=rule, prune=PruneConfig())
    parts = train.built_in_parts(structure)
    numbers = jax.tree.map(jnp.asarray, resolved.numbers)

    def loss_at(scale: Array, batch: Batch, state: TrainState, dictionary: Array) -> Array:
        weight = scale * dictionary.T
        b = init_thresholds(weight, rule, numbers.threshold_scale, numbers.learning_rate, config.data.n_features)
        ideal = with_weights(state, weight, b.value)
        no_penalty = numbers._replace(l2_penalty=0 * scale)
        return train.objective(ideal.params, ideal.thresholds.value, batch, no_penalty, parts)[0]

    @jax.jit
    def all_losses(seed: Array, scales: Array) -> Array:
        state, world = train.init(seed, numbers, parts)

        def of_batch(position: Array) -> Array:
            batch = held_out_batch(world, parts, position)
            return jax.lax.map(lambda scale: loss_at(scale, batch, state, world.dictionary), scales)

        return jnp.mean(jax.lax.map(of_batch, jnp.arange(n_batches, dtype=jnp.int32)), axis=0)

    return np.asarray(all_losses(jnp.uint32(seed), jnp.asarray(scales, config.train.precision)), np.float64)


def oracle_floor(config: Config, seed: int, *, thresholded: bool) -> Floor:
    """Return the smallest of `oracle_losses` and the scale a that reaches it.

    The grid moves while its best scale is at its edge, up to a factor of about 10^4 either way; a loss that keeps
    falling there is taken at the last edge.
    """
    factor = 1.0
    for _ in range(4):
        scales = SCALES * factor
        losses = oracle_losses(config, seed, scales, thresholded=thresholded)
        best = int(np.argmin(losses))
        if 0 < best < len(scales) - 1:
            break
        factor *= SCALES[-2] / SCALES[1] if best else SCALES[1] / SCALES[-2]  # neighbouring grids overlap
    return Floor(float(losses[best]), float(scales[best]))
