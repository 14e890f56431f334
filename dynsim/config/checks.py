"""Checks of configuration values. Each error is one line: what was wanted, what came and what to do."""

import dataclasses
import difflib
import functools
import math
import typing
from collections.abc import Iterable

MAX_INT = 2**31 - 1  # counts are int32 on the device
LARGEST, SMALLEST = 1e30, 1e-30  # sizes that float32 holds with room for a product or a quotient
MAX_SEED = 2**32  # without x64, jax.random.key cuts a seed to 32 bits: key(2**32) would equal key(0)


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line."""


def require(condition: bool, field_name: str, wanted: str, came: object, advice: str = "") -> None:
    """Raise `ConfigError` unless `condition` holds: "field_name: wanted ..., got ...; advice" in one line."""
    if not condition:
        shown = " ".join(repr(came).split())  # arrays print over several lines
        shown = shown if len(shown) <= 60 else shown[:60] + "..."
        raise ConfigError(f"{field_name}: wanted {wanted}, got {shown}{'; ' + advice if advice else ''}")


def nearest(word: object, names: Iterable[str]) -> str:
    """Return the one of some names that is nearest to a word, "" if none is near."""
    return next(iter(difflib.get_close_matches(str(word), list(names), n=1)), "")


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the nearest of some names, "" if none is near."""
    near = nearest(word, names)
    return f"; did you mean {near}?" if near else ""


class Section:
    """A dataclass that names the nearest of its fields where it is given one that it does not have."""

    def __new__(cls, *values: object, **named: object) -> typing.Self:
        for name in named:
            if name not in cls.__dataclass_fields__:  # type: ignore[attr-defined]
                known = list(cls.__dataclass_fields__)  # type: ignore[attr-defined]
                near = did_you_mean(name, known) or f"; the fields are {', '.join(known)}"
                raise ConfigError(f"{cls.__name__}: no such field: {name}{near}")
        return super().__new__(cls)


def positive_int(name: str, value: object, least: int = 1) -> None:
    """Refuse anything but an integer from `least` to 2^31 - 1; a Boolean does not count as an integer here."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    require(is_int and value >= least, name, f"an integer of at least {least}", value)  # type: ignore[operator]
    require(value <= MAX_INT, name, f"an integer below 2^31 = {MAX_INT + 1}", value)  # type: ignore[operator]


def number(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Refuse anything but a finite number in [low, high], or in (low, high] with `open_low`, that float32 can hold."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
    inside = ok and (low < value if open_low else low <= value) and value <= high  # type: ignore[operator]
    bracket = "(" if open_low else "["
    require(inside, name, f"a finite number in {bracket}{low:g}, {high:g}]", value)
    held = abs(value) <= LARGEST and not (open_low and abs(value) < SMALLEST)  # type: ignore[arg-type]
    require(held, name, f"a size in [{SMALLEST:g}, {LARGEST:g}], which float32 holds", value)


def numbers(name: str, value: object, lengths: tuple[int, ...], wanted: str, *, open_low: bool = False) -> None:
    """Refuse anything but a tuple of one of these lengths with numbers in [0, 1], or in (0, 1] with `open_low`."""
    require(isinstance(value, tuple), name, "a tuple of numbers", value)
    entries = typing.cast("tuple[object, ...]", value)
    require(len(entries) in lengths, name, wanted, f"{len(entries)} numbers")
    for entry in entries:
        number(name, entry, 0.0, 1.0, open_low=open_low)


def choice(name: str, value: object, options: tuple[str, ...]) -> None:
    """Refuse a word that is not among `options`."""
    known = isinstance(value, str) and value in options
    near = "" if known else did_you_mean(value, options).removeprefix("; ")  # looked for only where it is said
    quoted = any("," in word for word in options)  # else one could not tell where a word ends
    require(known, name, "one of " + ", ".join(repr(word) if quoted else word for word in options), value, near)


def words_and_flags(part: object) -> None:
    """Refuse an unknown word in a `Literal` field of a dataclass, and anything but true or false in a bool field."""
    kind: type = type(part)
    words, flags = _words_and_flags(kind)
    for name, options in words.items():
        choice(name, getattr(part, name), options)
    for name in flags:
        require(isinstance(value := getattr(part, name), bool), name, "true or false", value)


@functools.cache
def _words_and_flags(kind: type) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the words of each `Literal` field of a dataclass, and the names of its bool fields."""
    fields = dataclasses.fields(kind)
    words = {one.name: typing.get_args(one.type) for one in fields if typing.get_origin(one.type) is typing.Literal}
    return words, [one.name for one in fields if one.type is bool]
