"""Linear probes: a linear classifier is trained on frozen features, and its accuracy says what they show.

A probe gets training and validation images only. It returns the classifier of the best validation epoch, which the
caller then judges once on the test images, with `classify` and `balanced_summary`:

    run = adam_probe(train, validation, 10, probe_recipe("boosted"), seed=0)
    summary = balanced_summary(classify(run.classifier, test.features), test.labels, counts)

Each epoch is one compiled program. Which images are in which batch is drawn by NumPy, from the seed and the epoch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.features import working_type
from dynsim.bridge.evaluation.inputs import (
    FeatureSet,
    check_classes,
    check_every_class,
    check_feature_set,
    check_lengths,
)
from dynsim.bridge.evaluation.linear import LinearClassifier, first_classifier, most_likely_class, probe_loss
from dynsim.bridge.options.probes import ProbeRecipe, learning_rates
from dynsim.config.checks import MAX_SEED, require

AugmentedFeatures = Callable[[Array, Array], Array]
"""features(images, key) -> (image, feature): the frozen network on images that are augmented with the key."""


class ProbeEpoch(NamedTuple):
    """What is reported after an epoch of a probe.

    Attributes:
        epoch: its number, from 1.
        learning_rate: that of its steps.
        train_loss: mean cross-entropy over its images, each before the step that it is in.
        validation_accuracy: share of the validation images that are predicted rightly after it; NaN in an epoch that
            is not validated.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_accuracy: float


class ProbeRun(NamedTuple):
    """A trained probe.

    Attributes:
        classifier: that of the best epoch.
        best_epoch: the epoch with the highest validation accuracy, the earliest of equal ones; without validation
            images the last epoch.
        epochs: one report per epoch.
    """

    classifier: LinearClassifier
    best_epoch: int
    epochs: tuple[ProbeEpoch, ...]


class _Rule(NamedTuple):
    """What of a recipe is built into a compiled program."""

    optimiser: str
    momentum: float
    weight_decay: float


class _Batches(NamedTuple):
    """The batches of an epoch, the last one filled up with image 0."""

    images: Int[Array, "batch slot"]
    is_real: Bool[Array, "batch slot"]


def adam_probe(
    train: FeatureSet,
    validation: FeatureSet | None,
    n_classes: int,
    recipe: ProbeRecipe,
    *,
    seed: int,
    on_epoch: Callable[[ProbeEpoch], None] | None = None,
) -> ProbeRun:
    """Train a probe with Adam on features that were computed once, of clean images (Zhou et al. 2022).

    Args:
        train, validation: features and labels. With None for `validation` the last epoch is taken, as in the code of
            the boosted contrastive learning of Zhou et al. 2022. Never hand over test images here.
        n_classes: number of classes.
        recipe: one with the optimiser "adam", such as "boosted" or "short" of `PROBE_RECIPES`.
        seed: of the first weights and of the batches.
        on_epoch: called with the report of each epoch.

    Errors: in one line, `DataError` for features that are not finite, labels out of range, unequal lengths or a class
        without training images; `ConfigError` for another optimiser or a seed out of range.
    """
    _check_recipe(recipe, "adam", seed)
    check_feature_set(train, n_classes, "training set", every_class=True)
    return _train(_as_they_are, *train, validation, n_classes, recipe, seed, on_epoch)


