"""The layers of a residual network as flax modules. They are used through `network.build` only.

Everything is channels-last: images (image, row, column, channel), kernels (row, column, input, output). Padding is
explicit, as in PyTorch: a 3x3 convolution pads one pixel on every side, also with stride 2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float

from dynsim.bridge.options.network import NetworkShape

MOMENTUM = 0.1
"""Weight of the newest batch in the running statistics; flax calls 1 - 0.1 the momentum."""
EPSILON = 1e-5
"""Added to a variance before its root is taken, as in PyTorch."""
Convolve = Callable[..., Array]
"""A convolution that is called like `jax.lax.conv_general_dilated`:
(images, kernel, window_strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) -> images.
A network with groups also passes `feature_group_count`."""


class Mode(NamedTuple):
    """How a network is applied: the same for all of its layers."""

    train: bool
    """Normalise by the statistics of the batch and update the running ones; otherwise by the running ones."""
    norm_set: int
    """Which set of batch norms is used."""
    valid: Bool[Array, " image"] | None
    """Which images enter the statistics of the batch; None: all."""


class Convolution(nnx.Module):
    """A convolution without bias, with a square kernel of odd size.

    With groups, the kernel has the shape (row, column, input / groups, output).
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, convolve: Convolve, groups: int = 1) -> None:
        self.kernel = nnx.Param(jnp.zeros((size, size, inputs // groups, outputs), jnp.float32))
        self.stride, self.convolve, self.groups = stride, convolve, groups

    def __call__(self, x: Float[Array, "image row column input"]) -> Float[Array, "image rows columns output"]:
        """Return the convolved images; each side has ceil(pixels / stride) pixels."""
        kernel = self.kernel[...].astype(x.dtype)
        pad = kernel.shape[0] // 2
        strides, padding = (self.stride, self.stride), ((pad, pad), (pad, pad))
        more = {} if self.groups == 1 else {"feature_group_count": self.groups}
        return self.convolve(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **more)


class Linear(nnx.Module):
    """A linear layer: x @ kernel + bias."""

    def __init__(self, inputs: int, outputs: int, with_bias: bool) -> None:
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs), jnp.float32))
        if with_bias:
            self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))

    def __call__(self, x: Float[Array, "image input"]) -> Float[Array, "image output"]:
        """Return the transformed rows."""
        out = x @ self.kernel[...]
        return out + _per_channel(self.bias[...], 2) if hasattr(self, "bias") else out


def _per_channel(values: Array, ndim: int) -> Array:
    """Return one value per channel in the shape that broadcasts over arrays with `ndim` axes, the last the channels."""
    return values.reshape((1,) * (ndim - 1) + (-1,))


class Moments(NamedTuple):
    """Statistics of one batch."""

    mean: Float[Array, " channel"]
    variance: Float[Array, " channel"]
    """Mean square deviation, without Bessel's correction."""
    n_values: Float[Array, ""]
    """Number of values per channel: valid images times pixels."""


def batch_moments(x: Float[Array, "image *pixels channel"], valid: Bool[Array, " image"] | None) -> Moments:
    """Return mean and variance of each channel over the pixels of the valid images; 0 and 1 if there is none."""
    axes, pixels = tuple(range(x.ndim - 1)), int(np.prod(x.shape[1:-1]))
    if valid is None:
        n_values = jnp.asarray(x.shape[0] * pixels, x.dtype)
        chosen = x
    else:
        n_values = jnp.sum(valid, dtype=jnp.int32).astype(x.dtype) * pixels
        valid = valid.reshape((-1,) + (1,) * (x.ndim - 1))
        chosen = jnp.where(valid, x, 0)
    divisor = jnp.maximum(n_values, 1)
    mean = jnp.sum(chosen, axes) / divisor
    apart = x - _per_channel(mean, x.ndim)
    apart = apart if valid is None else jnp.where(valid, apart, 0)
    # without any image a variance of zero would multiply each layer's output by 1 / sqrt(epsilon)
    variance = jnp.where(n_values > 0, jnp.sum(apart * apart, axes) / divisor, 1)
    return Moments(mean, variance, n_values)


class BatchNorm(nnx.Module):
    """One or two independent batch norms over the same channels; the first axis of every array is the set."""

    def __init__(self, channels: int, norm_sets: int) -> None:
        shape = (norm_sets, channels)
        self.scale, self.bias = (nnx.Param(jnp.zeros(shape, jnp.float32)) for _ in range(2))
        self.mean, self.var = (nnx.BatchStat(jnp.zeros(shape, jnp.float32)) for _ in range(2))

    def __call__(self, x: Float[Array, "image *pixels channel"], mode: Mode) -> Float[Array, "image *pixels channel"]:
        """Return scale * (x - mean) / sqrt(variance + epsilon) + bias, computed in float32."""
        values, at = x.astype(jnp.float32), mode.norm_set
        if mode.train:
            batch = batch_moments(values, mode.valid)
            mean, variance = batch.mean, batch.variance
            self.update(batch, at)
        else:
            mean, variance = self.mean[...][at], self.var[...][at]
        factor = self.scale[...][at] * lax.rsqrt(variance + EPSILON)
        shift = self.bias[...][at] - mean * factor
        return (values * _per_channel(factor, x.ndim) + _per_channel(shift, x.ndim)).astype(x.dtype)

    def update(self, batch: Moments, norm_set: int) -> None:
        """Move the running statistics of one set towards those of a batch; the running variance is unbiased."""
        batch = lax.stop_gradient(batch)
        weight = jnp.where(batch.n_values > 0, MOMENTUM, 0).astype(jnp.float32)
        unbiased = batch.variance * (batch.n_values / jnp.maximum(batch.n_values - 1, 1))
        for running, new in ((self.mean, batch.mean), (self.var, unbiased)):
            old = running[...]
            running[...] = old.at[norm_set].set((1 - weight) * old[norm_set] + weight * new)


