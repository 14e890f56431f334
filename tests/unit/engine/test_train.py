"""Training steps against the NumPy reference, optimisers against loops, and the penalty against its closed form."""

from functools import lru_cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dynsim.config import OptimizerConfig
from dynsim.config.checks import ConfigError
from dynsim.engine import train
from dynsim.engine.data import Batch
from dynsim.engine.encoder import Params
from dynsim.engine.numbers import resolve
from dynsim.engine.train import make_optimizer
from tests import reference
from tests.reference import TOY, advancer, begin, built_in, repeating, toy, trajectory

ALWAYS_ON = {"threshold__start": "at_step"}
d, d1, m, K, L = 5, 8, 6, 6, 2


@pytest.fixture(scope="module")
def drawn():
    """One batch of the toy configuration, and the world it belongs to."""
    return reference.draw_batch(TOY)


@lru_cache
def random_batch(n_tokens=L):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2, K, n_tokens, d1))
    mask = rng.random((K, K)) < 0.7
    return Batch(X, Y, np.zeros((K, d)), mask | mask.T | np.eye(K, dtype=bool))


DICTIONARY = np.eye(d1, d)


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


def states_on(config, batch, n_steps, seed=0):
    return trajectory(config, n_steps, seed, repeating(config, batch, DICTIONARY))[0]


@lru_cache
def compiled_objective(parts):
    """Return the compiled (params, thresholds, batch, numbers) -> objective, and its gradient in the parameters."""

    def objective(params, thresholds, batch, numbers):
        return train.objective(params, thresholds, batch, numbers, parts)[0]

    return jax.jit(objective), jax.jit(jax.grad(objective))


def objective_of(config, batch):
    resolved = resolve(config)  # once: a difference quotient asks for hundreds of values
    value = compiled_objective(built_in(resolved.structure))[0]
    return lambda params, b: value(params, b, batch, resolved.numbers)


def grad_of(config, batch):
    resolved = resolve(config)
    gradient = compiled_objective(built_in(resolved.structure))[1]
    return lambda params, b: gradient(params, b, batch, resolved.numbers)


# ----- one step and its gradient


def test_two_steps_match_numpy(drawn):
    config = toy(loss__temperature=0.7, loss__temperature_prefactor=False, loss__l2_penalty=0.05, **ALWAYS_ON)
    carry, world, parts = begin(config)
    states, losses = [jax.device_get(carry.state)], []
    for n in range(2):
        carry = advancer(parts)(train.start(carry.state), world, n, n + 1)
        states.append(jax.device_get(carry.state))
        losses.append(float(carry.total.loss))
    eta, kappa = config.optimizer.learning_rate, config.threshold.kappa
    width = kappa * np.sqrt(2 * np.log(d) / d)
    for n in range(2):
        batch = drawn[0] if n == 0 else reference.draw_batch(config, n)[0]
        w = states[n].params.weight
        b = width * np.linalg.norm(w, axis=1)
        close(states[n].thresholds.value, b)
        loss, grad = reference.gradient(w, b, batch, 0.7, 0.05, prefactor=False)
        close(states[n + 1].params.weight, w - eta * grad)
        close(losses[n], loss)  # without the penalty
    close(states[2].thresholds.value, width * np.linalg.norm(states[2].params.weight, axis=1))


@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("kind", ["token_wise", "softmax_unscaled", "softmax_scaled", "uniform"])
def test_gradient_of_the_objective_is_theory_3_3_plus_penalty(kind, pooling):
    config = toy(encoder__attention=kind, encoder__pooling=pooling, loss__temperature=1.7, loss__l2_penalty=0.1)
    batch, rng = random_batch(), np.random.default_rng(1)
    w, b = rng.normal(size=(m, d1)) / 2, rng.uniform(0, 1, size=m)
    got = grad_of(config, batch)(Params(jnp.asarray(w)), jnp.asarray(b))
    close(got.weight, reference.gradient(w, b, batch, 1.7, 0.1, kind=kind, pooling=pooling)[1])


