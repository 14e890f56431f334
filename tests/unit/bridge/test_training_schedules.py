"""Learning rates, temperatures and optimisers of pre-training, by hand calculation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dynsim.bridge.options.pretraining import Masking, Pretraining
from dynsim.bridge.training.masking import refresh_of_epoch
from dynsim.bridge.training.schedules import optimizer, step_rates, temperature
from dynsim.config import ConfigError


def test_learning_rate_grows_in_proportion_and_falls_along_a_cosine():
    options = Pretraining(epochs=4, warmup_epochs=1, learning_rate=0.8, last_learning_rate=0.2)
    rates = step_rates(options, 2)
    middle = [0.2 + 0.6 * (1 + np.cos(np.pi * t / 6)) / 2 for t in range(1, 7)]
    np.testing.assert_allclose(rates, [0.4, 0.8, *middle], rtol=1e-6)
    assert rates[-1] == np.float32(0.2)
    assert step_rates(Pretraining(epochs=1, warmup_epochs=0, learning_rate=0.8), 3)[0] < 0.8
    only_warm = step_rates(Pretraining(epochs=2, warmup_epochs=10, learning_rate=0.8), 2)
    np.testing.assert_allclose(only_warm, [0.2, 0.4, 0.6, 0.8], rtol=1e-6)  # a warm-up longer than the run ends with it


def test_temperature_swings_between_its_ends():
    options = Pretraining(temperature=0.1, highest_temperature=1.0, temperature_period=400)
    assert [round(temperature(options, e), 12) for e in (0, 100, 200, 400)] == [1.0, 0.55, 0.1, 1.0]
    assert temperature(Pretraining(), 7) == 0.2


def test_sgd_adds_the_decay_before_the_momentum():
    numbers = [jnp.float32(one) for one in (0.5, 0.1, 0.9)]
    rule = optimizer("sgd", *numbers)
    w = jnp.float32([2.0])
    state, velocity, expected = rule.init(w), 0.0, 2.0
    for gradient in (1.0, -3.0):
        updates, state = rule.update(jnp.float32([gradient]), state, w)
        w = optax.apply_updates(w, updates)
        velocity = 0.9 * velocity + gradient + 0.1 * expected
        expected -= 0.5 * velocity
        np.testing.assert_allclose(w, [expected], rtol=1e-6)


def test_lars_scales_matrices_by_their_norms_and_leaves_vectors():
    numbers = [jnp.float32(one) for one in (0.5, 0.1, 0.0)]
    rule = optimizer("lars", *numbers)
    params = {"matrix": jnp.float32([[3.0, 4.0]]), "vector": jnp.float32([3.0, 4.0])}
    gradients = {"matrix": jnp.float32([[1.0, 0.0]]), "vector": jnp.float32([1.0, 0.0])}
    updates = jax.jit(lambda gradients, params: rule.update(gradients, rule.init(params), params)[0])(gradients, params)
    decayed = np.array([[1.0 + 0.3, 0.4]])
    np.testing.assert_allclose(updates["matrix"], -0.5 * 0.001 * 5 / np.linalg.norm(decayed) * decayed, rtol=1e-5)
    np.testing.assert_allclose(updates["vector"], [-0.5, 0.0], rtol=1e-6)


def test_state_of_the_optimiser_has_one_structure():
    params = {"matrix": jnp.ones((2, 2), jnp.float32)}
    for name in ("sgd", "lars"):
        states = [optimizer(name, *(jnp.float32(x) for x in (r, 0.0, 0.0))).init(params) for r in (0.0, 1.0)]
        assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])


def test_refreshes_are_numbered():
    every_third = Masking(kind="random", rate=0.5, refresh=3)
    assert [refresh_of_epoch(every_third, e) for e in range(7)] == [0, None, None, 1, None, None, 2]
    once = Masking(kind="random", rate=0.5, refresh=None)
    assert [refresh_of_epoch(once, e) for e in range(3)] == [0, None, None]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Masking(kind="none", rate=0.5), "rate: wanted 0 for kind none"),
        (lambda: Masking(kind="lowest", rate=1.0), "rate: wanted a share in"),
        (lambda: Pretraining(views="no such recipe"), "views: wanted one of"),
        (lambda: Pretraining(batch_size=1), "batch_size: wanted at least 2"),
        (
            lambda: Pretraining(normalise="together", masking=Masking(kind="lowest", rate=0.5)),
            "normalise: wanted apart",
        ),
        (lambda: Pretraining(epoch=3), "did you mean epochs?"),
    ],
)
def test_options_that_cannot_run_are_refused_in_one_line(make, words):
    with pytest.raises(ConfigError) as caught:
        make()
    assert words in str(caught.value) and "\n" not in str(caught.value)
