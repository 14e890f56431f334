"""The runs of the comparison on images: one arm with one seed at a time, trained, judged, and saved at once."""

import dataclasses
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.cifar.arms import ARMS, MAIN

if TYPE_CHECKING:
    import xarray as xr

    from dynsim.bridge.data.tasks import Task
    from dynsim.bridge.networks import Network
    from dynsim.bridge.options import Judging, LongTail, Pretraining
    from dynsim.bridge.training import Trained
    from dynsim.bridge.training.epoch import PretrainState
    from dynsim.bridge.training.run import StateMeasure
    from dynsim.engine.progress import StudyBar

RAW, UNTRAINED = "raw pixels", "untrained network"
BASELINES = (RAW, UNTRAINED)
RECORDS = 12  # records of a run beside the one at the start


class Study(NamedTuple):
    """What all runs of a study share."""

    pretraining: "Pretraining"
    long_tail: "LongTail"
    judging: "Judging"
    measured: int
    """Images of each class on which channels are measured while the network trains."""
    data_folder: Path | None
    folder: Path
    """Where finished parts and checkpoints are kept."""


class ImageRun(NamedTuple):
    """One arm or baseline with one seed."""

    row: dict[str, Any]
    """Accuracies, log, and what was run, as plain values."""
    channels: "xr.Dataset | None"
    """What the channels responded to while it trained (`dynsim.bridge.measure`); None for a baseline."""


def train_and_judge(study: Study, arms: tuple[str, ...], seeds: range) -> list[ImageRun]:
    """Train and judge every arm with every seed, and judge the baselines with every seed.

    A run that an earlier call finished is taken from the folder, and an arm that was interrupted goes on from its last
    checkpoint.
    """
    from dynsim.study import shared_bar

    options = {arm: ARMS[arm].change(study.pretraining) for arm in arms}
    images = {seed: SeedImages(study, seed) for seed in seeds}
    runs = []
    with shared_bar("images") as bar:
        for arm, one in options.items():
            for seed in seeds:
                bar.add(part_name(arm, seed), float(one.epochs))
        for seed in seeds:
            runs += [_part(study, images[seed], name, None, bar) for name in BASELINES]
        for some in (MAIN, [arm for arm in arms if arm not in MAIN]):  # the main arms first, with all seeds
            for seed in seeds:
                runs += [_part(study, images[seed], arm, options[arm], bar) for arm in some if arm in options]
    return runs


def part_name(arm: str, seed: int) -> str:
    """Return the name of a part of the study."""
    return f"{arm}, seed {seed}"


class SeedImages:
    """The images of a seed, read when they are first needed."""

    def __init__(self, study: Study, seed: int) -> None:
        self.study, self.seed = study, seed

    @functools.cached_property
    def task(self) -> "Task":
        """The task of this seed."""
        from dynsim.bridge.data.tasks import make_task

        return make_task(self.study.long_tail, self.seed, self.study.data_folder)


def _part(study: Study, images: SeedImages, name: str, options: "Pretraining | None", bar: "StudyBar") -> ImageRun:
    """Return one arm, or a baseline where there are no options; trained and judged now or by an earlier call."""
    from dynsim import results
    from dynsim.engine import checkpoint
    from dynsim.study import keep_numbers, part_path

    label = part_name(name, images.seed)
    path = part_path(study.folder, label)
    keep = path.with_suffix("")
    made_from = {
        "pretraining": (options or study.pretraining).values(),
        "long_tail": dataclasses.asdict(study.long_tail),
        "judging": dataclasses.asdict(study.judging),
        "measured": study.measured,
        "seed": images.seed,
    }

    def make() -> dict[str, Any]:
        began = time.perf_counter()
        if options is None:
            row = _baseline(study, images, name)
        else:
            row, channels = _arm(study, images, name, options, keep, bar)
            results.save_many({"channels": channels}, path)
        row |= {"arm": name, "seed": images.seed, "counts": images.task.counts.tolist()}
        bar.say(f"{label}: linear probe {row['linear']['all_classes']:.1%}, {time.perf_counter() - began:.0f} s")
        return row

    row = keep_numbers(study.folder, label, made_from, make)
    checkpoint.clear(keep)
    if options is None:
        return ImageRun(row, None)
    if label not in bar.counted:
        bar.counted.add(label)
        bar.skip(float(options.epochs))
    return ImageRun(row, results.load_many(path)["channels"])


