"""The optimum of the penalised loss against scipy.optimize, and what ends the search."""

import numpy as np
import pytest
from scipy import optimize

from dynsim.bridge.data import DataError
from dynsim.bridge.evaluation.convex_probe import lbfgs_probe
from dynsim.bridge.evaluation.inputs import FeatureSet
from dynsim.config import ConfigError

N, D, C, L2 = 40, 3, 4, 0.02


def overlapping_classes() -> FeatureSet:
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.arange(C), rng.integers(0, C, N - C)])
    return FeatureSet(rng.normal(size=(C, D))[labels] + rng.normal(size=(N, D)) * [1.0, 3.0, 0.3], labels)


TRAIN = overlapping_classes()


def loss_and_gradient(flat: np.ndarray, l2: float) -> tuple[float, np.ndarray]:
    """Return the penalised loss of weights and biases, written out for scipy."""
    weight, bias = flat[: C * D].reshape(C, D), flat[C * D :]
    out = TRAIN.features @ weight.T + bias
    log_p = out - out.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    slope = (np.exp(log_p) - np.eye(C)[TRAIN.labels]) / N
    loss = -log_p[np.arange(N), TRAIN.labels].mean() + l2 / 2 * np.sum(weight**2)
    return loss, np.concatenate([(slope.T @ TRAIN.features + l2 * weight).ravel(), slope.sum(axis=0)])


def test_the_optimum_is_that_of_scipy():
    found = lbfgs_probe(TRAIN, C, l2=L2, tolerance=1e-9)
    wanted = optimize.minimize(loss_and_gradient, np.zeros(C * D + C), (L2,), "BFGS", jac=True, options={"gtol": 1e-10})
    assert found.loss == pytest.approx(wanted.fun, abs=1e-12)
    np.testing.assert_allclose(found.classifier.weight, wanted.x[: C * D].reshape(C, D), atol=1e-6)
    np.testing.assert_allclose(found.classifier.bias, wanted.x[C * D :], atol=1e-6)
    here = np.concatenate([np.ravel(part) for part in found.classifier])
    loss, gradient = loss_and_gradient(here, L2)
    assert found.loss == pytest.approx(loss, abs=1e-14)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), abs=1e-12)
    assert found.gradient_norm <= 1e-9


def test_the_last_step_is_reported_with_its_gradient():
    found = lbfgs_probe(TRAIN, C, l2=L2, tolerance=1e-9, max_steps=3)
    assert found.n_steps == 3
    loss, gradient = loss_and_gradient(np.concatenate([np.ravel(part) for part in found.classifier]), L2)
    assert found.loss == pytest.approx(loss, abs=1e-14)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), abs=1e-12)
    assert found.gradient_norm > 1e-9


def test_a_loose_tolerance_ends_earlier():
    loose, tight = (lbfgs_probe(TRAIN, C, l2=L2, tolerance=tolerance) for tolerance in (1e-2, 1e-9))
    assert loose.n_steps < tight.n_steps
    assert 1e-9 < loose.gradient_norm <= 1e-2


def test_a_large_penalty_leaves_the_class_frequencies():
    """Without weights the best outputs are the logarithms of the shares of the classes."""
    found = lbfgs_probe(TRAIN, C, l2=1e6, tolerance=1e-9)
    np.testing.assert_allclose(found.classifier.weight, 0, atol=1e-5)
    share = np.bincount(TRAIN.labels) / N
    bias = np.asarray(found.classifier.bias)
    np.testing.assert_allclose(bias - bias.mean(), np.log(share) - np.log(share).mean(), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: lbfgs_probe(TRAIN, C, l2=0.0), "l2: wanted"),
        (lambda: lbfgs_probe(TRAIN, C, max_steps=0), "max_steps: wanted"),
        (lambda: lbfgs_probe(TRAIN, C + 1), "none of class 4"),
        (lambda: lbfgs_probe(TRAIN._replace(features=TRAIN.features * np.inf), C), "wanted finite"),
    ],
)
def test_errors_are_one_line(call, word):
    with pytest.raises((ConfigError, DataError), match=word) as caught:
        call()
    assert "\n" not in str(caught.value)
