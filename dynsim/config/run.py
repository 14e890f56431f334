"""The configuration of a run: all sections together, and the checks that involve more than one of them.

The sections are defined in `config.model` and `config.training`; import all of them from `dynsim.config`. README.md has
a table of the symbols. Errors are `ConfigError`s with a message of one line.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynsim.config.checks import ConfigError, Section, nearest, require
from dynsim.config.model import DataConfig, EncoderConfig, LossConfig
from dynsim.config.rich import config_html
from dynsim.config.training import OptimizerConfig, PruneConfig, ThresholdConfig, TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "EncoderConfig",
    "LossConfig",
    "OptimizerConfig",
    "PruneConfig",
    "ThresholdConfig",
    "TrainConfig",
    "replace",
]


@dataclass(frozen=True)
class Config(Section):
    """Everything that defines a set of runs, except their seeds."""

    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name, kind in section_types().items():
            part = getattr(self, name)
            require(isinstance(part, kind), name, f"a {kind.__name__}", part)
        relu = self.encoder.architecture == "relu"
        L = self.data.n_tokens
        require(not relu or L == 1, "data.n_tokens", "1 for encoder.architecture relu", L)
        if self.data.dictionary == "identity":
            require(
                self.optimizer.name == "sgd",
                "data.dictionary",
                f"qr with optimizer {self.optimizer.name}",
                "identity",
                "an optimiser that works per coordinate is not rotation-equivariant: it would treat features apart",
            )
        nt_xent = self.loss.kind == "nt_xent"
        apart = self.data.n_negatives is not None
        require(not (nt_xent and apart), "data.n_negatives", "None for loss.kind nt_xent", self.data.n_negatives)
        both = self.loss.symmetric and apart
        require(not both, "data.n_negatives", "None for a symmetric loss", self.data.n_negatives)
        if self.prune.kind != "none":
            self._check_prune()

    def _repr_html_(self) -> str:
        """Return the configuration as a notebook shows it."""
        return config_html(self)

    def _check_prune(self) -> None:
        prune, threshold = self.prune, self.threshold
        beyond = prune.scope in ("global", "per_array") and not self.encoder.train_attention
        require(not beyond, "prune.scope", "weight or per_neuron unless encoder.train_attention", prune.scope)
        for name in ("start", "stop"):
            waits = getattr(prune, name) == "switch"
            comes = threshold.rule != "zero" and threshold.start != "never"
            require(not waits or comes, f"prune.{name}", "another moment", "switch", "the thresholds never come on")


def replace(config: Config, **changes: Any) -> Config:
    """Return `config` with dotted fields changed: ``replace(c, **{"data.minority_ratio": 0.5})``.

    Errors: `ConfigError` for an unknown field, and whatever the changed section's own checks refuse.
    """
    parts: dict[str, dict[str, Any]] = {}
    known = field_names()
    for dotted, value in changes.items():
        if dotted not in known:
            raise _no_such_field(dotted, config)
        section, _, name = dotted.partition(".")
        parts.setdefault(section, {})[name] = value
    new = {section: dataclasses.replace(getattr(config, section), **values) for section, values in parts.items()}
    return dataclasses.replace(config, **new)


@functools.cache
def section_types() -> Mapping[str, type]:
    """Return the class of each section, by name."""
    return types.MappingProxyType(typing.get_type_hints(Config))


@functools.cache
def field_names() -> tuple[str, ...]:
    """Return the dotted names of all fields, such as "data.n_features"."""
    return tuple(f"{name}.{field.name}" for name, kind in section_types().items() for field in dataclasses.fields(kind))


def _no_such_field(dotted: str, config: Config) -> ConfigError:
    """Return the error for a name that is not known: it may lack its section, have another's, or be a near miss."""
    known = field_names()
    sections = [section.name for section in dataclasses.fields(config)]
    if dotted in sections:
        return ConfigError(f"{dotted}: wanted a field of this section, such as {dotted}.{_first(config, dotted)}")
    section, _, name = dotted.rpartition(".")
    by_name: dict[str, list[str]] = {}
    for one in known:
        by_name.setdefault(one.partition(".")[2], []).append(one)
    near = [nearest(dotted, known)] if section in sections else []
    found = by_name.get(name) or [one for one in near if one] or by_name.get(nearest(name, by_name), [])
    advice = f"did you mean {' or '.join(found)}?" if found else f"the sections are {', '.join(sections)}"
    return ConfigError(f"{dotted}: no such field; {advice}")


def _first(config: Config, section: str) -> str:
    return dataclasses.fields(getattr(config, section))[0].name
