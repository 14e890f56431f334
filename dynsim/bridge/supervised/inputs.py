"""What a training with labels is given: images, labels, class sizes, an encoder to start from; each error one line."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynsim.bridge.data.lists import ImageList
from dynsim.bridge.data.tasks import LabelledImages
from dynsim.bridge.networks.files import SavedEncoder, encoder_shape
from dynsim.bridge.options.network import NetworkShape
from dynsim.bridge.training.loop import check_pixels
from dynsim.config.checks import require


def check_labelled(images: LabelledImages | ImageList, counts: np.ndarray | None, name: str) -> int:
    """Refuse images, labels and class sizes that do not fit each other, and return the number of images.

    Args:
        counts: training images of each class.
        name: what the images are, for the message.

    Errors: `ConfigError`.
    """
    if isinstance(images, LabelledImages):
        check_pixels(images.pixels)
    labels = images.labels
    require(counts is not None, "counts", "the number of training images of each class", None, "pass the task's counts")
    sizes = np.asarray(counts)
    wanted = "one number above 0 for each class"
    require(sizes.ndim == 1 and bool(np.all(sizes > 0)), "counts", wanted, counts)
    whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    require(whole, f"{name}: labels", "whole numbers of shape (image,)", f"{labels.dtype} of shape {labels.shape}")
    n_images = len(images if isinstance(images, ImageList) else images.pixels)
    require(len(labels) == n_images, f"{name}: labels", f"{n_images}, one for each image", len(labels))
    known = (labels >= 0) & (labels < len(sizes))
    unknown = int(labels[np.argmin(known)])
    require(bool(known.all()), f"{name}: labels", f"0 to {len(sizes) - 1}, as there are {len(sizes)} counts", unknown)
    return n_images


def started_from(saved: SavedEncoder, shape: NetworkShape, params: Any, stats: Any) -> tuple[Any, Any]:
    """Return parameters and statistics with the encoder replaced by a saved one, in all batch-norm sets.

    Args:
        shape: that of the network.
        params, stats: those of the network, from `init`.

    Errors: `ConfigError` for an encoder of another shape.
    """
    wanted, got = encoder_shape(shape), saved.shape
    for name in ("architecture", "stem", "width", "mean", "std"):
        want, found = getattr(wanted, name), getattr(got, name)
        require(
            want == found, f"encoder: {name}", f"{want}, as in network.{name}", found, "choose a network to suit it"
        )

    def taken(own: Any, theirs: Any) -> Any:
        parts = {name: part for name, part in own.items() if name in theirs}
        new = jax.tree.map(lambda like, one: jnp.broadcast_to(jnp.asarray(one), like.shape), parts, theirs)
        return {**own, **new}

    return taken(params, saved.params), taken(stats, saved.stats)
