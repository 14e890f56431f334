"""Batches for the tests of the losses with labels, all of one shape, and one compiled program per loss.

A batch is a dictionary of arrays: embeddings z, labels y and validity of the views; m_z, m_y and m_valid of the memory;
counts, centres, has_centre of the classes; outputs f of a classifier; temperature tau.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.losses.contrastive import LossValue
from dynsim.losses.label_table import LABEL_LOSSES
from dynsim.losses.labelled_views import Classes, Views

N, M, C, D = 9, 5, 4, 3
MOVED = ("z", "centres", "f")  # what gradients are taken of


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def a_batch(seed: int = 3, **changes: Any) -> dict[str, Any]:
    """Return a batch with two padded views and a padded memory; class 2 has one view, class 3 none."""
    rng = np.random.default_rng(seed)
    made = {
        "z": unit(rng.normal(size=(N, D))),
        "y": np.array([0, 1, 0, 0, 2, 1, 0, 3, 1], np.int32),
        "valid": np.array([1, 1, 1, 0, 1, 1, 1, 0, 1], bool),
        "m_z": unit(rng.normal(size=(M, D))),
        "m_y": np.array([1, 0, 1, 2, 3], np.int32),
        "m_valid": np.array([1, 1, 0, 0, 0], bool),
        "counts": np.array([50, 12, 3, 1]),
        "centres": unit(rng.normal(size=(C, D))),
        "has_centre": np.ones(C, bool),
        "f": rng.normal(size=(N, C)),
        "tau": np.float64(0.3),
    }
    return {**made, **changes}


def pairs_batch(seed: int = 5, **changes: Any) -> dict[str, Any]:
    """Return a batch of four samples, two views each, one sample per class of equal size; the last view is padding."""
    same = {
        "y": np.array([0, 1, 2, 3, 0, 1, 2, 3, 0], np.int32),
        "valid": np.arange(N) < 8,
        "m_valid": np.zeros(M, bool),
        "counts": np.full(C, 7),
    }
    return a_batch(seed, **(same | changes))


def call(name: str, arrays: dict[str, Any], options: dict[str, Any]) -> LossValue:
    """Return the value of a loss of the table on a batch."""
    row = LABEL_LOSSES[name]
    if row.family == "classifier":
        return row.function(arrays["f"], arrays["y"], arrays["counts"], arrays["valid"], **options)
    views = Views(arrays["z"], arrays["y"], arrays["valid"], arrays["f"])
    classes = Classes(arrays["counts"], arrays["centres"], arrays["has_centre"])
    memory = Views(arrays["m_z"], arrays["m_y"], arrays["m_valid"])
    return row.function(views, classes, arrays["tau"], memory, **options)


@lru_cache
def compiled(name: str, switches: tuple[tuple[str, bool], ...]) -> Any:
    """Return the compiled (moved arrays, other arrays, options) -> ((loss, LossValue), gradient)."""

    def loss(moved: dict, fixed: dict, options: dict) -> tuple:
        value = call(name, {**moved, **fixed}, {**options, **dict(switches)})
        return value.loss, value

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def run(name: str, batch: dict[str, Any], **options: Any) -> tuple[LossValue, dict[str, np.ndarray]]:
    """Return the value of a loss and its gradient in embeddings, centres and logits. Only switches are compiled in."""
    switches = tuple(sorted((k, v) for k, v in options.items() if isinstance(v, bool)))
    numbers = {k: jnp.asarray(v) for k, v in options.items() if not isinstance(v, bool)}
    moved = {k: jax.device_put(batch[k]) for k in MOVED}
    fixed = {k: jax.device_put(v) for k, v in batch.items() if k not in MOVED}
    (_, value), gradient = compiled(name, switches)(moved, fixed, numbers)
    return value, {k: np.asarray(v) for k, v in gradient.items()}


def loss_of(name: str, batch: dict[str, Any], **options: Any) -> float:
    """Return the loss alone."""
    return float(run(name, batch, **options)[0].loss)
