"""The linear classifier of the probes: its parameters, its start, its loss and its predictions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.inputs import check_features

START_STD = 0.01


class LinearClassifier(NamedTuple):
    """A linear classifier; it predicts the class with the largest output, of equal ones the first."""

    weight: Float[Array, "class feature"]
    bias: Float[Array, " class"]


def first_classifier(start: str, n_classes: int, n_features: int, dtype: np.dtype, seed: int) -> LinearClassifier:
    """Return the classifier before the first step: "normal" or "uniform", see `ProbeRecipe.start`.

    Random numbers are those of NumPy's `RandomState`, which are the same on every machine.
    """
    random, shape = np.random.RandomState(seed), (n_classes, n_features)
    if start == "normal":
        weight, bias = random.normal(0.0, START_STD, shape), np.zeros(n_classes)
    else:
        bound = n_features**-0.5
        weight, bias = random.uniform(-bound, bound, shape), random.uniform(-bound, bound, n_classes)
    return LinearClassifier(jnp.asarray(weight, dtype), jnp.asarray(bias, dtype))


def outputs(classifier: LinearClassifier, features: Float[Array, "image feature"]) -> Float[Array, "image class"]:
    """Return the outputs (logits) of the classifier."""
    return features @ classifier.weight.T + classifier.bias[None, :]


def probe_loss(
    classifier: LinearClassifier,
    features: Float[Array, "image feature"],
    labels: Int[Array, " image"],
    is_real: Bool[Array, " image"],
) -> Float[Array, ""]:
    """Return the mean cross-entropy over the images that are no padding; zero if all are."""
    log_p = jax.nn.log_softmax(outputs(classifier, features))
    loss = -jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    n = jnp.maximum(jnp.sum(is_real), 1).astype(loss.dtype)
    return jnp.sum(jnp.where(is_real, loss, jnp.zeros_like(loss))) / n


@jax.jit
def most_likely_class(classifier: LinearClassifier, features: Float[Array, "image feature"]) -> Int[Array, " image"]:
    """Return the predicted class of each image, on the device."""
    return jnp.argmax(outputs(classifier, features), axis=1)


def classify(classifier: LinearClassifier, features: np.ndarray) -> np.ndarray:
    """Return the predicted class of each image, int64, shape (image,).

    Args:
        classifier: that of a probe.
        features: shape (image, feature).

    Errors: `DataError` in one line for features of another length, or not finite.
    """
    check_features(features, "features to classify")
    wanted = classifier.weight.shape[1]
    if features.shape[1] != wanted:
        raise DataError(f"features to classify: wanted {wanted}, as the probe was trained on, got {features.shape[1]}")
    on_device = jnp.asarray(features.astype(classifier.weight.dtype))
    on_device = jnp.asarray(features.astype(classifier.weight.dtype))
    return np.asarray(most_likely_class(classifier, on_device)).astype(np.int64)
