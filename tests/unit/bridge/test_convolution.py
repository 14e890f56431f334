"""Convolutions: values and both gradients are those of `jax.lax`, for any window, strides, padding and block size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dynsim.bridge.networks import blocks, convolution
from dynsim.bridge.networks.convolution import CHANNELS_LAST, convolve

ONE = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))
# images, window, strides, padding
CASES = {
    "3x3": ((5, 6, 4, 3, 2), (3, 3), (1, 1), ONE),
    "3x3, more outputs than inputs": ((4, 3, 5, 1, 7), (3, 3), (1, 1), ONE),
    "3x3 without padding": ((3, 5, 4, 3, 2), (3, 3), (1, 1), NONE),
    "3x3, shifted": ((4, 5, 9, 2, 2), (3, 3), (1, 1), ((2, 0), (0, 3))),
    "3x3 with stride 2, even": ((5, 6, 4, 3, 2), (3, 3), (2, 2), ONE),
    "3x3 with stride 2, odd": ((5, 5, 7, 3, 2), (3, 3), (2, 2), ONE),
    "3x3 with stride 2, without padding": ((2, 6, 5, 2, 3), (3, 3), (2, 2), NONE),
    "1x1": ((5, 3, 4, 3, 2), (1, 1), (1, 1), NONE),
    "1x1 with stride 2": ((5, 6, 5, 3, 2), (1, 1), (2, 2), NONE),
    "stem of ImageNet networks": ((2, 12, 11, 3, 2), (7, 7), (2, 2), ((3, 3), (3, 3))),
    "3x3 on four pixels": ((5, 2, 2, 3, 4), (3, 3), (1, 1), ONE),
    "3x3 with stride 2, to four pixels": ((5, 4, 3, 3, 4), (3, 3), (2, 2), ONE),
    "nothing symmetric": ((3, 6, 7, 4, 2), (3, 2), (1, 1), ((0, 2), (1, 0))),
    "padding wider than the window": ((3, 4, 3, 4, 2), (2, 2), (1, 1), ((1, 1), (2, 3))),
}
TILED = [name for name, (_, window, strides, _) in CASES.items() if window == (3, 3) and strides == (1, 1)]


def plain(images, kernel, strides, padding):
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=CHANNELS_LAST)


def draw(shape, window):
    n, rows, columns, inputs, outputs = shape
    rng = np.random.default_rng(0)
    return jax.device_put((rng.normal(size=(n, rows, columns, inputs)), rng.normal(size=(*window, inputs, outputs))))


def with_gradients(function, images, kernel, strides, padding):
    """Return the value and both gradients for a cotangent in which every entry is another."""
    value, pull = jax.vjp(lambda x, w: function(x, w, strides, padding), images, kernel)
    return value, *pull(jnp.sin(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape))


@pytest.mark.parametrize(("name", "tiled"), [(name, False) for name in CASES] + [(name, True) for name in TILED])
def test_values_and_gradients_are_those_of_lax(name, tiled, monkeypatch):
    if tiled:
        monkeypatch.setattr(convolution, "TILED_CHANNELS", 1)
        monkeypatch.setattr(convolution, "TILED_SHARE", 0.0)
    shape, window, strides, padding = CASES[name]
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 30)  # several blocks, and one that is not full
    images, kernel = draw(shape, window)
    both = jax.jit(lambda x, w: [with_gradients(f, x, w, strides, padding) for f in (convolve, plain)])
    found, wanted = both(images, kernel)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_the_outputs_of_a_group_see_its_inputs_only(monkeypatch):
    """Values and gradients are those of one convolution for each group, side by side."""
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 6)  # a block for each image
    strides = (2, 2)
    images, _ = draw((2, 5, 4, 6, 0), (3, 3))
    _, kernel = draw((2, 5, 4, 2, 9), (3, 3))

    def grouped(x, w, strides, padding):
        return convolve(x, w, strides, padding, feature_group_count=3)

    def side_by_side(x, w, strides, padding):
        parts = zip(jnp.split(x, 3, axis=3), jnp.split(w, 3, axis=3), strict=True)
        return jnp.concatenate([plain(*part, strides, padding) for part in parts], axis=3)

    both = jax.jit(lambda x, w: [with_gradients(f, x, w, strides, ONE) for f in (grouped, side_by_side)])
    for a, b in zip(*both(images, kernel), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_seeds_along_an_axis_of_their_own(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 30)
    images, kernel = draw((5, 6, 4, 3, 2), (3, 3))
    both, kernels = np.stack([images, -2 * np.asarray(images)]), np.stack([kernel, np.asarray(kernel) + 1])

    def gradients(x, w):
        return with_gradients(convolve, x, w, (1, 1), ONE)

    together = jax.jit(jax.vmap(gradients))(both, kernels)
    one = jax.jit(lambda x, w: with_gradients(plain, x, w, (1, 1), ONE))
    alone = [one(x, w) for x, w in zip(both, kernels, strict=True)]
    for a, *b in zip(together, *alone, strict=True):
        np.testing.assert_allclose(a, np.stack(b), rtol=0, atol=1e-12 * np.abs(a).max())


@pytest.mark.parametrize(("n", "size"), [(256, 4), (250, 2), (7, 4), (3, 3), (0, 1)])
def test_blocks_have_one_size_where_that_costs_few_images(n, size):
    assert blocks.block_size((n, 32, 32, 16)) == size


def test_another_layout_is_refused():
    with pytest.raises(ValueError, match="transpose the images"):
        convolve(*draw((1, 2, 2, 1, 1), (1, 1)), (1, 1), NONE, dimension_numbers=("NCHW", "OIHW", "NCHW"))