def sgd_probe(
    features: AugmentedFeatures,
    images: np.ndarray,
    labels: np.ndarray,
    validation: FeatureSet | None,
    n_classes: int,
    recipe: ProbeRecipe,
    *,
    seed: int,
    on_epoch: Callable[[ProbeEpoch], None] | None = None,
) -> ProbeRun:
    """Train a probe with SGD on the features of images that are augmented anew in every epoch (Jiang et al. 2021).

    Args:
        features: features(images, key) -> (image, feature), for one batch; it augments the images with the key, and
            must give each image the same features whatever else is in the batch (batch normalisation with running
            statistics). Hand it over as `jax.tree_util.Partial(function, params)`, function(params, images, key):
            then parameters are arguments of the compiled program, which is used again for other parameters. Those
            that a function only refers to are built into the program, which is slow for a large network.
        images: uint8 pixels, shape (image, height, width, channel); or whatever `features` takes, one row per image.
            All of them are put on the device.
        labels: whole numbers, shape (image,).
        validation: features of clean images, and labels; see `adam_probe`.
        n_classes, seed, on_epoch: see `adam_probe`; the seed is also that of the keys.
        recipe: one with the optimiser "sgd", such as "sdclr" or "sdclr_few_shot" of `PROBE_RECIPES`.

    Errors: in one line, as for `adam_probe`; `DataError` also where the features are no float array (image, feature).
    """
    _check_recipe(recipe, "sgd", seed)
    check_classes(labels, n_classes, "training set: labels")
    check_lengths("training set: labels", labels, "images", images)
    check_every_class(labels, n_classes, "training set")
    return _train(features, images, labels, validation, n_classes, recipe, seed, on_epoch)


def _check_recipe(recipe: ProbeRecipe, optimiser: str, seed: int) -> None:
    wanted = f"{optimiser!r} for the {optimiser}_probe"
    require(recipe.optimiser == optimiser, "optimiser of the probe recipe", wanted, recipe.optimiser)
    require(0 <= seed < MAX_SEED, "seed of the probe", "a whole number from 0 to 2^32 - 1", seed)


def _as_they_are(images: Array, key: Array) -> Array:
    return images


def _train(
    features: AugmentedFeatures,
    images: np.ndarray,
    labels: np.ndarray,
    validation: FeatureSet | None,
    n_classes: int,
    recipe: ProbeRecipe,
    seed: int,
    on_epoch: Callable[[ProbeEpoch], None] | None,
) -> ProbeRun:
    """Return a trained probe; see `sgd_probe`."""
    size = min(recipe.batch_size, len(labels))
    encoder = features if isinstance(features, jax.tree_util.Partial) else jax.tree_util.Partial(features)
    key = jax.random.key(np.uint32(seed))
    seen = _shape_of_features(encoder, images[:size], key)
    accuracy_of = _validator(validation, n_classes, seen)
    dtype = working_type(seen.dtype)
    classifier = first_classifier(recipe.start, n_classes, seen.shape[1], dtype, seed)
    rule = _Rule(recipe.optimiser, recipe.momentum, recipe.weight_decay)
    state = classifier, _optimiser(rule).init(classifier)
    data = jnp.asarray(images), jnp.asarray(labels, jnp.int32)
    best, reports = (classifier, 0, -1.0), []
    for epoch, rate in enumerate(learning_rates(recipe).tolist(), start=1):
        batches = _batches(len(labels), size, seed, epoch)
        epoch_key = jax.random.fold_in(key, epoch)
        state, loss, finite = _run_epoch(state, encoder, *data, batches, jnp.asarray(rate, dtype), epoch_key, rule)
        _check_finite(bool(finite), float(loss), epoch)
        accuracy = float("nan")
        if accuracy_of is not None and epoch % recipe.validate_every == 0:
            accuracy = accuracy_of(state[0])
        if accuracy_of is None or accuracy > best[2]:
            best = (state[0], epoch, accuracy)
        reports.append(ProbeEpoch(epoch, rate, float(loss), accuracy))
        if on_epoch is not None:
            on_epoch(reports[-1])
    return ProbeRun(best[0], best[1], tuple(reports))


def _shape_of_features(encoder: AugmentedFeatures, images: np.ndarray, key: Array) -> jax.ShapeDtypeStruct:
    """Return shape and type of the features of a batch, without computing them."""
    found = jax.eval_shape(encoder, jnp.asarray(images), key)
    is_table = isinstance(found, jax.ShapeDtypeStruct) and found.ndim == 2 and found.shape[0] == len(images)
    if not is_table or not jnp.issubdtype(found.dtype, jnp.floating):
        raise DataError(f"features: wanted a floating-point array of shape ({len(images)}, feature), got {found}")
    return found


