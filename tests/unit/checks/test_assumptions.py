"""DATA, SPARSE and NOISE on planted arrays, and what they count on small samples."""

import math

import numpy as np
import pytest
import xarray as xr

from dynsim import theory
from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks import size_search
from paper_checks.assumptions import data, noise, sparse
from paper_checks.runs import NOISES, base

BLOCKS = 16


def verdicts(module, arrays):
    return {(row.claim, row.regime): row.verdict for row in module.CHECK.judge(arrays)}


# sizes


def test_the_smallest_size_is_found():
    assert size_search.smallest_size(lambda d: d >= 4711) == 4711
    assert size_search.smallest_size(lambda d: True, least=3) == 3
    assert math.isinf(size_search.smallest_size(lambda d: False))
    assert size_search.from_size_on(4711.0) == "from d = 4,711 on"
    assert "no d" in size_search.from_size_on(math.inf)


# DATA


def law(seed, *, score=1.0, variance=1.0, shared=1.0, together=1.0):
    rng = np.random.default_rng(seed)
    sizes = (16, 64)
    values = {name: score + 0.1 * rng.standard_normal((BLOCKS, 2)) for name in ("activity", "signs", "pairs")}
    values["pair_signs"] = values["pairs"]
    values["together"] = together + 0.01 * rng.standard_normal((BLOCKS, 2))
    values["shared"] = np.full((BLOCKS, 2), shared)
    moments = np.array([variance, variance, 0.0]) + 1e-3 * rng.standard_normal((BLOCKS, 2, 2, 3))
    arrays = {name: (("block", "d"), one) for name, one in values.items()}
    coords = {"d": list(sizes), "noise": list(NOISES), "moment": ["outside", "along", "across"]}
    return xr.Dataset(arrays | {"moments": (("block", "end", "noise", "moment"), moments)}, coords)


@pytest.mark.parametrize("seed", range(3))
def test_data_that_obey_the_law_and_data_that_do_not(seed):
    assert set(verdicts(data, law(seed)).values()) == {SUPPORTED}
    broken = law(seed, score=2.0, variance=1.1, shared=0.99, together=0.85)
    across = {key: v for key, v in verdicts(data, broken).items() if "two views is independent" not in key[0]}
    assert set(across.values()) == {NOT_SUPPORTED}


def drawn(rng, n, chance):
    """Independent codes of which empty ones are drawn again, and the chance of empty ones."""
    active = rng.random((3 * n, len(chance))) < chance
    codes = active * rng.choice([-1, 1], active.shape)
    return codes[active.any(axis=1)][:n], float(np.prod(1 - chance))


def test_scores_of_independent_codes_are_1_and_of_others_larger():
    rng, chance = np.random.default_rng(0), np.linspace(0.1, 0.3, 6)
    parts = []
    for _ in range(60):
        codes, empty = drawn(rng, 2000, chance)
        parts.append(data.scores(codes, chance / (1 - empty), empty))
    mean = {name: np.mean([part[name] for part in parts]) for name in parts[0]}
    assert all(abs(mean[name] - 1) < 0.2 for name in ("activity", "signs", "pairs", "pair_signs"))
    assert abs(mean["together"] - (1 - empty)) < 0.02
    codes, empty = drawn(rng, 2000, chance)
    wrong = data.scores(np.repeat(codes[:, :3], 2, axis=1), chance / (1 - empty), empty)
    assert wrong["pairs"] > 10 and wrong["pair_signs"] > 10
    assert data.scores(np.abs(codes), chance / (1 - empty), empty)["signs"] > 10
    assert data.scores(codes, chance, empty)["activity"] > 10  # chances before the replacement


# SPARSE


@pytest.mark.parametrize("d", [8, 16, 63, 64])
def test_the_closed_forms_are_those_of_the_theory(d):
    config, found = base(d), sparse.sparsity(d, 0.5)
    assert np.isclose(found.active, theory.activation_probability(config.data).sum())
    assert np.isclose(found.empty, theory.empty_probability(config.data))