@pytest.mark.parametrize(
    "loss",
    [
        {},
        {"similarity": "cosine"},
        {"symmetric": True},
        {"symmetric": True, "similarity": "cosine", "temperature_prefactor": False},
        {"kind": "nt_xent", "similarity": "cosine", "symmetric": True, "temperature_prefactor": False},
        {"kind": "nt_xent", "similarity": "cosine"},
    ],
)
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_every_configured_loss_has_the_value_and_gradient_of_numpy(loss, stop_gradient):
    options = {f"loss__{name}": value for name, value in loss.items()}
    config = toy(loss__stop_gradient=stop_gradient, loss__temperature=0.6, loss__l2_penalty=0.1, **options)
    batch, rng = random_batch(), np.random.default_rng(2)
    w, b = rng.normal(size=(m, d1)), rng.uniform(0, 0.5, size=m)

    def embed(weight):
        return reference.encode(weight, b, batch.query), reference.encode(weight, b, batch.key)

    kind, cosine = config.loss.kind, config.loss.similarity == "cosine"
    names = {"symmetric": config.loss.symmetric, "prefactor": config.loss.temperature_prefactor}
    held = embed(w) if stop_gradient else None

    def objective(weight):
        value = reference.embedding_loss(
            *embed(weight), batch.is_candidate, 0.6, kind=kind, cosine=cosine, fixed=held, **names
        )
        return value + 0.05 * np.sum(weight**2)

    ours = objective_of(config, batch)
    point = Params(jnp.asarray(w))
    close(ours(point, jnp.asarray(b)), objective(w))
    some = (slice(0, 2), slice(0, 4))  # eight entries, to be quick
    wanted = reference.finite_difference(
        lambda part: objective(np.block([[part, w[:2, 4:]], [w[2:, :4], w[2:, 4:]]])), w[some].copy(), 1e-4
    )
    close(grad_of(config, batch)(point, jnp.asarray(b)).weight[some], wanted, 1e-8)


@pytest.mark.parametrize(
    ("encoder", "n_tokens"),
    [
        ({"attention": "softmax_scaled", "train_attention": True}, L),
        ({"attention": "token_wise", "train_attention": True, "pooling": "mean"}, L),
        ({"architecture": "relu", "train_bias": True}, 1),
    ],
)
def test_gradient_of_every_parameter_by_finite_differences(encoder, n_tokens):
    options = {f"encoder__{name}": value for name, value in encoder.items()}
    config = toy(data__n_tokens=n_tokens, loss__stop_gradient=False, loss__l2_penalty=0.1, **options)
    batch, rng = random_batch(n_tokens), np.random.default_rng(3)
    params = begin(config, parts=repeating(config, batch, DICTIONARY))[0].state.params
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape), params)
    objective, grads = objective_of(config, batch), grad_of(config, batch)(params, np.full(m, 0.05))
    for name, value in params._asdict().items():
        if value is None:
            assert getattr(grads, name) is None
            continue

        def along(x, name=name):
            return float(objective(params._replace(**{name: x}), np.full(m, 0.05)))

        close(getattr(grads, name), reference.finite_difference(along, value, 1e-4), 1e-8)


# ----- penalty and decay


def test_without_data_only_the_penalty_acts():
    config = toy(loss__l2_penalty=0.3, optimizer__learning_rate=0.25, threshold__rule="zero")
    zeros = Batch(np.zeros((K, L, d1)), np.zeros((K, L, d1)), np.zeros((K, d)), np.ones((K, K), bool))
    states = states_on(config, zeros, 20)
    for t, state in enumerate(states):
        np.testing.assert_allclose(state.params.weight, (1 - 0.25 * 0.3) ** t * states[0].params.weight, rtol=1e-14)


def test_when_no_neuron_fires_only_the_penalty_acts():
    config = toy(threshold__scale=1e6, loss__l2_penalty=0.02, loss__temperature_prefactor=False, **ALWAYS_ON)
    carry, world, parts = begin(config)
    w = np.asarray(carry.state.params.weight)
    after = advancer(parts)(carry, world, 0, 100)
    factor = (1 - config.optimizer.learning_rate * 0.02) ** 100
    np.testing.assert_allclose(after.state.params.weight, factor * w, rtol=1e-12)
    # all similarities are zero: the loss of each step is the mean log number of candidates, q_Y its inverse
    first = jax.device_get(advancer(parts)(carry, world, 0, 1).total)
    n_candidates = reference.draw_batch(config)[0].is_candidate.sum(axis=1)
    close(first.loss, np.mean(np.log(n_candidates)))
    close(first.positive_weight, np.mean(1 / n_candidates))


