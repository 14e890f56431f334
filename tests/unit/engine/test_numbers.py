"""Numbers apart from structure: each field of a configuration changes exactly one of the two."""

import dataclasses

import numpy as np
import pytest

from dynsim.config import Config, replace
from dynsim.config.differences import differing_numbers
from dynsim.engine.numbers import Numbers, resolve

D = 4
BASE = replace(Config(), **{"data.n_features": D, "data.token_dim": 6})
GIVEN = replace(BASE, **{"data.frequency_profile": "given", "data.relative_frequency": (1.0, 0.5, 0.25, 0.125)})
CORRELATED = replace(BASE, **{"data.dictionary": "correlated"})
NOISY = replace(BASE, **{"data.noise_level": "given", "data.noise_variance": 0.1})
DROPPING = replace(BASE, **{"data.majority_keep": 0.9})
TOGETHER = replace(BASE, **{"data.co_occurrence": 0.1})
FADING = replace(BASE, **{"data.fading_noise": 0.1, "data.fading_steps": 5})
PRUNED = replace(BASE, **{"prune.kind": "lowest", "prune.rate": 0.3})
RELEASED = replace(PRUNED, **{"prune.stop": "at_step", "prune.stop_step": 9})
DECAYING = replace(BASE, **{"loss.l2_penalty": 0.0, "loss.weight_decay": 0.1})

# start, change, and the fields of Numbers that the change reaches
NUMBERS = [
    (BASE, {"data.frequency_profile": "exponential"}, {"active_probability"}),
    (BASE, {"data.frequency_profile": "power_law"}, {"active_probability"}),
    (GIVEN, {"data.relative_frequency": (1.0, 0.5, 0.25, 0.2)}, {"active_probability"}),
    (GIVEN, {"data.relative_frequency": (0.125, 0.25, 0.5, 1.0)}, {"active_probability", "minority"}),
    (BASE, {"data.minority_ratio": 0.3}, {"active_probability"}),
    (BASE, {"data.minority_fraction": 0.25}, {"active_probability", "minority"}),
    (BASE, {"data.activation_rate": 0.2}, {"active_probability"}),
    (BASE, {"data.noise_level": "sqrt_log_d"}, {"noise_std"}),
    (NOISY, {"data.noise_variance": 0.2}, {"noise_std"}),
    (DROPPING, {"data.majority_keep": 0.8}, {"keep_probability"}),
    (DROPPING, {"data.minority_keep": 0.8}, {"keep_probability"}),
    (DROPPING, {"data.keep_probability": (0.1, 0.2, 0.3, 0.4)}, {"keep_probability"}),
    (TOGETHER, {"data.co_occurrence": 0.2}, {"co_occurrence"}),
    (CORRELATED, {"data.dictionary_cosine": 0.2}, {"dictionary_cosine"}),
    (BASE, {"encoder.init_std": 0.1}, {"init_std"}),
    (BASE, {"loss.temperature": 0.1}, {"temperature"}),
    (BASE, {"loss.l2_penalty": 0.1}, {"l2_penalty"}),
    (DECAYING, {"loss.weight_decay": 0.2}, {"weight_decay"}),
    (BASE, {"optimizer.learning_rate": 0.1}, {"learning_rate"}),
    (BASE, {"optimizer.attention_learning_rate": 0.1}, {"attention_learning_rate"}),
    (BASE, {"threshold.scale": 0.1}, {"threshold_scale"}),
    (FADING, {"data.fading_noise": 0.3}, {"fading_noise"}),
    (FADING, {"data.fading_steps": 30}, {"fading_steps"}),
    (PRUNED, {"prune.rate": 0.5}, {"prune_rate"}),
    (PRUNED, {"prune.refresh": 5}, {"prune_refresh"}),
    (PRUNED, {"prune.start_step": 5}, {"prune_start"}),
    (RELEASED, {"prune.stop_step": 10}, {"prune_stop"}),
    (BASE, {"train.n_steps": 7}, set()),
    (BASE, {"train.n_records": 7}, set()),
]

