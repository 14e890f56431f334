"""The configuration of a run: all sections together, and the checks that involve more than one of them.

The sections are defined in `config.model` and `config.training`; import all of them from `dynsim.config`. README.md has
a table of the symbols. Errors are `ConfigError`s with a message of one line.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from dynsim.config.checks import ConfigError, require
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
class Config:
    """Everything that defines a set of runs, except their seeds."""

    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
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
    sections = [section.name for section in dataclasses.fields(Config)]
    for dotted, value in changes.items():
        section, _, name = dotted.partition(".")
        if section not in sections or name not in getattr(config, section).__dataclass_fields__:
            raise ConfigError(f"{dotted}: no such field; the sections are {', '.join(sections)}")
        parts.setdefault(section, {})[name] = value
    new = {section: dataclasses.replace(getattr(config, section), **values) for section, values in parts.items()}
    return dataclasses.replace(config, **new)
