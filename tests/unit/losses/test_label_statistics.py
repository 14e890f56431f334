"""What the losses with labels are given: running means, targets, drawn positives, class weights."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.losses.centres import assign_targets, assigned_in_program, moved_centres, spread_targets
from dynsim.losses.classifier import deferred_weights, effective_number_weights
from dynsim.losses.labelled_views import Views
from dynsim.losses.supervised import draw_positives
from tests import reference_label_losses as written_out
from tests.label_batches import C, D, M, N, a_batch, unit


def views_of(batch):
    return Views(*(jnp.asarray(batch[key]) for key in ("z", "y", "valid")))


move = jax.jit(moved_centres)


def test_running_means():
    batch = a_batch()
    moved = move(jnp.asarray(batch["centres"]), views_of(batch), 0.9)
    np.testing.assert_allclose(moved, written_out.moved_centres(batch, 0.9), rtol=1e-12)
    assert np.array_equal(moved[3], batch["centres"][3])  # no view of class 3
    spoiled = a_batch()
    spoiled["z"][~batch["valid"]] = np.nan
    assert np.array_equal(moved, move(jnp.asarray(batch["centres"]), views_of(spoiled), 0.9))


def test_running_means_that_start_from_zero_take_the_first_mean():
    batch = a_batch(centres=np.zeros((C, D)))
    first = move(jnp.asarray(batch["centres"]), views_of(batch), 0.9)
    own = batch["z"][(batch["y"] == 1) & batch["valid"]].sum(axis=0)
    np.testing.assert_allclose(first[1], own / np.linalg.norm(own), rtol=1e-12)
    assert not np.any(first[3])
    again = move(first, views_of(batch), 0.9)
    np.testing.assert_allclose(again, first, rtol=1e-12)  # a mean that does not move stays


def test_running_means_have_no_gradient():
    batch = a_batch()

    def total(z):
        return jnp.sum(moved_centres(jnp.asarray(batch["centres"]), views_of(batch)._replace(embeddings=z), 0.9))

    assert not np.any(jax.jit(jax.grad(total))(jnp.asarray(batch["z"])))


@pytest.mark.parametrize(("n_classes", "n_neurons"), [(1, 3), (2, 1), (4, 3), (10, 9), (10, 32)])
def test_targets_with_room_are_a_simplex(n_classes, n_neurons):
    targets = spread_targets(n_classes, n_neurons)
    assert targets.shape == (n_classes, n_neurons)
    wanted = np.full((n_classes, n_classes), -1 / (n_classes - 1)) if n_classes > 1 else np.ones((1, 1))
    np.fill_diagonal(wanted, 1)
    np.testing.assert_allclose(targets @ targets.T, wanted, atol=1e-12)


def test_targets_without_room_spread_all_the_same():
    """Four directions in a plane are a square; the errors of the minimisation are small."""
    targets = spread_targets(4, 2, key=jax.random.key(0), n_steps=1500, learning_rate=0.02, temperature=0.5)
    angles = np.sort(np.arctan2(targets[:, 1], targets[:, 0]))
    np.testing.assert_allclose(np.diff(angles), np.pi / 2, atol=1e-3)
    with pytest.raises(ValueError, match="2 neurons have no room for the 4 corners of a simplex: pass it"):
        spread_targets(4, 2)


def test_targets_are_assigned_as_well_as_any_order_can():
    rng = np.random.default_rng(8)
    centroids, targets = unit(rng.normal(size=(5, 3))), unit(rng.normal(size=(5, 3)))
    got = assign_targets(centroids, targets)
    best = max(itertools.permutations(range(5)), key=lambda order: np.sum(centroids * targets[list(order)]))
    assert np.array_equal(got, targets[list(best)])
    assert np.array_equal(assign_targets(targets[[2, 0, 1, 4, 3]], targets), targets[[2, 0, 1, 4, 3]])
    with pytest.raises(ValueError, match=r"targets: wanted the shape of the centroids, \(5, 3\), got \(4, 3\)"):
        assign_targets(centroids, targets[:4])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_with_a_centroid_that_is_not_finite_gets_no_targets_and_the_others_theirs(bad):
    """An error in the host's part of a program would end all runs of the program."""
    targets = np.eye(3, dtype=np.float32)
    centroids = np.stack([targets[[1, 2, 0]], targets, targets[[2, 1, 0]]])
    centroids[1, 0, 2] = bad
    found = np.asarray(assign_in_runs(centroids, targets))
    assert np.isnan(found[1]).all() and np.array_equal(found[[0, 2]], centroids[[0, 2]])


assign_in_runs = jax.jit(jax.vmap(assigned_in_program, (0, None)))
draw = jax.jit(jax.vmap(draw_positives, (0, None, None, None, None)), static_argnums=4)


def test_drawn_positives():
    batch = a_batch(y=np.array([0, 0, 0, 0, 0, 1, 1, 2, 0], np.int32), m_y=np.array([0, 0, 1, 0, 2], np.int32))
    memory = Views(*(jnp.asarray(batch[key]) for key in ("m_z", "m_y", "m_valid")))
    own = np.zeros((N, N + M), bool)
    own[0, 1] = own[1, 0] = own[3, 4] = own[4, 3] = True  # view 3 is padding
    drawn = np.asarray(draw(jax.random.split(jax.random.key(1), 400), views_of(batch), memory, jnp.asarray(own), 2))
    valid = np.append(batch["valid"], batch["m_valid"])
    same = (batch["y"][:, None] == np.append(batch["y"], batch["m_y"])[None, :]) & valid & valid[:N, None]
    same &= ~np.eye(N, N + M, dtype=bool)
    assert not np.any(drawn & ~same)  # only valid ones of the class, never the anchor
    assert np.all(drawn[:, own & same])  # those of the sample always
    others = same & ~own
    assert np.array_equal(np.sum(drawn & others, axis=2), np.tile(np.minimum(others.sum(axis=1), 2), (400, 1)))
    shares = drawn[:, 0, others[0]].mean(axis=0)  # all of the class are drawn equally often
    n = others[0].sum()
    assert n > 3 and np.all(np.abs(shares - 2 / n) < 5 * np.sqrt(2 / n * (1 - 2 / n) / 400))


def test_weights_by_the_effective_number():
    counts = jnp.asarray([5000, 500, 1])
    wanted = np.array([(1 - 0.999) / (1 - 0.999**n) for n in (5000, 500, 1)])
    np.testing.assert_allclose(effective_number_weights(counts, 0.999), wanted / wanted.mean(), rtol=1e-12)
    np.testing.assert_allclose(effective_number_weights(counts, 0.0), 1)
    nearly = effective_number_weights(counts, 1 - 1e-9)  # one over the sizes
    np.testing.assert_allclose(nearly / nearly[2], [1 / 5000, 1 / 500, 1], rtol=1e-5)
    with pytest.raises(ValueError, match="base: wanted a number from 0 up to but not 1, got 1"):
        effective_number_weights(counts, 1.0)


def test_deferred_weights():
    counts = jnp.asarray([5000, 500, 1])
    late = jax.jit(lambda epoch: deferred_weights(counts, epoch))
    np.testing.assert_allclose(late(159), 1)
    np.testing.assert_allclose(late(160), effective_number_weights(counts), rtol=1e-12)
