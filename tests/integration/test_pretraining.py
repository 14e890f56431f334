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
from tests.shallow_network import CHANNELS, shallow

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


def killed_and_resumed(options, keep, monkeypatch, *, at_call: int, **more):
    """Kill a run at one of its epochs, run it again, and once more; return both results and the epochs begun."""
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    advance, calls = module._Run.epoch, []

    def dies(run, state, number):
        calls.append(number)
        if len(calls) == at_call:
            raise Killed
        return advance(run, state, number)

    monkeypatch.setattr(module._Run, "epoch", dies)
    arguments = {"seed": 1, "folder": keep, **more}
    with pytest.raises(Killed):
        pretrain(PIXELS, options, **arguments)
    return pretrain(PIXELS, options, **arguments), pretrain(PIXELS, options, **arguments), calls


def test_a_killed_run_goes_on_with_the_same_bits(whole, tmp_path, monkeypatch):
    more = {"measure": record, "record_epochs": (0, 2, 3)}
    again, finished, calls = killed_and_resumed(OPTIONS, tmp_path / "keep", monkeypatch, at_call=3, **more)
    assert calls == [0, 1, 2, 2]
    assert same(again, whole)
    assert same(finished, whole)  # the finished run is kept until it is removed


def test_moco_fills_its_queue_and_resumes_with_the_same_bits(tmp_path, monkeypatch):
    """Key network and queue are in the checkpoint too; the two padded places of each epoch are in no queue."""
    shape = NetworkShape(embedding_dim=CHANNELS)
    options = dataclasses.replace(OPTIONS, network=shape, method="moco", queue=20, key_momentum=0.5, epochs=2)
    options = dataclasses.replace(options, masking=Masking(kind="random", rate=0.5, semantics="masked_query"))
    straight = pretrain(PIXELS, options, seed=1)
    again, _, calls = killed_and_resumed(options, tmp_path, monkeypatch, at_call=2)
    assert calls == [0, 1, 1]
    assert same(again, straight)
    keys = straight.state.keys
    assert (int(keys.place), int(keys.filled)) == (28 % 20, 20)
    np.testing.assert_allclose(np.linalg.norm(keys.queue[0], axis=1), 1, rtol=1e-5)
    assert keys.stats["seen"].tolist() == straight.state.stats["seen"].tolist() == [28]
    trained, followed = (one.params["conv1"]["kernel"] for one in (straight.state, keys))
    first = pretrain(PIXELS, options, seed=1, measure=record, record_epochs=(0,)).records["kernel"][0]
    assert 0 < np.linalg.norm(followed - first) < np.linalg.norm(trained - first)  # it lags behind


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
