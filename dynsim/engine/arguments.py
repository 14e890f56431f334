"""Checks of what `simulate` is given, apart from the user's own parts (`engine.own_parts`)."""

from collections.abc import Sequence

import jax
import numpy as np

from dynsim import results
from dynsim.config import Config
from dynsim.config.checks import MAX_SEED, ConfigError, require
from dynsim.engine import train
from dynsim.engine.memory import check_fits


def check_seeds(seeds: Sequence[int] | np.ndarray | jax.Array) -> np.ndarray:
    """Return the seeds as uint32.

    Errors: `ConfigError` unless they are a sequence of at least one integer in [0, 2^32), without repeats.
    """
    is_array = isinstance(seeds, np.ndarray | jax.Array) and seeds.ndim == 1
    is_sequence = is_array or isinstance(seeds, Sequence)
    require(is_sequence, "seeds", "a sequence of integers such as range(3)", seeds)
    given = np.asarray(seeds).tolist() if is_array else list(seeds)
    others = [seed for seed in given if not isinstance(seed, int | np.integer) or isinstance(seed, bool)]
    if others:
        raise ConfigError(f"seeds: wanted integers, got {others[0]!r}")
    values = [int(seed) for seed in given]
    if not values:
        raise ConfigError("seeds: wanted at least one seed, got none")
    bad = [seed for seed in values if not 0 <= seed < MAX_SEED]
    if bad:
        raise ConfigError(f"seeds: wanted integers in [0, 2^32), got {bad[0]}")
    if len(set(values)) < len(values):
        raise ConfigError(f"seeds: wanted each seed once, got {values}")
    return np.asarray(values, np.uint32)


def check_runnable(config: Config) -> None:
    """Make the checks of a configuration that need JAX or optax: precision, memory and optimiser.

    Errors: `ConfigError` in one line for anything but a `Config`, if float64 is asked for but off in JAX, if the arrays
    do not fit into memory, or if the optimiser cannot be used.
    """
    advice = 'make one, as in replace(Config(), **{"data.minority_ratio": 0.5})'
    require(isinstance(config, Config), "config", "a dynsim.Config", config, advice)
    if config.train.precision == "float64" and not results.has_x64():
        raise ConfigError("train.precision: float64 needs x64, which is off; set the variable JAX_ENABLE_X64=1")
    check_fits(config)
    train.check_optimizer(config.optimizer, config.train.precision)
