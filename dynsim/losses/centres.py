"""Centres of classes that are not trained by a gradient: running means (ACL), and fixed targets (TSC)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy.optimize import linear_sum_assignment

from dynsim.losses.contrastive import log_sum_exp, normalise
from dynsim.losses.labelled_views import Number, Views, valid


def moved_centres(
    centres: Float[Array, "class neuron"], views: Views, momentum: Number
) -> Float[Array, "class neuron"]:
    """Return running means of length one: momentum * centre + (1-momentum) * direction of the class's mean, normalised.

    A class without a valid view keeps its centre. Rows of zeros are a fine start: the first mean replaces them. No
    gradient goes through.

    Args:
        centres: the present ones.
        views: those of the batch.
        momentum: 0.9 in TSC. ACL gives neither momentum nor start, nor whether the mean is normalised before it enters.
    """
    is_in = (views.labels[None, :] == jnp.arange(len(centres), dtype=views.labels.dtype)[:, None]) & valid(views)[
        None, :
    ]
    embeddings = jnp.where(valid(views)[:, None], views.embeddings, 0)
    direction = normalise(is_in.astype(embeddings.dtype) @ embeddings)
    rate = jnp.asarray(momentum, centres.dtype)
    moved = normalise(rate * centres + (1 - rate) * direction)
    return jax.lax.stop_gradient(jnp.where(jnp.any(is_in, axis=1, keepdims=True), moved, centres))


def spread_targets(
    n_classes: int,
    n_neurons: int,
    *,
    key: Array | None = None,
    n_steps: int = 10_000,
    learning_rate: float = 1e-3,
    temperature: float = 0.07,
) -> Float[np.ndarray, "class neuron"]:
    """Return directions of length one that are as far apart as they can be.

    With room for a simplex (n_neurons >= n_classes - 1) they are its corners, with all inner products -1/(n_classes-1).
    Otherwise Adam minimises the mean over i of log sum_j exp(t_i.t_j / temperature), from random directions.

    Args:
        key: of JAX's random numbers, for the random directions; needed if there is no room for a simplex.
        n_steps, learning_rate, temperature: of that minimisation, as in the released code of TSC.
    """
    if n_neurons >= n_classes - 1:
        # the centred unit vectors span n_classes - 1 dimensions: their coordinates there, from the singular vectors
        centred = np.eye(n_classes) - 1 / n_classes
        corners = np.linalg.svd(centred)[0][:, : max(n_classes - 1, 1)]
        corners = corners / np.linalg.norm(corners, axis=1, keepdims=True)
        return np.pad(corners, ((0, 0), (0, n_neurons - corners.shape[1])))
    if key is None:
        raise ValueError(
            f"key: wanted one, since {n_neurons} neurons have no room for the {n_classes} corners of a simplex: pass it"
        )
    optimiser = optax.adam(learning_rate)
    start = jax.random.normal(key, (n_classes, n_neurons))

    def crowding(targets: Array) -> Array:
        unit = normalise(targets)
        return jnp.mean(log_sum_exp(unit @ unit.T / temperature))

    def step(_: Any, carry: tuple) -> tuple:
        targets, state = carry
        updates, state = optimiser.update(jax.grad(crowding)(targets), state)
        return optax.apply_updates(targets, updates), state

    with jax.numpy_dtype_promotion("standard"):  # optax mixes types, which a caller may have forbidden
        final, _ = jax.lax.fori_loop(0, n_steps, step, (start, optimiser.init(start)))
    return np.asarray(normalise(final))


def assign_targets(
    centroids: Float[Array | np.ndarray, "class neuron"], targets: Float[Array | np.ndarray, "target neuron"]
) -> Float[np.ndarray, "class neuron"]:
    """Return the targets in the order of the classes: the assignment with the largest sum of <centroid, target>.

    TSC assigns anew at every step, from the running means of `moved_centres` (`assigned_in_program`).
    """
    if centroids.shape != targets.shape:
        raise ValueError(f"targets: wanted the shape of the centroids, {centroids.shape}, got {targets.shape}")
    rows, columns = linear_sum_assignment(np.asarray(centroids) @ np.asarray(targets).T, maximize=True)
    return np.asarray(targets)[columns[np.argsort(rows)]]


def assigned_in_program(
    centroids: Float[Array, "class neuron"], targets: Float[Array, "class neuron"]
) -> Float[Array, "class neuron"]:
    """Return `assign_targets` from within a compiled program, which waits for the host to compute it; no gradient.

    If a centroid is not finite, all targets are NaN: the loss becomes NaN too, and the run counts as diverged.
    """
    held = jax.lax.stop_gradient((centroids, targets))
    form = jax.ShapeDtypeStruct(targets.shape, targets.dtype)
    return jax.pure_callback(_assigned, form, *held, vmap_method="sequential")


def _assigned(centroids: Any, targets: Any) -> np.ndarray:
    centroids, targets = np.asarray(centroids), np.asarray(targets)
    if not np.isfinite(centroids).all():  # an error here would end the program, and with it the other runs
        return np.full_like(targets, np.nan)
    return assign_targets(centroids, targets)
