"""Pre-training from end to end on a few generated images: resuming, masks, what arms share.

The network is one convolution and one matrix, since compiling a deep one takes most of a minute; a ResNet is trained by
the example of dynsim/README.md.
"""

import dataclasses

import jax
import numpy as np
import pytest

from dynsim.bridge import views
from dynsim.bridge.data.generated import generated_images
from dynsim.bridge.networks import NetworkShape
from dynsim.bridge.training import Masking, Pretraining, epoch, loop, pretrain
from dynsim.bridge.training import run as module
from dynsim.config import ConfigError
from dynsim.engine import checkpoint
from tests.shallow_network import shallow

PIXELS = generated_images(2, side=8).pixels[:14]
OPTIONS = Pretraining(
    network=NetworkShape(norm_sets=2),
    masking=Masking(kind="random", rate=0.5),
    epochs=3,
    batch_size=8,
    warmup_epochs=1,
    views="probe",
)


@pytest.fixture(autouse=True, scope="module")
def _shallow_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build", shallow)
        patch.setattr(epoch, "build", shallow)
        epoch.compiled_epoch.cache_clear()
        yield
    epoch.compiled_epoch.cache_clear()


def same(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def record(state) -> dict[str, np.ndarray]:
    kernel = state.params["conv1"]["kernel"]
    return {"kernel": np.asarray(kernel), "kept": np.asarray(state.mask["conv1"]["kernel"])}


@pytest.fixture(scope="module")
def whole():
    return pretrain(PIXELS, OPTIONS, seed=1, measure=record, record_epochs=(0, 2, 3))


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_with_the_same_bits(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    advance, calls = module._Run.epoch, []

    def dies_at_the_third(run, state, number):
        calls.append(number)
        if len(calls) == 3:
            raise Killed
        return advance(run, state, number)

    monkeypatch.setattr(module._Run, "epoch", dies_at_the_third)
    arguments = {"seed": 1, "folder": tmp_path / "keep", "measure": record, "record_epochs": (0, 2, 3)}
    with pytest.raises(Killed):
        pretrain(PIXELS, OPTIONS, **arguments)
    again = pretrain(PIXELS, OPTIONS, **arguments)
    assert calls == [0, 1, 2, 2]
    assert same(again, whole)
    assert same(pretrain(PIXELS, OPTIONS, **arguments), whole)  # the finished run is kept until it is removed
    assert calls == [0, 1, 2, 2]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    one = dataclasses.replace(OPTIONS, epochs=1)
    pretrain(PIXELS, one, seed=1, folder=tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="config_hash"):
        pretrain(PIXELS, one, seed=2, folder=tmp_path)


def test_what_was_measured_is_recorded_after_the_epochs_asked_for(whole):
    assert same(whole.records["kernel"][2], whole.state.params["conv1"]["kernel"])
    assert not np.array_equal(whole.records["kernel"][0], whole.records["kernel"][1])
    assert whole.records["kept"][0].all() and 0 < np.mean(whole.records["kept"][2]) < 1
    assert whole.state.stats["seen"].tolist() == [3 * 14, 3 * 14]  # padding is never seen, each view has its set
    assert all(values.shape == (3,) and np.isfinite(values).all() for values in whole.log.values())
    np.testing.assert_allclose(whole.log["mask_changed"][1:], 0.5, atol=0.1)  # a new random half each epoch


def test_arms_share_order_views_and_first_weights(monkeypatch):
    seen = {}
    pair = views.pair

    def watched(key, pixels, recipe):
        query, second = pair(key, pixels, recipe)
        jax.debug.callback(lambda q, k: seen[arm].append((np.asarray(q), np.asarray(k))), query, second)
        return query, second

    monkeypatch.setattr(views, "pair", watched)
    epoch.compiled_epoch.cache_clear()
    arms = {
        "none": Masking(),
        "lowest": Masking(kind="lowest", rate=0.9),
        "random_fixed": Masking(kind="random_fixed", rate=0.9),
    }
    first = {}
    for arm, masking in arms.items():
        seen[arm] = []
        options = dataclasses.replace(OPTIONS, masking=masking, epochs=1, weight_decay=1e-3 if arm == "none" else 0.1)
        found = pretrain(PIXELS, options, seed=3, measure=record, record_epochs=(0,))
        first[arm] = found.records["kernel"]
    epoch.compiled_epoch.cache_clear()
    assert [len(calls) for calls in seen.values()] == [2, 2, 2]
    assert same(seen["none"], seen["lowest"]) and same(seen["none"], seen["random_fixed"])
    assert same(first["none"], first["lowest"])
    assert not np.array_equal(seen["none"][0][0], seen["none"][0][1])


def test_images_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="pixels: wanted uint8 images"):
        pretrain(PIXELS.astype(np.float32), OPTIONS, seed=0)
