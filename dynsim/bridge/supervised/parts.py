"""What is trained on top of a network with labels: a linear classifier, and the prototypes of the classes.

A prototype is an embedding that stands for a class. It is computed from the class's weights in the classifier by two
linear layers with a ReLU between them (Zhu et al. 2022; their code has a batch norm too).
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from dynsim.bridge.networks import Network, build
from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.options.network import NetworkShape
from dynsim.losses.contrastive import normalise
from dynsim.randomness import draws

WITH_PROTOTYPES = ("bcl", "rcl")
LabelParams = dict[str, Any]
"""network: those of the network; classifier: kernel (feature, class) and bias; prototypes: fc1 and fc2, if any."""


def first_params(key: Key[Array, ""], network: Any, options: Supervised, n_classes: int) -> LabelParams:
    """Return all first parameters.

    Linear layers are uniform in +-1 / sqrt(inputs), weights and biases alike (PyTorch's default). The
    classifier depends on the key alone, so that runs with other losses start with the same one.

    Args:
        key: of this purpose.
        network: first parameters of the network.
    """
    wide, hidden = network_widths(options.network)
    layers = {"classifier": (wide, n_classes)}
    if options.contrastive in WITH_PROTOTYPES:
        layers |= {"fc1": (wide, hidden), "fc2": (hidden, options.network.embedding_dim)}
    made = dict(zip(layers, linear_layers(key, tuple(layers.values())), strict=True))
    if options.cosine:
        del made["classifier"]["bias"]
    found = {"network": network, "classifier": made.pop("classifier")}
    return found | {"prototypes": made} if made else found


@partial(jax.jit, static_argnames="widths")
def linear_layers(key: Key[Array, ""], widths: tuple[tuple[int, int], ...]) -> list[LabelParams]:
    """Return kernel and bias of linear layers with so many (inputs, outputs); the first do not depend on the others."""
    sizes = [(inputs + 1) * outputs for inputs, outputs in widths]
    numbers = 2 * draws.uniform(key, (sum(sizes),), np.dtype(np.float32)) - 1  # drawing once keeps compilation short
    made, begin = [], 0
    for (inputs, outputs), size in zip(widths, sizes, strict=True):
        own = numbers[begin : begin + size] / np.float32(np.sqrt(inputs))
        made.append({"kernel": own[outputs:].reshape(inputs, outputs), "bias": own[:outputs]})
        begin += size
    return made


def network_widths(shape: NetworkShape) -> tuple[int, int]:
    """Return the length of the features, and the width inside the projection head."""
    return shape.feature_dim, shape.feature_dim if shape.head_width is None else shape.head_width


def logits_of(
    classifier: LabelParams, features: Float[Array, "row feature"], scale: float
) -> Float[Array, "row class"]:
    """Return the classifier's outputs: linear, or, where it has no bias, `scale` times the cosine with each class."""
    if "bias" in classifier:
        return features @ classifier["kernel"] + classifier["bias"][None, :]
    return jnp.float32(scale) * (normalise(features) @ normalise(classifier["kernel"].T).T)


def prototypes_of(params: LabelParams) -> Float[Array, "class neuron"]:
    """Return the prototype of each class, of length one."""
    first, second = params["prototypes"]["fc1"], params["prototypes"]["fc2"]
    inside = jax.nn.relu(params["classifier"]["kernel"].T @ first["kernel"] + first["bias"][None, :])
    return normalise(inside @ second["kernel"] + second["bias"][None, :])


def logit_scale(options: Supervised) -> float:
    """Return the factor of the cosines of a classifier without bias: LDAM multiplies them itself."""
    return 1.0 if options.classifier == "ldam" else options.cosine_scale


def evaluated(options: Supervised, params: LabelParams, stats: Any) -> jax.tree_util.Partial:
    """Return f(uint8 images) -> (image, feature + embedding + class) of the dense network in evaluation, float32.

    The columns are the features, the embeddings and the logits; `columns_of` says which are which. Parameters are
    arguments of what it is compiled into, so that other weights compile nothing.
    """
    return jax.tree_util.Partial(evaluation(options.network, logit_scale(options)), params, stats)


def columns_of(options: Supervised, table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (features, embeddings, logits) of a table that `evaluated` made."""
    shape = options.network
    wide = shape.feature_dim
    narrow = shape.embedding_dim if shape.head_layers else wide
    return table[:, :wide], table[:, wide : wide + narrow], table[:, wide + narrow :]


def trained_part(params: LabelParams, trained: str) -> tuple[LabelParams, LabelParams]:
    """Return what is trained, and what stays as it began: trees like the parameters, None where the other has an array.

    Args:
        trained: as in `Supervised`.
    """
    encoder = params["network"]
    stages = sorted(name for name in encoder if name.startswith("layer"))
    last = (stages[-1], max(encoder[stages[-1]], key=int)) if stages else ()

    def learns(path: tuple[Any, ...]) -> bool:
        names = tuple(step.key for step in path)
        if trained == "all" or names[0] != "network" or names[1] == "head":
            return True
        is_norm = names[-1] in ("scale", "bias")  # convolutions have no bias
        return names[1:3] == last or (is_norm and trained == "last_block_and_norms")

    def part(wanted: bool) -> LabelParams:
        return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf if learns(path) == wanted else None, params)

    return part(True), part(False)


def joined_parts(trained: LabelParams, kept: LabelParams) -> LabelParams:
    """Return the parameters that `trained_part` took apart."""
    return jax.tree.map(
        lambda one, other: other if one is None else one, trained, kept, is_leaf=lambda one: one is None
    )


@functools.lru_cache(maxsize=8)
def network_of(shape: NetworkShape) -> Network:
    """Return the network of a shape: one object for each, so that several runs compile its first weights once."""
    return build(shape)


@functools.lru_cache(maxsize=8)
def evaluation(shape: NetworkShape, scale: float) -> Callable[[LabelParams, Any, Array], Array]:
    """Return f(params, stats, uint8 images) -> table of `evaluated`: one object for each, so one compiled program."""
    network = network_of(shape)

    def outputs(params: LabelParams, stats: Any, pixels: Array) -> Array:
        images = pixels.astype(jnp.float32) / 255
        found = network.apply(params["network"], stats, images, train=False, norm_set=0)
        logits = logits_of(params["classifier"], found.features, scale)
        return jnp.concatenate([found.features, found.embeddings, logits], axis=1)

    return outputs
