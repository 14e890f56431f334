"""How the channels of a layer respond to the classes of images, as small arrays (JAX).

A channel is one output of the last layer before the head, averaged over the places of its map: one number per image,
its response. `class_responses` reduces the responses to a fixed set of labelled images to means and variances per
channel and class. `chance` measures what purity the same responses reach by chance. Both can be compiled, with
`n_classes` (and `n_sets`) static, and have fixed shapes: stacked over the records of a training, their arrays are the
arguments of `measure.dataset.channel_dataset`, from which everything else is computed.

Every class has the same weight, whatever its number of images: an image of class c counts 1/(C n_c) for C classes and
n_c images of the class. All means, variances and correlations below are meant so.

A class is a function on the images: its indicator, 1 on its images and 0 on the others. A concept is what a linear
read-out of all channels makes of it: the ridge regression of the indicator on the channels, each divided by its
standard deviation. Without the ridge (`READOUT_RIDGE`) a concept is the class mean whitened by the covariance of the
channels, up to a factor; with a very large one it is the class mean itself as a direction. Concepts of similar classes
overlap less than the class means do, and a concept leaves out what no read-out of the layer could know about the class.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from dynsim.bridge.measure.dataset import LIVE
from dynsim.theory.specialists import PURITY

READOUT_RIDGE = 0.01
"""Ridge of the read-out, as a share of a channel's variance: it moves little but makes the solution unique."""
N_SETS = 19
"""Random repetitions of `chance`: the largest of 19 and one more is the measured one in 1 case of 20."""
LARGEST_SHARE = 1e-6
"""Eigenvalues of a Gram matrix below this share of the largest one count as zero."""


class _Basis(NamedTuple):
    """Some functions on the images, one per class, seen from the channels; all centred."""

    covariance: Array  # of each channel, divided by its standard deviation, with each function: (channel, class)
    gram: Array  # covariance of the functions: (class, class)


class _Standard(NamedTuple):
    """Responses of each channel, centred and divided by its standard deviation; 0 for one that does not vary."""

    values: Array  # (image, channel)
    weight: Array  # of each image, (image,); sums to 1
    correlation: Array  # (channel, channel)


def _matmul(a: Array, b: Array) -> Array:
    """Multiply in full precision: an accelerator would round the factors to fewer digits by default."""
    return jnp.matmul(a, b, precision="highest")


def _one_hot(labels: Array, n_classes: int, dtype: jnp.dtype) -> Array:
    return (labels[:, None] == jnp.arange(n_classes, dtype=labels.dtype)[None, :]).astype(dtype)


def _standardised(features: Array, labels: Array, n_classes: int) -> _Standard:
    one_hot = _one_hot(labels, n_classes, features.dtype)
    weight = _matmul(one_hot, 1 / (n_classes * one_hot.sum(axis=0)))
    values = features - _matmul(weight, features)[None, :]
    std = jnp.sqrt(_matmul(weight, values**2))
    still = std <= LIVE * jnp.max(jnp.abs(features), axis=0)  # NaN is not still, and stays NaN
    values = jnp.where(still[None, :], 0, values / jnp.where(still, 1, std)[None, :])
    return _Standard(values, weight, _matmul((values * weight[:, None]).T, values))


def _class_basis(standard: _Standard, labels: Array, n_classes: int) -> _Basis:
    """Return the indicators of the classes."""
    one_hot = _one_hot(labels, n_classes, standard.values.dtype)
    covariance = _matmul((standard.values * standard.weight[:, None]).T, one_hot)
    gram = jnp.eye(n_classes, dtype=covariance.dtype) / n_classes - 1 / n_classes**2
    return _Basis(covariance, gram)


def _concept_basis(standard: _Standard, classes: _Basis) -> tuple[_Basis, Array]:
    """Return the concepts, and the squared correlation of each class with its concept, (class,).

    For the correlations R of the channels and their covariances k with the indicators, the ridge regressions are
    V = (R + ridge)^-1 k, with covariance R V with the channels, V^T R V with one another and V^T k with the indicators.
    """
    ridge = READOUT_RIDGE * jnp.eye(len(classes.covariance), dtype=standard.correlation.dtype)
    readout = jax.scipy.linalg.solve(standard.correlation + ridge, classes.covariance, assume_a="pos")
    covariance = _matmul(standard.correlation, readout)
    basis = _Basis(covariance, _matmul(readout.T, covariance))
    with_class = jnp.sum(readout * classes.covariance, axis=0)
    size = jnp.diagonal(basis.gram) * jnp.diagonal(classes.gram)
    return basis, with_class**2 / jnp.where(size > 0, size, 1)


def _cosines(basis: _Basis, variance: Array) -> Array:
    """Return the correlation of each row of a basis (a channel of this variance) with each function of the basis."""
    size = jnp.sqrt(variance[:, None] * jnp.diagonal(basis.gram)[None, :])
    return basis.covariance / jnp.where(size > 0, size, 1)


def _span_share(basis: _Basis, variance: Array) -> Array:
    """Return the share of the variance of each row that lies in the span of the functions, (row,)."""
    inverse = jnp.linalg.pinv(basis.gram, rtol=LARGEST_SHARE, hermitian=True)
    inside = jnp.sum(_matmul(basis.covariance, inverse) * basis.covariance, axis=1)
    return jnp.clip(inside / jnp.where(variance > 0, variance, 1), 0, 1)


