"""The runs of the comparison on images: one arm with one seed at a time, trained, judged, and saved at once."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.images.arms import ARMS

if TYPE_CHECKING:
    from dynsim.bridge.data.tasks import LongTail, Task
    from dynsim.bridge.evaluation.judging import Judging
    from dynsim.bridge.training import Pretraining, Trained
    from dynsim.engine.progress import StudyBar

RAW, UNTRAINED = "raw pixels", "untrained network"
BASELINES = (RAW, UNTRAINED)


class Study(NamedTuple):
    """What all runs of a study share."""

    pretraining: "Pretraining"
    long_tail: "LongTail"
    judging: "Judging"
    data_folder: Path | None
    folder: Path
    """Where finished parts, checkpoints and encoders are kept."""


def run_all(study: Study, arms: tuple[str, ...], seeds: range) -> list[dict[str, Any]]:
    """Train and judge every arm with every seed, and the baselines with every seed; return a row for each.

    A row that an earlier call finished is taken from the folder, and an arm that was interrupted goes on from its last
    checkpoint.
    """
    from dynsim.study import shared_bar

    options = {arm: ARMS[arm].change(study.pretraining) for arm in arms}
    rows = []
    with shared_bar("images") as bar:
        for seed in seeds:
            for arm, one in options.items():
                bar.add(part_name(arm, seed), float(one.epochs))
        for seed in seeds:
            images = _Images(study, seed)
            rows += [_part(study, images, name, None, bar) for name in BASELINES]
            rows += [_part(study, images, arm, one, bar) for arm, one in options.items()]
    return rows


def part_name(arm: str, seed: int) -> str:
    """Return the name of a part of the study."""
    return f"{arm}, seed {seed}"


class _Images:
    """The images of a seed, read when they are first needed."""

    def __init__(self, study: Study, seed: int) -> None:
        self.study, self.seed, self._task = study, seed, None

    @property
    def task(self) -> "Task":
        """The task of this seed."""
        from dynsim.bridge.data.tasks import make_task

        if self._task is None:
            self._task: Task | None = make_task(self.study.long_tail, self.seed, self.study.data_folder)
        return self._task


def _part(study: Study, images: _Images, name: str, options: "Pretraining | None", bar: "StudyBar") -> dict[str, Any]:
    """Return the row of one arm, or of a baseline where there are no options; trained and judged now or earlier."""
    from dynsim.engine import checkpoint
    from dynsim.study import keep_numbers, part_path

    label = part_name(name, images.seed)
    keep = part_path(study.folder, label).with_suffix("")
    made_from = {
        "pretraining": None if options is None and name == RAW else dataclasses.asdict(options or study.pretraining),
        "long_tail": dataclasses.asdict(study.long_tail),
        "judging": dataclasses.asdict(study.judging),
        "seed": images.seed,
    }

    def make() -> dict[str, Any]:
        began = time.perf_counter()
        if options is None:
            row = _baseline(study, images, name)
        else:
            row = _arm(study, images, name, options, keep, bar)
        row |= {"arm": name, "seed": images.seed, "counts": images.task.counts.tolist()}
        accuracy = row["linear"]["all_classes"]
        bar.say(f"{label}: linear probe {accuracy:.1%}, {time.perf_counter() - began:.0f} s")
        return row

    row = keep_numbers(study.folder, label, made_from, make)
    checkpoint.clear(keep)
    if options is not None and label not in bar.counted:
        bar.counted.add(label)
        bar.skip(float(options.epochs))
    return row


def _baseline(study: Study, images: _Images, name: str) -> dict[str, Any]:
    """Judge the pixels themselves, or the network with its first weights."""
    import jax

    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.evaluation.judging import judge
    from dynsim.bridge.networks import build
    from dynsim.bridge.training.encoder import frozen, raw_pixels, recalibrated
    from dynsim.bridge.training.run import streams

    if name == RAW:
        return judge(images.task, lambda part: raw_pixels(part.pixels), study.judging, images.seed)
    options, keys = study.pretraining, streams(images.seed)
    network = build(options.network)
    pixels = images.task.pretraining.pixels
    params, stats = network.init(keys.weights, pixels.shape[1])
    key = jax.random.fold_in(keys.views, 2**31)
    stats = recalibrated(network, params, stats, pixels, options.views, key, options.batch_size)
    encoder = frozen(network, params, stats)
    return judge(images.task, lambda part: extract(encoder, part.pixels), study.judging, images.seed)


def _arm(
    study: Study, images: _Images, name: str, options: "Pretraining", keep: Path, bar: "StudyBar"
) -> dict[str, Any]:
    """Train an arm, or go on with it, and judge it."""
    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.evaluation.judging import judge
    from dynsim.bridge.networks import build
    from dynsim.bridge.training import pretrain
    from dynsim.bridge.training.encoder import frozen

    began = time.perf_counter()
    task, label = images.task, part_name(name, images.seed)
    trained = pretrain(task.pretraining.pixels, options, images.seed, folder=keep, label=label, progress=bar)
    took = time.perf_counter() - began
    network = build(options.network)
    stats = dense_statistics(network, trained, options, task, images.seed)
    encoder = frozen(network, trained.state.params, stats)
    row = judge(task, lambda part: extract(encoder, part.pixels), study.judging, images.seed)
    row["log"] = {quantity: [float(one) for one in values] for quantity, values in trained.log.items()}
    row["train_s"] = took
    return row


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