def test_penalty_and_decay_are_the_same_for_sgd():
    batch = random_batch()
    penalty = states_on(toy(loss__l2_penalty=0.05), batch, 20)
    decay = states_on(toy(loss__l2_penalty=0.0, loss__weight_decay=0.05), batch, 20)
    neither = states_on(toy(loss__l2_penalty=0.0), batch, 20)
    for one, two in zip(penalty, decay, strict=True):
        np.testing.assert_allclose(one.params.weight, two.params.weight, rtol=1e-9, atol=1e-12)
    assert np.max(np.abs(penalty[-1].params.weight - neither[-1].params.weight)) > 1e-2


def test_penalty_and_decay_differ_for_adam():
    batch = random_batch()
    adam = {"optimizer__name": "adam", "optimizer__learning_rate": 0.05, "threshold__rule": "zero"}
    penalty = states_on(toy(loss__l2_penalty=0.5, **adam), batch, 5)[-1].params.weight
    decay = states_on(toy(loss__l2_penalty=0.0, loss__weight_decay=0.5, **adam), batch, 5)[-1].params.weight
    assert np.max(np.abs(penalty - decay)) > 1e-2


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_decay_is_that_of_adamw(name):
    # whichever name is asked for, the optimiser's own decay is off and `loss.weight_decay` does it once
    eta, decay, batch = 0.05, 0.4, random_batch()
    options = {"optimizer__name": name, "optimizer__learning_rate": eta, "threshold__rule": "zero"}
    config = toy(loss__l2_penalty=0.0, loss__weight_decay=decay, **options)
    grad = grad_of(config, batch)
    states = states_on(config, batch, 6)
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic is not strict
        theirs, params = optax.adamw(eta, weight_decay=decay), jax.tree.map(jnp.asarray, states[0].params)
        opt_state = theirs.init(params)
        for state in states[1:]:
            updates, opt_state = theirs.update(grad(params, jnp.zeros(m)), opt_state, params)
            params = optax.apply_updates(params, updates)
            close(state.params.weight, np.asarray(params.weight), 1e-11)


@pytest.mark.parametrize("nesterov", [0.0, 1.0])
def test_momentum_is_used(nesterov):
    batch, eta = random_batch(), 0.2
    arguments = (("momentum", 0.8), ("nesterov", nesterov))
    config = toy(optimizer__learning_rate=eta, optimizer__arguments=arguments, threshold__rule="zero")
    states, grad = states_on(config, batch, 4), grad_of(config, batch)
    w, velocity = states[0].params.weight, np.zeros((m, d1))
    for state in states[1:]:
        g = np.asarray(grad(Params(jnp.asarray(w)), jnp.zeros(m)).weight)
        velocity = 0.8 * velocity + g
        w = w - eta * (g + 0.8 * velocity if nesterov else velocity)
        close(state.params.weight, w, 1e-11)


def test_bias_is_trained_where_asked():
    relu = {"encoder__architecture": "relu", "data__n_tokens": 1}
    batch = random_batch(1)
    config = toy(encoder__train_bias=True, threshold__rule="zero", **relu)
    states, grad = states_on(config, batch, 2), grad_of(config, batch)
    for old, new in pairwise(states):
        g = grad(jax.tree.map(jnp.asarray, old.params), jnp.zeros(m))
        assert np.any(np.asarray(g.bias))
        close(new.params.bias, old.params.bias - 0.5 * np.asarray(g.bias))
    assert states_on(toy(threshold__rule="zero", **relu), batch, 1)[1].params.bias is None


# ----- trained attention


def test_attention_learning_rate():
    batch = random_batch()
    options = {"encoder__train_attention": True, "encoder__attention": "softmax_scaled", "threshold__rule": "zero"}
    configs = {rate: toy(optimizer__attention_learning_rate=rate, **options) for rate in (0.0, 0.01, 0.03)}
    runs = {rate: states_on(config, batch, 3) for rate, config in configs.items()}
    identity = np.stack([np.eye(d1)] * 3)
    assert all(np.array_equal(state.params.attention, identity) for state in runs[0.0])
    start = runs[0.01][0].params
    grads = grad_of(configs[0.01], batch)(jax.tree.map(jnp.asarray, start), jnp.zeros(m))
    assert all(np.any(part) for part in np.asarray(grads.attention))
    for rate, states in runs.items():
        close(states[1].params.attention, identity - rate * np.asarray(grads.attention))
        close(states[1].params.weight, start.weight - 0.5 * np.asarray(grads.weight))
    # with rate 0 the run is that of the untrained attention
    fixed = toy(encoder__attention="softmax_scaled", threshold__rule="zero")
    for one, two in zip(runs[0.0], states_on(fixed, batch, 3), strict=True):
        close(one.params.weight, two.params.weight, 1e-11)


