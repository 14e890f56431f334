"""A network that compiles within a second, in place of a ResNet: a convolution, the mean over pixels, a matrix."""

import jax
import jax.numpy as jnp

from dynsim.bridge.networks import Network, NetworkShape, Outputs

CHANNELS = 4
KERNEL = 3 * 3 * 3 * CHANNELS


def shallow(shape: NetworkShape) -> Network:
    """Return the network; its statistics count the images that each batch-norm set has seen."""

    def init(key, side):
        numbers = jax.random.normal(key, (KERNEL + CHANNELS**2,), jnp.float32)
        kernel = numbers[:KERNEL].reshape(3, 3, 3, CHANNELS)
        params = {"conv1": {"kernel": kernel}, "head": numbers[KERNEL:].reshape(CHANNELS, CHANNELS)}
        return params, {"seen": jnp.zeros(shape.norm_sets, jnp.float32)}

    def apply(params, stats, images, *, train, norm_set=0, valid=None):
        dims = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(images, params["conv1"]["kernel"], (2, 2), "SAME", dimension_numbers=dims)
        features = jnp.mean(jnp.maximum(out, 0), axis=(1, 2))
        count = jnp.float32(len(images)) if valid is None else jnp.sum(valid, dtype=jnp.float32)
        after = {"seen": stats["seen"].at[norm_set].add(count)} if train else stats
        return Outputs(features, features @ params["head"], after)

    return Network(shape, init, apply, lambda params: {"conv1": params["conv1"], "head": None})
