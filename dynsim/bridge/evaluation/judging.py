"""How a frozen encoder is judged: linear probes with all and with few labels, and nearest neighbours."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dynsim.bridge.data.tasks import LabelledImages, Task
from dynsim.bridge.evaluation.inputs import FeatureSet
from dynsim.bridge.evaluation.knn import knn_predict
from dynsim.bridge.evaluation.linear import classify
from dynsim.bridge.evaluation.metrics import balanced_summary, per_class_accuracy
from dynsim.bridge.evaluation.probes import adam_probe
from dynsim.bridge.options.judging import Judging
from dynsim.bridge.options.probes import probe_recipe

ImageFeatures = Callable[[LabelledImages], np.ndarray]


def judge_encoder(task: Task, features: ImageFeatures, judging: Judging, seed: int) -> dict[str, Any]:
    """Return accuracies on the test set: by probe, the numbers of `BalancedSummary` and the accuracy of each class.

    Args:
        features: (labelled images) -> their features, shape (image, feature).
        seed: of the first weights of the probes, and of their batches.
    """

    def embedded(part: LabelledImages) -> FeatureSet:
        return FeatureSet(features(part), part.labels)

    test = embedded(task.test)
    validation = embedded(task.validation) if len(task.validation.labels) else None
    found = {}
    for name, part, recipe in (
        ("linear", task.probe, judging.linear),
        ("few_shot", task.few_shot, judging.few_shot),
    ):
        run = adam_probe(embedded(part), validation, task.n_classes, probe_recipe(recipe), seed=seed)
        found[name] = accuracies(task, classify(run.classifier, test.features)) | {"best_epoch": run.best_epoch}
    k = min(judging.neighbours, len(task.pretraining.labels))
    found["knn"] = accuracies(task, knn_predict(embedded(task.pretraining), test.features, task.n_classes, k))
    return found


def accuracies(task: Task, predictions: np.ndarray) -> dict[str, Any]:
    """Return the numbers of `BalancedSummary` and the accuracy of each class, as plain values."""
    summary = balanced_summary(predictions, task.test.labels, task.counts, task.groups)
    each = per_class_accuracy(predictions, task.test.labels, task.n_classes)
    return summary._asdict() | {"per_class": each.tolist()}