def _purest(basis: _Basis, variance: Array) -> tuple[Array, Array]:
    """Return the largest purity of all rows, (reading,), and how many are pure on each class, (reading, class)."""
    cosine, share = _cosines(basis, variance), _span_share(basis, variance)
    size = jnp.abs(cosine)
    highest = (size == jnp.max(size, axis=1, keepdims=True)) & (cosine > 0)
    whole = jnp.max(size, axis=1)
    purity = jnp.stack([whole, whole / jnp.sqrt(jnp.where(share > 0, share, 1))])
    pure = highest[None] & (purity >= PURITY)[:, :, None]
    return jnp.max(purity, axis=1), jnp.sum(pure, axis=1, dtype=jnp.int32)


def class_responses(
    features: Float[Array, "image channel"], labels: Int[Array, " image"], n_classes: int
) -> dict[str, Array]:
    """Return how each channel responds to each class.

    Args:
        features: responses of the channels to the images.
        labels: class of each image, each class at least once.
        n_classes: number of classes C, at least 2.

    Returns:
        `class_mean` (channel, class): mean response to the images of a class; `within_variance` (channel, class): the
        variance over these images; `active_share` (channel, class): share of these images on which the response is not
        zero, that is, outside the dead zone of a rectified layer; `concept_cosine` (channel, class): correlation with
        the concept of the class, and `concept_share` (channel,): share of the variance that the concepts explain
        together; `readable` (class,): squared correlation of the indicator of a class with its concept, on the images
        that the concept was fitted to, so that without any knowledge it is about channels / images; `spectrum`
        (channel,): eigenvalues of the covariance of the channels, ascending. The first is in units of the responses,
        the second and the last in their square; the others have no unit.
    """
    one_hot = _one_hot(labels, n_classes, features.dtype)
    count = one_hot.sum(axis=0)[:, None]
    class_mean = _matmul(one_hot.T, features) / count
    standard = _standardised(features, labels, n_classes)
    concepts, readable = _concept_basis(standard, _class_basis(standard, labels, n_classes))
    variance = jnp.diagonal(standard.correlation)
    centred = features - jnp.mean(class_mean, axis=0)[None, :]
    covariance = _matmul((centred * standard.weight[:, None]).T, centred)
    return {
        "class_mean": class_mean.T,
        "within_variance": (_matmul(one_hot.T, (features - class_mean[labels]) ** 2) / count).T,
        "active_share": (_matmul(one_hot.T, (features != 0).astype(features.dtype)) / count).T,
        "concept_cosine": _cosines(concepts, variance),
        "concept_share": _span_share(concepts, variance),
        "readable": readable,
        "spectrum": jnp.maximum(jnp.linalg.eigvalsh(covariance), 0),
    }


def chance(
    features: Float[Array, "image channel"],
    labels: Int[Array, " image"],
    n_classes: int,
    key: Key[Array, ""],
    n_sets: int = N_SETS,
) -> dict[str, Array]:
    """Return the purities that the same responses reach by chance, in random repetitions.

    Purity is the largest absolute correlation of a channel with a class or a concept. Two things are drawn anew:

    - Permuted: the labels in random order, so that no channel knows the classes. What the channels have in common, such
      as a few directions that hold most of their variance, stays.
    - Mixed: the channels replaced by as many random mixtures of them, with standard normal weights on the channels
      divided by their standard deviations. Together the mixtures know what the channels know; no single one is special.

    Args:
        features, labels, n_classes: as for `class_responses`, but with equally many images of each class.
        key: the same one at every record, so that permutations and weights are the same too.
        n_sets: number of repetitions. A channel beyond the maxima of 19, over all channels and classes, has p <= 0.05,
            however the channels are correlated.

    Returns:
        `permuted_purity` (set, basis) and `mixed_purity` (set, basis, reading): the largest purity of a repetition, for
        the bases classes and concepts, in the readings of `measure.channels`: relative to all variation of a channel,
        and relative to the part of it that the basis explains. `mixed_specialists` (set, basis, reading, class): number
        of mixtures with a purity of at least `PURITY`, by the class that they are highest on. `permuted_readable`
        (set,): mean of `readable`.
    """
    standard = _standardised(features, labels, n_classes)
    variance = jnp.diagonal(standard.correlation)
    classes = _class_basis(standard, labels, n_classes)
    own = classes, _concept_basis(standard, classes)[0]

    def one_set(set_key: Array) -> dict[str, Array]:
        order_key, mixture_key = jax.random.split(set_key)
        permuted = _class_basis(standard, jax.random.permutation(order_key, labels), n_classes)
        concepts, readable = _concept_basis(standard, permuted)
        weights = jax.random.normal(mixture_key, standard.correlation.shape, features.dtype)
        mixed_variance = jnp.sum(weights * _matmul(standard.correlation, weights), axis=0)
        mixtures = [_purest(_Basis(_matmul(weights.T, basis.covariance), basis.gram), mixed_variance) for basis in own]
        return {
            "permuted_purity": jnp.stack([jnp.max(jnp.abs(_cosines(one, variance))) for one in (permuted, concepts)]),
            "permuted_readable": jnp.mean(readable),
            "mixed_purity": jnp.stack([purity for purity, _ in mixtures]),
            "mixed_specialists": jnp.stack([count for _, count in mixtures]),
        }

    return jax.lax.map(one_set, jax.random.split(key, n_sets))


def measure(
    features: Float[Array, "image channel"],
    labels: Int[Array, " image"],
    n_classes: int,
    key: Key[Array, ""],
    n_sets: int = N_SETS,
) -> dict[str, Array]:
    """Return the arrays of `class_responses` and of `chance` together."""
    return class_responses(features, labels, n_classes) | chance(features, labels, n_classes, key, n_sets)
