"""The trained network as something to be judged: its features, and batch-norm statistics for other weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from dynsim.bridge import views
from dynsim.bridge.data.tasks import LabelledImages
from dynsim.bridge.evaluation.features import extract
from dynsim.bridge.networks import Network, build
from dynsim.bridge.options import Pretraining
from dynsim.bridge.training.run import Trained

RECALIBRATION_STEPS = 100  # the running statistics forget a tenth at each step: a trace of 3e-5 is left
DENSE_SET = 0  # batch-norm set of the network without a mask


def frozen(network: Network, params: Any, stats: Any) -> jax.tree_util.Partial:
    """Return features(pixels) of the dense network in evaluation: uint8 images -> (image, feature), float32.

    Its parameters are arguments of whatever it is compiled into, so that another network of the same shape compiles
    nothing.
    """
    return jax.tree_util.Partial(partial(_features, network), params, stats)


def features_of(options: Pretraining, trained: Trained) -> Callable[[LabelledImages], np.ndarray]:
    """Return (labelled images) -> features of a trained network without its mask, shape (image, feature).

    A network that was only run with masked weights has no statistics of the dense ones: see `recalibrated`.
    """
    encoder = frozen(build(options.network), trained.state.params, trained.state.stats)
    return lambda images: extract(encoder, images.pixels)


def _features(network: Network, params: Any, stats: Any, pixels: UInt8[Array, "image side side 3"]) -> Array:
    images = pixels.astype(jnp.float32) / 255
    return network.apply(params, stats, images, train=False, norm_set=DENSE_SET).features


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
    images = jnp.asarray(pixels)

    def step(stats: Any, number: Array) -> tuple[Any, None]:
        one = jax.random.fold_in(key, number)
        chosen = images[jax.random.randint(one, (count,), 0, len(images))]
        seen = views.augment(jax.random.fold_in(one, 1), chosen, views.RECIPES[recipe])
        return network.apply(params, stats, seen, train=True, norm_set=DENSE_SET).stats, None

    return jax.jit(lambda stats: jax.lax.scan(step, stats, jnp.arange(RECALIBRATION_STEPS))[0])(stats)


def raw_pixels(pixels: np.ndarray) -> Float[np.ndarray, "image value"]:
    """Return the pixels themselves as features, in [0, 1]."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / 255
