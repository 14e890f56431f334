"""Which images a mask changes most, asked of a file: its mask, its batch norms, and what it says."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge import networks
from dynsim.bridge.networks import Network, NetworkShape, Outputs
from dynsim.bridge.networks.files import SavedEncoder
from dynsim.bridge.options import Judging, LongTail, Masking, Pretraining
from dynsim.bridge.training import encoder
from dynsim.config import ConfigError
from experiments.cifar import own
from experiments.cifar.files import query_path
from experiments.cifar.runs import SeedImages, Study

LONG_TAIL = LongTail(images="generated", imbalance=10.0, few_shot=0.1)
PRETRAINING = Pretraining(masking=Masking(kind="lowest", rate=0.5), batch_size=16, views="probe")


def apply(params, stats, images, *, train, norm_set=0, valid=None):
    """Mean colours, times weights, minus running means: the statistics of a batch are the means of its colours."""
    colours = jnp.mean(images, axis=(1, 2)) * params["weight"][None]
    after = {"mean": 0.9 * stats["mean"] + 0.1 * jnp.mean(colours, axis=0)} if train else stats
    return Outputs(colours - stats["mean"][None], colours, after)


NETWORK = Network(NetworkShape(), lambda key, side: ({}, {}), apply, lambda params: params)
WEIGHT, MASK = {"weight": jnp.array([1.0, -2.0, 3.0], jnp.float32)}, {"weight": jnp.array([False, True, True])}
DENSE, QUERY = ({"mean": jnp.asarray(one, jnp.float32)} for one in ([0.1, -0.2, 0.3], [0.0, -1.0, 1.0]))


@pytest.fixture
def study(tmp_path, monkeypatch):
    for module in (networks, encoder):  # a module that is first imported now would keep this network
        monkeypatch.setattr(module, "build", lambda shape: NETWORK)
    files = {"x.safetensors": SavedEncoder(NetworkShape(), WEIGHT, DENSE, MASK)}
    files["plain.safetensors"] = files["x.safetensors"]._replace(mask=None)
    files["x.query.safetensors"] = files["x.safetensors"]._replace(params=WEIGHT, stats=QUERY, mask=None)
    monkeypatch.setattr(networks, "load_safetensors", lambda path: files[path.name])
    return Study(PRETRAINING, LONG_TAIL, Judging(), 2, None, tmp_path)


def by_hand(study: Study, mean_after: np.ndarray, kept: np.ndarray) -> list[int]:
    """Number of exemplars of many, medium and few, from their definition."""
    task = SeedImages(study, 0).task
    colours = task.test.pixels.mean(axis=(1, 2)) / 255
    weight = np.array([1.0, -2.0, 3.0])
    before, after = colours * weight - np.array([0.1, -0.2, 0.3]), colours * weight * kept - mean_after
    cosine = np.sum(before * after, 1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    lowest = np.argsort(cosine)[: round(0.01 * len(cosine))]
    groups = task.groups[task.test.labels[lowest]]
    return [int(np.sum(groups == name)) for name in ("many", "medium", "few")]


def counts(text: str) -> list[int]:
    return [int(line.split()[1]) for line in text.splitlines()[-3:]]


def test_the_masked_network_has_its_own_batch_norms_where_there_are_any(study):
    path = study.folder / "x.safetensors"
    query_path(path).touch()
    text = own.exemplars_of_file(study, path, 0)
    assert "mask: its own; batch norms of the masked network: its own" in text
    assert "3 of 300 test images" in text
    assert counts(text) == by_hand(study, np.array([0.0, -1.0, 1.0]), np.array([0, 1, 1]))


@pytest.mark.slow
def test_else_its_statistics_are_computed(study):
    """The running mean goes to the mean over augmented images, with few of them at a time: here one of 100 batches."""
    text = own.exemplars_of_file(study, study.folder / "x.safetensors", 0)
    assert "batch norms of the masked network: those of the dense one, with statistics computed anew" in text
    assert sum(counts(text)) == 3
    _, stats, _ = own._masked_network(
        study,
        study.folder / "x.safetensors",
        networks.load_safetensors(study.folder / "x.safetensors"),
        MASK,
        np.full((4, 4, 4, 3), 51, np.uint8),
        0,
    )
    assert stats["mean"][0] == pytest.approx(0.1 * 0.9**100, abs=1e-6)  # a masked weight: only the trace of before
    assert -0.4 < stats["mean"][1] < 0 < stats["mean"][2] < 0.6  # padded crops of grey 0.2: darker than that


def test_a_file_without_a_mask_gets_that_of_the_options(study):
    text = own.exemplars_of_file(study, study.folder / "plain.safetensors", 0)
    assert "mask: that of the options, since it has none" in text
    unmasked = study._replace(pretraining=dataclasses.replace(PRETRAINING, masking=Masking()))
    with pytest.raises(ConfigError, match=r"masking\.rate: wanted a share above 0"):
        own.exemplars_of_file(unmasked, study.folder / "plain.safetensors", 0)
