"""Reference loss of an ideal encoder, with which the loss of a trained one is compared.

The ideal encoder has weights W = a M^T: one neuron per feature, which points exactly along it. M is the dictionary,
whose columns are the features, and a is a scale. Its loss is measured on data drawn as for training.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynsim.config import Config, PruneConfig
from dynsim.engine import initial, train
from dynsim.engine.data import Batch
from dynsim.engine.numbers import Numbers, resolve
from dynsim.engine.replay import held_out_batch, with_weights
from dynsim.engine.thresholds import init_thresholds
from dynsim.engine.train import TrainState, World

N_BATCHES = 16
SCALES = np.geomspace(0.3, 6.0, 40)


class Floor(NamedTuple):
    """The loss of the ideal encoder at its best scale a, and that scale."""

    loss: float
    scale: float


def ideal_losses(
    config: Config, seed: int, scales: np.ndarray = SCALES, *, thresholded: bool, n_batches: int = N_BATCHES
) -> Float[np.ndarray, " scale"]:
    """Return the loss of the ideal encoder W = a M^T for every scale a, without the L2 penalty.

    Each loss is a mean over batches that training does not use.

    Args:
        config: data, encoder and loss. The number of neurons is set to the number of features, and masks are left out.
        seed: the run whose dictionary and batches are used.
        scales: the values of a, shape (scale,).
        thresholded: use the norm-tracking threshold, with the scale kappa of `config`, instead of b = 0.
        n_batches: number of batches.
    """
    name: Literal["norm_tracking", "zero"] = "norm_tracking" if thresholded else "zero"
    resolved = resolve(config)
    rule = dataclasses.replace(resolved.structure.threshold, rule=name, start="at_step", start_step=0)
    one_each = dataclasses.replace(resolved.structure.encoder, n_neurons=config.data.n_features)
    # All at once: a configuration whose mask waits for a switch that never comes would be refused in between.
    structure = dataclasses.replace(resolved.structure, encoder=one_each, threshold=rule, prune=PruneConfig())
    numbers = jax.tree.map(jnp.asarray, resolved.numbers)
    at = jnp.asarray(scales, config.train.precision)
    return np.asarray(_all_losses(structure, n_batches)(jnp.uint32(seed), at, numbers), np.float64)


@functools.lru_cache(maxsize=32)
def _all_losses(structure: Config, n_batches: int) -> Callable[[Array, Array, Numbers], Array]:
    """Return the function (seed, scales, numbers) -> losses of ideal encoders, compiled once for a structure."""
    parts = train.built_in_parts(structure)

    def loss_at(scale: Array, batch: Batch, state: TrainState, dictionary: Array, numbers: Numbers) -> Array:
        weight, rule = scale * dictionary.T, structure.threshold
        b = init_thresholds(weight, rule, numbers.threshold_scale, numbers.learning_rate, structure.data.n_features)
        ideal = with_weights(state, weight, b.value)
        no_penalty = numbers._replace(l2_penalty=0 * scale)
        return train.objective(ideal.params, ideal.thresholds.value, batch, no_penalty, parts)[0]

    @jax.jit
    def of_world(scales: Array, state: TrainState, world: World) -> Array:
        def of_batch(position: Array) -> Array:
            batch = held_out_batch(world, parts, position)
            return jax.lax.map(lambda scale: loss_at(scale, batch, state, world.dictionary, world.numbers), scales)

        return jnp.mean(jax.lax.map(of_batch, jnp.arange(n_batches, dtype=jnp.int32)), axis=0)

    def all_losses(seed: Array, scales: Array, numbers: Numbers) -> Array:
        return of_world(scales, *initial.init(seed, numbers, parts))

    return all_losses


def ideal_floor(config: Config, seed: int, *, thresholded: bool) -> Floor:
    """Return the smallest of `ideal_losses` and the scale a at which it is reached.

    The search starts with the grid `SCALES`. While the best scale is at an edge of the grid, the grid moves that way,
    at most three times, by a factor of about 5000 in all. If the loss still falls there, the scale at the edge is used.
    """
    factor = 1.0
    for _ in range(4):
        scales = SCALES * factor
        losses = ideal_losses(config, seed, scales, thresholded=thresholded)
        best = int(np.argmin(losses))
        if 0 < best < len(scales) - 1:
            break
        factor *= SCALES[-2] / SCALES[1] if best else SCALES[1] / SCALES[-2]  # neighbouring grids overlap
    return Floor(float(losses[best]), float(scales[best]))