def test_attention_learning_rate_scales_adam_too():
    options = {"encoder__train_attention": True, "encoder__attention": "softmax_scaled", "threshold__rule": "zero"}
    rate = {"optimizer__name": "adam", "optimizer__learning_rate": 0.1, "optimizer__attention_learning_rate": 0.02}
    first, second = states_on(toy(**options, **rate), random_batch(), 1)
    # adam's first step is the learning rate times the sign of the gradient, wherever that is not tiny
    close(np.median(np.abs(second.params.attention - first.params.attention)), 0.02, 1e-4)
    close(np.median(np.abs(second.params.weight - first.params.weight)), 0.1, 1e-4)


# ----- divergence


def test_divergence_is_noted_at_its_first_step():
    config = toy(optimizer__learning_rate=1e30, threshold__rule="zero")
    states = states_on(config, random_batch(), 8)
    with np.errstate(over="ignore", invalid="ignore"):
        sound = [bool(np.isfinite(np.sum(state.params.weight**2))) for state in states]
    noted = [int(state.diverged_step) for state in states]
    first = noted[-1]
    assert 1 <= first <= 8 and noted == [-1 if n < first else first for n in range(9)]
    # each step multiplies the weights by 1e30 or more, so their squares leave float64 within a few steps
    assert all(sound[:first]) and not sound[first]
    assert [int(s.diverged_step) for s in states_on(toy(threshold__rule="zero"), random_batch(), 8)] == [-1] * 9


# ----- the loop and the optimiser's name


def test_the_batch_depends_on_seed_and_step_only(drawn):
    batch = drawn[0]
    again = reference.draw_batch(TOY)[0]
    other_step, other_seed = reference.draw_batch(TOY, 1)[0], reference.draw_batch(TOY, 0, 1)[0]
    assert all(np.array_equal(x, y) for x, y in zip(batch, again, strict=True))
    assert not np.array_equal(batch.query, other_step.query) and not np.array_equal(batch.query, other_seed.query)


def test_totals_are_sums_over_the_stretch():
    config, batch = toy(threshold__rule="zero"), random_batch()
    parts = repeating(config, batch, DICTIONARY)
    carry, world, _ = begin(config, parts=parts)
    go = advancer(parts)
    singles, at = [], carry
    for n in range(3):
        at = go(train.start(at.state), world, n, n + 1)
        singles.append(jax.device_get(at.total))
    total = go(carry, world, 0, 3).total
    close(total.loss, sum(info.loss for info in singles), 1e-14)
    close(total.positive_weight, sum(info.positive_weight for info in singles), 1e-14)
    assert np.array_equal(go(carry, world, 2, 2).state.params.weight, carry.state.params.weight)  # an empty stretch


@pytest.mark.parametrize("name", ["no_such_thing", "chain", "ntxent", "Params", "__name__"])
def test_names_that_are_no_optimiser_are_refused(name):
    with pytest.raises(ConfigError, match=r"optimizer\.name: wanted .*learning rate, got"):
        make_optimizer(OptimizerConfig(name=name), 0.1)


def test_unknown_arguments_are_refused():
    with pytest.raises(ConfigError, match=r"optimizer\.arguments: sgd does not take \['b1'\]; it takes"):
        make_optimizer(OptimizerConfig(name="sgd", arguments=(("b1", 0.9),)), 0.1)


def test_arguments_reach_the_optimiser():
    params, grads = jnp.ones(3), jnp.arange(1.0, 4.0)
    ours = make_optimizer(OptimizerConfig(name="rmsprop", arguments=(("decay", 0.3), ("eps", 1e-3))), 0.1)
    theirs = optax.rmsprop(0.1, decay=0.3, eps=1e-3)
    got, wanted = (opt.update(grads, opt.init(params), params)[0] for opt in (ours, theirs))
    assert np.array_equal(got, wanted)