def test_counted_codes_by_hand():
    codes = np.array([[0, 0], [1, 0], [1, 0], [1, -1], [-1, 0], [0, 0]])
    assert sparse.counted(codes) == sparse.Sparsity(5 / 4, 2 / 6, 2 / 12)


def test_counted_codes_agree_with_the_closed_forms():
    found = sparse._drawn(16, 8192, 1, 0)
    assert np.allclose(found, sparse.sparsity(16, 0.5), rtol=0.1)


def thin(seed, *, power=None, wrong=1.0, empty=None):
    """Drawn numbers around the closed forms times `wrong`, or with active features as a power of log log d."""
    rng, values = np.random.default_rng(seed), {}
    exact = [sparse.sparsity(d, 0.5) for d in sparse.SIZES]
    for name in sparse.Sparsity._fields:
        mean = wrong * np.array([getattr(one, name) for one in exact])
        if name == "active" and power is not None:
            mean = 2 * np.log(np.log(np.array(sparse.SIZES))) ** power
        if name == "empty" and empty is not None:
            mean = np.full(len(exact), empty)
        values[name] = (("block", "d"), mean * (1 + 0.005 * rng.standard_normal((8, len(exact)))))
    return xr.Dataset(values, {"d": list(sparse.SIZES)})


@pytest.mark.parametrize("seed", range(3))
def test_sparse_numbers_and_others(seed):
    found = verdicts(sparse, thin(seed))
    assert [v for (claim, _), v in found.items() if "computed" in claim] == [SUPPORTED] * 3
    assert {v for (claim, _), v in found.items() if "empty, d" in claim} == {NOT_SUPPORTED}
    wrong = verdicts(sparse, thin(seed, wrong=1.2))
    assert [v for (claim, _), v in wrong.items() if "computed" in claim] == [NOT_SUPPORTED] * 3
    assert {v for (claim, _), v in verdicts(sparse, thin(seed, empty=1e-3)).items() if "empty, d" in claim} == {
        SUPPORTED
    }


@pytest.mark.parametrize(("power", "verdict"), [(1.0, SUPPORTED), (0.5, NOT_SUPPORTED), (2.0, NOT_SUPPORTED)])
def test_the_order_of_active_features(power, verdict):
    found = verdicts(sparse, thin(0, power=power))
    assert [v for (claim, _), v in found.items() if "of order" in claim] == [verdict]


# NOISE


def firing(seed, tail):
    """phi given by `tail(d)` in all settings, and what is fired on 64,000 pairs of a token and a neuron."""
    rng, names = np.random.default_rng(seed), list(noise.SETTINGS)
    phi = np.array([[tail(d) for d in noise.GRID]] * len(names))
    at = [tail(d) for d in noise.SAMPLED]
    fired = rng.binomial(64_000, at, size=(noise.BLOCKS, len(names), len(at))) / 64_000
    coords = {"setting": np.array(names, object), "d": list(noise.GRID), "sampled": list(noise.SAMPLED)}
    return xr.Dataset({"phi": (("setting", "d"), phi), "fired": (("block", "setting", "sampled"), fired)}, coords)


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_is_filtered_and_noise_that_is_not(seed):
    filtered = verdicts(noise, firing(seed, lambda d: 3 * d**-1.5))
    assert {v for (claim, _), v in filtered.items() if "sampled" not in claim} == {SUPPORTED}
    loud = verdicts(noise, firing(seed, lambda d: 0.5 * d**0.01))
    assert set(loud.values()) == {NOT_SUPPORTED}


def test_sampled_tokens_fire_as_computed():
    found = np.mean([noise.sampled_firing(np.random.default_rng(k), 16, 500) for k in range(4)], axis=0)
    assert np.allclose(found, [noise.rate(name, 16) for name in noise.SETTINGS], rtol=0.1)


def test_the_rates_are_those_of_the_theory():
    # theory 4.4: at the paper's noise and kappa 1, b / (||w|| sigma) = sqrt(2) (log d)^(1/4)
    for d, per_cent in ((64, 4.3), (256, 3.0), (1_000_000, 0.6)):
        assert round(100 * noise.rate("the paper's noise, kappa 1", d), 1) == per_cent
