"""Defaults, changes by dotted name, validation. The long table of refused inputs is tests/bad_input.py."""

import dataclasses
import math
import re

import numpy as np
import pytest

from dynsim.config import (
    Config,
    DataConfig,
    EncoderConfig,
    LossConfig,
    OptimizerConfig,
    PruneConfig,
    ThresholdConfig,
    TrainConfig,
    replace,
)
from dynsim.config.checks import ConfigError, number, numbers, positive_int, require


def test_the_defaults_are_those_of_theory_11_3():
    config = Config()
    data, d = config.data, 64
    assert (data.n_features, data.token_dim, config.encoder.n_neurons, data.n_tokens) == (d, 2 * d, 4 * d, 2)
    assert (config.encoder.architecture, config.encoder.attention) == ("transformer", "token_wise")
    assert config.encoder.pooling == "sum" and not config.encoder.train_attention
    assert (data.dictionary, data.frequency_profile) == ("qr", "two_level")
    assert (data.minority_fraction, data.n_minority, data.minority_ratio) == (0.5, d // 2, 0.7)
    assert (data.activation_rate, data.sampling_rule, data.noise_level) == (0.1, "aggregate", "inverse_d")
    assert (data.batch_size, data.n_negatives, data.mask_equal_codes, data.empties) == (256, None, True, "resample")
    assert (data.majority_keep, data.minority_keep, data.co_occurrence) == (1, 1, 0)
    assert (config.loss.kind, config.loss.similarity, config.loss.symmetric) == ("info_nce", "inner", False)
    assert (config.loss.temperature, config.loss.temperature_prefactor, config.loss.stop_gradient) == (1, True, True)
    assert (config.loss.l2_penalty, config.loss.weight_decay) == (2e-3, 0)
    assert (config.optimizer.name, config.optimizer.learning_rate, config.optimizer.arguments) == ("sgd", 0.5, ())
    assert (config.prune.kind, config.prune.rate, config.prune.refresh) == ("none", 0, 1)
    assert (config.encoder.init_std, config.train.n_steps) == (0.01, 4000)
    assert (config.threshold.rule, config.threshold.kappa, config.threshold.start) == ("norm_tracking", 0.5, "online")


def test_configurations_are_values():
    assert Config() == Config() and hash(Config()) == hash(Config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().data.n_features = 3


def test_every_field_has_help():
    """The command line shows the text below each field."""
    import ast
    import inspect

    for section in dataclasses.fields(Config):
        kind = type(getattr(Config(), section.name))
        cls = ast.parse(inspect.getsource(kind)).body[0]
        for field, after in zip(cls.body, cls.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign):
                text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert text, f"{cls.name}.{field.target.id} has no help"


@pytest.mark.parametrize(
    ("fraction", "n_features", "n_minority"), [(0, 8, 0), (1, 8, 8), (0.5, 8, 4), (0.25, 8, 2), (1 / 3, 3, 1)]
)
def test_number_of_minority_features(fraction, n_features, n_minority):
    assert DataConfig(n_features=n_features, minority_fraction=fraction).n_minority == n_minority


def test_replace_changes_the_named_fields_only():
    before = Config()
    after = replace(before, **{"data.minority_ratio": 0.5, "data.n_tokens": 3, "loss.temperature": 0.2})
    assert (after.data.minority_ratio, after.data.n_tokens, after.loss.temperature) == (0.5, 3, 0.2)
    assert before == Config()
    assert after.encoder is before.encoder and after.train is before.train
    assert replace(after, **{"data.minority_ratio": 0.7, "data.n_tokens": 2, "loss.temperature": 1.0}) == before
    assert replace(before) == before


def test_replace_changes_fields_together():
    """Each of the two changes alone would be refused."""
    vector = (1.0,) * 32 + (0.5,) * 32
    after = replace(Config(), **{"data.frequency_profile": "given", "data.relative_frequency": vector})
    assert after.data.relative_frequency == vector
    replace(Config(), **{"encoder.architecture": "relu", "data.n_tokens": 1})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("data.n_feature", "data.n_feature: no such field; did you mean data.n_features?"),
        ("dat.n_features", "dat.n_features: no such field; did you mean data.n_features?"),
        ("n_features", "n_features: no such field; did you mean data.n_features?"),
        ("temprature", "temprature: no such field; did you mean loss.temperature?"),
        ("train.temperature", "train.temperature: no such field; did you mean loss.temperature?"),
        ("start", "start: no such field; did you mean threshold.start or prune.start?"),
        ("data", "data: wanted a field of this section, such as data.n_features"),
        ("data.", "data.: no such field; the sections are data, encoder, loss, threshold, prune, optimizer, train"),
        ("zzz.zzz", "zzz.zzz: no such field; the sections are data, encoder, loss, threshold"),
    ],
)
def test_replace_refuses_unknown_fields(name, said):
    with pytest.raises(ConfigError, match="^" + re.escape(said)):
        replace(Config(), **{name: 1})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Config(dat=DataConfig()), "Config: no such field: dat; did you mean data?"),
        (lambda: DataConfig(n_feature=5), "DataConfig: no such field: n_feature; did you mean n_features?"),
        (lambda: Config(zzzz=3), "Config: no such field: zzzz; the fields are data, encoder, loss,"),
        (lambda: Config(data={"n_features": 5}), "data: wanted a DataConfig, got {'n_features': 5}"),
        (lambda: DataConfig(dictionary="correllated"), "got 'correllated'; did you mean correlated?"),
    ],
)
def test_unknown_names_of_sections_and_fields(make, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        make()


@pytest.mark.parametrize(
    "part",
    [
        DataConfig(n_features=3, token_dim=3, batch_size=2, n_tokens=1, n_negatives=1),
        DataConfig(activation_rate=1.0),
        DataConfig(minority_ratio=1.0, minority_fraction=0.0),
        DataConfig(activation_rate=0.25, co_occurrence=0.75),
        DataConfig(noise_level="given", noise_variance=0.0),
        DataConfig(dictionary="correlated", dictionary_cosine=0.999),
        DataConfig(dictionary="correlated", dictionary_cosine=-0.999 / 63),
        DataConfig(keep_probability=(0.0,) * 32 + (1.0,) * 32),
        DataConfig(pair_rule="complementary", minority_keep=0.5),
        EncoderConfig(n_neurons=1, train_attention=True),
        EncoderConfig(architecture="relu", train_bias=True, pooling="mean"),
        LossConfig(l2_penalty=0, weight_decay=0.1),
        LossConfig(l2_penalty=0, weight_decay=0),
        LossConfig(kind="nt_xent", similarity="cosine", symmetric=True),
        ThresholdConfig(scale=0, start="at_step"),
        PruneConfig(kind="lowest", rate=0.0),
        PruneConfig(kind="dropout", rate=0.999, refresh=2**24),
        PruneConfig(kind="random", unit="weight", scope="per_array", refresh=None, start="coverage"),
        PruneConfig(start_step=3, stop="at_step", stop_step=4),
        PruneConfig(start="switch", stop="at_step", stop_step=1),
        OptimizerConfig(name="adam", arguments=(("b1", 0.5), ("b2", 0)), attention_learning_rate=0),
        TrainConfig(n_steps=1, n_records=2, n_probe=1, precision="float64"),
        TrainConfig(n_steps=2**31 - 1),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_values_at_the_edge_are_allowed(part):
    assert part == dataclasses.replace(part)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", None, np.float32(1), [1.0], 1j, 10**400])
def test_number_refuses(value):
    with pytest.raises(ConfigError, match=r"^x: wanted a "):
        number("x", value, -math.inf)


@pytest.mark.parametrize(("value", "fine"), [(0, False), (1e-40, False), (1e-30, True), (1, True), (1.5, False)])
def test_number_with_an_open_end(value, fine):
    if fine:
        number("x", value, 0.0, 1.0, open_low=True)
    else:
        with pytest.raises(ConfigError, match=r"^x: "):
            number("x", value, 0.0, 1.0, open_low=True)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None, 2**31, np.float64(1)])
def test_positive_int_refuses(value):
    with pytest.raises(ConfigError, match=r"^x: wanted an integer"):
        positive_int("x", value)


def test_messages_are_short_single_lines():
    for came in (np.zeros((9, 9)), "two\nlines", "x" * 1000, 10**1000):
        with pytest.raises(ConfigError) as caught:
            require(False, "x", "less", came, "say less")
        message = str(caught.value)
        assert message.startswith("x: wanted less, got ") and message.endswith("; say less")
        assert "\n" not in message and len(message) < 120
    with pytest.raises(ConfigError, match="tuple"):
        numbers("x", np.ones(3), (3,), "3 numbers")
