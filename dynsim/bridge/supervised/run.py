"""A training with labels: epochs, validation, the choice of an epoch, records, checkpoints."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dynsim.bridge.data.lists import ImageList
from dynsim.bridge.data.tasks import LabelledImages
from dynsim.bridge.evaluation.features import digest, extract
from dynsim.bridge.networks.files import SavedEncoder
from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.supervised.epoch import LabelInputs, LabelLog, LabelProgram, LabelState, compiled_label_epoch
from dynsim.bridge.supervised.inputs import check_labelled, started_from
from dynsim.bridge.supervised.memory import first_labelled_keys
from dynsim.bridge.supervised.parts import LabelParams, columns_of, evaluated, first_params, network_of, trained_part
from dynsim.bridge.supervised.rows import block_sizes, view_rows, views_of_classes
from dynsim.bridge.supervised.sources import ListedImages, ResidentImages, identifying_arrays, listed_table
from dynsim.bridge.training.loop import Recorder, StateMeasure, digest_of, order_of_epoch, run_epochs, streams
from dynsim.bridge.training.masking import next_mask
from dynsim.bridge.training.schedules import optimizer, supervised_rates
from dynsim.engine.progress import Bar
from dynsim.losses.centres import spread_targets
from dynsim.losses.classifier import deferred_weights
from dynsim.prune import masks
from dynsim.randomness.streams import step_key

LABEL_LOGGED = (*LabelLog._fields, "mask_changed", "validation")


class Chosen(NamedTuple):
    """The state of a training with labels, and what was best on the validation images so far."""

    now: LabelState
    params: LabelParams
    """Parameters of the best epoch."""
    stats: Any
    """Its batch-norm statistics."""
    accuracy: Array
    """Its accuracy on the validation images, all classes counting alike; -1 before the first validation."""
    epoch: Array
    """Its number, counted from 1; 0 before the first validation."""


class Classifier(NamedTuple):
    """The end of a training with labels: the network and classifier of the best epoch, and the record of all."""

    options: Supervised
    params: LabelParams
    """network, classifier, and prototypes where there are some."""
    stats: Any
    epoch: int
    """The epoch that was chosen, counted from 1: the best on the validation images, without such images the last."""
    last: LabelState
    """The state after the last epoch."""
    log: dict[str, np.ndarray]
    """Of each epoch, shape (epoch,): means over its steps, and `validation`, the accuracy after it, NaN where it was
    not measured."""
    records: dict[str, np.ndarray]
    """What was measured, shape (record, ...), by name."""

    def predict(self, images: LabelledImages | ImageList) -> np.ndarray:
        """Return the predicted class of each image; of one in a file, that of its central square."""
        return predicted_classes(self.options, self.params, self.stats, images)


def predicted_classes(
    options: Supervised, params: LabelParams, stats: Any, images: LabelledImages | ImageList
) -> np.ndarray:
    """Return the class with the largest logit for each image, shape (image,)."""
    network = evaluated(options, params, stats)
    if isinstance(images, ImageList):
        table = listed_table(network, images, options)
    else:
        table = extract(network, images.pixels)
    return np.argmax(columns_of(options, table)[2], axis=1)


def train_with_labels(
    images: LabelledImages | ImageList,
    counts: np.ndarray | None,
    options: Supervised,
    seed: int,
    *,
    validation: LabelledImages | ImageList | None = None,
    encoder: SavedEncoder | None = None,
    folder: Path | None = None,
    measure: StateMeasure | None = None,
    record_epochs: Sequence[int] = (),
    label: str = "training with labels",
    progress: bool | Bar = False,
) -> Classifier:
    """Train a network and a classifier on labelled images, or go on with a run that was interrupted.

    As in `pretrain`, a killed run ends with the same bits as another, and runs with the same seed start from the same
    weights and see the same first two views in the same order, whatever their losses.

    Args:
        images: uint8 pixels of shape (image, side, side, 3), and a label for each, which are kept on the device; or a
            list of files (`load_list`), which are read batch by batch, so that no more than two batches are in memory.
        counts: training images of each class, shape (class,), which the losses weigh classes by.
        options: network, losses, views, optimiser.
        seed: chooses weights, order, views and random masks.
        validation: images by which the best epoch is chosen; None or no images: the last epoch is taken.
        encoder: start from this one (`networks.load_safetensors`), with a new head; None: from random weights.
        folder, record_epochs, label, progress: as for `pretrain`.
        measure: (a `Chosen`) -> what to record beside the log.

    Errors: `ConfigError` for images, labels and class sizes that do not fit, for an encoder of another shape, and for
        views that do not make one size of all files; `DataError` for a file that is no image; `CheckpointError` for a
        damaged or foreign checkpoint; each in one line.
    """
    n_images = check_labelled(images, counts, "images")
    if validation is not None and len(validation.labels):
        check_labelled(validation, counts, "validation")
    else:
        validation = None
    assert counts is not None and n_images  # for the type checker: check_labelled refuses None
    run = _LabelRun(images, counts, options, seed, validation, encoder, Recorder(measure, record_epochs))
    done = run_epochs(run, run.identity(), folder, label, progress)
    log = {name: done.log[:, k] for k, name in enumerate(LABEL_LOGGED)}
    state: Chosen = done.state
    return Classifier(options, state.params, state.stats, int(state.epoch), state.now, log, done.records)


class _LabelRun:
    """What stays the same in all epochs of a run."""

    n_logged = len(LABEL_LOGGED)

    def __init__(
        self,
        images: LabelledImages | ImageList,
        counts: np.ndarray,
        options: Supervised,
        seed: int,
        validation: LabelledImages | ImageList | None,
        encoder: SavedEncoder | None,
        recorder: Recorder,
    ) -> None:
        self.options, self.seed, self.counts, self.recorder = options, seed, counts, recorder
        self.validation, self.encoder = validation, encoder
        self.source = ListedImages(images, options) if isinstance(images, ImageList) else ResidentImages(images)
        self.keys, self.network = streams(seed), network_of(options.network)
        self.n_epochs, self.n_images = options.epochs, len(images.labels)
        self.n_views = views_of_classes(options, counts)[images.labels]
        uniform = len(np.unique(self.n_views)) == 1
        looked_at = range(1 if uniform else options.epochs)
        self.blocks = block_sizes(self.n_views, (self.batches(epoch) for epoch in looked_at))
        self.program = compiled_label_epoch(LabelProgram.of(options, self.blocks, self.source.recipes))
        self.n_steps = -(-self.n_images // options.batch_size)
        self.rates = supervised_rates(options, self.n_steps)

    def batches(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of each batch of an epoch, and which are no padding."""
        return order_of_epoch(self.keys, epoch, self.n_images, self.options.batch_size)

    def identity(self) -> str:
        """Return 12 hexadecimal digits that identify the run: its options, seed, images and first encoder."""
        arrays = [*identifying_arrays(self.source.images), self.counts]
        if self.validation is not None:
            arrays += identifying_arrays(self.validation)
        first = None if self.encoder is None else digest((self.encoder.params, self.encoder.stats))
        values = [self.options.values(), self.seed, digest_of(*arrays), first]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def start(self) -> Chosen:
        """Return the state before the first epoch."""
        shape, key = self.options.network, self.keys.weights
        network, stats = self.network.init(key, self.source.side)
        if self.encoder is not None:
            network, stats = started_from(self.encoder, shape, network, stats)
        params = first_params(jax.random.fold_in(key, 2), network, self.options, len(self.counts))
        zero = jnp.float32(0)
        mask = masks.all_kept(self.network.prunable(network))
        width = shape.embedding_dim if shape.head_layers else shape.feature_dim
        centres = jnp.zeros((len(self.counts), width), jnp.float32)
        keys = first_labelled_keys(self.options.contrastive, self.options.parts, network, stats, shape)
        targets = None
        if self.options.contrastive == "tsc":
            targets = jnp.asarray(spread_targets(*centres.shape, key=jax.random.fold_in(key, 3)), jnp.float32)
        first = optimizer("sgd", zero, zero, zero).init(trained_part(params, self.options.trained)[0])
        now = LabelState(params, stats, first, mask, centres, keys, targets)
        return Chosen(now, _copied(params), _copied(stats), jnp.float32(-1), jnp.int32(0))

    def epoch(self, state: Chosen, epoch: int) -> tuple[Chosen, list[float]]:
        """Return the state one epoch later, and what is logged."""
        options, now = self.options, state.now
        weights = self.network.prunable(now.params["network"])
        mask, changed = next_mask(options.masking, weights, now.mask, self.keys.pruning, epoch)
        now, log = self.source.epoch(self.program, now._replace(mask=mask), self._inputs(epoch), self.blocks)
        state = state._replace(now=now)
        last = epoch + 1 == options.epochs
        accuracy = float("nan")
        if self.validation is not None and (last or (epoch + 1) % options.validate_every == 0):
            found = predicted_classes(options, now.params, now.stats, self.validation)
            accuracy = balanced_accuracy(found, self.validation.labels)
        if accuracy > float(state.accuracy) or (last and self.validation is None):
            best = (_copied(now.params), _copied(now.stats), jnp.float32(accuracy), jnp.int32(epoch + 1))
            state = Chosen(now, *best)
        return state, [*(float(np.mean(one)) for one in log), changed, accuracy]

    def _inputs(self, epoch: int) -> LabelInputs:
        options = self.options
        order, valid = view_rows(*self.batches(epoch), self.n_views, self.blocks)
        counts = jnp.asarray(self.counts, jnp.float32)
        first = options.reweight_from
        weights = jnp.ones_like(counts) if first is None else deferred_weights(counts, epoch, first_epoch=first)
        numbers = (options.weight, options.temperature, options.centre_momentum, options.weight_decay, options.momentum)
        return LabelInputs(
            jnp.asarray(order),
            jnp.asarray(valid),
            step_key(self.keys.views, jnp.uint32(epoch)),
            step_key(self.keys.positives, jnp.uint32(epoch)),
            jnp.asarray(self.rates[epoch * self.n_steps : (epoch + 1) * self.n_steps]),
            counts,
            weights.astype(jnp.float32),
            *(jnp.float32(one) for one in numbers),
        )


def balanced_accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean accuracy over those classes that have images, each counting alike."""
    present, numbered = np.unique(labels, return_inverse=True)
    hit = predictions == labels
    return float(np.mean(np.bincount(numbered, weights=hit) / np.bincount(numbered, minlength=len(present))))


def _copied(tree: Any) -> Any:
    """Return the arrays once more: those of a state are used up by the next epoch."""
    return jax.tree.map(jnp.copy, tree)
