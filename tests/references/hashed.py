"""Numbers in place of random ones that are the same in every program and version: a hash of a name and a position."""

import math
import zlib

import numpy as np


def uniform(name, shape, low, high):
    """Return float32 numbers in [low, high): splitmix64 of the position, seeded with the CRC of the name."""
    size = math.prod(shape)
    with np.errstate(over="ignore"):
        state = np.uint64(zlib.crc32(name.encode()) << 32) + np.arange(1, size + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    unit = (state >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return (np.float32(low) + np.float32(high - low) * unit).reshape(shape)


def weights(shapes):
    """Return an array for each of torchvision's names: shapes is a dictionary of names and shapes."""
    found = {}
    for name, shape in shapes.items():
        if len(shape) == 4:
            bound = math.sqrt(6 / (shape[0] * shape[2] * shape[3]))  # the variance of Kaiming's fan-out
            found[name] = uniform(name, shape, -bound, bound)
        elif name.endswith(("running_var", "weight")):
            found[name] = uniform(name, shape, 0.5, 1.5)
        else:
            found[name] = uniform(name, shape, -0.5, 0.5)
    return found


def images(side):
    """Return two images (image, row, column, channel) in [0, 1)."""
    return uniform(f"images of {side}", (2, side, side, 3), 0, 1)
