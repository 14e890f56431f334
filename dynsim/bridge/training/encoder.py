"""The trained network as something to be judged: its features, and batch-norm statistics for other weights."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped, UInt8

from dynsim.bridge import views
from dynsim.bridge.networks import Network, build
from dynsim.bridge.options import Pretraining
from dynsim.bridge.training.loop import streams
from dynsim.bridge.training.run import Trained

RECALIBRATION_STEPS = 100  # the running statistics forget a tenth at each step: a trace of 3e-5 is left
DENSE_SET = 0  # batch-norm set of the network without a mask


def frozen(network: Network, params: Any, stats: Any) -> jax.tree_util.Partial:
    """Return features(images) of the dense network in evaluation: shape (image, feature), float32.

    Images are uint8, or floats in [0, 1]. Parameters and statistics are arguments of whatever the function is compiled
    into, so that the same network with others compiles nothing.
    """
    return jax.tree_util.Partial(_features_function(network), params, stats)


def features_of(options: Pretraining, trained: Trained) -> jax.tree_util.Partial:
    """Return features(images) of a trained network without its mask.

    A network that was only run with masked weights has no statistics of the dense ones: see `dense_statistics`.
    """
    return frozen(build(options.network), trained.state.params, trained.state.stats)


@functools.lru_cache(maxsize=16)
def _features_function(network: Network) -> Callable[..., Array]:
    """Return the same function each time: a compiled program is used again for an equal function only."""

    def features(params: Any, stats: Any, images: Shaped[Array, "image side side 3"]) -> Array:
        seen = in_unit_interval(images)
        return network.apply(params, stats, seen, train=False, norm_set=DENSE_SET).features

    return features


def in_unit_interval(images: Shaped[Array, "image side side 3"]) -> Float[Array, "image side side 3"]:
    """Return images as float32 in [0, 1]; floats are taken as such."""
    return images.astype(jnp.float32) / (255 if images.dtype == jnp.uint8 else 1)


def dense_statistics(
    network: Network, options: Pretraining, seed: int, params: Any, stats: Any, pixels: UInt8[np.ndarray, "..."]
) -> Any:
    """Return batch-norm statistics of the network without its mask: computed anew where it was only run with it.

    Args:
        seed: of the run; statistics are computed on other views than those that it was trained on.
        params, stats: of the trained network.
        pixels: images that it was trained on.
    """
    if options.trains_dense:
        return stats
    key = jax.random.fold_in(streams(seed).views, 2**31)
    return recalibrated(network, params, stats, pixels, options.views, key, options.batch_size)


def recalibrated(
    network: Network, params: Any, stats: Any, pixels: np.ndarray, recipe: str, key: Key[Array, ""], batch_size: int
) -> Any:
    """Return the batch-norm statistics that these weights have on augmented images.

    Needed where the running statistics are not those of the weights that are judged: an untrained network, or one that
    was only ever run with masked weights.

    Args:
        pixels: uint8 images, shape (image, side, side, 3); batches are drawn from them with replacement.
        recipe: name of the augmentation.
    """
    count = min(batch_size, len(pixels))
    return _after_batches(params, stats, jnp.asarray(pixels), key, network=network, recipe=recipe, count=count)


@functools.partial(jax.jit, static_argnames=("network", "recipe", "count"))
def _after_batches(
    params: Any, stats: Any, images: Array, key: Key[Array, ""], *, network: Network, recipe: str, count: int
) -> Any:
    def step(stats: Any, number: Array) -> tuple[Any, None]:
        one = jax.random.fold_in(key, number)
        chosen = images[jax.random.randint(one, (count,), 0, len(images))]
        seen = views.augment(jax.random.fold_in(one, 1), chosen, views.RECIPES[recipe])
        return network.apply(params, stats, seen, train=True, norm_set=DENSE_SET).stats, None

    return jax.lax.scan(step, stats, jnp.arange(RECALIBRATION_STEPS))[0]


def raw_pixels(images: Shaped[Array, "image side side 3"]) -> Float[Array, "image value"]:
    """Return the pixels themselves as features, in [0, 1]."""
    return in_unit_interval(images).reshape(images.shape[0], -1)
