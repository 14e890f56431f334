"""Nearest neighbours: an image gets the class of those training images whose features point in the most similar way.

Similarity is the cosine of the angle between two feature vectors. Nothing is trained, so the result depends on no
recipe; it is used in place of a linear probe (Kukleva et al. 2023, with 1 and 10 neighbours).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.features import working_type
from dynsim.bridge.evaluation.inputs import FeatureSet, check_feature_set, check_features
from dynsim.config.checks import number, positive_int, require

QUERY_BLOCK, TRAIN_BLOCK = 1000, 10_000


class Neighbours(NamedTuple):
    """The k training images that are most similar to each image, the most similar first.

    Attributes:
        similarity: cosine similarity, shape (image, k).
        labels: class of the training image, int64, shape (image, k).
    """

    similarity: np.ndarray
    labels: np.ndarray


def knn_predict(
    train: FeatureSet,
    features: np.ndarray,
    n_classes: int,
    k: int,
    *,
    temperature: float | None = None,
    query_block: int = QUERY_BLOCK,
    train_block: int = TRAIN_BLOCK,
) -> np.ndarray:
    """Return the class that the k most similar training images vote for, int64, shape (image,).

    For several k or temperatures, find the neighbours once (`find_neighbours`) and let them `vote`.

    Args:
        train, features, n_classes, k, query_block, train_block: see `find_neighbours`.
        temperature: see `vote`.

    Errors: in one line, as for both.
    """
    blocks = {"query_block": query_block, "train_block": train_block}
    return vote(find_neighbours(train, features, n_classes, k, **blocks), temperature=temperature)


def find_neighbours(
    train: FeatureSet,
    features: np.ndarray,
    n_classes: int,
    k: int,
    *,
    query_block: int = QUERY_BLOCK,
    train_block: int = TRAIN_BLOCK,
) -> Neighbours:
    """Return the k most similar training images of each image.

    Of equally similar training images the earlier ones come first. Features of zero have similarity 0 to all.

    Args:
        train: features and labels of the training images.
        features: those of the images to classify, shape (image, feature).
        n_classes: number of classes.
        k: number of neighbours, at most that of the training images.
        query_block, train_block: similarities are computed for so many images at a time. Beside the features, memory
            is needed for about query_block * (train_block + 2 k) numbers.

    Errors: in one line, `DataError` for arrays that do not fit each other, features that are not finite, or a class
        without training images; `ConfigError` for options out of range.
    """
    check_feature_set(train, n_classes, "training set", every_class=True)
    check_features(features, "features to classify")
    if features.shape[1] != train.features.shape[1]:
        wanted, got = train.features.shape[1], features.shape[1]
        raise DataError(f"features to classify: wanted {wanted}, as in the training set, got {got}")
    for name, value in (("k", k), ("query_block", query_block), ("train_block", train_block)):
        positive_int(name, value)
    require(k <= len(train.labels), "k", f"at most the {len(train.labels):,} training images", k)
    dtype = working_type(train.features.dtype)
    blocks, labels = _train_blocks(train._replace(features=train.features.astype(dtype)), train_block, k)
    size, found = min(query_block, len(features)), []
    for start in range(0, len(features), size):
        rows = features[start : start + size].astype(dtype)
        padded = jnp.asarray(np.pad(rows, ((0, size - len(rows)), (0, 0))))
        found.append([np.asarray(part)[: len(rows)] for part in _nearest(padded, blocks, labels, k)])
    similarity, voters = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Neighbours(similarity, voters.astype(np.int64))


def vote(neighbours: Neighbours, *, k: int | None = None, temperature: float | None = None) -> np.ndarray:
    """Return the class that the neighbours of each image vote for, int64, shape (image,).

    Args:
        neighbours: those of `find_neighbours`.
        k: only the first so many vote; None for all.
        temperature: None for one vote each; otherwise a neighbour of similarity s has the weight exp(s / temperature).
            Among classes with equally many votes or equal weights, that of the nearest neighbour is taken.

    Errors: `ConfigError` in one line for options out of range.
    """
    n_images, n_found = neighbours.labels.shape
    k = n_found if k is None else k
    positive_int("k", k)
    require(k <= n_found, "k", f"at most the {n_found} neighbours that were found", k)
    similarity, voters = neighbours.similarity[:, :k].astype(np.float64), neighbours.labels[:, :k]
    weight = np.ones((n_images, k))
    if temperature is not None:
        number("temperature", temperature, 0.0, open_low=True)
        # relative to the nearest neighbour, whose weight is then 1: the sums neither overflow nor vanish
        weight = np.exp((similarity - similarity[:, :1]) / temperature)
    # the votes for the class of each neighbour, added up in the order of the neighbours
    votes = np.zeros((n_images, k))
    for one in range(k):
        votes += weight[:, one, None] * (voters[:, one, None] == voters)
    return voters[np.arange(n_images), np.argmax(votes, axis=1)]


def _train_blocks(train: FeatureSet, most: int, k: int) -> tuple[Array, Array]:
    """Return features (block, image, feature) and labels (block, image) in equal blocks; padding has the label -1.

    A block has at most `most` images, but at least k.
    """
    n_blocks = -(-len(train.labels) // most)
    size = max(k, -(-len(train.labels) // n_blocks))
    extra = n_blocks * size - len(train.labels)
    rows = np.pad(train.features, ((0, extra), (0, 0)))
    labels = np.pad(train.labels, (0, extra), constant_values=-1).astype(np.int32)
    return jnp.asarray(rows.reshape(n_blocks, size, -1)), jnp.asarray(labels.reshape(n_blocks, size))


def _directions(rows: Float[Array, "image feature"]) -> Float[Array, "image feature"]:
    """Return rows of length 1; rows of zeros remain. The largest entry is divided out, so that no square overflows."""
    largest = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
    rows = rows / jnp.where(largest > 0, largest, jnp.ones_like(largest))
    length = jnp.linalg.norm(rows, axis=1, keepdims=True)
    return rows / jnp.where(length > 0, length, jnp.ones_like(length))


@partial(jax.jit, static_argnames="k")
def _nearest(
    queries: Float[Array, "image feature"],
    blocks: Float[Array, "block other feature"],
    labels: Int[Array, "block other"],
    k: int,
) -> tuple[Float[Array, "image k"], Int[Array, "image k"]]:
    """Return similarity and label of the k nearest training images, the nearest first."""
    directions = _directions(queries)

    def merge(best: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        rows, label = block
        similarity = directions @ _directions(rows).T
        similarity = jnp.where(label[None, :] < 0, jnp.asarray(-jnp.inf, similarity.dtype), similarity)
        value, place = jax.lax.top_k(similarity, k)
        # those of earlier blocks stand first, so that they win where the similarity is equal
        values = jnp.concatenate([best[0], value], axis=1)
        voters = jnp.concatenate([best[1], label[place]], axis=1)
        value, place = jax.lax.top_k(values, k)
        return (value, jnp.take_along_axis(voters, place, axis=1)), None

    shape = (queries.shape[0], k)
    none = jnp.full(shape, -jnp.inf, queries.dtype), jnp.full(shape, -1, jnp.int32)
    return jax.lax.scan(merge, none, (blocks, labels))[0]
