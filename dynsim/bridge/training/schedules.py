"""Learning rates and temperatures of a run, and the optimiser that takes them."""

import numpy as np
import optax
from jaxtyping import Array, Float

from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.options.pretraining import Pretraining


def step_rates(options: Pretraining, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every step, float32, shape (step,): a linear warm-up, then half a cosine.

    Step t, counted from 1, has the rate t / warm-up steps of the largest; the last step has the last rate. So no step
    has the rate 0 (as in SDCLR's code, where the schedule moves on before the update).
    """
    n_steps, n_warm = _steps(options, steps_per_epoch)
    cosine = _cosine(n_steps, n_warm, options.last_learning_rate, options.learning_rate)
    return _warmed_up(cosine, n_warm, options.learning_rate)


def supervised_rates(options: Supervised, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every step, float32, shape (step,), of a training with labels.

    The warm-up is that of `step_rates`. After it the rate falls along half a cosine towards 0, or stays, and is
    multiplied by the step factor from the first step after each milestone on.
    """
    n_steps, n_warm = _steps(options, steps_per_epoch)
    if options.schedule == "cosine":
        return _warmed_up(_cosine(n_steps, n_warm, 0.0, options.learning_rate), n_warm, options.learning_rate)
    begins = np.array(options.milestones, np.int64) * steps_per_epoch
    passed = np.sum(np.arange(n_steps)[:, None] >= begins[None, :], axis=1)
    return _warmed_up(options.learning_rate * options.step_factor**passed, n_warm, options.learning_rate)


def _steps(options: Pretraining | Supervised, steps_per_epoch: int) -> tuple[int, int]:
    """Return the number of steps of a run, and of those of its warm-up."""
    n_steps = options.epochs * steps_per_epoch
    return n_steps, min(round(options.warmup_epochs * steps_per_epoch), n_steps)


def _cosine(n_steps: int, n_warm: int, low: float, high: float) -> np.ndarray:
    through = (np.arange(1, n_steps + 1) - n_warm) / max(n_steps - n_warm, 1)
    return np.asarray(low + (high - low) * (1 + np.cos(np.pi * through)) / 2)


def _warmed_up(rates: np.ndarray, n_warm: int, high: float) -> np.ndarray:
    """Return rates whose first steps grow to `high` in proportion to the step."""
    step = np.arange(1, len(rates) + 1)
    return np.where(step <= n_warm, high * step / max(n_warm, 1), rates).astype(np.float32)


def temperature(options: Pretraining, epoch: int) -> float:
    """Return tau in an epoch, counted from 0: constant, or swinging from its highest value to its lowest and back."""
    if options.highest_temperature is None:
        return options.temperature
    swing = (1 + np.cos(2 * np.pi * epoch / options.temperature_period)) / 2
    return float(options.temperature + (options.highest_temperature - options.temperature) * swing)


def optimizer(
    name: str, learning_rate: Float[Array, ""], weight_decay: Float[Array, ""], momentum: Float[Array, ""]
) -> optax.GradientTransformation:
    """Return the optimiser; its state has the same structure whatever the three numbers, which may be traced.

    The weight decay is added to the gradient before the momentum, as PyTorch's SGD does. LARS leaves biases and batch
    norm, which are vectors, unscaled and without decay, as Chen et al. 2020 do.
    """
    if name == "sgd":
        return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum))
    arrays_only = _arrays_only
    return optax.lars(learning_rate, weight_decay, arrays_only, 0.001, 0.0, arrays_only, momentum)


def _arrays_only(params: optax.Params) -> optax.Params:
    import jax

    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