# changes that make another program
STRUCTURAL = [
    {"data.n_features": 5},
    {"data.token_dim": 7},
    {"data.n_tokens": 3},
    {"data.batch_size": 5},
    {"data.n_negatives": 5},
    {"data.dictionary": "identity"},
    {"data.dictionary": "correlated"},
    {"data.sampling_rule": "independent_tokens"},
    {"data.pair_rule": "identical"},
    {"data.minority_keep": 0.5},
    {"data.keep_probability": (1.0, 1.0, 1.0, 0.5)},
    {"data.co_occurrence": 0.1},
    {"data.empties": "keep"},
    {"data.fading_noise": 0.5, "data.fading_steps": 9},
    {"data.mask_equal_codes": False},
    {"encoder.n_neurons": 3},
    {"encoder.attention": "uniform"},
    {"encoder.pooling": "mean"},
    {"encoder.train_attention": True},
    {"loss.similarity": "cosine"},
    {"loss.symmetric": True},
    {"loss.stop_gradient": False},
    {"loss.temperature_prefactor": False},
    {"threshold.rule": "zero"},
    {"threshold.rule": "masked_norm_tracking"},
    {"threshold.start": "never"},
    {"optimizer.name": "adam"},
    {"optimizer.arguments": (("momentum", 0.9),)},
    {"train.n_probe": 3},
    {"train.precision": "float64"},
]


PRUNED_STRUCTURAL = [
    {"prune.rate": 0.0},
    {"prune.kind": "highest"},
    {"prune.kind": "dropout"},
    {"prune.unit": "weight"},
    {"prune.unit": "weight", "prune.scope": "global", "encoder.train_attention": True},
    {"prune.unit": "weight", "prune.scope": "per_neuron"},
    {"prune.refresh": None},
    {"prune.start": "switch"},
    {"prune.stop": "coverage"},
    {"prune.stop": "at_step", "prune.stop_step": 7},
    {"prune.semantics": "one_branch"},
]


def changed_fields(first: Config, second: Config) -> set[str]:
    pairs = zip(Numbers._fields, resolve(first).numbers, resolve(second).numbers, strict=True)
    return {name for name, a, b in pairs if not np.array_equal(a, b)}


@pytest.mark.parametrize(
    ("start", "change", "reached"), NUMBERS, ids=lambda part: next(iter(part)) if isinstance(part, dict) else ""
)
def test_a_number_reaches_numbers_and_not_the_structure(start, change, reached):
    after = replace(start, **change)
    assert changed_fields(start, after) == reached
    assert resolve(start).structure == resolve(after).structure
    assert hash(resolve(start).structure) == hash(resolve(after).structure)
    assert differing_numbers(start, after) == list(change)


def test_every_field_of_numbers_is_reached():
    assert set().union(*(reached for _, _, reached in NUMBERS)) == set(Numbers._fields)


@pytest.mark.parametrize("change", STRUCTURAL, ids=lambda change: " ".join(map(str, change)))
def test_structure_tells_programs_apart(change):
    assert resolve(BASE).structure != resolve(replace(BASE, **change)).structure


@pytest.mark.parametrize("change", PRUNED_STRUCTURAL, ids=lambda change: " ".join(map(str, change)))
def test_structure_tells_pruned_programs_apart(change):
    assert resolve(PRUNED).structure != resolve(replace(PRUNED, **change)).structure


def test_rate_zero_is_the_unpruned_program():
    """So that its runs are those without pruning, bit for bit."""
    for changes in ({}, {"prune.unit": "weight"}, {"prune.semantics": "one_branch", "prune.stop": "coverage"}):
        assert resolve(replace(PRUNED, **changes, **{"prune.rate": 0.0})).structure == resolve(BASE).structure
        assert resolve(replace(BASE, **changes)).structure == resolve(BASE).structure


