"""The runs of the comparison of losses: one method with one seed at a time, trained, tested, and saved at once."""

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.long_tail.projection import projected_classes
from experiments.long_tail.variants import KNOWN_METHODS

if TYPE_CHECKING:
    from dynsim.bridge.data.tasks import LabelledImages, Task
    from dynsim.bridge.options import LongTail, Supervised
    from dynsim.bridge.supervised import Classifier
    from dynsim.engine.progress import StudyBar

CLAIM_RECORDS = 6  # records of a run beside the one at the start

MethodRow = dict[str, Any]
"""One method with one seed: accuracies, log, what was measured, as plain values."""


class LossStudy(NamedTuple):
    """What all runs of a study share."""

    training: "Supervised"
    long_tail: "LongTail"
    measured_batches: int
    """Batches on which conflicts are counted while the network trains."""
    measured: int
    """Images of each class, not trained on, whose features are measured."""
    encoder: Path | None
    """File of an encoder to start from."""
    data_folder: Path | None
    folder: Path
    """Where finished parts and checkpoints are kept."""


def train_methods(study: LossStudy, methods: tuple[str, ...], seeds: range) -> list[MethodRow]:
    """Train and test every method with every seed.

    A run that an earlier call finished is taken from the folder, and one that was interrupted goes on from its last
    checkpoint.
    """
    from dynsim.bridge.data.tasks import make_task
    from dynsim.study import shared_bar

    options = {name: KNOWN_METHODS[name].change(study.training) for name in methods}
    rows = []
    with shared_bar("losses") as bar:
        for name, one in options.items():
            for seed in seeds:
                bar.add(method_run_name(name, seed), float(one.epochs * len(one.views)))
        for seed in seeds:
            task = functools.cache(functools.partial(make_task, study.long_tail, seed, study.data_folder))
            rows += [_run(study, task, name, options[name], seed, bar) for name in methods]
    return rows


def method_run_name(method: str, seed: int) -> str:
    """Return the name of a run of the study."""
    return f"{method}, seed {seed}"


def _run(
    study: LossStudy, task: "Callable[[], Task]", name: str, options: "Supervised", seed: int, bar: "StudyBar"
) -> MethodRow:
    """Return one method with one seed, trained and tested now or by an earlier call."""
    from dynsim.engine import checkpoint
    from dynsim.study import keep_numbers, part_path

    label = method_run_name(name, seed)
    keep = part_path(study.folder, label).with_suffix("")
    made_from = {
        "training": options.values(),
        "long_tail": dataclasses.asdict(study.long_tail),
        "measured": [study.measured_batches, study.measured],
        "encoder": None if study.encoder is None else hashlib.sha256(study.encoder.read_bytes()).hexdigest(),
        "seed": seed,
    }

    def make() -> MethodRow:
        began = time.perf_counter()
        row = _trained(study, task(), options, label, seed, keep, bar)
        row |= {"method": name, "seed": seed, "train_s": time.perf_counter() - began}
        bar.say(f"{label}: {row['all_classes']:.1%} of all classes, {row['few']:.1%} of few, {row['train_s']:.0f} s")
        return row

    row = keep_numbers(study.folder, label, made_from, make)
    checkpoint.clear(keep)
    if label not in bar.counted:
        bar.counted.add(label)
        bar.skip(bar.announced[label])
    return row


def _trained(
    study: LossStudy, task: "Task", options: "Supervised", label: str, seed: int, keep: Path, bar: "StudyBar"
) -> MethodRow:
    """Train a method, or go on with it, and test the epoch that its validation images chose."""
    from dynsim.bridge.evaluation.judging import accuracies
    from dynsim.bridge.networks import load_safetensors
    from dynsim.bridge.supervised import train_with_labels
    from dynsim.bridge.supervised.claims import COUNTED, claim_measure
    from dynsim.bridge.training.loop import spaced_epochs

    images, epochs = task.pretraining, spaced_epochs(options.epochs, CLAIM_RECORDS)
    probe = measured_images(task, study.measured, seed)
    found = train_with_labels(
        images,
        task.counts,
        options,
        seed,
        validation=task.validation,
        encoder=None if study.encoder is None else load_safetensors(study.encoder),
        folder=keep,
        measure=claim_measure(options, images, task.counts, probe, seed, study.measured_batches),
        record_epochs=epochs,
        label=label,
        progress=bar,
    )
    save_classifier(study.folder / "encoders" / f"{keep.name}.safetensors", found)
    row = accuracies(task, found.predict(task.test))
    row |= {"counts": task.counts.tolist(), "groups": task.groups.tolist(), "chosen_epoch": found.epoch}
    row["projection"] = projected_classes(task, found)
    row["log"] = {name: _plain(values) for name, values in found.log.items()}
    claims = {name: _plain(values) for name, values in found.records.items()}
    return row | {"claims": {"epochs": list(epochs), "losses": list(COUNTED), **claims}}


def _plain(values: np.ndarray) -> Any:
    """Return nested lists of numbers, None for NaN."""
    if values.ndim > 1:
        return [_plain(one) for one in values]
    return [float(one) if np.isfinite(one) else None for one in values]


def save_classifier(path: Path, found: "Classifier") -> None:
    """Save the encoder of the chosen epoch under torchvision's names."""
    from dynsim.bridge.networks import save_safetensors

    path.parent.mkdir(parents=True, exist_ok=True)
    save_safetensors(path, found.options.network, found.params["network"], found.stats)


def measured_images(task: "Task", per_class: int, seed: int) -> "LabelledImages":
    """Return equally many images of each class that are not trained on: of the validation or else the test images.

    Those of the test images decide nothing, since no epoch is chosen by what is measured.
    """
    from dynsim.bridge.data.tasks import LabelledImages
    from dynsim.bridge.measure.probe import balanced_probe

    pool = task.validation if len(task.validation.labels) else task.test
    every = np.arange(len(pool.labels))
    probe = balanced_probe(pool.labels, every, every[:0], n_classes=task.n_classes, per_class=per_class, seed=seed)
    return LabelledImages(pool.pixels[probe.images], pool.labels[probe.images])
