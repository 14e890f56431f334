"""Shears, translations and rotations of whole images as Pillow computes them, from tables made once.

A policy knows a few moves only: an operation, a level and a direction. Where each pixel of a moved image comes from is
therefore computed here in NumPy, for each move, and a compiled program only looks it up. Its weights are multiples of
2^-15, so all sums are exact, in every program and on every device.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynsim.bridge.options.policies import FILL, SHEARS, magnitude
from dynsim.bridge.views.crops import FINENESS

TAPS = 4
FIXED = 65536  # Pillow adds up nearest pixels of a rotation in 65536ths


class Move(NamedTuple):
    """One way to move an image.

    Attributes:
        operation: one of `MOVES`; an empty word for the image as it is.
        level: from 0 to 9.
        sign: 1 or -1.
    """

    operation: str
    level: int
    sign: int


class MoveTable(NamedTuple):
    """Where the pixels of moved images come from. Pixels are counted row by row.

    Attributes:
        source: four pixels of the image for each pixel of the result.
        weight: what each of them counts. All are 0 where the result is grey, since it looks outside the image.
    """

    source: Int[np.ndarray, "move 4 pixel"]
    weight: Float[np.ndarray, "move 4 pixel"]


def move_table(moves: list[Move], shape: tuple[int, int]) -> MoveTable:
    """Return the table of some moves for images of this height and width."""
    found = [_move(move, shape) for move in moves]
    return MoveTable(np.stack([source for source, _ in found]), np.stack([weight for _, weight in found]))


def moved(x: Float[Array, "image height 3 width"], table: MoveTable, number: Int[Array, "image"]) -> Array:
    """Return each image after the move with this number. Levels are cut to whole ones, as by Pillow.

    Args:
        x: whole levels.
        table: the moves, for images of this size.
        number: which of them, for each image.
    """
    n_images, height, _, width = x.shape
    source, weight = jnp.asarray(table.source)[number], jnp.asarray(table.weight)[number]
    # the three colours of a pixel in one word, so that it is fetched once
    red, green, blue = (x[:, :, colour].astype(jnp.int32).reshape(n_images, 1, height * width) for colour in range(3))
    taken = jnp.take_along_axis(red | green << 8 | blue << 16, source, axis=2)
    outside = (weight == 0).all(axis=1)
    planes = []
    for colour in range(3):
        total = (((taken >> 8 * colour) & 255).astype(jnp.float32) * weight).sum(axis=1)
        planes.append(jnp.where(outside, FILL, jnp.floor(jnp.clip(total, 0, 255))).reshape(n_images, height, width))
    return jnp.stack(planes, axis=2)


def _move(move: Move, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return source and weight of one move, of shape (4, pixel)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    if move.operation in SHEARS:
        return _sheared(move, shape, rows, columns)
    strength = move.sign * magnitude(move.operation, move.level)
    if move.operation == "rotate":
        rows, columns = _rotated(strength, shape)
    elif move.operation == "translate y":
        rows = np.floor(rows + 0.5 + strength * shape[0]).astype(int)
    elif move.operation == "translate x":
        columns = np.floor(columns + 0.5 + strength * shape[1]).astype(int)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    only = np.array([1, 0, 0, 0])[:, None]
    return _taps([(rows, columns)] * TAPS, shape), (only * inside.ravel()).astype(np.float32)


def _sheared(
    move: Move, shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return source and weight of a shear: each row, or each column, is shifted by its own share of a pixel.

    Pillow interpolates between four pixels with a cubic (a = -1); those beyond the border are the border itself.
    """
    slope = move.sign * magnitude(move.operation, move.level)
    sideways = move.operation == "shear x"
    across, along, length = (rows, columns, shape[1]) if sideways else (columns, rows, shape[0])
    centre = along + 0.5 + slope * (across + 0.5)
    inside = (centre >= 0) & (centre < length)
    first = np.floor(centre - 0.5)
    far = centre - 0.5 - first
    near = 1 - far
    cubic = [_outer(1 + far), _inner(far), _inner(near), _outer(1 + near)]
    weights = np.floor(np.stack(cubic) * FINENESS + 0.5) / FINENESS
    weights[1] = 1 - weights[0] - weights[2] - weights[3]  # so that an image of one colour keeps it
    taps = [np.clip(first.astype(int) + shift, 0, length - 1) for shift in (-1, 0, 1, 2)]
    places = [(rows, tap) if sideways else (tap, columns) for tap in taps]
    return _taps(places, shape), (weights * inside).reshape(TAPS, -1).astype(np.float32)


def _rotated(degrees: float, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the nearest pixel after a turn around the centre, in the whole numbers of Pillow."""
    cosine, sine = (round(f(-math.radians(degrees)), 15) for f in (math.cos, math.sin))
    middle = shape[1] / 2, shape[0] / 2
    steps = (cosine, sine), (-sine, cosine)  # of column and row of the source, per column and per row of the result
    found = []
    for (by_column, by_row), here in zip(steps, middle, strict=True):
        start = by_column * -middle[0] + by_row * -middle[1] + here + (by_column + by_row) / 2
        origin, across, down = (math.floor(value * FIXED + 0.5) for value in (start, by_column, by_row))
        row, column = np.mgrid[: shape[0], : shape[1]]
        found.append((origin + across * column + down * row) // FIXED)
    return found[1], found[0]


def _taps(places: list[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """Return the numbers of pixels at these rows and columns, moved to the border where they lie outside."""
    height, width = shape
    inner = [np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1) for rows, columns in places]
    return np.stack([pixels.ravel() for pixels in inner]).astype(np.int32)


def _inner(x: np.ndarray) -> np.ndarray:
    """Return Keys's cubic with a = -1, for 0 <= x <= 1."""
    return (x - 2) * x * x + 1


def _outer(x: np.ndarray) -> np.ndarray:
    """Return Keys's cubic with a = -1, for 1 <= x <= 2."""
    return ((-x + 5) * x - 8) * x + 4