def test_every_field_is_a_number_or_structural():
    """A new field must be added to one of the two tables above."""
    known = {name for _, change, _ in NUMBERS for name in change}
    known |= {name for change in STRUCTURAL + PRUNED_STRUCTURAL for name in change}
    # without a row above: words that exclude others, and settings of the compiled threshold rule and of the host
    known |= {"encoder.architecture", "encoder.train_bias", "loss.kind", "train.batching"}
    known |= {"threshold.start_step", "threshold.stop_growth"}
    fields = {
        f"{s.name}.{f.name}" for s in dataclasses.fields(Config) for f in dataclasses.fields(getattr(BASE, s.name))
    }
    assert fields == known


def test_structure_keeps_itself():
    for config in (BASE, GIVEN, CORRELATED, NOISY, DROPPING, TOGETHER, DECAYING, PRUNED, RELEASED):
        assert resolve(resolve(config).structure).structure == resolve(config).structure


def test_structure_is_the_same_for_any_way_to_drop_features():
    vector = replace(BASE, **{"data.keep_probability": (1.0, 1.0, 0.5, 1.0)})
    assert resolve(vector).structure == resolve(DROPPING).structure
    all_kept = replace(DROPPING, **{"data.keep_probability": (1.0,) * D})  # the vector replaces the two numbers
    assert resolve(all_kept).structure == resolve(BASE).structure


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_numbers_have_the_configured_precision_and_one_shape(precision):
    for config in (BASE, GIVEN, DROPPING, FADING):
        numbers = resolve(replace(config, **{"train.precision": precision})).numbers
        for name, value in zip(Numbers._fields, numbers, strict=True):
            per_feature = name in {"active_probability", "minority", "keep_probability"}
            if name in {"fading_noise", "fading_steps"}:
                assert (value is None) == (config is not FADING)
                continue
            assert value.dtype == precision and value.shape == ((D,) if per_feature else ()), name


def test_values_by_hand():
    config = replace(BASE, **{"train.precision": "float64", "data.minority_fraction": 0.25, "data.minority_keep": 0.5})
    numbers = resolve(config).numbers
    np.testing.assert_allclose(numbers.active_probability, [0.1, 0.1, 0.1, 0.07], rtol=1e-15)
    np.testing.assert_array_equal(numbers.minority, [0, 0, 0, 1])
    np.testing.assert_array_equal(numbers.keep_probability, [1, 1, 1, 0.5])
    assert numbers.noise_std == 0.5  # sqrt(1/4)
    assert (numbers.temperature, numbers.l2_penalty, numbers.weight_decay) == (1, 2e-3, 0)
    assert (numbers.learning_rate, numbers.init_std, numbers.threshold_scale) == (0.5, 0.01, 0.5)


def test_differing_numbers_lists_every_field_in_order():
    after = replace(BASE, **{"train.n_steps": 3, "data.minority_ratio": 0.2, "data.pair_rule": "identical"})
    assert differing_numbers(BASE, after) == ["data.minority_ratio", "data.pair_rule", "train.n_steps"]
    assert differing_numbers(BASE, BASE) == []


def test_the_groups_are_those_of_the_theory():
    config = replace(GIVEN, **{"data.relative_frequency": (0.125, 0.25, 0.5, 1.0)})
    groups = resolve(config).groups
    np.testing.assert_array_equal(groups.minority, [True, True, False, False])
    # at most one code per feature: q_j over the chance that any of the four is active
    q = 0.1 * np.array([0.125, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(groups.activation_probability, q / (1 - np.prod(1 - q)), rtol=1e-12)


def test_a_structure_resolves_to_the_canonical_numbers():
    """So that a program can be made from the structure alone."""
    first, second = resolve(resolve(BASE).structure), resolve(resolve(NOISY).structure)
    assert all(np.array_equal(*pair) for pair in zip(first.numbers, second.numbers, strict=True))
