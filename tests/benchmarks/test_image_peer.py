"""The PyTorch peer on images computes what a pre-training step computes: same loss, gradient and update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.networks import NetworkShape, to_torchvision
from dynsim.bridge.options import Pretraining
from dynsim.bridge.training.epoch import EpochProgram, compiled_epoch
from tests.benchmarks.image_candidates import first_state, images_of, step_inputs, useful_operations

SIDE = 8
OPTIONS = Pretraining(
    network=NetworkShape(stem="cifar_strided", width=1 / 16, embedding_dim=8),
    batch_size=6,
    views="none",
    learning_rate=0.05,
)


@pytest.mark.slow
def test_a_step_agrees():
    """From the same weights, on the same images: the loss, and all weights after one update."""
    torch = pytest.importorskip("torch", reason="PyTorch is installed by make bench only")
    from tests.benchmarks.image_peer import ImagePeer

    state, pixels = first_state(OPTIONS, SIDE), images_of(OPTIONS, SIDE)
    peer = ImagePeer(OPTIONS)
    weights = to_torchvision(state.params, state.stats) | head_weights(state.params["head"])
    found = peer.network.load_state_dict({k: torch.tensor(v) for k, v in weights.items()}, strict=False)
    assert not found.unexpected_keys and all(k.endswith(("tracked", "running_mean", "running_var")) for k in found[0])
    before = {name: one.detach().clone() for name, one in peer.network.named_parameters()}
    views = torch.from_numpy(pixels)
    theirs = peer.step(views, views)
    after, log = compiled_epoch(EpochProgram.of(OPTIONS))(state, jnp.asarray(pixels), step_inputs(OPTIONS))
    np.testing.assert_allclose(theirs, float(log.loss[0]), rtol=1e-5)
    mine = to_torchvision(after.params, after.stats) | head_weights(after.params["head"])
    for name, one in peer.network.named_parameters():
        moved, expected = mine[name] - before[name].numpy(), (one.detach() - before[name]).numpy()
        rounding = 4 * np.finfo(np.float32).eps * np.abs(mine[name]).max()
        np.testing.assert_allclose(moved, expected, atol=1e-3 * np.abs(expected).max() + rounding, err_msg=name)


@pytest.mark.slow  # tracing a ResNet-18
def test_a_step_can_be_timed_without_the_peer():
    """The program takes what the benchmark gives it; nothing is compiled."""
    state = jax.eval_shape(lambda: first_state(OPTIONS, SIDE))
    epoch = compiled_epoch(EpochProgram.of(OPTIONS))
    after, log = jax.eval_shape(epoch, state, images_of(OPTIONS, SIDE), step_inputs(OPTIONS))
    assert jax.tree.structure(after) == jax.tree.structure(state) and log.loss.shape == (1,)


def head_weights(head: dict) -> dict[str, np.ndarray]:
    """Return the arrays of the head by the names of the peer."""
    names = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    arrays = {f"head.{layer}.{names[k]}": np.asarray(v) for layer, part in head.items() for k, v in part.items()}
    return {k: v.T if "fc" in k and v.ndim == 2 else v[0] if "bn" in k else v for k, v in arrays.items()}


def test_operations_are_counted_by_hand():
    """ResNet-18 on CIFAR needs 555 million multiply-adds per image in its convolutions."""
    full = Pretraining(batch_size=2)
    convolutions = 1_769_472 + 4 * 37_748_736 + 3 * (18_874_368 + 2_097_152 + 3 * 37_748_736)
    head = 512 * 512 + 512 * 128
    assert useful_operations(full) == 2 * 2 * 2 * (3 * (convolutions + head) - 1_769_472)
