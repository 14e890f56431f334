"""What defines a run: one frozen dataclass per section, which holds every default once and checks its own values."""

from dynsim.config.checks import ConfigError
from dynsim.config.model import DataConfig, EncoderConfig, LossConfig
from dynsim.config.run import Config, replace
from dynsim.config.training import OptimizerConfig, PruneConfig, ThresholdConfig, TrainConfig

__all__ = [
    "Config",
    "ConfigError",
    "DataConfig",
    "EncoderConfig",
    "LossConfig",
    "OptimizerConfig",
    "PruneConfig",
    "ThresholdConfig",
    "TrainConfig",
    "replace",
]
