"""A network as pure functions over nested dictionaries of arrays, which is all that training code sees of it."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from dynsim.bridge.networks.convolution import convolve as default_convolve
from dynsim.bridge.networks.layers import Convolve, Mode, ResNet
from dynsim.bridge.options.network import NetworkShape
from dynsim.config.checks import positive_int, require
from dynsim.randomness import draws

Tree = dict[str, Any]
"""Nested dictionaries with names as keys and arrays, or None, at the ends."""


class Outputs(NamedTuple):
    """What a network says about some images."""

    features: Float[Array, "image feature"]
    """Output of the encoder: means over all pixels of the last stage."""
    embeddings: Float[Array, "image embedding"]
    """Output of the head, not normalised; the features where there is no head."""
    stats: Tree
    """The running statistics after this batch; in evaluation those that were passed."""


class Network(NamedTuple):
    """The functions of a network. All but `shape` can be traced: under `jit`, `grad`, and `vmap` over seeds."""

    shape: NetworkShape
    """Its sizes."""
    init: Callable[..., tuple[Tree, Tree]]
    """(key, side) -> (params, stats): random parameters; running means 0 and variances 1 of all norm sets."""
    apply: Callable[..., Outputs]
    """(params, stats, images, *, train, norm_set=0, valid=None) -> `Outputs`."""
    prunable: Callable[[Tree], Tree]
    """params -> the kernels of the encoder's convolutions, None in place of all other arrays."""


@functools.lru_cache(maxsize=16)
def build(shape: NetworkShape, convolve: Convolve = default_convolve) -> Network:
    """Return the network of a shape, the same one each time, so that programs compiled with it are used again.

    Its functions take and return nested dictionaries: `params["layer1"]["0"]["conv1"]["kernel"]` has the shape (row,
    column, input, output), and `params["bn1"]["scale"]` and `stats["bn1"]["mean"]` (norm set, channel).

    Args:
        shape: the sizes.
        convolve: how images are convolved, called like `jax.lax.conv_general_dilated` with the images
            (image, row, column, channel), the kernel, window_strides, padding and dimension_numbers.
    """
    graph, param_shapes, stat_shapes = split_model(shape, convolve)

    @jax.jit
    def draw(key: Key[Array, ""]) -> tuple[Tree, Tree]:
        return initial_params(key, param_shapes), initial_stats(stat_shapes)

    def init(key: Key[Array, ""], side: int) -> tuple[Tree, Tree]:
        """Return parameters and running statistics for images with `side` pixels a side; no size depends on it."""
        positive_int("side", side)
        return draw(key)

    return Network(shape, init, _apply_function(shape, graph), prunable)


def split_model(shape: NetworkShape, convolve: Convolve = lax.conv_general_dilated) -> tuple[nnx.GraphDef, Tree, Tree]:
    """Return the structure of a network, and the shapes of its parameters and statistics, without any numbers."""
    model = nnx.eval_shape(lambda: ResNet(shape, convolve))
    graph, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    params, stats = (nnx.to_pure_dict(state) for state in states)
    return graph, params, stats


def _apply_function(shape: NetworkShape, graph: nnx.GraphDef) -> Callable[..., Outputs]:
    def apply(
        params: Tree,
        stats: Tree,
        images: Float[Array, "image side side 3"],
        *,
        train: bool,
        norm_set: int = 0,
        valid: Bool[Array, " image"] | None = None,
    ) -> Outputs:
        """Return features, embeddings and running statistics.

        Args:
            params, stats: as from `init`.
            images: red, green and blue in [0, 1].
            train: normalise by the statistics of this batch and update the running ones; otherwise by the latter.
            norm_set: which batch-norm set is used and, in training, updated. The other stays as it is.
            valid: images that enter the batch statistics, None for all. The outputs of the others mean nothing in
                training, and a loss has to leave them out.

        Errors: `ConfigError` for a norm set that the network does not have.
        """
        require(norm_set in range(shape.norm_sets), "norm_set", f"less than norm_sets = {shape.norm_sets}", norm_set)
        model = nnx.merge(graph, nnx.State(params), nnx.State(stats), copy=True)
        features, embeddings = model(images, Mode(train, norm_set, valid))
        return Outputs(features, embeddings, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)) if train else stats)

    return apply


def prunable(params: Tree) -> Tree:
    """Return the kernels of all convolutions of the encoder (Jiang et al. 2021) and None in place of other arrays.

    These are the stem, the convolutions of all blocks and the 1x1 convolutions of shortcuts. `lowest_mask` of
    `prune.masks` makes a mask of the result, and `apply_mask` applies it to the whole of `params`.
    """

    def keep(path: tuple[Any, ...], leaf: Any) -> Any:
        return leaf if path[0].key != "head" and path[-1].key == "kernel" else None

    return jax.tree_util.tree_map_with_path(keep, params)


def initial_params(key: Key[Array, ""], shapes: Tree) -> Tree:
    """Return random parameters of these shapes.

    Convolutions: normal with variance 2 / (outputs * pixels of the kernel) (Kaiming, fan-out). Linear layers: uniform
    in +-1 / sqrt(inputs), kernel and bias alike (PyTorch's default). Batch norms: scale 1, bias 0. The weights of the
    encoder depend on neither the head nor the number of norm sets.
    """
    encoder = {name: part for name, part in shapes.items() if name != "head"}
    kernels = jax.tree.leaves(prunable(shapes))
    numbers = draws.normal(jax.random.fold_in(key, 0), (_size(kernels),), np.dtype(np.float32))
    params = _fill(encoder, iter(_pieces(lax.optimization_barrier(numbers), kernels)))
    if "head" in shapes:
        linear = jax.tree.leaves([part for part in shapes["head"].values() if "kernel" in part])
        numbers = draws.uniform(jax.random.fold_in(key, 1), (_size(linear),), np.dtype(np.float32))
        params["head"] = _fill(shapes["head"], iter(_pieces(2 * numbers - 1, linear)))
    return params


def initial_stats(shapes: Tree) -> Tree:
    """Return the statistics before the first batch: means 0, variances 1."""
    return {
        name: initial_stats(part) if isinstance(part, dict) else jnp.full(part.shape, float(name == "var"), part.dtype)
        for name, part in shapes.items()
    }


def _size(arrays: list[Any]) -> int:
    return sum(math.prod(array.shape) for array in arrays)


def _pieces(numbers: Array, like: list[Any]) -> list[Array]:
    """Cut one flat array into pieces of these shapes. Drawing once is what keeps compilation short."""
    ends = np.cumsum([math.prod(one.shape) for one in like]).tolist()
    return [numbers[end - math.prod(one.shape) : end].reshape(one.shape) for one, end in zip(like, ends, strict=True)]


def _fill(shapes: Tree, numbers: Any) -> Tree:
    """Return parameters of these shapes; the random ones are the next of `numbers`, which come in the tree's order."""
    if "scale" in shapes:
        return {"bias": jnp.zeros_like(shapes["bias"]), "scale": jnp.ones_like(shapes["scale"])}
    if "kernel" in shapes:
        *_, inputs, outputs = shapes["kernel"].shape
        pixels = math.prod(shapes["kernel"].shape[:-2])
        is_linear = len(shapes["kernel"].shape) == 2
        factor = np.float32(1 / math.sqrt(inputs) if is_linear else math.sqrt(2 / (outputs * pixels)))
        return {name: next(numbers) * factor for name in sorted(shapes)}
    return {name: _fill(shapes[name], numbers) for name in sorted(shapes)}
