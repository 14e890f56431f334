"""A check, before anything is compiled, that the arrays of a run fit into memory.

Without it, a run that is too large would end somewhere in the middle with pages of text. The check names the options
to lower.
"""

import math
import os

import jax
import numpy as np

from dynsim.config import Config
from dynsim.config.checks import require

MOST_DRAWN = 2**32  # random numbers are counted in 32 bits, so one array must have fewer than this many


def array_entries(config: Config) -> dict[str, tuple[int, str]]:
    """Return {name: (number of entries, the options on which it depends)} for the largest arrays of one run."""
    data, m = config.data, config.encoder.n_neurons
    d, d1, L, K = data.n_features, data.token_dim, data.n_tokens, data.batch_size
    N = K if data.n_negatives is None else K + data.n_negatives
    return {
        "the dictionary": (d1 * d, "data.token_dim, data.n_features"),
        "the weights": (m * d1, "encoder.n_neurons, data.token_dim"),
        "the tokens of a batch": (N * L * d1, "data.batch_size, data.n_negatives, data.n_tokens, data.token_dim"),
        "the codes of a batch": (N * L * d, "data.batch_size, data.n_negatives, data.n_tokens, data.n_features"),
        "the embeddings": (N * m, "data.batch_size, data.n_negatives, encoder.n_neurons"),
        "the similarities": (K * N, "data.batch_size, data.n_negatives"),
        "the alignments": (m * d, "encoder.n_neurons, data.n_features"),
        "the probe samples": (config.train.n_probe * d * L * d1, "train.n_probe, data.n_features, data.token_dim"),
    }


def available_bytes() -> float:
    """Return the memory of the device (on a CPU, of the machine) in bytes; infinite if it is unknown."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return float(stats.get("bytes_limit", math.inf))
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def check_fits(config: Config) -> None:
    """Check that the largest arrays of one run fit into memory together.

    A run needs more memory than these arrays, so a run that passes may still be too large.

    Errors: `ConfigError` in one line that names the largest array and the options on which its size depends.
    """
    entries = array_entries(config)
    name, (largest, fields) = max(entries.items(), key=lambda item: item[1][0])
    bits = np.dtype(config.train.precision).itemsize
    need, there = bits * sum(count for count, _ in entries.values()), available_bytes()
    came = f"{need / 1e9:,.0f} GB, most of it {name}"
    require(need <= there, fields, f"arrays that fit into {there / 1e9:,.0f} GB of memory", came, "lower one of these")
    few = largest < MOST_DRAWN
    require(few, fields, f"fewer than 2^32 numbers in {name}", largest, "lower one of these")
