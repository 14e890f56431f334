"""An encoder of one's own, or of an earlier call, judged as the arms are."""

from pathlib import Path

from experiments.cifar.runs import SeedImages, Study
from experiments.cifar.table import accuracy_lines


def judge_file(study: Study, path: Path, seeds: range) -> str:
    """Judge a saved encoder on the images of some seeds, and return its accuracies as text.

    Errors: `ConfigError` or `DataError` in one line for a file that holds no encoder.
    """
    from dynsim.bridge.evaluation.features import extract
    from dynsim.bridge.evaluation.judging import judge_encoder
    from dynsim.bridge.networks import build, load_safetensors
    from dynsim.bridge.training.encoder import frozen

    saved = load_safetensors(path)
    encoder = frozen(build(saved.shape), saved.params, saved.stats)
    found = []
    for seed in seeds:
        task = SeedImages(study, seed).task
        found.append(judge_encoder(task, lambda part: extract(encoder, part.pixels), study.judging, seed))
    return "\n".join([f"{path}: {saved.shape.architecture} of width {saved.shape.width:g}", *accuracy_lines(found)])