def _validator(
    validation: FeatureSet | None, n_classes: int, seen: jax.ShapeDtypeStruct
) -> Callable[[LinearClassifier], float] | None:
    """Return the function that gives a classifier's share of right predictions; None without validation images."""
    if validation is None:
        return None
    check_feature_set(validation, n_classes, "validation set")
    wanted, got = seen.shape[1], validation.features.shape[1]
    if got != wanted:
        raise DataError(f"validation set: wanted {wanted} features, as in the training set, got {got}")
    on_device, labels = jnp.asarray(validation.features.astype(working_type(seen.dtype))), validation.labels
    return lambda classifier: float(np.mean(np.asarray(most_likely_class(classifier, on_device)) == labels))


def _check_finite(finite: bool, loss: float, epoch: int) -> None:
    if not finite:
        raise DataError(f"features: wanted finite ones, got others in epoch {epoch}; look for a diverged encoder")
    if not np.isfinite(loss):
        raise DataError(f"loss of the probe: wanted a finite one, got {loss} in epoch {epoch}; lower the learning rate")


def _batches(n_images: int, size: int, seed: int, epoch: int) -> _Batches:
    """Return the images of an epoch in random order, in batches of one size."""
    n_batches = -(-n_images // size)
    index = np.zeros(n_batches * size, np.int32)
    index[:n_images] = np.random.RandomState([seed, epoch]).permutation(n_images)
    is_real = np.arange(len(index)) < n_images
    return _Batches(jnp.asarray(index.reshape(n_batches, size)), jnp.asarray(is_real.reshape(n_batches, size)))


def _optimiser(rule: _Rule) -> optax.GradientTransformation:
    """Return the optimiser without the learning rate; the decay is part of the gradient, as in PyTorch."""
    moments = optax.trace(rule.momentum) if rule.optimiser == "sgd" else optax.scale_by_adam()
    return optax.chain(optax.add_decayed_weights(rule.weight_decay), moments)


@partial(jax.jit, static_argnames="rule")
def _run_epoch(
    state: tuple[LinearClassifier, Any],
    features: AugmentedFeatures,
    images: Shaped[Array, "image ..."],
    labels: Int[Array, " image"],
    batches: _Batches,
    rate: Float[Array, ""],
    key: Key[Array, ""],
    rule: _Rule,
) -> tuple[tuple[LinearClassifier, Any], Array, Array]:
    """Return the state after an epoch, the mean loss over its images, and whether all features were finite."""
    optimiser = _optimiser(rule)

    def step(state: tuple[LinearClassifier, Any], batch: tuple[Array, _Batches]) -> tuple[Any, tuple[Array, Array]]:
        number, (chosen, is_real) = batch
        classifier, moments = state
        x = jax.lax.stop_gradient(features(images[chosen], jax.random.fold_in(key, number))).astype(rate.dtype)
        loss, gradient = jax.value_and_grad(probe_loss)(classifier, x, labels[chosen], is_real)
        with jax.numpy_dtype_promotion("standard"):  # Adam raises a float to the integer power of its step
            updates, moments = optimiser.update(gradient, moments, classifier)
        classifier = jax.tree.map(lambda old, update: old - rate * update, classifier, updates)
        return (classifier, moments), (loss * jnp.sum(is_real).astype(loss.dtype), jnp.all(jnp.isfinite(x)))

    numbers = jnp.arange(batches.images.shape[0], dtype=jnp.uint32)
    state, (losses, finite) = jax.lax.scan(step, state, (numbers, batches))
    return state, jnp.sum(losses) / jnp.asarray(labels.shape[0], losses.dtype), jnp.all(finite)
