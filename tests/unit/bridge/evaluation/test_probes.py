"""Linear probes against a NumPy loop, their schedules, the choice of the best epoch, and one-line errors.

All probes here have the same shapes, so that few programs are compiled.
"""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.data import DataError
from dynsim.bridge.evaluation.inputs import FeatureSet
from dynsim.bridge.evaluation.linear import LinearClassifier, classify, first_classifier
from dynsim.bridge.evaluation.probes import adam_probe, sgd_probe
from dynsim.bridge.options.probes import PROBE_RECIPES, ProbeRecipe, learning_rates, probe_recipe
from dynsim.config import ConfigError

N, D, C, BATCH = 22, 3, 4, 5  # five batches, the last one of two images
ADAM = ProbeRecipe("adam", 3, BATCH, 0.1, 0.02, weight_decay=0.05, start="uniform")
SGD = ProbeRecipe("sgd", 3, BATCH, 0.5, 0.5, milestones=(2,), weight_decay=0.05)


def images_of(n: int, seed: int) -> FeatureSet:
    """Return n images of C classes; the features of a class lie around a mean of its own."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(C), rng.integers(0, C, n - C)])
    return FeatureSet(rng.normal(size=(C, D))[labels] + 0.7 * rng.normal(size=(n, D)), labels)


TRAIN, VALIDATION = images_of(N, 0), images_of(12, 0)


def brightened(strength: jax.Array, images: jax.Array, key: jax.Array) -> jax.Array:
    """A stand-in for augmentation and network: pixels plus a number that is drawn for the batch."""
    return (images + strength * jax.random.normal(key, (), images.dtype))[:, :, 0]


def cross_entropy(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean loss and its gradient with respect to the outputs."""
    out = x @ weight.T + bias
    p = np.exp(out - out.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    return float(-np.log(p[rows, y]).mean()), (p - np.eye(C)[y]) / len(y)


def trained_by_hand(recipe: ProbeRecipe, seed: int, shift_of) -> tuple[list[np.ndarray], list[float]]:
    """Return weight and bias after the last epoch and the mean loss of each epoch: a loop in NumPy."""
    parts = [np.asarray(one) for one in first_classifier(recipe.start, C, D, np.dtype("f8"), seed)]
    first, second, t, losses = [0.0, 0.0], [0.0, 0.0], 0, []
    for epoch in range(1, recipe.epochs + 1):
        rate = learning_rates(recipe)[epoch - 1]
        order = np.random.RandomState([seed, epoch]).permutation(N)
        total = 0.0
        for number, start in enumerate(range(0, N, BATCH)):
            some = order[start : start + BATCH]
            x = TRAIN.features[some] + shift_of(epoch, number)
            loss, slope = cross_entropy(*parts, x, TRAIN.labels[some])
            total += loss * len(some)
            t += 1
            for i, gradient in enumerate((slope.T @ x, slope.sum(axis=0))):
                gradient = gradient + recipe.weight_decay * parts[i]
                if recipe.optimiser == "sgd":
                    first[i] = recipe.momentum * first[i] + gradient
                    move = first[i]
                else:
                    first[i] = 0.9 * first[i] + 0.1 * gradient
                    second[i] = 0.999 * second[i] + 0.001 * gradient**2
                    move = first[i] / (1 - 0.9**t) / (np.sqrt(second[i] / (1 - 0.999**t)) + 1e-8)
                parts[i] = parts[i] - rate * move
        losses.append(total / N)
    return parts, losses


def test_adam_on_cached_features_is_the_loop():
    run = adam_probe(TRAIN, None, C, ADAM, seed=7)
    parts, losses = trained_by_hand(ADAM, 7, lambda epoch, number: 0.0)
    for found, wanted in zip(run.classifier, parts, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_allclose([one.train_loss for one in run.epochs], losses, atol=1e-12)
    assert run.best_epoch == ADAM.epochs, "without validation images the last epoch is taken"
    assert all(np.isnan(one.validation_accuracy) for one in run.epochs)


def sgd_run(seed: int = 7, strength: float = 0.3, validation: FeatureSet | None = None, recipe: ProbeRecipe = SGD):
    """Return a probe of the images with an axis for the channel, as pixels have."""
    encoder = jax.tree_util.Partial(brightened, jnp.float64(strength))
    return sgd_probe(encoder, TRAIN.features[:, :, None], TRAIN.labels, validation, C, recipe, seed=seed)


def test_sgd_on_features_that_are_computed_anew_is_the_loop():
    run = sgd_run()
    key = jax.random.key(jnp.uint32(7))

    def shift(epoch: int, number: int) -> float:
        batch_key = jax.random.fold_in(jax.random.fold_in(key, epoch), jnp.uint32(number))
        return 0.3 * float(jax.random.normal(batch_key, (), jnp.float64))

    parts, losses = trained_by_hand(SGD, 7, shift)
    for found, wanted in zip(run.classifier, parts, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_allclose([one.train_loss for one in run.epochs], losses, atol=1e-12)


def test_a_seed_gives_the_same_bits_and_another_one_others():
    first, again, other = sgd_run(), sgd_run(), sgd_run(seed=8)
    np.testing.assert_array_equal(first.classifier.weight, again.classifier.weight)
    assert first.epochs[0].train_loss == again.epochs[0].train_loss != other.epochs[0].train_loss


def test_the_best_validation_epoch_is_taken_and_the_earliest_of_equal_ones():
    seen = []
    run = adam_probe(TRAIN, VALIDATION, C, ADAM, seed=7, on_epoch=seen.append)
    assert tuple(seen) == run.epochs
    accuracy = [one.validation_accuracy for one in run.epochs]
    assert run.best_epoch == 1 + int(np.argmax(accuracy))
    found = np.mean(classify(run.classifier, VALIDATION.features) == VALIDATION.labels)
    assert found == max(accuracy)


def test_of_equally_good_epochs_the_earliest_is_taken():
    still = dataclasses.replace(ADAM, learning_rate=1e-20, final_learning_rate=1e-20)
    run = adam_probe(TRAIN, VALIDATION, C, still, seed=7)
    assert len({one.validation_accuracy for one in run.epochs}) == 1
    assert run.best_epoch == 1


def test_half_precision_is_trained_in_single():
    half = TRAIN._replace(features=TRAIN.features.astype(np.float16))
    run, single = (
        adam_probe(TRAIN._replace(features=half.features.astype(dtype)), None, C, ADAM, seed=7)
        for dtype in (np.float16, np.float32)
    )
    assert run.classifier.weight.dtype == np.float32
    np.testing.assert_array_equal(run.classifier.weight, single.classifier.weight)


def test_an_early_best_epoch_is_kept():
    """Validation labels are what the first epoch predicts: it is right everywhere, and later ones are not."""
    longer = dataclasses.replace(ADAM, epochs=6)
    one = adam_probe(TRAIN, None, C, dataclasses.replace(ADAM, epochs=1, final_learning_rate=0.1), seed=3)
    constant = dataclasses.replace(longer, final_learning_rate=longer.learning_rate)
    labels = classify(one.classifier, VALIDATION.features)
    run = adam_probe(TRAIN, VALIDATION._replace(labels=labels), C, constant, seed=3)
    assert run.best_epoch == 1
    assert run.epochs[0].validation_accuracy == 1.0 > run.epochs[-1].validation_accuracy
    np.testing.assert_array_equal(run.classifier.weight, one.classifier.weight)


def test_epochs_between_validations_are_not_candidates():
    rare = dataclasses.replace(ADAM, epochs=5, validate_every=2)
    run = adam_probe(TRAIN, VALIDATION, C, rare, seed=7)
    assert [np.isnan(one.validation_accuracy) for one in run.epochs] == [True, False, True, False, True]
    assert run.best_epoch in (2, 4)


def test_no_probe_is_handed_test_images():
    """Selection on test data is impossible where they are not an argument."""
    for probe in (adam_probe, sgd_probe):
        assert not [name for name in inspect.signature(probe).parameters if "test" in name]


def test_a_batch_may_be_larger_than_the_training_set():
    """One batch of all images: plain gradient descent, whose first loss from zero-mean weights is known."""
    whole = dataclasses.replace(SGD, batch_size=1000, epochs=2, milestones=())
    run = sgd_run(recipe=whole, strength=0.0)
    weight, bias = first_classifier("normal", C, D, np.dtype("f8"), 7)
    wanted, _ = cross_entropy(np.asarray(weight), np.asarray(bias), TRAIN.features, TRAIN.labels)
    assert run.epochs[0].train_loss == pytest.approx(wanted, abs=1e-12)


def test_starts():
    weight, bias = (np.asarray(one) for one in first_classifier("normal", 200, 400, np.dtype("f8"), 0))
    assert not bias.any()
    assert abs(weight.std() - 0.01) < 4 * 0.01 / np.sqrt(2 * weight.size)
    assert abs(weight.mean()) < 4 * 0.01 / np.sqrt(weight.size)
    weight, bias = (np.asarray(one) for one in first_classifier("uniform", 200, 400, np.dtype("f8"), 0))
    for part in (weight, bias):
        assert np.abs(part).max() <= 0.05
        assert abs(part.std() - 0.05 / np.sqrt(3)) < 4 * 0.05 / np.sqrt(part.size)


def test_published_schedules():
    """SDCLR: the rate falls at the beginning of epochs 10 and 20, counted from 1, so that nine epochs have rate 30."""
    np.testing.assert_allclose(learning_rates(probe_recipe("sdclr")), [30.0] * 9 + [3.0] * 10 + [0.3] * 11)
    few = learning_rates(probe_recipe("sdclr_few_shot"))
    np.testing.assert_allclose(few, [30.0] * 39 + [3.0] * 20 + [0.3] * 41)
    boosted = learning_rates(probe_recipe("boosted"))
    factor = 1e-4 ** (1 / 500)
    np.testing.assert_allclose(boosted, 1e-2 * factor ** np.arange(500), rtol=1e-12)
    assert boosted[-1] * factor == pytest.approx(1e-6, rel=1e-9)


def test_predictions_are_those_of_the_largest_output():
    classifier = LinearClassifier(jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), jnp.array([0.0, 0.5, 0.0]))
    found = classify(classifier, np.array([[2.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    np.testing.assert_array_equal(found, [0, 1, 1])
    assert found.dtype == np.int64


def changed(**parts) -> FeatureSet:
    return TRAIN._replace(**parts)


BROKEN = TRAIN.features.copy()
BROKEN[4, 1] = np.inf


def diverging(images: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.log(images[:, :, 0])


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: adam_probe(changed(features=BROKEN), None, C, ADAM, seed=0), "training set: wanted finite.*image 4"),
        (lambda: adam_probe(changed(labels=TRAIN.labels + 1), None, C, ADAM, seed=0), "labels: wanted 0 to 3, got 4"),
        (lambda: adam_probe(changed(labels=TRAIN.labels[1:]), None, C, ADAM, seed=0), "labels: wanted 22.*got 21"),
        (lambda: adam_probe(changed(labels=TRAIN.labels % 2), None, C, ADAM, seed=0), "got none of class 2"),
        (lambda: adam_probe(changed(features=TRAIN.features > 0), None, C, ADAM, seed=0), "wanted floating-point"),
        (lambda: adam_probe(TRAIN, None, C, SGD, seed=0), "optimiser of the probe recipe: wanted 'adam'"),
        (lambda: adam_probe(TRAIN, None, C, ADAM, seed=2**32), "seed of the probe: wanted"),
        (lambda: sgd_run(recipe=ADAM), "wanted 'sgd' for the sgd_probe"),
        (lambda: sgd_run(validation=VALIDATION._replace(features=BROKEN[:12])), "validation set: wanted finite"),
        (lambda: sgd_run(validation=VALIDATION._replace(features=BROKEN[:12, :1])), "wanted 3 features.*got 1"),
        (lambda: sgd_probe(jnp.add, TRAIN.features, TRAIN.labels[:3], None, C, SGD, seed=0), "labels: wanted 22"),
        (
            lambda: sgd_probe(lambda x, key: x[0], TRAIN.features, TRAIN.labels, None, C, SGD, seed=0),
            r"floating-point array of shape \(5, feature\)",
        ),
        (
            lambda: sgd_probe(diverging, TRAIN.features[:, :, None], TRAIN.labels, None, C, SGD, seed=0),
            "features: wanted finite ones, got others in epoch 1",
        ),
        (lambda: classify(LinearClassifier(jnp.ones((C, 2)), jnp.ones(C)), TRAIN.features), "wanted 2.*got 3"),
        (lambda: probe_recipe("sdlcr"), "did you mean sdclr"),
        (lambda: dataclasses.replace(SGD, validate_every=4), "at most the 3 epochs"),
        (lambda: dataclasses.replace(ADAM, final_learning_rate=1.0), "final_learning_rate: wanted"),
        (lambda: dataclasses.replace(ADAM, epochs=0), "epochs: wanted an integer of at least 1"),
        (lambda: dataclasses.replace(SGD, milestones=(2, 0)), "milestones: wanted an integer of at least 1, got 0"),
    ],
)
def test_errors_are_one_line(call, word):
    with pytest.raises((ConfigError, DataError), match=word) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_named_recipes_are_those_of_the_protocols():
    assert PROBE_RECIPES["sdclr"].batch_size == 128 and PROBE_RECIPES["sdclr"].weight_decay == 0.0
    assert PROBE_RECIPES["sdclr_few_shot"].validate_every == 5
    assert PROBE_RECIPES["boosted"].weight_decay == 5e-6 and PROBE_RECIPES["boosted"].batch_size == 1000
