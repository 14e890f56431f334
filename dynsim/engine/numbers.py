"""A configuration split into its numbers and its structure, so that changing a number does not recompile the program.

The numbers (rates, probabilities, ...) are arguments of the compiled program. The structure is everything else: sizes,
options and rules. It is a configuration too, in which each of the numbers is replaced by a fixed placeholder. Two
configurations with equal structures therefore share one compiled program.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from dynsim import theory
from dynsim.config import Config, PruneConfig, replace
from dynsim.theory import FeatureGroups

# `resolve` makes NumPy arrays and a program sees JAX arrays; no type covers the arithmetic of both, hence Any
Scalar = Float[Any, ""]
PerFeature = Float[Any, " feature"]


class Numbers(NamedTuple):
    """The values of a configuration that may change without recompiling.

    Most fields are options of a similar name in `dynsim.config`, where they are explained.
    """

    active_probability: PerFeature
    """Probability that feature j is active in a sample, before empty samples are drawn again: L p_j for L tokens."""
    minority: PerFeature
    """1 for minority features, 0 for majority ones."""
    keep_probability: PerFeature
    """Probability that an active feature is also in the second view of its sample."""
    co_occurrence: Scalar
    noise_std: Scalar
    fading_noise: Scalar | None
    """Noise variance that is added at the first step; None where there is none, as for the next."""
    fading_steps: Scalar | None
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
    """A whole number of steps, like the next two; up to `config.training.EXACT` a float32 holds it exactly."""
    prune_start: Scalar
    prune_stop: Scalar


class Resolved(NamedTuple):
    """A configuration in the form that runs and results use."""

    structure: Config
    """The configuration with each number of `Numbers` replaced by a placeholder; it is hashable."""
    numbers: Numbers
    """The numbers as NumPy arrays in the configured precision."""
    groups: FeatureGroups
    """Which features are in the minority, and how often each one is active; these label the result."""


def resolve(config: Config) -> Resolved:
    """Return the structure, numbers and feature groups of a configuration.

    A run takes its numbers from `numbers` alone, never from the structure. Resolving a structure returns it unchanged.
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
        fading_noise=data.fading_noise or None,
        fading_steps=data.fading_steps or None,
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
    return Numbers(*(None if value is None else np.asarray(value, config.train.precision) for value in values))


def _drops_features(config: Config) -> bool:
    return bool(np.any(theory.keep_probability(config.data) < 1))


def _structure(config: Config) -> Config:
    """Return `config` with each number of `Numbers` replaced by a placeholder.

    Some features cost time only when they are in use: dropped features, co-occurrence and masks. Their placeholders
    differ between on and off, so that a program without them leaves the work out.
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
        "data.fading_noise": 1.0 if config.data.fading_noise > 0 else 0.0,
        "data.fading_steps": 1 if config.data.fading_noise > 0 else 0,
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
    """Return the mask options without their numbers; with rate 0, which masks nothing, those of a run without masks."""
    if prune.rate == 0:
        return PruneConfig()
    refresh, stop_step = None if prune.refresh is None else 1, 1 if prune.stop == "at_step" else 0
    return dataclasses.replace(prune, rate=0.5, refresh=refresh, start_step=0, stop_step=stop_step)


def at_step(numbers: Numbers, step: Integer[Array, ""]) -> Numbers:
    """Return the numbers as they are at one step: with noise that fades, its variance is larger at first.

    Held-out batches belong to steps at which it has gone.
    """
    if numbers.fading_noise is None or numbers.fading_steps is None:
        return numbers
    left = jnp.maximum(1 - step.astype(numbers.noise_std.dtype) / numbers.fading_steps, 0)
    return numbers._replace(noise_std=jnp.sqrt(numbers.noise_std**2 + numbers.fading_noise * left))
