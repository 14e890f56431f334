"""The shapes at which the engine is timed, and the operations and bytes that a step needs at least."""

from dynsim.config import Config, replace

SHAPES = {
    "default": Config(),
    "d64_m256_L8": replace(Config(), **{"data.n_tokens": 8}),
    "d128_m4096_L8": replace(
        Config(),
        **{"data.n_features": 128, "data.token_dim": 256, "data.n_tokens": 8, "encoder.n_neurons": 4096},
    ),
}


def useful_operations(config: Config) -> int:
    """Return the floating-point operations of the matrix products that one step cannot do without.

    Both views through the dictionary (2 K L d d1), both through the weights (2 K L d1 m), the logits and their gradient
    (2 K^2 m), the weight gradient (K L d1 m); two operations per multiply-add. Element-wise work is not counted.
    """
    data, m = config.data, config.encoder.n_neurons
    K, L, d, d1 = data.batch_size, data.n_tokens, data.n_features, data.token_dim
    return 2 * (2 * K * L * d * d1 + 3 * K * L * d1 * m + 2 * K * K * m)


def useful_bytes(config: Config) -> int:
    """Return the bytes that one step must at least move once: samples and preactivations of both views, weights."""
    data, m = config.data, config.encoder.n_neurons
    K, L, d1 = data.batch_size, data.n_tokens, data.token_dim
    return 4 * (2 * K * L * d1 + 2 * K * L * m + d1 * m)
