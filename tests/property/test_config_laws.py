"""Laws of any valid configuration: JSON and back, hashes, structure and numbers."""

import contextlib
import dataclasses
import json
import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError
from dynsim.config.serial import config_hash, from_dict, from_json, to_dict, to_json
from dynsim.engine.numbers import resolve

SIZES = st.integers(1, 9)
SHARES = st.floats(0.0, 1.0)
POSITIVE = st.floats(1e-3, 1.0)
RANGES = {
    "data.n_features": st.just(4),
    "data.token_dim": st.integers(4, 9),
    "data.batch_size": st.integers(2, 9),
    "data.n_negatives": st.none() | SIZES,
    "data.relative_frequency": st.just(()) | st.tuples(*[POSITIVE] * 4),
    "data.keep_probability": st.just(()) | st.tuples(*[SHARES] * 4),
    "data.dictionary_cosine": st.just(0.0) | st.floats(-0.3, 0.9),
    "data.minority_fraction": SHARES,
    "data.noise_variance": st.just(0.0) | POSITIVE,
    "data.majority_keep": SHARES,
    "data.minority_keep": SHARES,
    "data.co_occurrence": st.just(0.0) | st.floats(0.0, 0.5),
    "loss.l2_penalty": st.just(0.0) | POSITIVE,
    "loss.weight_decay": st.just(0.0) | st.just(0) | POSITIVE,
    "threshold.start_step": st.just(0) | SIZES,
    "threshold.scale": st.none() | POSITIVE,
    "prune.rate": st.just(0.0) | st.floats(0.0, 0.99),
    "prune.refresh": st.none() | SIZES,
    "prune.start_step": st.just(0) | SIZES,
    "prune.stop_step": st.just(0) | SIZES,
    "optimizer.name": st.sampled_from(["sgd", "adam", "rmsprop"]),
    "optimizer.arguments": st.just(()) | st.tuples(st.tuples(st.sampled_from(["momentum", "b1"]), POSITIVE)),
    "train.n_records": st.integers(2, 9),
}


DEFAULT = Config()


def field_names() -> dict[str, type]:
    """Return the type of every field by its dotted name."""
    sections = [(section.name, type(getattr(DEFAULT, section.name))) for section in dataclasses.fields(Config)]
    return {f"{name}.{field.name}": field.type for name, cls in sections for field in dataclasses.fields(cls)}


NAMES = field_names()
SMALL = replace(DEFAULT, **{"data.n_features": 4, "data.token_dim": 4})


def values_of(name: str, kind: typing.Any) -> st.SearchStrategy:
    """Return values that are valid on their own, for one field."""
    if name in RANGES:
        return RANGES[name]
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from(typing.get_args(kind))
    return {int: SIZES, bool: st.booleans(), float: POSITIVE}[kind]


@st.composite
def configs(draw) -> Config:
    """Draw configurations: changes one after the other, without those that do not go with what is there."""
    config = SMALL
    for name in draw(st.lists(st.sampled_from(sorted(NAMES)), max_size=12, unique=True)):
        change = {name: draw(values_of(name, NAMES[name]))}
        if name == "data.relative_frequency":
            change["data.frequency_profile"] = "given" if change[name] else "two_level"
        with contextlib.suppress(ConfigError):
            config = replace(config, **change)
    return config


@given(configs())
def test_json_and_back(config):
    assert from_json(to_json(config)) == config
    assert from_dict(to_dict(config)) == config
    assert from_dict(json.loads(json.dumps(to_dict(config), indent=1))) == config
    assert to_json(from_json(to_json(config))) == to_json(config)


@given(configs(), configs(), st.lists(st.integers(0, 2**32 - 1), max_size=3))
def test_hashes_agree_exactly_where_configurations_do(first, second, seeds):
    assert (config_hash(first, seeds) == config_hash(second, seeds)) == (first == second)
    assert config_hash(first, seeds) == config_hash(from_json(to_json(first)), np.array(seeds, np.uint32))


@given(configs())
def test_structure_keeps_all_but_the_numbers(config):
    shape = resolve(config).structure
    assert resolve(shape).structure == shape
    assert hash(shape) == hash(resolve(from_json(to_json(config))).structure)
    for name in ("n_features", "token_dim", "n_tokens", "batch_size", "n_negatives", "pair_rule", "sampling_rule"):
        assert getattr(shape.data, name) == getattr(config.data, name)
    assert shape.encoder.n_neurons == config.encoder.n_neurons and shape.optimizer.name == config.optimizer.name


@given(configs())
def test_numbers_are_finite_probabilities_in_range(config):
    numbers = resolve(config).numbers
    for value in (one for one in numbers if one is not None):  # noise that does not fade has no number
        assert np.all(np.isfinite(value)) and np.all(value >= (-1 if value is numbers.dictionary_cosine else 0))
    lifted = numbers.active_probability / (1 - numbers.co_occurrence)
    assert np.all(lifted <= 1 + 1e-6) and np.all(numbers.active_probability > 0)
    assert np.all(numbers.keep_probability <= 1) and numbers.minority.sum() == config.data.n_minority


@given(st.text() | st.binary().map(repr) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_other_text_is_one_line(text):
    with pytest.raises(ConfigError) as caught:
        from_json(text)
    assert len(str(caught.value).splitlines()) == 1


@given(st.sampled_from(sorted(NAMES)), st.recursive(st.none() | st.floats() | st.text() | st.booleans(), st.lists))
def test_any_value_from_json_is_taken_or_refused_in_one_line(name, value):
    section, _, field = name.partition(".")
    values = to_dict(Config())
    values[section][field] = value
    try:
        config = from_dict(values)
    except ConfigError as error:
        assert field in str(error)
        assert len(str(error).splitlines()) == 1
    else:
        assert from_json(to_json(config)) == config