def _baseline(study: Study, images: SeedImages, name: str) -> dict[str, Any]:
    """Judge the pixels themselves, or the network with its first weights."""
    import jax

    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.evaluation.judging import judge_encoder
    from dynsim.bridge.networks import build
    from dynsim.bridge.training.encoder import frozen, raw_pixels, recalibrated
    from dynsim.bridge.training.run import streams

    if name == RAW:
        return judge_encoder(images.task, lambda part: raw_pixels(part.pixels), study.judging, images.seed)
    options, keys = study.pretraining, streams(images.seed)
    network = build(options.network)
    pixels = images.task.pretraining.pixels
    params, stats = network.init(keys.weights, pixels.shape[1])
    key = jax.random.fold_in(keys.views, 2**31)
    stats = recalibrated(network, params, stats, pixels, options.views, key, options.batch_size)
    encoder = frozen(network, params, stats)
    return judge_encoder(images.task, lambda part: extract(encoder, part.pixels), study.judging, images.seed)


def _arm(
    study: Study, images: SeedImages, name: str, options: "Pretraining", keep: Path, bar: "StudyBar"
) -> tuple[dict[str, Any], "xr.Dataset"]:
    """Train an arm, or go on with it, and judge it; return its row and what its channels responded to."""
    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.evaluation.judging import judge_encoder
    from dynsim.bridge.measure.dataset import channel_dataset
    from dynsim.bridge.networks import build
    from dynsim.bridge.training import pretrain
    from dynsim.bridge.training.encoder import frozen

    began = time.perf_counter()
    task, label = images.task, part_name(name, images.seed)
    network, epochs = build(options.network), record_epochs(options.epochs)
    trained = pretrain(
        task.pretraining.pixels,
        options,
        images.seed,
        folder=keep,
        measure=channel_measure(network, task, study.measured, images.seed),
        record_epochs=epochs,
        label=label,
        progress=bar,
    )
    took = time.perf_counter() - began
    stats = dense_statistics(network, trained, options, task, images.seed)
    encoder = frozen(network, trained.state.params, stats)
    row = judge_encoder(task, lambda part: extract(encoder, part.pixels), study.judging, images.seed)
    save_encoder(study.folder / "encoders" / f"{keep.name}.safetensors", options, trained.state, stats)
    row["log"] = {quantity: [float(one) for one in values] for quantity, values in trained.log.items()}
    row["train_s"] = took
    return row, channel_dataset(trained.records, epochs, task.counts, task.groups, study.measured)


def save_encoder(path: Path, options: "Pretraining", state: "PretrainState", stats: Any) -> None:
    """Save a trained encoder, and the mask that it was last trained with, under torchvision's names."""
    from dynsim.bridge.networks import save_safetensors
    from dynsim.bridge.training.encoder import DENSE_SET

    path.parent.mkdir(parents=True, exist_ok=True)
    mask = state.mask if options.masking.kind != "none" else None
    save_safetensors(path, options.network, state.params, stats, norm_set=DENSE_SET, mask=mask)


def record_epochs(epochs: int) -> tuple[int, ...]:
    """Return after how many epochs channels are measured: at the start, then ever more seldom, and at the end."""
    steps = np.unique(np.round(np.geomspace(1, epochs, RECORDS)).astype(int))
    return (0, *(int(step) for step in steps))


def channel_measure(network: "Network", task: "Task", per_class: int, seed: int) -> "StateMeasure":
    """Return what is measured at each record: the response of every channel to each class, on images not trained on.

    It uses the running statistics as they are: with the semantics literal those of the masked network.
    """
    import jax

    from dynsim.bridge.measure.probe import balanced_probe
    from dynsim.bridge.measure.responses import measure
    from dynsim.bridge.training.encoder import frozen

    pool = task.validation if len(task.validation.labels) else task.probe
    every = np.arange(len(pool.labels))
    probe = balanced_probe(pool.labels, every, every[:0], n_classes=task.n_classes, per_class=per_class, seed=seed)
    pixels, labels = pool.pixels[probe.images], probe.labels.astype(np.int32)

    @jax.jit
    def measured(encoder: Any, pixels: Any, labels: Any) -> dict[str, Any]:
        return measure(encoder(pixels), labels, task.n_classes, jax.random.key(seed))

    return lambda state: measured(frozen(network, state.params, state.stats), pixels, labels)


def dense_statistics(network: Any, trained: "Trained", options: "Pretraining", task: "Task", seed: int) -> Any:
    """Return batch-norm statistics of the dense network, computed anew where it was never run in training."""
    import jax

    from dynsim.bridge.training.encoder import recalibrated
    from dynsim.bridge.training.run import streams

    masking = options.masking
    if masking.rate == 0 or masking.semantics != "literal":
        return trained.state.stats
    key = jax.random.fold_in(streams(seed).views, 2**31)
    pixels, size = task.pretraining.pixels, options.batch_size
    return recalibrated(network, trained.state.params, trained.state.stats, pixels, options.views, key, size)
