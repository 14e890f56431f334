"""Nearest neighbours: an image gets the class of those training images whose features point in the most similar way.

Similarity is the cosine of the angle between two feature vectors. Nothing is trained, so the result depends on no
recipe; it is used in place of a linear probe (longtail.md, section 5.1, with 1 and 10 neighbours).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.features import working_type
from dynsim.bridge.evaluation.inputs import FeatureSet, check_feature_set, check_features
from dynsim.config.checks import number, positive_int, require


def knn_predict(
    train: FeatureSet,
    features: np.ndarray,
    n_classes: int,
    k: int,
    *,
    temperature: float | None = None,
    query_block: int = 1000,
    train_block: int = 10_000,
) -> np.ndarray:
    """Return the class that the k most similar training images vote for, int64, shape (image,).

    Of equally similar training images the earlier ones count as nearer. Features of zero have similarity 0 to all.

    Args:
        train: features and labels of the training images.
        features: those of the images to classify, shape (image, feature).
        n_classes: number of classes.
        k: number of neighbours, at most that of the training images.
        temperature: None for one vote each, where the nearest neighbour decides between classes with equally many;
            otherwise a neighbour with similarity s has the weight exp(s / temperature), and of classes with equal
            weights the first is taken.
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
    _check_options(k, len(train.labels), temperature, query_block, train_block)
    dtype = working_type(train.features.dtype)
    blocks, labels = _train_blocks(train._replace(features=train.features.astype(dtype)), train_block, k)
    size = min(query_block, len(features))
    scale = jnp.asarray(1.0 if temperature is None else temperature, dtype)
    found = []
    for start in range(0, len(features), size):
        rows = features[start : start + size].astype(dtype)
        padded = jnp.asarray(np.pad(rows, ((0, size - len(rows)), (0, 0))))
        similarity, voters = _nearest(padded, blocks, labels, k)
        if temperature is None:
            classes = _majority(voters, n_classes)
        else:
            classes = _weighted(similarity, voters, scale, n_classes)
        found.append(np.asarray(classes)[: len(rows)])
    return np.concatenate(found).astype(np.int64)


def _check_options(k: int, n_train: int, temperature: float | None, query_block: int, train_block: int) -> None:
    positive_int("k", k)
    require(k <= n_train, "k", f"at most the {n_train:,} training images", k)
    if temperature is not None:
        number("temperature", temperature, 0.0, open_low=True)
    positive_int("query_block", query_block)
    positive_int("train_block", train_block)


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


@partial(jax.jit, static_argnames="n_classes")
def _majority(voters: Int[Array, "image k"], n_classes: int) -> Int[Array, " image"]:
    """Return the class with most votes, of equal ones that of the nearest neighbour among them."""
    k = voters.shape[1]
    rows = jnp.arange(voters.shape[0], dtype=jnp.int32)[:, None]
    none = jnp.zeros((voters.shape[0], n_classes), jnp.int32)
    votes = none.at[rows, voters].add(jnp.int32(1))
    nearness = none.at[rows, voters].max(jnp.arange(k, 0, -1, dtype=jnp.int32)[None, :])
    # the nearest neighbour of a class decides only between equal numbers of votes, since it counts at most k
    return jnp.argmax(votes * jnp.int32(k + 1) + nearness, axis=1)


@partial(jax.jit, static_argnames="n_classes")
def _weighted(
    similarity: Float[Array, "image k"], voters: Int[Array, "image k"], temperature: Float[Array, ""], n_classes: int
) -> Int[Array, " image"]:
    """Return the class with the largest sum of weights exp(similarity / temperature)."""
    # relative to the nearest neighbour, whose weight is then 1: the sums neither overflow nor vanish
    weight = jnp.exp((similarity - similarity[:, :1]) / temperature)
    rows = jnp.arange(voters.shape[0], dtype=jnp.int32)[:, None]
    return jnp.argmax(jnp.zeros((voters.shape[0], n_classes), weight.dtype).at[rows, voters].add(weight), axis=1)