class Block(nnx.Module):
    """A residual block: two 3x3 convolutions, or with expansion 4 a 3x3 between two 1x1 (a bottleneck), and a shortcut.

    The 3x3 convolution of a bottleneck may have groups. A stride acts in the first 3x3 convolution and in the shortcut.
    Each convolution is followed by a batch norm.
    """

    def __init__(self, inputs: int, channels: int, stride: int, shape: NetworkShape, convolve: Convolve) -> None:
        outputs, inner = channels * shape.layout.expansion, shape.inner_channels(channels)
        bottleneck = [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
        basic = [(inputs, channels, 3, stride), (channels, outputs, 3, 1)]
        self.depth = 2 if shape.layout.expansion == 1 else 3
        for i, sizes in enumerate(basic if self.depth == 2 else bottleneck, start=1):
            groups = shape.layout.groups if sizes[2] == 3 else 1
            setattr(self, f"conv{i}", Convolution(*sizes, convolve, groups))
            setattr(self, f"bn{i}", BatchNorm(sizes[1], shape.norm_sets))
        self.stride, self.outputs = stride, outputs
        if (stride > 1 or inputs != outputs) and not shape.layout.padded_shortcut:
            convolution, norm = Convolution(inputs, outputs, 1, stride, convolve), BatchNorm(outputs, shape.norm_sets)
            self.downsample = nnx.Dict({"0": convolution, "1": norm})  # torchvision's names

    def __call__(self, x: Float[Array, "image row column input"], mode: Mode) -> Float[Array, "image r c output"]:
        """Return relu(convolutions(x) + shortcut(x))."""
        out = x
        for i in range(1, self.depth + 1):
            out = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(out), mode)
            out = out if i == self.depth else jax.nn.relu(out)
        return jax.nn.relu(out + self.shortcut(x, mode))

    def shortcut(self, x: Float[Array, "image row column input"], mode: Mode) -> Float[Array, "image r c output"]:
        """Return the input in the size of the output."""
        if hasattr(self, "downsample"):
            return self.downsample["1"](self.downsample["0"](x), mode)
        missing = self.outputs - x.shape[-1]
        x = x[:, :: self.stride, :: self.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2))) if missing else x


class Head(nnx.Module):
    """The projection head: linear layers, each followed by a batch norm, with a ReLU between them (SDCLR's code).

    Only the first linear layer has a bias.
    """

    def __init__(self, inputs: int, shape: NetworkShape) -> None:
        self.depth = shape.head_layers
        for i, width in enumerate(shape.head_widths, start=1):
            setattr(self, f"fc{i}", Linear(inputs, width, with_bias=i == 1))
            setattr(self, f"bn{i}", BatchNorm(width, shape.norm_sets))
            inputs = width

    def __call__(self, features: Float[Array, "image feature"], mode: Mode) -> Float[Array, "image embedding"]:
        """Return the embeddings, not normalised to length 1."""
        out = features
        for i in range(1, self.depth + 1):
            out = getattr(self, f"bn{i}")(getattr(self, f"fc{i}")(out), mode)
            out = out if i == self.depth else jax.nn.relu(out)
        return out


class ResNet(nnx.Module):
    """The encoder and its head. The names of its parts are torchvision's."""

    def __init__(self, shape: NetworkShape, convolve: Convolve) -> None:
        self.shape, inputs = shape, shape.channels[0]
        size, stride = {"cifar": (3, 1), "cifar_strided": (3, 2), "imagenet": (7, 2)}[shape.stem]
        self.conv1 = Convolution(3, inputs, size, stride, convolve)
        self.bn1 = BatchNorm(inputs, shape.norm_sets)
        for stage, (number, channels) in enumerate(zip(shape.layout.blocks, shape.channels, strict=True)):
            blocks = {}
            for i in range(number):
                blocks[str(i)] = Block(inputs, channels, 2 if stage and not i else 1, shape, convolve)
                inputs = blocks[str(i)].outputs
            setattr(self, f"layer{stage + 1}", nnx.Dict(blocks))
        if shape.head_layers:
            self.head = Head(inputs, shape)

    def __call__(self, images: Float[Array, "image side side 3"], mode: Mode) -> tuple[Array, Array]:
        """Return the features (image, feature) and the embeddings (image, embedding) of images in [0, 1]."""
        mean, std = (_per_channel(jnp.asarray(three, jnp.float32), 4) for three in (self.shape.mean, self.shape.std))
        x = ((images.astype(jnp.float32) - mean) / std).astype(self.shape.activations)
        x = jax.nn.relu(self.bn1(self.conv1(x), mode))
        if self.shape.stem == "imagenet":
            x = max_pool(x)
        for stage, number in enumerate(self.shape.layout.blocks, start=1):
            blocks: Any = getattr(self, f"layer{stage}")
            for i in range(number):
                x = blocks[str(i)](x, mode)
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return features, self.head(features, mode) if self.shape.head_layers else features


def max_pool(x: Float[Array, "image row column channel"]) -> Float[Array, "image rows columns channel"]:
    """Return the largest value of each 3x3 window, with stride 2 and one pixel of padding on every side."""
    lowest = np.array(-np.inf, x.dtype)
    return lax.reduce_window(x, lowest, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
