"""The images of a run: what belongs to which set, and options that make none."""

import numpy as np
import pytest

from dynsim.bridge.data import DataError
from dynsim.bridge.data.generated import generated_images
from dynsim.bridge.data.tasks import make_task
from dynsim.bridge.options import LongTail
from dynsim.config import ConfigError

GENERATED = LongTail(images="generated", imbalance=9.0, few_shot=0.1)


def rows(part) -> set[bytes]:
    return {image.tobytes() for image in part.pixels}


def test_sets_of_a_task():
    task = make_task(GENERATED, seed=4)
    # 60 images of each class, 6 of them held out: 54 for the largest class and a ninth of it for the smallest
    assert sorted(task.counts.tolist())[0] == 6 and task.counts.max() == 54
    np.testing.assert_array_equal(np.bincount(task.pretraining.labels), task.counts)
    assert np.bincount(task.few_shot.labels).tolist() == [5] * 10
    assert np.bincount(task.validation.labels).tolist() == [6] * 10
    assert np.bincount(task.probe.labels).tolist() == [54] * 10
    assert np.bincount(task.test.labels).tolist() == [30] * 10
    assert task.n_classes == 10
    assert not rows(task.validation) & rows(task.probe)
    assert not rows(task.test) & rows(task.probe)
    assert rows(task.pretraining) <= rows(task.probe)
    assert rows(task.few_shot) <= rows(task.pretraining)
    few = set(np.flatnonzero(task.groups == "few").tolist())
    assert few == set(np.argsort(task.counts, kind="stable")[:3].tolist())


def test_seeds_draw_other_splits_of_the_same_images():
    first, again, other = (make_task(GENERATED, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.pretraining.pixels, again.pretraining.pixels)
    assert first.counts.tolist() != other.counts.tolist()
    assert rows(first.validation) == rows(other.validation)


def test_balanced_set_is_judged_by_the_classes_of_the_long_tailed_one():
    balanced = make_task(LongTail(images="generated", imbalance=9.0, few_shot=0.1, balanced=True), seed=4)
    assert set(np.bincount(balanced.pretraining.labels).tolist()) == {balanced.counts.sum() // 10}
    np.testing.assert_array_equal(balanced.counts, make_task(GENERATED, seed=4).counts)


def test_labels_of_the_probe_can_be_limited():
    task = make_task(LongTail(images="generated", imbalance=9.0, few_shot=0.1, labelled=7), seed=0)
    assert np.bincount(task.probe.labels).tolist() == [7] * 10


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: make_task(LongTail(images="generated", imbalance=9.0), 0), DataError, "few_shot: wanted at least one"),
        (lambda: make_task(LongTail(images="generated", imbalance=99.0), 0), DataError, "imbalance factor: wanted"),
        (lambda: LongTail(split="released", imbalance=10.0), ConfigError, "split: wanted drawn"),
        (lambda: LongTail(few_shot=0.0), ConfigError, "few_shot: wanted"),
    ],
)
def test_options_that_make_no_task_are_refused_in_one_line(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_generated_images_show_their_class():
    images = generated_images(40, seed=5)
    assert images.pixels.dtype == np.uint8 and images.pixels.shape == (400, 16, 16, 3)
    means = np.stack([images.pixels[images.labels == label].mean(axis=(0, 1, 2)) for label in range(10)])
    own = images.pixels.mean(axis=(1, 2))
    nearest = np.argmin(np.linalg.norm(own[:, None] - means[None], axis=2), axis=1)
    assert np.mean(nearest == images.labels) > 0.3  # ten classes
    assert not np.array_equal(generated_images(40, seed=6).pixels, images.pixels)
