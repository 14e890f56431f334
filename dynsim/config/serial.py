"""Configurations as plain dictionaries or JSON text, and back.

Reading is strict: a wrong type, an unknown name or another schema number is refused.
"""

import dataclasses
import functools
import hashlib
import json
import types
import typing
from typing import Any

from dynsim.config.checks import ConfigError, did_you_mean
from dynsim.config.run import Config

SCHEMA = 1
ADDED = {"data": ("fading_noise", "fading_steps")}
"""Fields that came after results had been published. They are written only where they differ from their default, so
that the texts, and with them the hashes, of earlier configurations stay what they were."""


def to_dict(config: Config) -> dict[str, Any]:
    """Return `config` as nested plain values; tuples become lists, and equal configurations give equal values."""
    normal = _build(Config, dataclasses.asdict(config), "config")  # 1 and 1.0 are equal; JSON tells them apart
    values, default = dataclasses.asdict(normal), Config()
    for section, names in ADDED.items():
        for name in names:
            if values[section][name] == getattr(getattr(default, section), name):
                del values[section][name]
    return {"schema": SCHEMA, **_plain(values)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def from_dict(values: dict[str, Any]) -> Config:
    """Return the configuration that `to_dict` wrote.

    Fields that are left out take their defaults. Errors: `ConfigError` for another schema, an unknown field, a value
    of the wrong type, or whatever the configuration's own checks refuse.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"config: wanted a dictionary, got {_short(values)}")
    values = dict(values)
    schema = values.pop("schema", None)
    if type(schema) is not int or schema != SCHEMA:
        raise ConfigError(f"schema: wanted {SCHEMA}, got {schema!r}; this configuration was written by another version")
    return _build(Config, values, "config")


_hints = functools.cache(typing.get_type_hints)


def _build(cls: type, values: Any, path: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: wanted a dictionary, got {_short(values)}")
    hints = _hints(cls)
    for name in values:
        if name not in hints:
            raise ConfigError(f"{path}.{name}: no such field{did_you_mean(name, hints)}")
    return cls(**{name: _convert(value, hints[name], f"{path}.{name}") for name, value in values.items()})


def _convert(value: Any, hint: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, path)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _convert_tuple(value, arguments, path)
    if origin is typing.Literal:
        fits = value in arguments
    elif origin in (types.UnionType, typing.Union):
        fits = any(_is(value, option) for option in arguments)
    else:
        fits = _is(value, hint)
    if not fits:
        raise ConfigError(f"{path}: wanted {_words(hint)}, got {_short(value)}")
    wants_float = hint is float or float in arguments
    return _float(value, path) if wants_float and value is not None else value


def _float(value: float, path: str) -> float:
    try:
        return float(value) + 0.0  # -0.0 becomes 0.0: they are equal, but written differently
    except OverflowError:
        raise ConfigError(f"{path}: wanted a finite number, got {_short(value)}") from None


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:60] + "..."


def _convert_tuple(value: Any, arguments: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{path}: wanted a list, got {_short(value)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(part, arguments[0], path) for part in value)
    if len(value) != len(arguments):
        raise ConfigError(f"{path}: wanted {len(arguments)} entries, got {len(value)}")
    return tuple(_convert(part, hint, path) for part, hint in zip(value, arguments, strict=True))


def _is(value: Any, hint: Any) -> bool:
    if isinstance(value, bool):  # a bool is an int to Python, never to a configuration
        return hint is bool
    return isinstance(value, int | float) if hint is float else isinstance(value, hint)


def to_json(config: Config) -> str:
    """Return `config` as one line of JSON with sorted keys."""
    return json.dumps(to_dict(config), sort_keys=True)


def from_json(text: str) -> Config:
    """Return the configuration that `to_json` wrote. Errors: those of `from_dict`, and `ConfigError` for other text."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # too many digits, or nested too deeply
        raise ConfigError(f"config: wanted JSON, got {_short(text)} ({error})") from None
    return from_dict(values)


def config_hash(config: Config, seeds: typing.Sequence[int] = ()) -> str:
    """Return ten hexadecimal digits that identify a configuration together with its seeds."""
    text = to_json(config) + json.dumps([int(seed) for seed in seeds])
    return hashlib.sha256(text.encode()).hexdigest()[:10]
