"""Images whose features change most under pruning: ranking by hand, shares of the groups, one-line errors."""

import numpy as np
import pytest

from dynsim.bridge.data import DataError
from dynsim.bridge.evaluation.exemplars import cosine_similarity, find_exemplars
from dynsim.config import ConfigError
from dynsim.stats.proportions import exact_proportion

GROUPS = np.array(["many", "medium", "few"])


def turned(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features of two dimensions, and the same turned by these angles and stretched."""
    start = np.linspace(0, 5, len(angles))
    before = np.stack([np.cos(start), np.sin(start)], axis=1)
    after = np.stack([np.cos(start + angles), np.sin(start + angles)], axis=1)
    return before, after * np.linspace(0.1, 10, len(angles))[:, None]


def test_similarity_is_the_cosine_of_the_angle():
    angles = np.array([0.0, 0.3, np.pi / 2, np.pi, -1.0])
    np.testing.assert_allclose(cosine_similarity(*turned(angles)), np.cos(angles), atol=1e-15)


def test_similarity_of_zeros_and_of_huge_and_tiny_features():
    rows = np.array([[0.0, 0.0], [0.0, 0.0], [1e200, 1e200], [1e-200, 0.0]])
    other = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 3.0], [-5.0, 0.0]])
    np.testing.assert_allclose(cosine_similarity(rows, other), [1.0, 0.0, 1.0, -1.0], atol=1e-15)


def test_the_lowest_share_is_taken_and_counted_by_group():
    """Of 20 images the five with the largest angles are of the classes 2, 2, 2, 1 and 0."""
    angles = np.linspace(0.0, 0.1, 20)
    labels = np.array([0] * 9 + [1] * 6 + [2] * 5)
    angles[[17, 3, 15, 10, 19]] = [3.0, 2.5, 2.0, 1.5, 1.0]
    found = find_exemplars(*turned(angles), labels, GROUPS, lowest=0.25)
    np.testing.assert_array_equal(found.images, [17, 3, 15, 10, 19])
    assert [row.group for row in found.groups] == ["many", "medium", "few"]
    assert [row.n for row in found.groups] == [1, 1, 3]
    assert [row.by_chance for row in found.groups] == [0.45, 0.3, 0.25]
    for row in found.groups:
        assert (row.share, row.low, row.high) == exact_proportion(row.n, 5)


def test_one_per_cent_and_at_least_one_image():
    rng = np.random.default_rng(0)
    for n_images, n_exemplars in ((10_000, 100), (149, 1), (30, 1), (150, 2)):
        before, labels = rng.normal(size=(n_images, 3)), rng.integers(0, 3, n_images)
        assert len(find_exemplars(before, before[:, ::-1], labels, GROUPS).images) == n_exemplars


def test_random_features_show_no_group_more_than_chance():
    """The interval holds the share by chance for nearly all groups when pruning has nothing to do with the class."""
    rng, held = np.random.default_rng(1), []
    for _ in range(40):
        labels = rng.integers(0, 3, 1000)
        found = find_exemplars(*rng.normal(size=(2, 1000, 4)), labels, GROUPS, lowest=0.05)
        held += [row.low <= row.by_chance <= row.high for row in found.groups]
    assert np.mean(held) >= 0.92


def test_of_unchanged_images_the_first_are_taken():
    before = np.ones((10, 2))
    found = find_exemplars(before, before, np.arange(10) % 3, GROUPS, lowest=0.3)
    np.testing.assert_array_equal(found.images, [0, 1, 2])
    np.testing.assert_allclose(found.similarity, 1.0, atol=1e-15)


BEFORE, LABELS = np.ones((6, 2)), np.arange(6) % 3


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: find_exemplars(BEFORE, BEFORE[:5], LABELS, GROUPS), r"after pruning: wanted shape \(6, 2\).*\(5, 2\)"),
        (lambda: find_exemplars(BEFORE, BEFORE / 0, LABELS, GROUPS), "features after pruning: wanted finite"),
        (lambda: find_exemplars(BEFORE, BEFORE, LABELS[:5], GROUPS), "labels: wanted 6.*got 5"),
        (lambda: find_exemplars(BEFORE, BEFORE, LABELS + 1, GROUPS), "labels: wanted 0 to 2, got 3"),
        (lambda: find_exemplars(BEFORE, BEFORE, LABELS, GROUPS, lowest=0.0), "lowest: wanted"),
        (lambda: find_exemplars(BEFORE, BEFORE, LABELS, GROUPS, level=1.0), "level: wanted"),
        (lambda: find_exemplars(BEFORE, BEFORE, LABELS, np.array(["a", "few", "many"])), "groups: wanted many or"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_errors_are_one_line(call, word):
    with pytest.raises((ConfigError, DataError), match=word) as caught:
        call()
    assert "\n" not in str(caught.value)
