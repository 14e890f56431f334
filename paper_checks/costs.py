"""What would a run cost that is large enough? For rows that say at which size a statement could be tested."""

from dynsim.config import Config

RATE = 2e10
"""Operations per second of a run on two cores; that of the run sets at d = 24 to 64, within a factor 2."""


def hours(config: Config, n_seeds: int) -> float:
    """Return about how many hours on two cores the runs of a configuration take.

    Counted are the products that grow with the size: of weights and tokens, and of all embeddings of a batch, each
    about three times in a step.
    """
    batch, m = config.data.batch_size, config.encoder.n_neurons
    per_step = 12.0 * batch * config.data.n_tokens * m * config.data.token_dim + 6.0 * batch**2 * m
    return per_step * config.train.n_steps * n_seeds / RATE / 3600


def in_words(needed: float) -> str:
    """Return hours as text; what nobody would wait for in years."""
    return f"{needed:.2g} hours on 2 cores" if needed < 10_000 else f"{needed / 8766:.2g} years on 2 cores"
