"""How a frozen encoder is judged: linear probes with all and with few labels, and nearest neighbours."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from dynsim.bridge import views
from dynsim.bridge.data.tasks import LabelledImages, Task
from dynsim.bridge.evaluation.features import extract
from dynsim.bridge.evaluation.inputs import FeatureSet
from dynsim.bridge.evaluation.knn import knn_predict
from dynsim.bridge.evaluation.linear import classify
from dynsim.bridge.evaluation.metrics import balanced_summary, per_class_accuracy
from dynsim.bridge.evaluation.probes import adam_probe, sgd_probe
from dynsim.bridge.options.judging import Judging
from dynsim.bridge.options.probes import probe_recipe

PROBE_VIEWS = "probe"
"""Augmentation of the images of an SGD probe: a name in `RECIPES` of dynsim/bridge/options/views.py."""


def judge_encoder(task: Task, encoder: jax.tree_util.Partial, judging: Judging, seed: int) -> dict[str, Any]:
    """Return accuracies on the test set: by probe, the numbers of `BalancedSummary` and the accuracy of each class.

    Args:
        encoder: features(images) -> (image, feature), of uint8 images, and for an SGD probe also of floats in [0, 1].
        seed: of the first weights of the probes, of their batches, and of the views of an SGD probe.
    """

    def embedded(part: LabelledImages) -> FeatureSet:
        return FeatureSet(extract(encoder, part.pixels), part.labels)

    test = embedded(task.test)
    validation = embedded(task.validation) if len(task.validation.labels) else None
    found = {}
    for name, part, recipe in (
        ("linear", task.probe, probe_recipe(judging.linear)),
        ("few_shot", task.few_shot, probe_recipe(judging.few_shot)),
    ):
        if recipe.optimiser == "adam":
            run = adam_probe(embedded(part), validation, task.n_classes, recipe, seed=seed)
        else:
            augmented = jax.tree_util.Partial(_augmented_features, encoder)
            run = sgd_probe(augmented, *part, validation, task.n_classes, recipe, seed=seed)
        found[name] = accuracies(task, classify(run.classifier, test.features)) | {"best_epoch": run.best_epoch}
    k = min(judging.neighbours, len(task.pretraining.labels))
    found["knn"] = accuracies(task, knn_predict(embedded(task.pretraining), test.features, task.n_classes, k))
    return found


def _augmented_features(encoder: jax.tree_util.Partial, images: Array, key: Array) -> Array:
    return encoder(views.augment(key, images, views.RECIPES[PROBE_VIEWS]))


def accuracies(task: Task, predictions: np.ndarray) -> dict[str, Any]:
    """Return the numbers of `BalancedSummary` and the accuracy of each class, as plain values."""
    summary = balanced_summary(predictions, task.test.labels, task.counts, task.groups)
    each = per_class_accuracy(predictions, task.test.labels, task.n_classes)
    return summary._asdict() | {"per_class": each.tolist()}
