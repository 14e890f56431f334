"""The numbers of a run apart from its structure, so that sweeping a number never recompiles.

`hyper(config)` gives the traced numbers, `structure(config)` the hashable rest with every such number set to a
canonical value. Two configurations with equal structures share one compiled program.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dynsim import theory
from dynsim.config import Config, PruneConfig, replace


class Hyper(NamedTuple):
    """Numbers that may change without recompiling; scalars unless a shape is given."""

    active_probability: Float[Any, " feature"]
    """q_j: chance of feature j in a sample before resampling (L p_j)."""
    minority: Float[Any, " feature"]
    """1 for minority features, 0 for majority ones."""
    keep_probability: Float[Any, " feature"]
    co_occurrence: Float[Any, ""]
    noise_std: Float[Any, ""]
    dictionary_cosine: Float[Any, ""]
    init_std: Float[Any, ""]
    temperature: Float[Any, ""]
    l2_penalty: Float[Any, ""]
    weight_decay: Float[Any, ""]
    learning_rate: Float[Any, ""]
    attention_learning_rate: Float[Any, ""]
    threshold_scale: Float[Any, ""]
    prune_rate: Float[Any, ""]
    prune_refresh: Float[Any, ""]
    """Whole numbers, as the next two: `config.EXACT` keeps them exact."""
    prune_start: Float[Any, ""]
    prune_stop: Float[Any, ""]


def hyper(config: Config) -> Hyper:
    """Return the numbers of `config` as NumPy arrays in the configured precision."""
    data, loss, opt, prune = config.data, config.loss, config.optimizer, config.prune
    values = Hyper(
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
    return Hyper(*(np.asarray(value, config.train.precision) for value in values))


def _drops_features(config: Config) -> bool:
    return bool(np.any(theory.keep_probability(config.data) < 1))


def structure(config: Config) -> Config:
    """Return `config` with every number that `Hyper` carries set to a canonical value.

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
