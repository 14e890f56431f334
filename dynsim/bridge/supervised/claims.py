"""What is measured while a network trains with labels: conflicts between positives, compactness, margins, by class.

Conflicts (arXiv 2506.01071, figure 4a) are counted on batches as in training, in which a rare class has few positives
and a frequent one many, under several losses on the same embeddings. The class centres that BCL and ACL compare with
are here the means of these embeddings, whichever loss the network is trained with.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from dynsim.bridge import views
from dynsim.bridge.data.tasks import LabelledImages
from dynsim.bridge.evaluation.features import extract
from dynsim.bridge.measure.geometry import class_geometry
from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.supervised.parts import columns_of, evaluated
from dynsim.bridge.supervised.run import Chosen
from dynsim.bridge.training.loop import StateMeasure, order_of_epoch, streams
from dynsim.losses.centres import moved_centres
from dynsim.losses.conflicts import count_conflicts
from dynsim.losses.contrastive import normalise
from dynsim.losses.label_table import label_loss
from dynsim.losses.labelled_views import Classes, Views

COUNTED = ("sup_con", "bcl", "acl")
"""Losses under which conflicts are counted."""
OWN_STREAM = 2**31  # no epoch has this number, so that the measured views are none of those that are trained on


def claim_measure(
    options: Supervised,
    images: LabelledImages,
    counts: np.ndarray,
    probe: LabelledImages,
    seed: int,
    n_batches: int,
) -> StateMeasure:
    """Return f(`Chosen`) -> what is measured of the network of that epoch in evaluation.

    conflicting (loss, class): positive pairs that repel each other under the losses `COUNTED`; pairs (class,): all
    positive pairs of the same batches; compactness, margin (class,): of the features of the probe images.

    Args:
        options: those of the training; its temperature is that of the losses.
        images, counts: training images and class sizes. Two views of each image of `n_batches` batches are embedded;
            at most as many as there are.
        probe: images not trained on.
        seed: that of the run.
    """
    pixels, labels = measured_views(options, images, seed, n_batches)
    n_classes = len(counts)
    sizes = jnp.asarray(counts, jnp.float32)

    def measure(state: Chosen) -> dict[str, Any]:
        network = evaluated(options, state.now.params, state.now.stats)
        _, embeddings, _ = columns_of(options, extract(network, pixels.reshape(-1, *pixels.shape[2:])))
        batches = jnp.asarray(embeddings.reshape(*labels.shape, -1))
        conflicting, pairs = conflicts_of_batches(batches, jnp.asarray(labels), sizes, jnp.float32(options.temperature))
        features, _, _ = columns_of(options, extract(network, probe.pixels))
        geometry = class_geometry(features, probe.labels, n_classes)
        return {
            "conflicting": np.asarray(conflicting),
            "pairs": np.asarray(pairs),
            "compactness": geometry.compactness.astype(np.float32),
            "margin": geometry.margin.astype(np.float32),
        }

    return measure


def measured_views(
    options: Supervised, images: LabelledImages, seed: int, n_batches: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return two views of the images of some batches: uint8 (batch, view, side, side, 3), and labels (batch, view)."""
    keys = streams(seed)
    order, valid = order_of_epoch(keys, OWN_STREAM, len(images.labels), min(options.batch_size, len(images.labels)))
    full = order[valid.all(axis=1)][:n_batches]
    key, name = jax.random.fold_in(keys.views, OWN_STREAM), options.views[0]
    seen = [_pairs(jax.random.fold_in(key, k), jnp.asarray(images.pixels[one]), name) for k, one in enumerate(full)]
    pixels = np.round(np.stack([np.asarray(one) for one in seen]) * 255).astype(np.uint8)  # views have whole levels
    return pixels, np.concatenate([images.labels[full]] * 2, axis=1).astype(np.int32)


@partial(jax.jit, static_argnames="recipe")
def _pairs(key: Key[Array, ""], pixels: Array, recipe: str) -> Array:
    return jnp.concatenate(views.pair(key, pixels, views.RECIPES[recipe]))


@jax.jit
def conflicts_of_batches(embeddings: Array, labels: Array, counts: Array, temperature: Array) -> tuple[Array, Array]:
    """Return (conflicting pairs, (loss, class); pairs, (class,)), summed over batches.

    Args:
        embeddings: (batch, view, neuron), scaled to length one here.
        labels: (batch, view).
        counts: training images of each class.
    """
    n_classes, width = len(counts), embeddings.shape[-1]
    unit = normalise(embeddings.reshape(-1, width))
    every = Views(unit, labels.reshape(-1))
    centres = moved_centres(jnp.zeros((n_classes, width), unit.dtype), every, 0.0)
    classes = Classes(counts, centres, jnp.any(centres != 0, axis=1))

    def of_batch(batch: tuple[Array, Array]) -> tuple[Array, Array]:
        found = [
            count_conflicts(label_loss(name).function, Views(*batch), classes, temperature, n_classes)
            for name in COUNTED
        ]
        return jnp.stack([one.conflicting for one in found]), found[0].pairs

    conflicting, pairs = jax.lax.map(of_batch, (unit.reshape(embeddings.shape), labels))
    return jnp.sum(conflicting, axis=0), jnp.sum(pairs, axis=0)
