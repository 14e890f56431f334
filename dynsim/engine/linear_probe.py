"""How well can a feature be read from the frozen embedding? A linear classifier per feature says.

For each feature, samples are drawn in which it is active, as many with the sign +1 as with -1. A linear classifier is
fitted to predict the sign from the embedding, from few labelled samples or from many, and judged on fresh ones. It is
ridge regression on labels of +1 and -1, in closed form. Every feature gets the same number of labels, however rare it
is in training: what differs between features is only how well the encoder shows them.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynsim.engine.data import probe_samples
from dynsim.engine.encoder import batched
from dynsim.engine.replay import with_weights
from dynsim.engine.thresholds import init_thresholds
from dynsim.engine.train import Parts, TrainState, World

FEW, MANY, FRESH = 8, 64, 64
"""Labelled samples per feature of the two classifiers, the few among the many, and samples on which they are judged."""
RIDGE = 0.1
"""Penalty on the squared coefficients, relative to the mean squared length of the centred embeddings."""
_STREAM = 1  # of the run's probe stream: other samples than those on which firing is measured


class ProbeAccuracy(NamedTuple):
    """Share of the fresh samples whose sign is predicted; 1/2 is chance."""

    few: Float[Array, " feature"]
    many: Float[Array, " feature"]


def ridge_scores(
    train: Float[Array, "label neuron"], sign: Float[Array, " label"], fresh: Float[Array, "sample neuron"]
) -> Float[Array, " sample"]:
    """Return what ridge regression on the centred embeddings predicts for fresh ones, minus the mean of the labels.

    With coefficients v it minimises sum_n (<v, h_n - mean> - y_n)^2 + a |v|^2, a being `RIDGE` times the mean of
    |h_n - mean|^2. It is solved for one number per label, which is the smaller system where neurons are many.

    Args:
        train: embeddings of labelled samples.
        sign: their labels y_n, +1 or -1, as many of each.
        fresh: embeddings to predict.
    """
    mean = jnp.mean(train, axis=0)
    centred, n = train - mean[None, :], train.shape[0]
    gram = centred @ centred.T
    penalty = RIDGE * jnp.trace(gram) / n
    # embeddings that are all alike leave a system of zeros, which the unit penalty solves to zero
    solved = jnp.linalg.solve(gram + jnp.where(penalty > 0, penalty, 1) * jnp.eye(n, dtype=gram.dtype), sign)
    return (fresh - mean[None, :]) @ (centred.T @ solved)


def _accuracy(scores: Array, sign: Array) -> Array:
    hit = scores * sign
    return jnp.mean(jnp.where(hit > 0, 1.0, jnp.where(hit < 0, 0.0, 0.5)).astype(scores.dtype))


def probe_accuracy(state: TrainState, world: World, parts: Parts) -> ProbeAccuracy:
    """Return the accuracies of a run at one moment, always of the dense network.

    Args:
        state, world, parts: a run at some moment; of the state only parameters and thresholds count.
    """
    structure, d = parts.structure.data, parts.structure.data.n_features
    per_feature = MANY + FRESH
    key = jax.random.fold_in(world.keys.probe, _STREAM)
    samples, codes = probe_samples(key, per_feature, world.dictionary, world.numbers, structure)
    own = jnp.sign(jnp.take_along_axis(codes, jnp.arange(d * per_feature)[:, None] // per_feature, axis=1)[:, 0])
    wanted = jnp.tile(jnp.asarray([1, -1], samples.dtype), d * per_feature // 2)
    # noise and codes are symmetric: a sample turned over is as likely as before, and the signs come out balanced
    turned = samples * (own * wanted)[:, None, None]
    embedding = batched(parts.encoder)(state.params, state.thresholds.value, turned)
    embedding = embedding.reshape(d, per_feature, -1)
    sign = wanted[:per_feature]

    def of_feature(hidden: Array) -> tuple[Array, Array]:
        fresh, answer = hidden[MANY:], sign[MANY:]
        few = ridge_scores(hidden[:FEW], sign[:FEW], fresh)
        many = ridge_scores(hidden[:MANY], sign[:MANY], fresh)
        return _accuracy(few, answer), _accuracy(many, answer)

    return ProbeAccuracy(*jax.lax.map(of_feature, embedding))


def ideal_state(state: TrainState, world: World, parts: Parts) -> TrainState:
    """Return a state whose neurons are the features themselves, each with its threshold: the best that can be hoped.

    Neuron i is feature i modulo d, of length 1. With fewer neurons than features the last features have none.
    """
    weight = state.params.weight
    rows = jnp.take(world.dictionary.T, jnp.arange(weight.shape[0]) % world.dictionary.shape[1], axis=0)
    return _with_thresholds(state, rows.astype(weight.dtype), world, parts)


def untrained_state(state: TrainState, world: World, parts: Parts) -> TrainState:
    """Return a state with the run's own initial weights, but with thresholds: an encoder that has learned nothing."""
    params = parts.encoder.init(world.keys.weights, world.numbers)
    return _with_thresholds(state, params.weight, world, parts)


def _with_thresholds(state: TrainState, weight: Array, world: World, parts: Parts) -> TrainState:
    rule = dataclasses.replace(parts.structure.threshold, start="at_step", start_step=0)
    numbers = world.numbers
    at_once = init_thresholds(
        weight, rule, numbers.threshold_scale, numbers.learning_rate, parts.structure.data.n_features
    )
    return with_weights(state, weight, at_once.value)
