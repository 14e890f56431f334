"""A configuration resolved, once: its numbers apart from its structure, so that sweeping a number never recompiles.

The numbers are traced; the structure is the hashable rest, with every such number set to a canonical value. Two
configurations with equal structures share one compiled program.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dynsim import theory
from dynsim.config import Config, PruneConfig, replace
from dynsim.theory import FeatureGroups

# NumPy arrays where a configuration is resolved, JAX arrays inside a program: no type covers both kinds of arithmetic
Scalar = Float[Any, ""]
PerFeature = Float[Any, " feature"]


class Numbers(NamedTuple):
    """Values that may change without recompiling; scalars unless a shape is given."""

    active_probability: PerFeature
    """q_j: chance of feature j in a sample before resampling (L p_j)."""
    minority: PerFeature
    """1 for minority features, 0 for majority ones."""
    keep_probability: PerFeature
    co_occurrence: Scalar
    noise_std: Scalar
    dictionary_cosine: Scalar
    init_std: Scalar
    temperature: Scalar
    l2_penalty: Scalar
    weight_decay: Scalar
    learning_rate: Scalar
    attention_learning_rate: Scalar
    threshold_scale: Scalar
    prune_rate: Scalar
    prune_refresh: Scalar
    """Whole numbers, as the next two: `config.EXACT` keeps them exact."""
    prune_start: Scalar
    prune_stop: Scalar


class Resolved(NamedTuple):
    """What a configuration means to a run and to its result."""

    structure: Config
    """The configuration with every number that `Numbers` carries set to a canonical value; it is hashable."""
    numbers: Numbers
    """The numbers as NumPy arrays in the configured precision."""
    groups: FeatureGroups
    """Which features are minority, and how often each is active: labels of the result."""


def resolve(config: Config) -> Resolved:
    """Return structure, numbers and groups of a configuration.

    Resolving a structure again gives the same structure. Each number acts on the run through `numbers` alone.
    """
    return Resolved(_structure(config), _numbers(config), theory.feature_groups(config.data))


def _numbers(config: Config) -> Numbers:
    """Return the numbers of `config` as NumPy arrays in the configured precision."""
    data, loss, opt, prune = config.data, config.loss, config.optimizer, config.prune
    values = Numbers(
        active_probability=data.activation_rate * theory.relative_frequency(data),
        minority=theory.is_minority(data),
        keep_probability=theory.keep_probability(data),
        co_occurrence=data.co_occurrence,
        noise_std=np.sqrt(theory.noise_variance(data)),
        dictionary_cosine=data.dictionary_cosine,
        init_std=config.encoder.init_std,
        temperature=loss.temperature,
        l2_penalty=loss.l2_penalty,
        weight_decay=loss.weight_decay,
        learning_rate=opt.learning_rate,
        attention_learning_rate=opt.attention_learning_rate,
        threshold_scale=config.threshold.kappa,
        prune_rate=prune.rate,
        prune_refresh=prune.refresh or 1,
        prune_start=prune.start_step,
        prune_stop=prune.stop_step,
    )
    return Numbers(*(np.asarray(value, config.train.precision) for value in values))


def _drops_features(config: Config) -> bool:
    return bool(np.any(theory.keep_probability(config.data) < 1))


def _structure(config: Config) -> Config:
    """Return `config` with every number that `Numbers` carries set to a canonical value.

    Options that add work only when they are on (gates, dropped features, masks) stay visible as on or off.
    """
    keep = 0.5 if _drops_features(config) else 1.0
    numbers = {
        "data.frequency_profile": "two_level",
        "data.relative_frequency": (),
        "data.minority_ratio": 1.0,
        "data.minority_fraction": 0.5,
        "data.activation_rate": 0.5,
        "data.noise_level": "inverse_d",
        "data.noise_variance": 0.0,
        "data.majority_keep": keep,
        "data.minority_keep": keep,
        "data.keep_probability": (),
        "data.co_occurrence": 0.5 if config.data.co_occurrence > 0 else 0.0,
        "data.dictionary_cosine": 0.0,
        "encoder.init_std": 1.0,
        "loss.temperature": 1.0,
        "loss.l2_penalty": 0.0,
        "loss.weight_decay": 0.0,
        "optimizer.learning_rate": 1.0,
        "optimizer.attention_learning_rate": 1.0,
        "threshold.scale": 1.0,
        "train.n_steps": 1,
        "train.n_records": 2,
    }
    return dataclasses.replace(replace(config, **numbers), prune=_prune_structure(config.prune))


def _prune_structure(prune: PruneConfig) -> PruneConfig:
    """Return the mask options without their numbers; rate 0 masks nothing and is the unpruned structure."""
    if prune.rate == 0:
        return PruneConfig()
    refresh, stop_step = None if prune.refresh is None else 1, 1 if prune.stop == "at_step" else 0
    return dataclasses.replace(prune, rate=0.5, refresh=refresh, start_step=0, stop_step=stop_step)
