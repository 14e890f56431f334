"""Nearest neighbours against a loop in NumPy, ties by hand, blocks, and one-line errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.bridge.data import DataError
from dynsim.bridge.evaluation.inputs import FeatureSet
from dynsim.bridge.evaluation.knn import find_neighbours, knn_predict, vote
from dynsim.config import ConfigError

N, Q, D, C = 30, 11, 5, 4


def unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def by_loop(train: FeatureSet, queries: np.ndarray, k: int, temperature: float | None) -> list[int]:
    """Return the classes, image by image."""
    found = []
    for query in unit(queries):
        similarity = unit(train.features) @ query
        nearest = np.argsort(-similarity, kind="stable")[:k]
        votes = dict.fromkeys(range(C), 0.0)
        for one in nearest:
            weight = 1.0 if temperature is None else np.exp(similarity[one] / temperature)
            votes[train.labels[one]] += weight
        best = [label for label, sum_of in votes.items() if sum_of == max(votes.values())]
        found.append(next(label for label in train.labels[nearest] if label in best))
    return found


def a_set(seed: int) -> tuple[FeatureSet, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(C), rng.integers(0, C, N - C)])
    return FeatureSet(rng.normal(size=(N, D)), labels), rng.normal(size=(Q, D))


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("temperature", [None, 0.1])
def test_votes_are_those_of_the_loop(temperature, seed):
    """Blocks of 8 training images and of 4 to classify: neither divides what there is."""
    train, queries = a_set(seed)
    found = knn_predict(train, queries, C, 7, temperature=temperature, query_block=4, train_block=8)
    np.testing.assert_array_equal(found, by_loop(train, queries, 7, temperature))
    assert found.dtype == np.int64


@pytest.mark.parametrize(("queries_at_once", "trained_at_once"), [(1000, 10_000), (4, 8), (4, 3), (11, 30)])
def test_the_blocks_do_not_matter(queries_at_once, trained_at_once):
    train, queries = a_set(2)
    blocks = {"query_block": queries_at_once, "train_block": trained_at_once}
    np.testing.assert_array_equal(knn_predict(train, queries, C, 7, **blocks), by_loop(train, queries, 7, None))


def test_the_nearest_neighbour_decides_between_equal_votes():
    train = FeatureSet(np.array([[3.0, 0.0], [2.0, 1.0], [1.0, 2.0], [0.0, 1.0]]), np.array([1, 0, 0, 1]))
    queries = np.array([[9.0, 0.1], [1.9, 1.0]])
    np.testing.assert_array_equal(knn_predict(train, queries, 2, 4), [1, 0])
    np.testing.assert_array_equal(knn_predict(train, queries, 2, 1), [1, 0])


def test_of_equally_similar_images_the_earlier_is_nearer():
    train = FeatureSet(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 4.0]]), np.array([2, 1, 0, 2]))
    queries = np.array([[5.0, 0.0], [0.0, 0.5]])
    for block in (4, 1):
        np.testing.assert_array_equal(knn_predict(train, queries, 3, 1, train_block=block), [2, 0])


def test_lengths_of_features_do_not_matter_and_zeros_are_no_error():
    train, queries = a_set(4)
    scaled = FeatureSet(train.features * np.logspace(-200, 200, N)[:, None], train.labels)
    plain = knn_predict(train, queries, C, 7, query_block=4, train_block=8)
    np.testing.assert_array_equal(knn_predict(scaled, queries * 1e250, C, 7, query_block=4, train_block=8), plain)
    dead = knn_predict(train, np.zeros((Q, D)), C, 7, query_block=4, train_block=8)
    np.testing.assert_array_equal(dead, by_loop(train, np.zeros((Q, D)), 7, None))


def test_half_precision_is_computed_in_single():
    """In float16 similarities would have three digits, and many would be equal."""
    train, queries = a_set(6)
    half = FeatureSet(train.features.astype(np.float16), train.labels)
    queries = queries.astype(np.float16)
    wanted = by_loop(FeatureSet(half.features.astype(np.float64), half.labels), queries.astype(np.float64), 7, None)
    np.testing.assert_array_equal(knn_predict(half, queries, C, 7, query_block=4, train_block=8), wanted)


def test_all_images_are_neighbours_once_and_padding_is_none():
    """30 images in blocks of 8 leave room for two more, which have no class."""
    train, queries = a_set(7)
    found = find_neighbours(train, queries, C, N, query_block=4, train_block=8)
    np.testing.assert_array_equal(np.sort(found.labels, axis=1), np.tile(np.sort(train.labels), (Q, 1)))
    np.testing.assert_array_equal(vote(found), by_loop(train, queries, N, None))


def test_neighbours_found_once_serve_several_votes():
    train, queries = a_set(5)
    found = find_neighbours(train, queries, C, 7, query_block=4, train_block=8)
    assert found.similarity.shape == found.labels.shape == (Q, 7)
    similarity = np.sort(unit(queries) @ unit(train.features).T, axis=1)[:, :-8:-1]
    np.testing.assert_allclose(found.similarity, similarity, atol=1e-12)
    for k in (1, 3, 7):
        np.testing.assert_array_equal(vote(found, k=k), by_loop(train, queries, k, None))
        np.testing.assert_array_equal(vote(found, k=k, temperature=0.2), by_loop(train, queries, k, 0.2))
    np.testing.assert_array_equal(vote(found, temperature=1e-6), vote(found, k=1))
    with pytest.raises(ConfigError, match="k: wanted at most the 7 neighbours that were found, got 8"):
        vote(found, k=8)


TRAIN, QUERIES = a_set(0)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: knn_predict(TRAIN, QUERIES, C, 31), "k: wanted at most the 30 training images, got 31"),
        (lambda: knn_predict(TRAIN, QUERIES, C, 0), "k: wanted an integer of at least 1"),
        (lambda: knn_predict(TRAIN, QUERIES, C, 3, temperature=0.0), "temperature: wanted"),
        (lambda: knn_predict(TRAIN, QUERIES, C, 3, query_block=0), "query_block: wanted"),
        (lambda: knn_predict(TRAIN, QUERIES[:, :2], C, 3), "features to classify: wanted 5.*got 2"),
        (lambda: knn_predict(TRAIN, QUERIES * np.nan, C, 3), "features to classify: wanted finite"),
        (lambda: knn_predict(TRAIN, QUERIES, C + 1, 3), "none of class 4"),
        (lambda: knn_predict(TRAIN._replace(labels=TRAIN.labels - 1), QUERIES, C, 3), "wanted 0 to 3, got -1"),
    ],
)
def test_errors_are_one_line(call, word):
    with pytest.raises((ConfigError, DataError), match=word) as caught:
        call()
    assert "\n" not in str(caught.value)
