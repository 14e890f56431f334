"""An encoder of one's own, or of an earlier call, judged as the arms are, and asked what a mask changes most."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynsim.config.checks import require
from experiments.cifar.files import query_path
from experiments.cifar.runs import SeedImages, Study
from experiments.cifar.table import accuracy_lines

if TYPE_CHECKING:
    import numpy as np

    from dynsim.bridge.data.tasks import Task
    from dynsim.bridge.evaluation.exemplars import Exemplars
    from dynsim.bridge.networks.files import SavedEncoder
    from dynsim.bridge.options import Masking


def judge_file(study: Study, path: Path, seeds: range) -> str:
    """Judge a saved encoder on the images of some seeds, and return its accuracies as text.

    Errors: `DataError` in one line for a file that holds no encoder.
    """
    from dynsim.bridge.evaluation.judging import judge_encoder
    from dynsim.bridge.networks import build, load_safetensors
    from dynsim.bridge.training.encoder import frozen

    saved = load_safetensors(path)
    encoder = frozen(build(saved.shape), saved.params, saved.stats)
    found = [judge_encoder(SeedImages(study, seed).task, encoder, study.judging, seed) for seed in seeds]
    return "\n".join([_about(path, saved), *accuracy_lines(found)])


def exemplars_of_file(study: Study, path: Path, seed: int) -> str:
    """Return as text which test images a mask changes most, by group of classes (SDCLR, Figure 2).

    Compared are the features of the encoder in evaluation, of clean images, with all weights and with the mask. The
    masked network has its own batch norms where a file beside the encoder holds them; else the scales and biases of the
    dense one, and statistics that are computed on augmented images. A file without a mask gets that of the options.

    Args:
        seed: that of the encoder, whose split says which classes are rare.

    Errors: in one line, `DataError` for a file that holds no encoder, `ConfigError` for a mask that hides nothing.
    """
    from dynsim.bridge.evaluation.exemplars import find_exemplars
    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.networks import build, load_safetensors
    from dynsim.bridge.training.encoder import frozen

    saved, task = load_safetensors(path), SeedImages(study, seed).task
    mask, which = saved.mask, "its own"
    if mask is None:
        mask, which = _mask_of(study.pretraining.masking, saved, seed), "that of the options, since it has none"
    params, stats, norms = _masked_network(study, path, saved, mask, task.pretraining.pixels, seed)
    network = build(saved.shape)
    encoders = frozen(network, saved.params, saved.stats), frozen(network, params, stats)
    before, after = (extract(encoder, task.test.pixels) for encoder in encoders)
    found = find_exemplars(before, after, task.test.labels, task.groups)
    lines = [_about(path, saved), f"mask: {which}; batch norms of the masked network: {norms}"]
    return "\n".join(lines + _exemplar_lines(found, task))


def _about(path: Path, saved: "SavedEncoder") -> str:
    return f"{path}: {saved.shape.architecture} of width {saved.shape.width:g}"


def _mask_of(masking: "Masking", saved: "SavedEncoder", seed: int) -> Any:
    import jax.numpy as jnp

    from dynsim.bridge.networks import build
    from dynsim.bridge.training.loop import streams
    from dynsim.bridge.training.masking import make_mask

    require(masking.rate > 0, "masking.rate", "a share above 0, since the file has no mask", masking.rate)
    weights, rate = build(saved.shape).prunable(saved.params), jnp.float32(masking.rate)
    return make_mask(weights, streams(seed).pruning, jnp.uint32(0), rate, kind=masking.kind, scope=masking.scope)


def _masked_network(
    study: Study, path: Path, saved: "SavedEncoder", mask: Any, pixels: "np.ndarray", seed: int
) -> tuple[Any, Any, str]:
    """Return parameters and statistics of the masked network, and where its batch norms are from."""
    import jax

    from dynsim.bridge.networks import build, load_safetensors
    from dynsim.bridge.training.encoder import recalibrated
    from dynsim.bridge.training.loop import streams
    from dynsim.prune import masks

    beside = query_path(path)
    if saved.mask is not None and beside.exists():
        query = load_safetensors(beside)
        require(query.shape == saved.shape, str(beside), "the network of the encoder", "another one")
        return masks.apply_mask(query.params, mask), query.stats, "its own"
    params, key = masks.apply_mask(saved.params, mask), jax.random.fold_in(streams(seed).views, 2**31)
    recipe, size = study.pretraining.views, study.pretraining.batch_size
    stats = recalibrated(build(saved.shape), params, saved.stats, pixels, recipe, key, size)
    return params, stats, "those of the dense one, with statistics computed anew"


def _exemplar_lines(found: "Exemplars", task: "Task") -> list[str]:
    """Return a line for each group of classes."""
    n, n_test = len(found.images), len(found.similarity)
    lines = [f"{n} of {n_test} test images whose features the mask changes most, by group of classes:"]
    lines.append(f"{'':<8}{'exemplars':>10}{'share':>8}{'95 % interval':>16}{'by chance':>11}{'mean cosine':>13}")
    for row in found.groups:
        cosine = found.similarity[task.groups[task.test.labels] == row.group].mean()
        interval = f"[{row.low:.2f}, {row.high:.2f}]"
        lines.append(f"{row.group:<8}{row.n:>10}{row.share:>8.2f}{interval:>16}{row.by_chance:>11.2f}{cosine:>13.3f}")
    return lines
