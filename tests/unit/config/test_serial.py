"""Configurations to JSON and back; tests/property/test_config_laws.py has the round trip of any configuration."""

import json

import numpy as np
import pytest

from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError
from dynsim.config.serial import SCHEMA, config_hash, from_dict, from_json, to_dict, to_json


def test_the_dictionary_has_every_field_and_the_schema():
    values = to_dict(replace(Config(), **{"optimizer.arguments": (("momentum", 0.9),)}))
    assert values["schema"] == SCHEMA
    assert set(values) == {"schema", "data", "encoder", "loss", "threshold", "prune", "optimizer", "train"}
    assert values["data"]["n_features"] == 64 and values["data"]["n_negatives"] is None
    assert values["optimizer"]["arguments"] == [["momentum", 0.9]]
    assert json.loads(to_json(Config())) == to_dict(Config())
    assert "\n" not in to_json(Config())


def test_fields_left_out_take_their_defaults():
    assert from_dict({"schema": SCHEMA}) == Config()
    changed = from_dict({"schema": SCHEMA, "data": {"minority_ratio": 0.5}})
    assert changed == replace(Config(), **{"data.minority_ratio": 0.5})


def test_reading_leaves_its_argument_alone():
    values = to_dict(Config())
    from_dict(values)
    assert values == to_dict(Config())


@pytest.mark.parametrize(
    ("section", "name", "value", "words"),
    [
        ("data", "n_featurs", 8, ["config.data.n_featurs", "did you mean n_features?"]),
        ("loss", "temprature", 1.0, ["did you mean temperature?"]),
        ("loss", "zzzzzz", 1.0, ["config.loss.zzzzzz: no such field"]),
        ("data", "n_features", 8.0, ["config.data.n_features: wanted int, got 8.0"]),
        ("data", "n_features", "8", ["config.data.n_features: wanted int, got '8'"]),
        ("data", "n_features", True, ["config.data.n_features: wanted int, got True"]),
        ("data", "n_features", None, ["config.data.n_features: wanted int, got None"]),
        ("data", "n_negatives", 1.5, ["config.data.n_negatives: wanted int | None, got 1.5"]),
        ("data", "activation_rate", "0.1", ["config.data.activation_rate: wanted float"]),
        ("data", "activation_rate", True, ["config.data.activation_rate: wanted float"]),
        ("data", "activation_rate", 10**400, ["config.data.activation_rate: wanted a finite number"]),
        ("data", "activation_rate", float("nan"), ["activation_rate: wanted a finite number"]),
        ("data", "dictionary", "qrr", ["config.data.dictionary: wanted one of qr, identity, correlated, got 'qrr'"]),
        ("data", "dictionary", ["qr"], ["config.data.dictionary"]),
        ("data", "relative_frequency", 0.5, ["config.data.relative_frequency: wanted a list, got 0.5"]),
        ("data", "relative_frequency", "111", ["config.data.relative_frequency: wanted a list"]),
        ("data", "relative_frequency", [0.5, "x"], ["config.data.relative_frequency: wanted float, got 'x'"]),
        ("data", "mask_equal_codes", 1, ["config.data.mask_equal_codes: wanted bool, got 1"]),
        ("optimizer", "arguments", [["momentum"]], ["config.optimizer.arguments: wanted 2 entries, got 1"]),
        ("optimizer", "arguments", [[0.9, "momentum"]], ["config.optimizer.arguments: wanted str, got 0.9"]),
        ("optimizer", "arguments", {"momentum": 0.9}, ["config.optimizer.arguments: wanted a list"]),
        ("data", "n_features", 2, ["n_features: wanted an integer of at least 3"]),
    ],
)
def test_wrong_values_are_refused_in_one_line(section, name, value, words):
    values = to_dict(Config())
    values[section][name] = value
    for read in (from_dict, lambda v: from_json(json.dumps(v))):
        with pytest.raises(ConfigError) as caught:
            read(values)
        message = str(caught.value)
        assert all(word in message for word in words), message
        assert "\n" not in message and len(message) < 200


@pytest.mark.parametrize("schema", [None, 0, SCHEMA + 1, str(SCHEMA), float(SCHEMA), True, [SCHEMA]])
def test_another_schema_is_refused(schema):
    with pytest.raises(ConfigError, match=f"schema: wanted {SCHEMA}, got .* another version"):
        from_dict({**to_dict(Config()), "schema": schema})
    with pytest.raises(ConfigError, match="schema"):
        from_dict({name: part for name, part in to_dict(Config()).items() if name != "schema"})


@pytest.mark.parametrize(
    "values", [{"schema": SCHEMA, "dat": {}}, {"schema": SCHEMA, "data": []}, {"schema": SCHEMA, "data": None}]
)
def test_wrong_sections_are_refused(values):
    with pytest.raises(ConfigError, match=r"^config\.dat"):
        from_dict(values)


@pytest.mark.parametrize("values", [None, 5, [], [["schema", 1]], "schema", {1: 2, "schema": SCHEMA}])
def test_what_is_not_a_dictionary_of_sections_is_refused(values):
    with pytest.raises(ConfigError, match=r"^config"):
        from_dict(values)


@pytest.mark.parametrize(
    "text",
    ["", "{", "not json", "[]", "null", "3", '{"schema": 1', "[" * 100_000, "1" * 5000, '"' + "x" * 9999 + '"', "\x00"],
)
def test_what_is_not_json_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match=r"^config: wanted ") as caught:
        from_json(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_equal_configurations_have_equal_texts_and_hashes():
    as_int = replace(
        Config(), **{"loss.temperature": 1, "loss.l2_penalty": 0, "optimizer.arguments": (("momentum", 0),)}
    )
    as_float = replace(
        Config(), **{"loss.temperature": 1.0, "loss.l2_penalty": -0.0, "optimizer.arguments": (("momentum", 0.0),)}
    )
    as_numpy = replace(as_float, **{"loss.temperature": np.float64(1)})
    assert as_int == as_float == as_numpy
    assert to_json(as_int) == to_json(as_float) == to_json(as_numpy)
    assert config_hash(as_int, [0]) == config_hash(as_float, np.array([0], np.uint32)) == config_hash(as_numpy, (0,))
    assert config_hash(from_json(to_json(as_int))) == config_hash(as_int)


def test_the_hash_is_ten_digits_and_tells_configurations_and_seeds_apart():
    different = [
        config_hash(Config()),
        config_hash(Config(), [0]),
        config_hash(Config(), [0, 1]),
        config_hash(Config(), [1, 0]),
        config_hash(Config(), [10]),
        config_hash(replace(Config(), **{"data.minority_ratio": 0.7000000000000001})),
        config_hash(replace(Config(), **{"train.n_steps": 4001})),
        config_hash(replace(Config(), **{"loss.symmetric": True})),
    ]
    assert len(set(different)) == len(different)
    for digits in different:
        assert len(digits) == 10 and int(digits, 16) >= 0
