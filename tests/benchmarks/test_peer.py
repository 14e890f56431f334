"""The PyTorch peer computes what the engine computes: same loss and gradient on the same batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config import Config, replace
from dynsim.engine import initial, train
from dynsim.engine.data import batch_at
from dynsim.engine.numbers import resolve

torch = pytest.importorskip("torch", reason="PyTorch is installed by make bench only")


@pytest.mark.parametrize("threshold", [0.0, 0.03])
def test_loss_and_gradient_agree(threshold):
    from tests.benchmarks.torch_peer import TorchPeer

    config = replace(Config(), **{"data.batch_size": 32, "encoder.init_std": 0.1, "data.n_tokens": 3})
    parts = train.built_in_parts(resolve(config).structure)
    numbers = jax.tree.map(jnp.asarray, resolve(config).numbers)
    state, world = initial.init(jnp.uint32(0), numbers, parts)
    batch = batch_at(parts.data, world.keys, jnp.int32(5), world.dictionary, numbers)
    b = jnp.full((256,), threshold, jnp.float32)
    (value, _), grads = jax.value_and_grad(train.objective, has_aux=True)(state.params, b, batch, numbers, parts)

    peer = TorchPeer(config)
    peer.threshold = torch.tensor(np.asarray(b))
    arrays = (state.params.weight, batch.query, batch.key, batch.is_candidate)
    theirs, gradient = peer.value_and_grad(*(torch.tensor(np.asarray(array)) for array in arrays))
    np.testing.assert_allclose(float(theirs), float(value), rtol=2e-6)
    scale = float(jnp.max(jnp.abs(grads.weight)))
    np.testing.assert_allclose(gradient.numpy(), np.asarray(grads.weight), atol=1e-5 * scale)
