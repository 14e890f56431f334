"""One-line checks of configuration values: what was wanted, what came, what to do."""

import math

MAX_SEED = 2**32  # without x64, jax.random.key cuts a seed to 32 bits: key(2**32) would equal key(0)


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line."""


def require(condition: bool, field_name: str, wanted: str, came: object, advice: str = "") -> None:
    """Raise `ConfigError` naming the field unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{field_name}: wanted {wanted}, got {came!r}{'; ' + advice if advice else ''}")


def positive_int(name: str, value: object, least: int = 1) -> None:
    """Refuse all but integers of at least `least` (booleans are not integers here)."""
    require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        name,
        f"an integer of at least {least}",
        value,
    )


def number(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Refuse all but finite numbers in [low, high], or (low, high] where `open_low`."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    inside = ok and (low < value if open_low else low <= value) and value <= high  # type: ignore[operator]
    bracket = "(" if open_low else "["
    require(inside, name, f"a finite number in {bracket}{low:g}, {high:g}]", value)


def choice(name: str, value: object, options: tuple[str, ...]) -> None:
    """Refuse a word that is not among `options`."""
    require(value in options, name, "one of " + ", ".join(options), value)


def literal(cls: type, name: str) -> tuple[str, ...]:
    """Return the words that the `Literal` annotation of field `name` allows."""
    return cls.__dataclass_fields__[name].type.__args__
