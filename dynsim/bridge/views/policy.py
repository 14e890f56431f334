"""AutoAugment on a batch of images: each goes through the two steps of a sub-policy that is drawn for it.

All operations that a policy has are computed for all images, and each image takes its own.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from dynsim.bridge.options.policies import BLENDS, MOVES, OPERATIONS, SIGNED, Policy, PolicyStep, magnitude
from dynsim.bridge.views import operations
from dynsim.bridge.views.colour import each, grey_value, mean_grey
from dynsim.bridge.views.draws import below
from dynsim.bridge.views.geometry import Move, MoveTable, move_table, moved

SIGNS = (-1, 1)
LEFT_OUT = -1  # kind of a step that is not done


class Step(NamedTuple):
    """What is done: by a policy, for each sub-policy, step and sign; or to each image.

    Attributes:
        kind: place in `OPERATIONS`, or `LEFT_OUT`.
        chance: that the step is done.
        strength: tenths of a blend, unit of posterize, threshold of solarize.
        move: place among the moves.
    """

    kind: Int[Array, "*axes"]
    chance: Float[Array, "*axes"]
    strength: Float[Array, "*axes"]
    move: Int[Array, "*axes"]


def strength_of(step: PolicyStep, sign: int) -> float:
    """Return the number that an operation takes beside the image; 0 for one that takes none, or a move."""
    found = magnitude(step.operation, step.level)
    if step.operation in BLENDS:
        return operations.TENTHS + sign * found
    return {"posterize": 2 ** (8 - found), "solarize": np.ceil(found)}.get(step.operation, 0)


def tables(policy: Policy, shape: tuple[int, int]) -> tuple[Step, MoveTable]:
    """Return what a policy does to images of this height and width."""
    moves: list[Move] = []
    rows = []
    for step in policy.steps:
        for sign in SIGNS:
            move = Move(step.operation, step.level, sign if step.operation in SIGNED else 1)
            if step.operation in MOVES and move not in moves:
                moves.append(move)
            number = moves.index(move) if move in moves else 0
            rows.append((OPERATIONS.index(step.operation), step.chance, strength_of(step, sign), number))
    columns = np.array(rows, np.float32).reshape(len(policy.sub_policies), 2, len(SIGNS), 4)
    kind, chance, strength, place = (jnp.asarray(columns[..., n]) for n in range(4))
    table = Step(kind.astype(jnp.int32), chance, strength, place.astype(jnp.int32))
    return table, move_table(moves or [Move("", 0, 1)], shape)


def follow_policy(x: Float[Array, "image height 3 width"], numbers: Float[Array, "image 5"], policy: Policy) -> Array:
    """Return the images after the sub-policy of each.

    Args:
        x: whole levels.
        numbers: uniform in [0, 1) for each image: which sub-policy, whether each of its steps is done, and the sign of
            each.
        policy: the sub-policies.
    """
    steps, moves = tables(policy, (x.shape[1], x.shape[3]))
    sub_policy = below(numbers[:, 0], len(policy.sub_policies)).astype(jnp.int32)
    names = [name for name in OPERATIONS if any(step.operation == name for step in policy.steps)]

    def follow(number: Array, x: Array) -> Array:
        sign = below(numbers[:, 3 + number], len(SIGNS)).astype(jnp.int32)
        own = Step(*(table[sub_policy, number, sign] for table in steps))
        kind = jnp.where(numbers[:, 1 + number] < own.chance, own.kind, LEFT_OUT)
        return operated(x, own._replace(kind=kind), moves, names)

    # a loop, since it compiles once what is done twice
    return lax.fori_loop(0, 2, follow, x)


def operated(x: Array, own: Step, moves: MoveTable, names: list[str]) -> Array:
    """Return the images after one operation each, of those with these names."""
    kinds = {OPERATIONS.index(name): name for name in names}
    grey = lax.optimization_barrier(grey_value(x))
    others = {
        "colour": lambda: jnp.broadcast_to(grey, x.shape),
        "contrast": lambda: each(mean_grey(grey)),
        "brightness": lambda: jnp.zeros_like(x),
        "sharpness": lambda: operations.smooth(x),
    }
    other = {kind: others[name]() for kind, name in kinds.items() if name in others}
    levels = {
        "posterize": lambda: operations.posterize(x, jnp.maximum(own.strength, 1)),
        "solarize": lambda: operations.solarize(x, own.strength),
        "autocontrast": lambda: operations.autocontrast(x),
        "equalize": lambda: operations.equalize(x),
        "invert": lambda: operations.solarize(x, jnp.zeros_like(own.strength)),
    }
    found = {kind: levels[name]() for kind, name in kinds.items() if name in levels}
    if other:
        mixed = operations.blend_tenths(x, operations.chosen(own.kind, other, x), own.strength)
        found |= dict.fromkeys(other, mixed)
    if any(name in MOVES for name in names):
        after = moved(x, moves, own.move)
        found |= {kind: after for kind, name in kinds.items() if name in MOVES}
    # the barrier keeps the compiler from merging all operations with the choice, and computing parts of them many times
    return operations.chosen(own.kind, lax.optimization_barrier(found), x)
