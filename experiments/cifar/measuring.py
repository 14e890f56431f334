"""What is measured on the channels of an image network while it trains, and on which images."""

from typing import TYPE_CHECKING, Any

import numpy as np

from dynsim.config.checks import require

if TYPE_CHECKING:
    from dynsim.bridge.data.tasks import LabelledImages, Task
    from dynsim.bridge.networks import Network
    from dynsim.bridge.options import Pretraining
    from dynsim.bridge.training.loop import StateMeasure

RECORDS = 12  # records of a run beside the one at the start


def images_to_measure_on(task: "Task") -> "LabelledImages":
    """Return the images that are held out; where there are none, all labelled ones."""
    return task.validation if len(task.validation.labels) else task.probe


def check_measured(task: "Task", per_class: int) -> None:
    """Refuse more images of each class than there are. Errors: `ConfigError` in one line."""
    least = int(np.bincount(images_to_measure_on(task).labels, minlength=task.n_classes).min())
    require(per_class <= least, "measured", f"at most {least}, the images of a class that are held out", per_class)


def channel_measure(
    network: "Network", options: "Pretraining", task: "Task", per_class: int, seed: int
) -> "StateMeasure":
    """Return what is measured at each record: the response of every channel to each class, on images not trained on.

    It is measured on the network without its mask, as it is judged in the end. Where that never runs in training, its
    batch-norm statistics are computed at each record.
    """
    import jax

    from dynsim.bridge.measure.probe import balanced_probe
    from dynsim.bridge.measure.responses import measure
    from dynsim.bridge.training.encoder import dense_statistics, frozen

    pool = images_to_measure_on(task)
    every = np.arange(len(pool.labels))
    probe = balanced_probe(pool.labels, every, every[:0], n_classes=task.n_classes, per_class=per_class, seed=seed)
    pixels, labels = pool.pixels[probe.images], probe.labels.astype(np.int32)

    @jax.jit
    def measured(encoder: Any, pixels: Any, labels: Any) -> dict[str, Any]:
        return measure(encoder(pixels), labels, task.n_classes, jax.random.key(seed))

    def of_state(state: Any) -> dict[str, Any]:
        stats = dense_statistics(network, options, seed, state.params, state.stats, task.pretraining.pixels)
        return measured(frozen(network, state.params, stats), pixels, labels)

    return of_state
