"""The training step lowers for accelerators that this machine does not have."""

import jax
import numpy as np
import pytest

from dynsim.config import Config, replace
from dynsim.engine.numbers import resolve
from dynsim.engine.program import program

PLATFORMS = ("cpu", "cuda", "tpu")
SMALL = {
    "data.n_features": 5,
    "data.token_dim": 8,
    "data.batch_size": 6,
    "encoder.n_neurons": 6,
    "train.n_probe": 3,
}
CASES = {
    "default": {},
    "softmax attention that is trained": {
        "encoder.attention": "softmax_scaled",
        "encoder.train_attention": True,
        "data.pair_rule": "complementary",
        "optimizer.name": "adam",
    },
    "relu with nt_xent": {
        "encoder.architecture": "relu",
        "encoder.train_bias": True,
        "data.n_tokens": 1,
        "loss.kind": "nt_xent",
        "loss.similarity": "cosine",
        "threshold.rule": "schedule_b",
        "data.co_occurrence": 0.3,
    },
}


@pytest.mark.parametrize("one_by_one", [True, False], ids=["map", "vmap"])
@pytest.mark.parametrize("case", CASES)
def test_the_step_lowers_for_cpu_cuda_and_tpu(case, one_by_one):
    config = replace(Config(), **SMALL | CASES[case])
    compiled = program(resolve(config).structure, one_by_one)
    numbers = [resolve(config).numbers] * 2
    if one_by_one:
        run = jax.eval_shape(lambda: compiled.init(np.asarray([0, 1], np.uint32), numbers))[0]
    else:
        run = jax.eval_shape(lambda: compiled.init(np.asarray([0, 1], np.uint32), numbers))
    exported = compiled.lowered_step(PLATFORMS, run)
    assert exported.platforms == PLATFORMS
    assert "stablehlo.while" in exported.mlir_module()  # the loop over steps is in it
    assert compiled.n_compiled() == 0  # lowered, not run
