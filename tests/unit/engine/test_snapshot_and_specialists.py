"""Measurements against hand calculations and NumPy, and their zero cases and boundaries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.engine.data import Batch
from dynsim.engine.encoder import Params
from dynsim.engine.snapshot import recorder
from dynsim.theory.specialists import (
    cosine_alignment,
    is_active,
    is_candidate,
    is_lucky,
    is_specialist,
    purity,
    residual_share,
)
from tests.reference import attention_weights, begin, encode, repeating, toy

d, d1, m = 5, 8, 6
rng = np.random.default_rng(21)
ORTHONORMAL = np.linalg.qr(rng.normal(size=(d1, d)))[0]
SKEW = rng.normal(size=(d1, d))


def taken(dictionary, weight, thresholds=None, probe=None, codes=None, **changes):
    """Return the snapshot of a state made by hand."""
    config = toy(**changes)
    n = 7
    local = np.random.default_rng(4)
    probe = local.normal(size=(n, 2, d1)) if probe is None else probe
    codes = np.zeros((len(probe), d)) if codes is None else codes
    batch = Batch(probe, probe, codes, np.eye(len(probe), dtype=bool))
    carry, world, parts = begin(config, parts=repeating(config, batch, dictionary))
    b = np.zeros(len(weight)) if thresholds is None else thresholds
    state = carry.state._replace(
        params=Params(jnp.asarray(weight)), thresholds=carry.state.thresholds._replace(value=jnp.asarray(b))
    )
    return jax.device_get(jax.jit(recorder(parts))(state, world))


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


def test_snapshot_on_an_orthonormal_dictionary():
    w = rng.normal(size=(m, d1))
    b = rng.uniform(0, 1, size=m)
    shot = taken(ORTHONORMAL, w, b)
    close(shot.alignment, [[sum(w[i] * ORTHONORMAL[:, j]) for j in range(d)] for i in range(m)])
    close(shot.weight_norm, np.linalg.norm(w, axis=1))
    close(shot.residual_norm, np.linalg.norm(w @ (np.eye(d1) - ORTHONORMAL @ ORTHONORMAL.T), axis=1))
    close(np.sum(shot.alignment**2, axis=1) + shot.residual_norm**2, shot.weight_norm**2)
    assert np.array_equal(shot.threshold, b)


def test_residual_is_taken_against_the_span_of_a_correlated_dictionary():
    w = rng.normal(size=(m, d1))
    shot = taken(SKEW, w, data__dictionary="correlated", data__dictionary_cosine=0.3)
    close(shot.alignment, w @ SKEW)
    rest = [w_i - SKEW @ np.linalg.lstsq(SKEW, w_i, rcond=None)[0] for w_i in w]
    close(shot.residual_norm, np.linalg.norm(rest, axis=1), 1e-9)


def test_a_neuron_inside_the_span_has_no_residual():
    shot = taken(ORTHONORMAL, ORTHONORMAL.T[[0, 1, 2, 3, 4, 0]] * 3)
    close(shot.residual_norm, np.zeros(m))
    close(shot.alignment, 3 * np.eye(d)[[0, 1, 2, 3, 4, 0]])


def test_firing_by_hand():
    # neurons look along features 0, 1, 2, 0, 1, 0, with thresholds that only strong samples pass
    weight = ORTHONORMAL.T[[0, 1, 2, 0, 1, 0]]
    b = np.array([0.5, 0.5, 0.5, 1.5, 0.0, 99.0])
    strength = np.array([[1, 0, 0, 0, 0], [2, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0.4, -1, 0, 0, 0]])
    codes = np.sign(strength)  # the last sample carries feature 0 too weakly to be noticed
    probe = np.stack([strength @ ORTHONORMAL.T, np.zeros((4, d1))], axis=1)
    shot = taken(ORTHONORMAL, weight, b, probe, codes)
    # feature 0 is active in samples 0, 1, 3, feature 1 in 2 and 3, feature 2 in none
    close(shot.firing, [2 / 3, 1, 0, 1 / 3, 1, 0])
    close(shot.false_firing[[0, 1, 2, 3, 5]], np.zeros(5))


def test_firing_matches_numpy():
    w, b = rng.normal(size=(m, d1)), rng.uniform(0.5, 3, size=m)
    probe, codes = rng.normal(size=(7, 2, d1)), rng.integers(-1, 2, size=(7, d)).astype(float)
    shot = taken(ORTHONORMAL, w, b, probe, codes)
    fired = encode(w, b, probe) != 0
    best = np.argmax(np.abs(w @ ORTHONORMAL), axis=1)
    for i in range(m):
        active = codes[:, best[i]] != 0
        close(shot.firing[i], fired[active, i].mean() if active.any() else 0)
        close(shot.false_firing[i], fired[~active, i].mean() if (~active).any() else 0)


def test_relu_neurons_are_judged_on_the_sign_that_they_can_fire_on():
    relu = {"encoder__architecture": "relu", "data__n_tokens": 1}
    signs = np.array([1, -1, 1, -1, 1])[:, None]  # neurons of either sign
    weight, b = 1.5 * signs * ORTHONORMAL.T, np.full(d, 0.5)
    codes = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], p=[0.4, 0.3, 0.3], size=(40, d))
    probe = (codes @ ORTHONORMAL.T)[:, None]
    shot = taken(ORTHONORMAL, weight, b, probe, codes, encoder__n_neurons=d, **relu)
    close(shot.firing, np.ones(d))
    close(shot.false_firing, np.zeros(d))
    assert np.array_equal(is_specialist(shot.alignment, shot.weight_norm, shot.firing), np.eye(d, dtype=bool))
    w, b = rng.normal(size=(d, d1)), rng.uniform(0, 1, size=d)
    shot = taken(ORTHONORMAL, w, b, probe, codes, encoder__n_neurons=d, **relu)
    fired, alignment = probe[:, 0] @ w.T > b, w @ ORTHONORMAL
    for i, j in enumerate(np.argmax(np.abs(alignment), axis=1)):
        close(shot.firing[i], fired[codes[:, j] == np.sign(alignment[i, j]), i].mean())
        close(shot.false_firing[i], fired[codes[:, j] == 0, i].mean())


@pytest.mark.parametrize("kind", ["token_wise", "softmax_unscaled", "softmax_scaled", "uniform"])
def test_self_weight_is_the_mean_over_the_probe(kind):
    probe = rng.normal(size=(7, 2, d1))
    shot = taken(ORTHONORMAL, rng.normal(size=(m, d1)), probe=probe, encoder__attention=kind)
    close(shot.self_weight, np.mean([np.diagonal(attention_weights(x, x, kind)) for x in probe]))


def test_purity_and_cosine():
    alignment, norm = np.array([[3.0, -4.0], [0.0, 1.0], [0.0, 0.0]]), np.array([5.0, 2.0, 0.0])
    close(cosine_alignment(alignment, norm), [[0.6, -0.8], [0, 0.5], [0, 0]])
    close(purity(alignment, norm), [0.8, 0.5, 0])
    stacked = purity(np.stack([alignment] * 3), np.stack([norm] * 3))  # leading axes stay
    assert stacked.shape == (3, 3) and np.array_equal(stacked[2], purity(alignment, norm))


def test_is_active_at_and_below_the_floor():
    assert is_active(np.array([1.0, 0.1, 0.0999, 0.0])).tolist() == [True, True, False, False]
    assert is_active(np.array([1.0, 0.1]), norm_floor=0.3).tolist() == [True, False]


@pytest.mark.parametrize(
    ("row", "norm", "firing", "wanted"),
    [
        ([0.7, 0.1], 1.0, 0.5, [True, False]),  # every condition met with equality counts
        ([0.1, -0.9], 1.0, 1.0, [False, True]),  # the sign does not matter
        ([0.69, 0.1], 1.0, 1.0, [False, False]),  # not pure
        ([0.7, 0.1], 1.0, 0.49, [False, False]),  # does not fire
        ([0.08, 0.0], 0.09, 1.0, [False, False]),  # too small beside the largest neuron
        ([0.0, 0.0], 0.0, 1.0, [False, False]),
    ],
)
def test_is_learned(row, norm, firing, wanted):
    alignment, norms = np.array([row, [0.1, 0.2]]), np.array([norm, 1.0])  # the second one is large and mixed
    specialists = is_specialist(alignment, norms, np.array([firing, 1.0]))
    assert specialists.tolist() == [wanted, [False, False]]


def test_a_neuron_is_specialist_for_one_feature_at_most():
    alignment = np.full((3, 4), 0.5)
    specialists = is_specialist(alignment, np.ones(3), np.ones(3), min_purity=0.4)
    assert specialists.sum(axis=1).tolist() == [1, 1, 1]


def test_is_candidate():
    alignment = np.array([[4.0, -2.0, 1.9], [0.0, 0.0, -1.0]])
    assert is_candidate(alignment).tolist() == [[True, True, False], [False, False, True]]
    assert is_candidate(alignment, 0.4).tolist() == [[True, True, True], [False, False, True]]


def test_is_lucky_compares_with_the_norm_inside_the_span():
    alignment = np.array([[3.0, 4.0], [-4.0, 3.0]])  # both of norm 5
    assert is_lucky(alignment, np.array([0.6, 0.7])).tolist() == [[True, True], [True, False]]


def test_residual_share():
    close(residual_share(np.array([3.0, 0.0, 0.0]), np.array([5.0, 2.0, 0.0])), [0.36, 0, 0])


def test_the_snapshot_of_a_fresh_run():
    config = toy()
    carry, world, parts = begin(config)
    shot = jax.device_get(jax.jit(recorder(parts))(carry.state, world))
    assert [value.shape for value in shot] == [(m, d), (m,), (m,), (m,), (m,), (m,), ()]
    assert not shot.threshold.any()
    assert np.all(shot.firing == 1) and np.all(shot.false_firing == 1)  # without thresholds noise fires every neuron
