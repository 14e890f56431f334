"""Accuracy by class and by group: answers by hand, laws, and one-line errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.bridge.data import DataError, groups_by_size
from dynsim.bridge.evaluation.metrics import (
    BalancedSummary,
    balanced_summary,
    head_tail_gap,
    over_splits,
    per_class_accuracy,
)


def five_of_each(accuracies: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and labels of five images per class with these shares of right ones."""
    labels = np.repeat(np.arange(len(accuracies)), 5)
    right = np.concatenate([np.arange(5) < round(5 * share) for share in accuracies])
    return np.where(right, labels, (labels + 1) % len(accuracies)), labels


def test_accuracy_of_each_class():
    labels = np.array([0, 0, 0, 0, 1, 2, 2])
    predictions = np.array([0, 0, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(per_class_accuracy(predictions, labels, 3), [0.75, 1.0, 0.0])


def test_summary_by_hand():
    """Classes 9 to 6 have most images, so they are many; 5, 4, 3 are medium, and 2, 1, 0 few."""
    accuracy = [0.2, 0.4, 0.6, 0.6, 0.8, 0.4, 1.0, 0.8, 1.0, 0.8]
    counts = np.arange(1, 11) * 10
    found = balanced_summary(*five_of_each(accuracy), counts)
    many, medium, few = 3.6 / 4, 1.8 / 3, 1.2 / 3
    mean = (many + medium + few) / 3
    wanted = BalancedSummary(
        all_classes=6.6 / 10,
        many=many,
        medium=medium,
        few=few,
        group_std=math.sqrt(((many - mean) ** 2 + (medium - mean) ** 2 + (few - mean) ** 2) / 3),
        class_std=math.sqrt(sum((a - 0.66) ** 2 for a in accuracy) / 10),
        delta_20=(1.0 + 0.8) / 2 - (0.2 + 0.4) / 2,
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert all(type(value) is float for value in found)


def test_classes_and_not_images_count_alike():
    labels = np.repeat([0, 1, 2], [8, 1, 1])
    predictions = np.zeros(10, np.int64)
    assert balanced_summary(predictions, labels, np.array([3, 2, 1])).all_classes == pytest.approx(1 / 3, abs=1e-15)


def test_a_group_without_classes_is_nan_and_leaves_the_others():
    counts = np.array([500, 200, 50])
    found = balanced_summary(*five_of_each([1.0, 0.6, 0.4]), counts, groups_by_size(counts))
    assert math.isnan(found.few)
    assert (found.many, found.medium) == (0.8, 0.4)
    assert found.group_std == pytest.approx(0.2, abs=1e-15)


@pytest.mark.parametrize(("n", "ends"), [(3, 1), (5, 1), (9, 1), (10, 2), (14, 2), (100, 20)])
def test_a_fifth_of_the_classes_is_at_either_end(n, ends):
    accuracy = np.random.default_rng(n).random(n)
    counts = np.arange(n, 0, -1)
    wanted = sum(accuracy[:ends]) / ends - sum(accuracy[n - ends :]) / ends
    assert head_tail_gap(accuracy, counts) == pytest.approx(wanted, abs=1e-14)


def test_the_gap_keeps_its_sign_and_breaks_ties_by_number():
    assert head_tail_gap(np.array([0.25, 0.5, 1.0]), np.array([9, 5, 1])) == -0.75
    assert head_tail_gap(np.array([0.25, 0.5, 1.0]), np.array([5, 5, 5])) == -0.75


def test_over_splits_by_hand():
    first = BalancedSummary(0.5, 0.6, 0.5, 0.4, 0.1, 0.2, 0.3)
    second = BalancedSummary(0.7, 0.8, 0.5, float("nan"), 0.3, 0.2, -0.1)
    found = over_splits([first, second])
    assert found.rows == (first, second)
    np.testing.assert_allclose(found.mean, [0.6, 0.7, 0.5, math.nan, 0.2, 0.2, 0.1], atol=1e-15)
    np.testing.assert_allclose(found.std, [0.1, 0.1, 0.0, math.nan, 0.1, 0.0, 0.2], atol=1e-15)
    assert over_splits([first]).std == BalancedSummary(*[0.0] * 7)


def test_a_mean_over_splits_can_hide_a_growing_gap():
    """The mean of Many minus Few grows while the mean deviation within splits falls."""
    turned = [BalancedSummary(0, 0.9, 0.7, 0.5, *np.std([0.9, 0.7, 0.5, 0.7]).repeat(3).tolist())]
    turned += [BalancedSummary(0, 0.5, 0.7, 0.9, *np.std([0.5, 0.7, 0.9, 0.7]).repeat(3).tolist())]
    same = [BalancedSummary(0, 0.8, 0.7, 0.6, *np.std([0.8, 0.7, 0.6, 0.7]).repeat(3).tolist())] * 2
    before, after = over_splits(turned).mean, over_splits(same).mean
    assert after.many - after.few > before.many - before.few
    assert after.group_std < before.group_std


@st.composite
def judged(draw):
    """Return predictions, labels and class counts: every class has a test image, and no two have equal counts."""
    n_classes = draw(st.integers(3, 12))
    extra = draw(st.lists(st.integers(0, n_classes - 1), max_size=30))
    labels = np.concatenate([np.arange(n_classes), np.array(extra, np.int64)])
    guesses = st.lists(st.integers(0, n_classes - 1), min_size=len(labels), max_size=len(labels))
    counts = draw(st.lists(st.integers(1, 10**6), min_size=n_classes, max_size=n_classes, unique=True))
    return np.array(draw(guesses)), labels, np.array(counts)


@settings(max_examples=60)
@given(case=judged(), seed=st.integers(0, 1000))
def test_the_order_of_images_and_the_names_of_classes_do_not_matter(case, seed):
    predictions, labels, counts = case
    rng = np.random.default_rng(seed)
    summary = balanced_summary(predictions, labels, counts)
    order = rng.permutation(len(labels))
    assert balanced_summary(predictions[order], labels[order], counts) == summary
    names = rng.permutation(len(counts))
    renamed = np.zeros_like(counts)
    renamed[names] = counts
    np.testing.assert_allclose(balanced_summary(names[predictions], names[labels], renamed), summary, atol=1e-12)


@settings(max_examples=60)
@given(case=judged())
def test_bounds(case):
    predictions, labels, counts = case
    found = balanced_summary(predictions, labels, counts)
    assert all(0 <= share <= 1 for share in found[:4])
    assert 0 <= found.group_std <= math.sqrt(2) / 3 + 1e-12, "the widest of three shares are 0, 0, 1"
    assert 0 <= found.class_std <= 0.5 + 1e-12
    assert -1 <= found.delta_20 <= 1
    perfect = balanced_summary(labels, labels, counts)
    assert perfect == BalancedSummary(1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


LABELS, COUNTS = np.array([0, 1, 2, 1]), np.array([30, 20, 10])


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: balanced_summary(LABELS[:3], LABELS, COUNTS), "predictions: wanted 4.*got 3"),
        (lambda: balanced_summary(LABELS, LABELS + 1, COUNTS), "labels: wanted 0 to 2, got 3 at image 2"),
        (lambda: balanced_summary(LABELS - 1, LABELS, COUNTS), "predictions: wanted 0 to 2, got -1 at image 0"),
        (lambda: balanced_summary(LABELS * 1.0, LABELS, COUNTS), "predictions: wanted whole numbers"),
        (lambda: balanced_summary(LABELS, np.minimum(LABELS, 1), COUNTS), "test set.*none of class 2"),
        (lambda: balanced_summary(LABELS, LABELS, COUNTS, np.array(["many", "few"])), "groups: wanted 3.*got 2"),
        (lambda: balanced_summary(LABELS, LABELS, COUNTS, np.array(["many", "few", "rare"])), "got 'rare'"),
        (lambda: balanced_summary(LABELS[:0], LABELS[:0], COUNTS), "labels: wanted whole numbers"),
        (lambda: head_tail_gap(np.ones(4), COUNTS), "class counts: wanted 4.*got 3"),
        (lambda: over_splits([]), "at least one split, got none"),
    ],
)
def test_errors_are_one_line(call, word):
    with pytest.raises(DataError, match=word) as caught:
        call()
    assert "\n" not in str(caught.value)
