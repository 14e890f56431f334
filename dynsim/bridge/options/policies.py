"""Policies of AutoAugment: pairs of operations on an image, each with a probability and a level, found by a search.

A sub-policy has two operations, done one after the other; a view takes one sub-policy at random. The level, from 0 to
9, says how strong an operation is (`magnitude`); autocontrast, equalize and invert have no strength and ignore it.

The levels, the grey that fills what comes from outside the image, and the interpolation are those of the PyTorch
version of the CIFAR-10 policy, which supervised work on long-tailed images uses, not those of the original. In it,
shears are bicubic and rotations and translations take the nearest pixel; shears, translations and changes of colour go
either way with equal chances, and a rotation turns counter-clockwise only.
"""

from dataclasses import dataclass
from typing import NamedTuple

from dynsim.config import ConfigError

SHEARS, TRANSLATIONS = ("shear x", "shear y"), ("translate x", "translate y")
MOVES = (*SHEARS, *TRANSLATIONS, "rotate")
BLENDS = ("colour", "contrast", "brightness", "sharpness")
OPERATIONS = (*MOVES, *BLENDS, "posterize", "solarize", "autocontrast", "equalize", "invert")
SIGNED = (*SHEARS, *TRANSLATIONS, *BLENDS)
"""Operations that go either way."""
FILL = 128
"""Level of all three colours where a shear, a translation or a rotation looks outside the image."""
HIGHEST = 9


class PolicyStep(NamedTuple):
    """One operation of a sub-policy.

    Attributes:
        operation: one of `OPERATIONS`.
        chance: probability that it is done.
        level: its strength, a whole number from 0 to 9.
    """

    operation: str
    chance: float
    level: int


@dataclass(frozen=True)
class Policy:
    """Sub-policies of two steps each, of which a view takes one, all with the same chance.

    Errors: `ConfigError` for no sub-policy, one that has not two steps, an unknown operation, a chance outside [0, 1]
    or a level outside 0 to 9.
    """

    sub_policies: tuple[tuple[PolicyStep, ...], ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if not self.sub_policies or any(len(steps) != 2 for steps in self.sub_policies):
            lengths = [len(steps) for steps in self.sub_policies]
            raise ConfigError(f"sub_policies: wanted one or more of two steps each, got steps {lengths}")
        for step in self.steps:
            if step.operation not in OPERATIONS:
                raise ConfigError(f"operation: wanted one of {', '.join(OPERATIONS)}, got {step.operation}")
            if not 0 <= step.chance <= 1:
                raise ConfigError(f"chance of {step.operation}: wanted a number from 0 to 1, got {step.chance}")
            if step.level not in range(HIGHEST + 1):
                raise ConfigError(f"level of {step.operation}: wanted a whole number from 0 to 9, got {step.level}")

    @property
    def steps(self) -> list[PolicyStep]:
        """All steps, sub-policy by sub-policy."""
        return [step for steps in self.sub_policies for step in steps]


def magnitude(operation: str, level: int) -> float:
    """Return the strength of an operation at a level, in the unit of that operation.

    Shears: pixels per pixel, up to 0.3. Translations: share of the side, up to 150 / 331. Rotation: degrees, up to 30.
    Changes of colour: how far the factor is from 1, in tenths. Posterize: bits that are kept, 8 to 4. Solarize: the
    level from which pixels are inverted, 256 to 0. The others: 0.
    """
    share = level / HIGHEST
    if operation in SHEARS:
        return 0.3 * share
    if operation in TRANSLATIONS:
        return 150 / 331 * share
    if operation in BLENDS:
        return level
    return {"rotate": 30 * share, "posterize": round(8 - 4 * share), "solarize": 256 * (1 - share)}.get(operation, 0)


def _policy(text: str) -> Policy:
    """Return the policy of a table: per line two steps, each an operation, its chance and its level."""
    lines = [line.split(";") for line in text.strip().splitlines()]
    parts = [[step.rsplit(maxsplit=2) for step in line] for line in lines]
    return Policy(tuple(tuple(PolicyStep(op.strip(), float(p), int(level)) for op, p, level in two) for two in parts))


POLICIES = {
    # Cubuk et al. 2019, AutoAugment, appendix, table of the policy for CIFAR-10
    "cifar10": _policy("""
        invert       0.1 7; contrast     0.2 6
        rotate       0.7 2; translate x  0.3 9
        sharpness    0.8 1; sharpness    0.9 3
        shear y      0.5 8; translate y  0.7 9
        autocontrast 0.5 8; equalize     0.9 2
        shear y      0.2 7; posterize    0.3 7
        colour       0.4 3; brightness   0.6 7
        sharpness    0.3 9; brightness   0.7 9
        equalize     0.6 5; equalize     0.5 1
        contrast     0.6 7; sharpness    0.6 5
        colour       0.7 7; translate x  0.5 8
        equalize     0.3 7; autocontrast 0.4 8
        translate y  0.4 3; sharpness    0.2 6
        brightness   0.9 6; colour       0.2 8
        solarize     0.5 2; invert       0.0 3
        equalize     0.2 0; autocontrast 0.6 0
        equalize     0.2 8; equalize     0.6 4
        colour       0.9 9; equalize     0.6 6
        autocontrast 0.8 4; solarize     0.2 8
        brightness   0.1 3; colour       0.7 0
        solarize     0.4 5; autocontrast 0.9 3
        translate y  0.9 9; translate y  0.7 9
        autocontrast 0.9 2; solarize     0.8 3
        equalize     0.8 8; invert       0.1 3
        translate y  0.7 9; autocontrast 0.9 1
    """),
}
"""{name: policy}."""
