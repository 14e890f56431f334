"""Samples drawn with the data model of the engine, without training, for the checks of the assumptions."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dynsim.config import Config


class DrawnCodes(NamedTuple):
    """Aggregate codes of the two views of each sample, shape (sample, feature)."""

    query: np.ndarray
    key: np.ndarray


@cache
def _codes_program(structure: Config, n_samples: int) -> Any:
    import jax

    from dynsim.engine.data import sample_codes

    def draw(key: Any, numbers: Any) -> Any:
        codes = sample_codes(key, n_samples, numbers, structure.data)
        return codes.aggregate, codes.key.sum(axis=1)

    return jax.jit(draw)


def drawn_codes(config: Config, n_samples: int, seed: int, block: int) -> DrawnCodes:
    """Draw the codes of `n_samples` pairs; other blocks are independent."""
    numbers, key, structure = _parts(config, seed, block)
    query, second = _codes_program(structure, n_samples)(key, numbers)
    return DrawnCodes(np.asarray(query), np.asarray(second))


class NoiseMoments(NamedTuple):
    """Mean products of the noise of drawn tokens per coordinate; expected: sigma^2 or, for `across`, 0."""

    outside: float
    """Mean square of a coordinate outside the features."""
    along: float
    """Mean square of the noise along a feature."""
    across: float
    """Mean product of a coordinate outside the features in the two views."""


@cache
def _noise_program(structure: Config, n_samples: int) -> Any:
    import jax

    from dynsim.engine.data import make_dictionary, sample_views

    def draw(key: Any, numbers: Any) -> Any:
        keys = jax.random.split(key, 3)
        dictionary = make_dictionary(keys[0], numbers, structure.data)
        batch = sample_views((keys[1], keys[2]), n_samples, 0, dictionary, numbers, structure.data)
        return dictionary, batch.query, batch.key, batch.codes

    return jax.jit(draw)


def drawn_noise(config: Config, n_samples: int, seed: int, block: int) -> NoiseMoments:
    """Draw `n_samples` pairs with tokens and noise, and return the moments of the noise."""
    numbers, key, structure = _parts(config, seed, block)
    drawn = _noise_program(structure, n_samples)(key, numbers)
    M, query, second, codes = (np.asarray(one, np.float64) for one in drawn)
    n_tokens, n_outside = query.shape[1], M.shape[0] - M.shape[1]
    first, other = (view - view @ M @ M.T for view in (query, second))
    along = (query @ M).sum(axis=1) - codes  # the codes of a sample are the sum over its tokens
    per_coordinate = n_samples * n_tokens * n_outside
    return NoiseMoments(
        float(np.sum(first**2)) / per_coordinate,
        float(np.mean(along**2)) / n_tokens,
        float(np.sum(first * other)) / per_coordinate,
    )


def _parts(config: Config, seed: int, block: int) -> tuple[Any, Any, Config]:
    """Return the numbers, a random key and the structure of a configuration."""
    import jax
    import jax.numpy as jnp

    from dynsim.engine.numbers import resolve

    resolved = resolve(config)
    numbers = jax.tree.map(jnp.asarray, resolved.numbers)
    return numbers, jax.random.fold_in(jax.random.key(seed), block), resolved.structure
