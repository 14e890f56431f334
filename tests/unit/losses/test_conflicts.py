"""Positives that repel each other, by hand calculation and against the derivative written out in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.losses.conflicts import count_conflicts, similarity_slopes
from dynsim.losses.label_table import LABEL_LOSSES
from dynsim.losses.labelled_views import Classes, Views
from tests.label_batches import C, N, a_batch

LOSSES = ("sup_con", "bcl", "acl")


@partial(jax.jit, static_argnames="name")
def measured(name, views, classes, temperature):
    loss = LABEL_LOSSES[name].function
    slopes = similarity_slopes(loss, views, classes, temperature)
    return slopes, count_conflicts(loss, views, classes, temperature, C)


def of_batch(name, batch):
    views = Views(*(jnp.asarray(batch[key]) for key in ("z", "y", "valid")))
    classes = Classes(*(jnp.asarray(batch[key]) for key in ("counts", "centres", "has_centre")))
    return measured(name, views, classes, jnp.asarray(batch["tau"]))


@pytest.fixture(scope="module")
def batch():
    """Three views of class 0, two of which point the same way, and one of class 1; padding, and no centres."""
    z = np.zeros((N, 3))
    z[:4] = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    y = np.array([0, 0, 0, 1] + [0] * (N - 4), np.int32)
    return a_batch(z=z, y=y, valid=np.arange(N) < 4, has_centre=np.zeros(C, bool), tau=np.float64(1))


def test_sup_con_repels_the_nearer_positive_by_hand(batch):
    """e^1 / (e^1 + 2) = 0.576 > 1/2 for the positive that points the anchor's way; the other has 0.212."""
    slopes, found = of_batch("sup_con", batch)
    near = np.e / (np.e + 2)
    np.testing.assert_allclose(slopes[0, :4], [0, near - 0.5, 1 / (np.e + 2) - 0.5, 1 / (np.e + 2)], rtol=1e-12)
    np.testing.assert_allclose(slopes[2, :4], [1 / 3 - 0.5, 1 / 3 - 0.5, 0, 1 / 3], rtol=1e-12)
    assert not np.any(slopes[3:, :3]) and not np.any(slopes[:, 4:N])  # the only one of its class has no loss
    assert found.conflicting.tolist() == [2, 0, 0, 0] and found.pairs.tolist() == [6, 0, 0, 0]


def test_acl_repels_no_positive(batch):
    for one in (batch, a_batch()):
        slopes, found = of_batch("acl", one)
        assert not found.conflicting.any() and found.pairs[0] == 6  # three valid views of class 0 in both
        assert np.all(np.diagonal(slopes) == 0)


def numpy_slopes(batch, *, with_centres, averaged):
    """The softmax weight less the share of each positive, over the candidates that an anchor has."""
    z, y, valid, tau = batch["z"], batch["y"], batch["valid"], batch["tau"]
    if with_centres:
        z, y = np.concatenate([z, batch["centres"]]), np.concatenate([y, np.arange(C)])
        valid = np.concatenate([valid, batch["has_centre"]])
    out = np.zeros((N, len(y)))
    for i in range(N):
        if not valid[i]:
            continue
        candidates = [c for c in range(len(y)) if valid[c] and c != i]
        positives = [c for c in candidates if y[c] == y[i]]
        if not positives:
            continue
        sizes = {k: sum(valid[c] and y[c] == k for c in range(len(y))) - (k == y[i]) for k in set(y)}
        weight = {c: np.exp(z[i] @ z[c] / tau) / (sizes[y[c]] if averaged else 1) for c in candidates}
        for c in candidates:
            out[i, c] = weight[c] / sum(weight.values()) - (c in positives) / len(positives)
    return out


def test_slopes_against_numpy():
    batch = a_batch()
    plain, _ = of_batch("sup_con", batch)
    np.testing.assert_allclose(plain[:, :N], numpy_slopes(batch, with_centres=False, averaged=False), atol=1e-12)
    balanced, found = of_batch("bcl", batch)
    expected = numpy_slopes(batch, with_centres=True, averaged=True)
    np.testing.assert_allclose(balanced, expected, atol=1e-12)
    pair = (
        (batch["y"][:, None] == batch["y"][None])
        & batch["valid"][:, None]
        & batch["valid"][None]
        & ~np.eye(N, dtype=bool)
    )
    by_class = [np.sum(pair & (expected[:, :N] > 0) & (batch["y"] == k)[:, None]) for k in range(C)]
    assert found.conflicting.tolist() == by_class and sum(by_class) > 0
