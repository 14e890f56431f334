"""Features of images from a frozen network, block by block, and the digest that shows it has stayed frozen."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dynsim.bridge.data.images import DataError
from dynsim.bridge.evaluation.inputs import check_features
from dynsim.config.checks import positive_int


def extract(features: Callable[[Array], Array], pixels: np.ndarray, batch: int = 500) -> np.ndarray:
    """Return the features of all images, shape (image, feature), computed for one block of images at a time.

    They are float32, also where the network computes in half precision, or float64 where it does in that.

    One program is compiled: the last block is filled up with images of zeros, whose features are left out.

    Args:
        features: features(images) -> (image, feature), for one block; it must give each image the same features
            whatever else is in the block, as a network with running statistics does. Hand it over as
            `jax.tree_util.Partial(function, params)`, function(params, images): then the program is used again for
            other parameters, which are not built into it.
        pixels: uint8, shape (image, height, width, channel); or whatever `features` takes, one row per image.
        batch: images of a block.

    Errors: in one line, `DataError` if there are no images, or features of another shape or not finite; `ConfigError`
        for a block without images.
    """
    positive_int("batch", batch)
    if not len(pixels):
        raise DataError("images: wanted at least one to compute features of, got none")
    encoder = features if isinstance(features, jax.tree_util.Partial) else jax.tree_util.Partial(features)
    size, found = min(batch, len(pixels)), []
    for start in range(0, len(pixels), size):
        block = pixels[start : start + size]
        padding = np.zeros((size - len(block), *pixels.shape[1:]), pixels.dtype)
        rows = _apply(encoder, jnp.asarray(np.concatenate([block, padding])))
        if rows.ndim != 2 or len(rows) != size or not jnp.issubdtype(rows.dtype, jnp.floating):
            wanted = f"floating-point numbers of shape ({size}, feature) for {size} images"
            raise DataError(f"features: wanted {wanted}, got {rows.dtype} of shape {rows.shape}")
        found.append(np.asarray(rows.astype(working_type(rows.dtype)))[: len(block)])
    table = np.concatenate(found)
    check_features(table, "features")
    return table


@jax.jit
def _apply(features: Callable[[Array], Array], images: Array) -> Array:
    return features(images)


def working_type(dtype: Any) -> np.dtype:
    """Return the type that is computed in: float64 where features are and JAX allows it, otherwise float32.

    Half-precision features are so much coarser than the small steps of a probe that it does not compute in them.
    """
    wanted = np.float64 if dtype == np.float64 else np.float32
    return np.dtype(jax.dtypes.canonicalize_dtype(wanted))


def digest(params: Any) -> str:
    """Return the sha256 of parameters as hexadecimal digits: equal before and after means equal to the last bit.

    It covers the place, type, shape and bytes of every array, so that zeros of different sign or two arrays that
    changed places give another digest.

    Args:
        params: a tree of arrays or numbers, such as the weights and running statistics of a network.
    """
    found = hashlib.sha256()
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    for path, leaf in leaves:
        array = np.ascontiguousarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype.str} {np.shape(leaf)}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()
