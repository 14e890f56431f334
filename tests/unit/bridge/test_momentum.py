"""MoCo: its loss against NumPy in float64, its queue by hand calculation, and the gradient of each reading."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.networks import Network, NetworkShape, Outputs
from dynsim.bridge.options import Masking, Pretraining
from dynsim.bridge.training.momentum import (
    MomentumKeys,
    enqueued,
    first_keys,
    follow,
    momentum_objective,
    queue_loss,
    queue_similarities,
)
from dynsim.bridge.training.objective import ViewPairs
from dynsim.config import ConfigError

N, D, LENGTH, TAU = 4, 3, 6, 0.3


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def reference(query: np.ndarray, key: np.ndarray, others: np.ndarray, gamma: float = 0.0) -> tuple[float, float]:
    """InfoNCE by its definition: each query has its own key and the others as candidates."""
    losses, weights = [], []
    for one, own in zip(unit(query), unit(key), strict=True):
        q = np.exp(one @ own / TAU) / (np.exp(one @ own / TAU) + sum(np.exp(one @ other / TAU) for other in others))
        losses.append(-((1 - q) ** gamma) * np.log(q))
        weights.append(q)
    return float(np.mean(losses)), float(np.mean(weights))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("filled", [0, 4, LENGTH])
@pytest.mark.parametrize("valid", [[1, 1, 1, 1], [1, 1, 1, 0]])
def test_loss_is_infonce_against_the_filled_places(valid, filled, gamma):
    random = np.random.default_rng(0)
    query, key = random.normal(size=(2, N, D))
    queue, real = unit(random.normal(size=(LENGTH, D))), np.array(valid, bool)
    similarity = jax.jit(queue_similarities)(*(jnp.asarray(one) for one in (query, unit(key), queue)))
    loss = jax.jit(queue_loss, static_argnums=4)
    found = loss(similarity, jnp.asarray(real), jnp.int32(filled), jnp.asarray(TAU), gamma)
    np.testing.assert_allclose(found, reference(query[real], key[real], queue[:filled], gamma), rtol=1e-12, atol=1e-15)


def empty(n_readings: int = 1) -> MomentumKeys:
    zero = jnp.zeros((), jnp.int32)
    return MomentumKeys({}, {}, jnp.zeros((n_readings, 5, 1)), zero, zero)


def numbered(*numbers: float) -> jax.Array:
    return jnp.asarray(numbers, float)[None, :, None]


def test_queue_by_hand():
    """Batches of three enter a queue of five; padding, wherever it stands, does not."""
    after = []
    keys = empty()
    for new, valid in (
        (numbered(1, 2, 3), [True, True, True]),
        (numbered(4, 99, 5), [True, False, True]),
        (numbered(6, 7, 99), [True, True, False]),
        (numbered(99, 99, 99), [False, False, False]),
        (numbered(8, 9, 10), [True, True, True]),
    ):
        keys = jax.jit(enqueued)(keys, new, jnp.array(valid))
        after.append((keys.queue[0, :, 0].tolist(), int(keys.place), int(keys.filled)))
    assert after == [
        ([1, 2, 3, 0, 0], 3, 3),
        ([1, 2, 3, 4, 5], 0, 5),
        ([6, 7, 3, 4, 5], 2, 5),
        ([6, 7, 3, 4, 5], 2, 5),
        ([6, 7, 8, 9, 10], 0, 5),
    ]


def test_both_readings_of_a_key_take_the_same_place():
    new = jnp.stack([numbered(1, 2, 3)[0], numbered(-1, -2, -3)[0]])
    keys = jax.jit(enqueued)(empty(2), new, jnp.array([True, False, True]))
    assert keys.queue[:, :, 0].tolist() == [[1, 3, 0, 0, 0], [-1, -3, 0, 0, 0]]


def test_the_key_network_follows():
    keys = first_keys({"w": jnp.array([1.0, 2.0])}, {}, 5, 3, "one_branch")
    moved = follow(keys, {"w": jnp.array([3.0, 0.0])}, jnp.asarray(0.75))
    np.testing.assert_allclose(moved.params["w"], [1.5, 1.5])
    assert moved.queue.shape == (1, 5, 3) and first_keys({}, {}, 5, 3, "straight_through").queue.shape == (2, 5, 3)


def linear_network() -> Network:
    """An encoder that is one matrix, so that all can be computed in NumPy; its statistics count what passed."""

    def apply(params: Any, stats: Any, images: Any, *, train: bool, norm_set: int = 0, valid: Any = None) -> Outputs:
        assert train and valid.shape == images.shape[:1]
        out = images.reshape(len(images), -1) @ params["kernel"]
        return Outputs(out, out, {"count": stats["count"].at[norm_set].add(len(images))})

    return Network(NetworkShape(), lambda key, side: ({}, {}), apply, lambda params: params)


KERNELS = np.random.default_rng(3).normal(size=(2, 12, D))
KEPT = np.abs(KERNELS[0]) > 0.5
VIEWS = np.random.default_rng(4).uniform(size=(2, N, 2, 2, 3))
QUEUE = np.stack([unit(one) for one in np.random.default_rng(5).normal(size=(2, LENGTH, D))])
VALID = np.array([True, True, True, False])


def found(semantics: str) -> tuple[float, np.ndarray, MomentumKeys, np.ndarray]:
    """The loss of a batch, its gradient, the keys after it and the count of what the trained network saw."""
    batch = ViewPairs(*(jnp.asarray(one) for one in VIEWS), jnp.asarray(VALID))
    count, readings = {"count": jnp.zeros(1, int)}, 2 if semantics == "straight_through" else 1
    places = jnp.int32(1), jnp.int32(LENGTH)
    keys = MomentumKeys({"kernel": jnp.asarray(KERNELS[1])}, count, jnp.asarray(QUEUE[:readings]), *places)
    mask, tau = {"kernel": jnp.asarray(KEPT)}, jnp.asarray(TAU)

    def loss(params: Any) -> Any:
        keywords = {"semantics": semantics, "focal": 0.0}
        one, after = momentum_objective(linear_network(), params, count, mask, keys, batch, tau, **keywords)
        return one.loss, (after, one.stats["count"])

    slope = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (after, seen)), gradient = slope({"kernel": jnp.asarray(KERNELS[0])})
    return float(value), np.asarray(gradient["kernel"]), after, np.asarray(seen)


def embedded(view: int, kernel: np.ndarray) -> np.ndarray:
    return VIEWS[view].reshape(N, -1)[VALID] @ kernel


def gradient_by_hand(query: np.ndarray, key: np.ndarray, queue: np.ndarray, moved: tuple | None = None) -> np.ndarray:
    """The gradient in the kernel of the queries: softmax weights times the derivative of cosines.

    With `moved`, (query, key, queue) of other weights, the softmax weights are those of the first three and the
    derivatives those of the other three (straight-through).
    """
    weights = []
    for one, own in zip(unit(query), unit(key), strict=True):
        scores = np.exp(np.concatenate([own[None], queue]) @ one / TAU)
        weights.append(scores / scores.sum() - np.eye(1 + LENGTH)[0])
    query, key, queue = moved or (query, key, queue)
    gradient = np.zeros((12, D))
    for n, weight in enumerate(weights):
        candidates, length = np.concatenate([unit(key)[n][None], queue]), np.linalg.norm(query[n])
        pull = weight @ candidates / TAU  # dl / d(unit query)
        direction = query[n] / length
        gradient += np.outer(VIEWS[0].reshape(N, -1)[VALID][n], (pull - direction * (direction @ pull)) / length)
    return gradient / len(weights)


@pytest.mark.parametrize("semantics", ["one_branch", "masked_query", "literal", "masked_key", "straight_through"])
def test_value_and_gradient_of_each_reading(semantics):
    w, of_keys = KERNELS
    masks_query, masks_key = semantics != "masked_key", semantics in ("literal", "masked_key", "straight_through")
    query = embedded(0, w * KEPT if masks_query else w)
    key = embedded(1, of_keys * KEPT if masks_key else of_keys)
    value, gradient, after, seen = found(semantics)
    if semantics == "straight_through":
        dense = embedded(0, w), embedded(1, of_keys), QUEUE[0]
        expected = gradient_by_hand(query, key, QUEUE[1], dense)
        np.testing.assert_allclose(value, reference(query, key, QUEUE[1])[0], rtol=1e-12)
        entered = [unit(dense[1]), unit(key)]
    else:
        expected = gradient_by_hand(query, key, QUEUE[0]) * (KEPT if semantics == "one_branch" else 1)
        np.testing.assert_allclose(value, reference(query, key, QUEUE[0])[0], rtol=1e-12)
        entered = [unit(key)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(after.queue[:, 1:4], entered, rtol=1e-12)  # three valid images, from place 1
    assert np.array_equal(after.queue[:, [0, 4, 5]], QUEUE[: len(entered), [0, 4, 5]])
    assert (int(after.place), int(after.filled)) == (4, LENGTH)
    assert seen.tolist() == after.stats["count"].tolist() == [N]  # each network counts its own view


MOCO = Pretraining(method="moco", batch_size=8, queue=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queue": 7}, "queue: wanted at least the batch size, 8"),
        ({"normalise": "together"}, "normalise: wanted apart with moco"),
        ({"network": NetworkShape(norm_sets=2)}, "network.norm_sets: wanted 1 with moco"),
        ({"key_momentum": 1.5}, "key_momentum: wanted"),
        ({"method": "simclr", "masking": Masking(semantics="masked_key")}, "masked_query says the same"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises(ConfigError, match=message) as refused:
        dataclasses.replace(MOCO, **change)
    assert "\n" not in str(refused.value)


def test_options_of_moco_do_not_rename_runs_without_it():
    plain = Pretraining().values()
    assert set(MOCO.values()) - set(plain) == {"method", "key_momentum", "queue"}
    assert plain == dataclasses.replace(Pretraining(), queue=9, key_momentum=0.5).values()


def test_which_readings_run_the_dense_network():
    for method, semantics, dense in (
        ("simclr", "one_branch", True),
        ("simclr", "literal", False),
        ("moco", "one_branch", False),
        ("moco", "masked_key", True),
        ("moco", "straight_through", True),
    ):
        masking = Masking(kind="lowest", rate=0.5, semantics=semantics)
        assert Pretraining(method=method, masking=masking).trains_dense is dense
    assert dataclasses.replace(MOCO, masking=Masking(semantics="literal")).trains_dense
