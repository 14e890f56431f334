"""Training with labels from end to end on a few generated images: resuming, the choice of an epoch, a saved encoder.

The network is one convolution and one matrix, as in test_pretraining.py. One program is compiled for all runs but one,
that with a queue, a second network and targets.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.data.generated import generated_images
from dynsim.bridge.data.tasks import LabelledImages
from dynsim.bridge.networks.files import SavedEncoder
from dynsim.bridge.options import LossParts, Masking, NetworkShape, Supervised
from dynsim.bridge.supervised import epoch, parts, train_with_labels
from dynsim.bridge.supervised import run as module
from dynsim.bridge.supervised.objective import JointLoss
from dynsim.bridge.training import loop
from dynsim.bridge.training.loop import Recorder
from dynsim.config import ConfigError
from dynsim.engine import checkpoint
from tests.shallow_network import shallow

COUNTS = np.array([8, 4, 2])
MADE = generated_images(8, n_classes=3, side=8)
KEPT = np.concatenate([np.flatnonzero(MADE.labels == label)[:n] for label, n in enumerate(COUNTS)])
IMAGES = LabelledImages(MADE.pixels[KEPT], MADE.labels[KEPT])
VALIDATION = LabelledImages(MADE.pixels[-6:], MADE.labels[-6:])
OPTIONS = Supervised(
    network=NetworkShape(architecture="resnet20", width=1 / 16, norm_sets=2, embedding_dim=4),
    masking=Masking(kind="random", rate=0.5),
    views=("probe", "probe", "probe", "none"),
    epochs=3,
    batch_size=8,
    warmup_epochs=1,
    weight=0.5,
    temperature=0.2,
    milestones=(2,),
    reweight_from=2,
)
QUEUED = dataclasses.replace(
    OPTIONS,
    network=dataclasses.replace(OPTIONS.network, norm_sets=1),
    masking=dataclasses.replace(OPTIONS.masking, semantics="masked_key"),
    contrastive="tsc",
    parts=LossParts(queue=20, positives=2, key_momentum=0.5),
)
"""A loss with all that goes from step to step."""
FOLLOWED = dataclasses.replace(
    QUEUED,
    masking=Masking(),
    contrastive="kcl",
    view_counts="uniform",
    views=("none", "none"),
    epochs=2,
    batch_size=14,
    warmup_epochs=0,
    reweight_from=None,
)
"""One step in each epoch; the second network keeps half of its parameters."""


@pytest.fixture(autouse=True, scope="module")
def _shallow_networks():
    caches = (epoch.compiled_label_epoch, parts.network_of, parts.evaluation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "build", shallow)
        for one in caches:
            one.cache_clear()
        yield
    for one in caches:
        one.cache_clear()


def same(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f") for a, b in pairs)


def record(state) -> dict[str, np.ndarray]:
    now = state.now
    found = {
        "kernel": now.params["classifier"]["kernel"],
        "centres": now.centres,
        "conv": now.params["network"]["conv1"]["kernel"],
    }
    return {name: np.asarray(one) for name, one in found.items()}


def train(options=OPTIONS, **more):
    arguments = {"seed": 1, "validation": VALIDATION, "measure": record, "record_epochs": (0, 1, 2, 3), **more}
    return train_with_labels(IMAGES, COUNTS, options, **arguments)


@pytest.fixture(scope="module")
def scripted():
    """A run whose second epoch is the best on the validation images."""
    accuracies = iter((0.2, 0.5, 0.4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "balanced_accuracy", lambda *arguments: next(accuracies))
        return train()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("options", [OPTIONS, pytest.param(QUEUED, marks=pytest.mark.slow)], ids=["plain", "queue"])
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path, monkeypatch, options):
    whole = train(options)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    advance, calls = module._LabelRun.epoch, []

    def dies_at_the_third(run, state, number):
        calls.append(number)
        if len(calls) == 3:
            raise Killed
        return advance(run, state, number)

    monkeypatch.setattr(module._LabelRun, "epoch", dies_at_the_third)
    with pytest.raises(Killed):
        train(options, folder=tmp_path)
    again = train(options, folder=tmp_path)
    assert calls == [0, 1, 2, 2]
    assert same(again[1:], whole[1:])
    with pytest.raises(checkpoint.CheckpointError, match="config_hash"):
        train(options, folder=tmp_path, seed=2)
    if options is QUEUED:
        _the_queue_has_gone_round(whole)


def _the_queue_has_gone_round(whole):
    """Each of 14 images has entered three times, and what is compared is not what there was at the start."""
    last = whole.last
    assert (int(last.keys.moving.place), int(last.keys.moving.filled)) == (3 * 14 % 20, 20)
    np.testing.assert_allclose(np.linalg.norm(last.keys.moving.queue[0], axis=1), 1, rtol=1e-5)
    kernel, trained = (one["conv1"]["kernel"] for one in (last.keys.moving.params, last.params["network"]))
    assert not same(kernel, whole.records["conv"][0]) and not same(kernel, trained)
    cosines = np.asarray(last.targets) @ np.asarray(last.targets).T
    np.testing.assert_allclose(cosines, np.where(np.eye(3, dtype=bool), 1, -1 / 2), atol=1e-6)
    assert last.stats["seen"].tolist() == [3 * 14 * 3] and last.keys.moving.stats["seen"].tolist() == [3 * 14]


def test_the_second_network_follows_before_the_update_of_the_trained_one():
    """So it is a step behind: in the first it follows parameters that it equals. Halves of numbers are exact."""

    def both(state):
        trained, following = state.now.params["network"], state.now.keys.moving.params
        return {"trained": np.asarray(trained["head"]), "following": np.asarray(following["head"])}

    record = train(FOLLOWED, validation=None, measure=both, record_epochs=(0, 1, 2)).records
    trained, following = record["trained"], record["following"]
    assert not same(trained[1], trained[0]) and same(following[1], trained[0])
    assert same(following[2], (trained[0] + trained[1]) / 2)


def test_each_step_of_an_epoch_draws_its_positives_anew(monkeypatch):
    """Images are in memory. In place of the loss, which says nothing about draws, is the first number of its key."""

    def told(joint, params, stats, mask, rows, roles, facts, keys, draws, *numbers):
        loss = jnp.sum(params["network"]["head"])
        return JointLoss(loss, loss, jax.random.uniform(draws), loss, stats, facts.centres, keys)

    monkeypatch.setattr(epoch, "joint_loss", told)
    options = dataclasses.replace(FOLLOWED, batch_size=7)
    run = module._LabelRun(IMAGES, COUNTS, options, 1, None, None, Recorder(None, ()))
    program = epoch.compiled_label_epoch.__wrapped__(epoch.LabelProgram.of(options, run.blocks))  # not kept for others
    state, first = run.source.epoch(program, run.start().now, run._inputs(0), run.blocks)
    _, second = run.source.epoch(program, state, run._inputs(1), run.blocks)
    drawn = np.concatenate([first.contrastive_loss, second.contrastive_loss])
    assert len(np.unique(drawn)) == len(drawn) == 4


def test_the_best_epoch_on_validation_images_is_kept(scripted):
    assert scripted.epoch == 2 and scripted.log["validation"].tolist() == pytest.approx([0.2, 0.5, 0.4])
    assert same(scripted.params["classifier"]["kernel"], scripted.records["kernel"][2])
    assert same(scripted.last.params["classifier"]["kernel"], scripted.records["kernel"][3])
    assert not same(scripted.records["kernel"][2], scripted.records["kernel"][3])


def test_predictions_are_those_of_the_kept_weights(scripted):
    images = jnp.asarray(VALIDATION.pixels, jnp.float32) / 255
    seen = shallow(OPTIONS.network).apply(scripted.params["network"], scripted.stats, images, train=False)
    kept = scripted.params["classifier"]
    logits = np.asarray(seen.features) @ np.asarray(kept["kernel"]) + np.asarray(kept["bias"])
    assert scripted.predict(VALIDATION).tolist() == np.argmax(logits, axis=1).tolist()


def test_what_is_logged_and_seen(scripted):
    log = scripted.log
    total = log["classifier_loss"] + 0.5 * log["contrastive_loss"]
    np.testing.assert_allclose(log["loss"], total, rtol=1e-5)
    # all 14 images are in classes of fewer than 20, so each has 4 views, of which the masked network sees the second
    assert scripted.last.stats["seen"].tolist() == [3 * 14 * 3, 3 * 14]
    np.testing.assert_allclose(log["mask_changed"][1:], 0.5, atol=0.1)
    np.testing.assert_allclose(np.linalg.norm(scripted.records["centres"], axis=2)[1:], 1, rtol=1e-5)
    assert not scripted.records["centres"][0].any()


def test_without_validation_images_the_last_epoch_is_taken():
    found = train(validation=None)
    assert found.epoch == 3 and np.isnan(found.log["validation"]).all()
    assert same(found.params, found.last.params)


def test_a_run_starts_from_an_encoder():
    kernel = np.arange(108, dtype=np.float32).reshape(3, 3, 3, 4) / 100
    shape = dataclasses.replace(OPTIONS.network, norm_sets=1, head_layers=0)
    saved = SavedEncoder(shape, {"conv1": {"kernel": kernel}}, {"seen": np.zeros(1, np.float32)}, None)
    found, plain = train(encoder=saved, validation=None), train(validation=None)
    assert same(found.records["conv"][0], kernel) and not same(plain.records["conv"][0], kernel)
    assert same(found.records["kernel"][0], plain.records["kernel"][0])
    with pytest.raises(ConfigError, match="architecture: wanted resnet20, as in"):
        train(encoder=saved._replace(shape=dataclasses.replace(shape, architecture="resnet18")))


@pytest.mark.parametrize(
    ("images", "counts", "words"),
    [
        (IMAGES, None, "counts: wanted the number of training images of each class, got None"),
        (IMAGES, np.array([8, 4, 0]), "counts: wanted one number above 0 for each class"),
        (IMAGES, COUNTS[:2], "images: labels: wanted 0 to 1, as there are 2 counts, got 2"),
        (LabelledImages(IMAGES.pixels, IMAGES.labels[:-1]), COUNTS, "images: labels: wanted 14, one for each image"),
        (LabelledImages(IMAGES.pixels, IMAGES.labels / 2), COUNTS, "images: labels: wanted whole numbers"),
        (LabelledImages(IMAGES.pixels[:, 0], IMAGES.labels), COUNTS, "pixels: wanted uint8 images"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(images, counts, words):
    with pytest.raises(ConfigError) as caught:
        train_with_labels(images, counts, OPTIONS, 0)
    assert words in str(caught.value) and "\n" not in str(caught.value)
