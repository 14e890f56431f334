"""The loss of pairs of views with a mask: against NumPy in float64, and the gradient of each reading."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.networks import Network, NetworkShape, Outputs
from dynsim.bridge.training.objective import ViewPairs, masked_objective, pair_loss
from dynsim.losses.contrastive import nt_xent

N, D = 5, 3


def embeddings(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(N, D)), random.normal(size=(N, D))


def reference(query: np.ndarray, key: np.ndarray, tau: float, gamma: float = 0.0) -> tuple[float, float]:
    """NT-Xent by its definition: each of the 2 n views is an anchor, all others are candidates."""
    views = np.concatenate([query, key])
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    n, losses, weights = len(query), [], []
    for anchor in range(2 * n):
        positive = (anchor + n) % (2 * n)
        scores = {other: np.exp(views[anchor] @ views[other] / tau) for other in range(2 * n) if other != anchor}
        q = scores[positive] / sum(scores.values())
        losses.append(-((1 - q) ** gamma) * np.log(q))
        weights.append(q)
    return float(np.mean(losses)), float(np.mean(weights))


compiled_pair_loss = jax.jit(pair_loss, static_argnums=4)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("valid", [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0]])
def test_loss_is_that_of_the_valid_images_alone(valid, gamma):
    query, key = embeddings()
    real = np.array(valid, bool)
    found = compiled_pair_loss(jnp.asarray(query), jnp.asarray(key), jnp.asarray(real), jnp.asarray(0.3), gamma)
    np.testing.assert_allclose(found, reference(query[real], key[real], 0.3, gamma), rtol=1e-12)


def test_padding_gets_no_gradient():
    query, key = (jnp.asarray(one) for one in embeddings())
    valid = jnp.array([True, True, True, False, False])
    gradient = jax.jit(jax.grad(lambda q: pair_loss(q, key, valid, jnp.asarray(0.3))[0]))(query)
    assert np.all(gradient[3:] == 0)
    assert np.all(np.any(np.asarray(gradient[:3]) != 0, axis=1))


def test_without_padding_it_is_the_simulators_own_loss():
    query, key = (jnp.asarray(one) for one in embeddings())
    all_pairs = jnp.ones((N, N), bool)
    same = jax.jit(nt_xent)(query, key, all_pairs, jnp.asarray(0.5))
    found = compiled_pair_loss(query, key, jnp.ones(N, bool), jnp.asarray(0.5))
    np.testing.assert_allclose(found, (same.loss, same.positive_weight), rtol=1e-12)


def linear_network() -> Network:
    """An encoder that is one matrix, so that gradients can be computed by hand; its statistics count what passed."""

    def apply(params: Any, stats: Any, images: Any, *, train: bool, norm_set: int = 0, valid: Any = None) -> Outputs:
        assert train and valid.shape == images.shape[:1]
        out = images.reshape(len(images), -1) @ params["kernel"]
        return Outputs(out, out, {"count": stats["count"].at[norm_set].add(len(images))})

    return Network(NetworkShape(norm_sets=2), lambda key, side: ({}, {}), apply, lambda params: params)


def setting() -> tuple[dict, dict, ViewPairs]:
    random = np.random.default_rng(3)
    kernel = random.normal(size=(12, D))
    mask = {"kernel": jnp.asarray(np.abs(kernel) > 0.5)}
    views = [jnp.asarray(random.uniform(size=(N, 2, 2, 3))) for _ in range(2)]
    return {"kernel": jnp.asarray(kernel)}, mask, ViewPairs(views[0], views[1], jnp.ones(N, bool))


def losses(weights_of_query: Any, weights_of_key: Any, batch: ViewPairs) -> Any:
    """The loss as a function of the weights that each view passes through."""
    query, key = (view.reshape(N, -1) @ w for view, w in ((batch.query, weights_of_query), (batch.key, weights_of_key)))
    return pair_loss(query, key, batch.valid, jnp.asarray(0.5))[0]


def found_gradient(semantics: str, together: bool = False) -> tuple[np.ndarray, float, np.ndarray]:
    params, mask, batch = setting()
    stats = {"count": jnp.zeros(2, int)}

    def loss(params: Any) -> Any:
        sets = (0, 0) if together else (1, 0)
        keywords = {"semantics": semantics, "sets": sets, "together": together, "focal": 0.0}
        out = masked_objective(linear_network(), params, stats, mask, batch, jnp.asarray(0.5), **keywords)
        return out.loss, out.stats["count"]

    (value, count), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return np.asarray(gradient["kernel"]), float(value), np.asarray(count)


def test_gradients_of_the_readings():
    params, mask, batch = setting()
    w, kept = params["kernel"], mask["kernel"]
    masked = jnp.where(kept, w, 0)
    both = jax.jit(jax.value_and_grad(losses, argnums=(0, 1)))
    value_of, (of_query, of_key) = both(masked, w, batch)
    value_literal, literal = both(masked, masked, batch)
    expected = {
        "one_branch": jnp.where(kept, of_query, 0) + of_key,
        "masked_query": of_query + of_key,
        "literal": sum(literal),
    }
    for semantics, gradient in expected.items():
        wanted = value_literal if semantics == "literal" else value_of
        got, value, _ = found_gradient(semantics)
        np.testing.assert_allclose(got, gradient, rtol=1e-10, err_msg=semantics)
        np.testing.assert_allclose(value, wanted, rtol=1e-12, err_msg=semantics)
    assert np.any(np.asarray(of_query)[~np.asarray(kept)] != 0)  # else one_branch and masked_query would be the same


def test_straight_through_has_the_masked_loss_and_the_dense_similarities():
    params, mask, batch = setting()
    w = params["kernel"]
    masked = jnp.where(mask["kernel"], w, 0)

    def similarities(weights: Any) -> Any:
        views = jnp.concatenate([batch.query, batch.key]).reshape(2 * N, -1) @ weights
        views = views / jnp.linalg.norm(views, axis=1, keepdims=True)
        return views @ views.T

    def loss_of(similarity: Any) -> Any:
        logits = similarity / 0.5 - 1e9 * jnp.eye(2 * N)
        positive = jnp.diagonal(jnp.roll(similarity, N, axis=1)) / 0.5
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - positive)

    @jax.jit
    def by_hand(w, masked):
        pull = jax.vjp(similarities, w)[1]
        loss, slope = jax.value_and_grad(loss_of)(similarities(masked))
        return loss, *pull(slope)

    loss, expected = by_hand(w, masked)
    got, value, _ = found_gradient("straight_through")
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    np.testing.assert_allclose(value, loss, rtol=1e-12)


def test_each_view_has_its_own_batch_norm_set_or_both_share_one():
    assert found_gradient("one_branch")[2].tolist() == [N, N]
    assert found_gradient("literal", together=True)[2].tolist() == [2 * N, 0]
    assert found_gradient("straight_through")[2].tolist() == [N, N]  # the masked pass leaves the statistics alone
