"""The weights of an encoder under the names and in the layout of torchvision, and back.

torchvision calls them "conv1.weight", "layer1.0.bn1.running_mean" or "layer2.0.downsample.0.weight", and its kernels
have the shape (output, input, row, column). Left out are its classifier "fc", which is no part of an encoder, and
"num_batches_tracked", which counts batches. So `load_state_dict(..., strict=False)` reads what is exported here. With
the stems for CIFAR, `conv1` of the torchvision model has to be replaced by a 3x3 convolution first, and `maxpool` by
`torch.nn.Identity()`. Our networks normalise their images themselves; a torchvision model wants them normalised.

torchvision has no ResNet-20 and -32; they are named in the same way.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.bridge.data.images import DataError
from dynsim.bridge.networks.network import Tree, prunable, split_model
from dynsim.bridge.options.network import NetworkShape
from dynsim.config.checks import did_you_mean

TORCH_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
TO_TORCH = (3, 2, 0, 1)  # (row, column, input, output) -> (output, input, row, column)
FROM_TORCH = (2, 3, 1, 0)
Weights = Mapping[str, np.ndarray]
"""Arrays by torchvision's names."""


def _named(tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yield (torchvision's name, array) for all arrays of the encoder."""
    encoder = {name: part for name, part in tree.items() if name != "head"}
    for path, leaf in jax.tree_util.tree_leaves_with_path(encoder):
        *places, last = (step.key for step in path)
        yield ".".join([*places, TORCH_LEAVES[last]]), leaf


def to_torchvision(params: Tree, stats: Tree, norm_set: int = 0) -> dict[str, np.ndarray]:
    """Return the arrays of the encoder by torchvision's names: those of `params`, and one batch-norm set.

    Args:
        params, stats: as from `Network.init`. A mask of `params`, with None for arrays that it leaves alone, and {} for
            the statistics give the mask by the same names.
        norm_set: which batch-norm set is exported.
    """
    arrays = {name: np.asarray(leaf) for tree in (params, stats) for name, leaf in _named(tree)}
    return {
        name: np.ascontiguousarray(one.transpose(TO_TORCH)) if one.ndim == 4 else one[norm_set].copy()
        for name, one in arrays.items()
    }


def from_torchvision(weights: Weights, shape: NetworkShape, where: str = "weights") -> tuple[Tree, Tree]:
    """Return parameters and statistics of an encoder, float32; every batch-norm set becomes a copy of the one given.

    The head is left out. To start a network with one from these weights: `{**params, **imported}`.

    Args:
        weights: arrays by torchvision's names. Those of its classifier and of `num_batches_tracked` are not read.
        shape: shape of the network.
        where: what the error message begins with.

    Errors: `DataError` for an array that is missing, unknown, of another shape, or not of finite floats.
    """
    _, params, stats = split_model(shape)
    _check_names(weights, {name for tree in (params, stats) for name, _ in _named(tree)}, where)
    return _fill_from(weights, params, np.floating, where), _fill_from(weights, stats, np.floating, where)


def mask_from_torchvision(weights: Weights, shape: NetworkShape, where: str = "mask") -> Tree:
    """Return a mask of the encoder, None for all that is not a kernel. The arrays are Booleans, True = kept.

    Arguments and errors: as for `from_torchvision`.
    """
    _, params, _ = split_model(shape)
    kernels = prunable({name: part for name, part in params.items() if name != "head"})
    _check_names(weights, {name for name, _ in _named(kernels)}, where)
    return _fill_from(weights, kernels, np.bool_, where)


def _check_names(weights: Weights, wanted: set[str], where: str) -> None:
    unread = {name for name in weights if name.startswith("fc.") or name.endswith(".num_batches_tracked")}
    for name in sorted(weights.keys() - wanted - unread):
        raise DataError(f"{where}: wanted no array {name}{did_you_mean(name, wanted)}; is this the architecture?")
    for name in sorted(wanted - weights.keys()):
        raise DataError(f"{where}: wanted an array {name}, found none; is this the architecture?")


def _fill_from(weights: Weights, shapes: Tree, kind: type, where: str) -> Tree:
    """Return a tree of these shapes with the arrays of these names; `kind` is the wanted kind of numbers."""

    def read(name: str, like: Any) -> jax.Array:
        given = np.asarray(weights[name])
        is_kernel = len(like.shape) == 4
        wanted = tuple(like.shape[i] for i in TO_TORCH) if is_kernel else like.shape[1:]
        if given.shape != wanted:
            raise DataError(f"{where}: wanted {name} of shape {wanted}, got {given.shape}; is this the width?")
        if not np.issubdtype(given.dtype, kind) or not np.all(np.isfinite(given)):
            words = "Booleans" if kind is np.bool_ else "finite floating-point numbers"
            raise DataError(f"{where}: wanted {name} of {words}, got {given.dtype}; is the file damaged?")
        array = given.transpose(FROM_TORCH) if is_kernel else np.broadcast_to(given, like.shape)
        return jnp.asarray(array, bool if kind is np.bool_ else jnp.float32)

    leaves = [read(name, like) for name, like in _named(shapes)]
    encoder = {name: part for name, part in shapes.items() if name != "head"}
    return jax.tree.unflatten(jax.tree.structure(encoder), leaves)
