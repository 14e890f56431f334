"""The runs of the comparison on images: one arm with one seed at a time, trained, judged, and saved at once."""

import dataclasses
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dynsim.config.checks import require
from experiments.cifar.arms import MAIN, find_arm
from experiments.cifar.files import save_encoder
from experiments.cifar.measuring import RECORDS, channel_measure, check_measured

if TYPE_CHECKING:
    import xarray as xr

    from dynsim.bridge.data.tasks import Task
    from dynsim.bridge.options import Judging, LongTail, Pretraining
    from dynsim.engine.progress import StudyBar

RAW, UNTRAINED = "raw pixels", "untrained network"
BASELINES = (RAW, UNTRAINED)


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

    Errors: `ConfigError` in one line, before anything is trained, for more measured images than there are, and for
        a single epoch.
    """
    from dynsim.study import shared_bar

    require(study.pretraining.epochs > 1, "epochs", "at least 2, since stages are read off three records or more", 1)
    options = {arm: find_arm(arm).change(study.pretraining) for arm in arms}
    images = {seed: SeedImages(study, seed) for seed in seeds}
    check_measured(images[seeds[0]].task, study.measured)  # all seeds hold out the same images
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
        return self._made(self.study.long_tail)

    @functools.cached_property
    def balanced_task(self) -> "Task":
        """The same task, but that training is on the balanced set."""
        return self._made(dataclasses.replace(self.study.long_tail, balanced=True))

    def _made(self, long_tail: "LongTail") -> "Task":
        from dynsim.bridge.data.tasks import make_task

        return make_task(long_tail, self.seed, self.study.data_folder)


def _part(study: Study, images: SeedImages, name: str, options: "Pretraining | None", bar: "StudyBar") -> ImageRun:
    """Return one arm, or a baseline where there are no options; trained and judged now or by an earlier call."""
    from dynsim import results
    from dynsim.engine import checkpoint
    from dynsim.study import keep_numbers, part_path

    label = part_name(name, images.seed)
    path = part_path(study.folder, label)
    keep = path.with_suffix("")
    balanced = options is not None and find_arm(name).balanced
    long_tail = dataclasses.replace(study.long_tail, balanced=True) if balanced else study.long_tail
    made_from = {
        "pretraining": (options or study.pretraining).values(),
        "long_tail": dataclasses.asdict(long_tail),
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

    from dynsim.bridge.evaluation.judging import judge_encoder
    from dynsim.bridge.networks import build
    from dynsim.bridge.training.encoder import frozen, raw_pixels, recalibrated
    from dynsim.bridge.training.loop import streams

    if name == RAW:
        return judge_encoder(images.task, jax.tree_util.Partial(raw_pixels), study.judging, images.seed)
    options, keys = study.pretraining, streams(images.seed)
    network = build(options.network)
    pixels = images.task.pretraining.pixels
    params, stats = network.init(keys.weights, pixels.shape[1])
    key = jax.random.fold_in(keys.views, 2**31)
    stats = recalibrated(network, params, stats, pixels, options.views, key, options.batch_size)
    return judge_encoder(images.task, frozen(network, params, stats), study.judging, images.seed)


def _arm(
    study: Study, images: SeedImages, name: str, options: "Pretraining", keep: Path, bar: "StudyBar"
) -> tuple[dict[str, Any], "xr.Dataset"]:
    """Train an arm, or go on with it, and judge it; return its row and what its channels responded to."""
    from dynsim.bridge.evaluation.judging import judge_encoder
    from dynsim.bridge.measure.dataset import channel_dataset
    from dynsim.bridge.networks import build
    from dynsim.bridge.training import pretrain
    from dynsim.bridge.training.encoder import dense_statistics, frozen
    from dynsim.bridge.training.loop import spaced_epochs

    began = time.perf_counter()
    task = images.balanced_task if find_arm(name).balanced else images.task
    network, epochs = build(options.network), spaced_epochs(options.epochs, RECORDS)
    trained = pretrain(
        task.pretraining.pixels,
        options,
        images.seed,
        folder=keep,
        measure=channel_measure(network, options, task, study.measured, images.seed),
        record_epochs=epochs,
        label=part_name(name, images.seed),
        progress=bar,
    )
    took = time.perf_counter() - began
    params, pixels = trained.state.params, task.pretraining.pixels
    stats = dense_statistics(network, options, images.seed, params, trained.state.stats, pixels)
    row = judge_encoder(task, frozen(network, params, stats), study.judging, images.seed)
    save_encoder(study.folder / "encoders" / f"{keep.name}.safetensors", options, trained.state, stats)
    row["log"] = {quantity: [float(one) for one in values] for quantity, values in trained.log.items()}
    row["train_s"] = took
    return row, channel_dataset(trained.records, epochs, task.counts, task.groups, study.measured)
