"""The points of a sweep: every combination of the values of its axes, each with its configuration.

An axis is a field of the configuration with the values that it takes, `"data.minority_ratio": (0.3, 0.7)`, or several
fields that move together, `("data.n_features", "encoder.n_neurons"): ((16, 64), (32, 128))`. A point is a named tuple
with one entry per field, in the order of the axes: `point.minority_ratio`. `joined` makes one Dataset of all results.
"""

import collections
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import xarray as xr

from dynsim import results
from dynsim.config import Config, ConfigError, replace
from dynsim.config.run import field_names
from dynsim.results import ResultError

Axes = Mapping[Any, Any]
"""{dotted field or tuple of dotted fields: values}; for a tuple of fields, each value is a tuple as long."""
GridPoint = tuple[Any, ...]
"""The values of the swept fields as a named tuple. It equals the plain tuple of them, so that `runs[0.3, 16]` is found.
Its class has `axes`, a tuple with the names of the entries of each axis, and `dotted`: {name of an entry: field}."""


def grid(base: Config, axes: Axes, derive: Callable[[Config], Config] | None = None) -> dict[GridPoint, Config]:
    """Return the configuration of every point, the last axis varying fastest.

    Args:
        base: the configuration to change.
        axes: the axes.
        derive: applied to each configuration after the values of the axes are set, for what follows from them.

    Errors:
        `ConfigError` in one line for an unknown field, an axis without values, and a value that a field refuses.
    """
    if not isinstance(axes, Mapping) or not axes:
        raise ConfigError(
            f'axes: wanted fields with their values, as in {{"data.minority_ratio": (0.3, 1)}}, got {axes!r}'
        )
    fields = [_fields_of(axis, base) for axis in axes]
    flat = [name for names in fields for name in names]
    if len(set(flat)) < len(flat):
        raise ConfigError(f"axes: wanted each field once, got {max(flat, key=flat.count)} twice")
    values = [_values_of(names, given) for names, given in zip(fields, axes.values(), strict=True)]
    make = _point_class(fields)
    points = {}
    for chosen in itertools.product(*values):
        point = make(*itertools.chain(*chosen))
        points[point] = _config_at(base, dict(zip(flat, point, strict=True)), derive)
    return points


def _config_at(base: Config, changes: dict[str, Any], derive: Callable[[Config], Config] | None) -> Config:
    try:
        config = replace(base, **changes)
        if derive is not None:
            config = derive(config)
            if not isinstance(config, Config):
                raise ConfigError(f"derive: wanted a function that returns a Config, got {type(config).__name__}")
    except ConfigError as error:
        here = ", ".join(f"{name} = {value!r}" for name, value in changes.items())
        raise ConfigError(f"{error} (at {here})") from None
    return config


def _fields_of(axis: object, base: Config) -> tuple[str, ...]:
    """Return the fields of an axis, a name or a tuple of names."""
    names = axis if isinstance(axis, tuple) else (axis,)
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"axes: wanted the name of a field or a tuple of names, got {axis!r}")
    for name in names:
        if name not in field_names():
            replace(base, **{name: None})  # refuses it, and names the nearest
    return names


def _values_of(names: tuple[str, ...], given: object) -> list[tuple[Any, ...]]:
    """Return the values of an axis, each a tuple with one entry per field."""
    axis = ", ".join(names)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"{axis}: wanted a list of values, got {given!r}")
    values = [_plain(value) for value in given]
    if not values:
        raise ConfigError(f"{axis}: wanted at least one value, got none; leave the axis out")
    if len(names) > 1:
        wrong = [value for value in values if not isinstance(value, tuple) or len(value) != len(names)]
        if wrong:
            raise ConfigError(f"{axis}: wanted tuples of {len(names)} values, one for each field, got {wrong[0]!r}")
    else:
        values = [(value,) for value in values]
    try:
        twice = [value for value in values if values.count(value) > 1]
        hash(tuple(values))
    except TypeError:
        raise ConfigError(f"{axis}: wanted numbers, texts or tuples of them, got {values[0]!r}") from None
    if twice:
        raise ConfigError(f"{axis}: wanted each value once, got {twice[0][0] if len(names) == 1 else twice[0]!r} twice")
    return values


def _plain(value: Any) -> Any:
    """Return a value without NumPy's types, which a configuration refuses, and lists as tuples."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(_plain(part) for part in value) if isinstance(value, list | tuple) else value


def _point_class(fields: list[tuple[str, ...]]) -> Callable[..., GridPoint]:
    """Return the class of the points; an entry has the name of its field, with the section where that is ambiguous."""
    flat = [name for names in fields for name in names]
    short = [name.partition(".")[2] for name in flat]
    entries = {
        name: end if short.count(end) == 1 else name.replace(".", "_") for name, end in zip(flat, short, strict=True)
    }
    made = cast(Any, collections.namedtuple)("GridPoint", list(entries.values()))
    made.axes = tuple(tuple(entries[name] for name in names) for names in fields)
    made.dotted = {entry: name for name, entry in entries.items()}
    return made


def joined(runs: Mapping[GridPoint, xr.Dataset]) -> xr.Dataset:
    """Join the results of a sweep into one Dataset with one dimension per axis.

    Args:
        runs: what `sweep` returned, or a part of it that is a complete grid. The results have equal seeds, records,
            neurons and features, unless `keep` has removed these dimensions.

    Returns:
        A Dataset whose dimensions are called after the entries of the points (the first one, for fields that move
        together), with their values as coordinates. After selecting one point, `config_of` and `provenance_of` return
        those of that point.
    Errors:
        `ResultError` in one line for keys that are not points, for an incomplete grid and for results of other shapes.
    """
    points = list(runs)
    kind: Any = type(points[0]) if points else tuple
    if not all(hasattr(type(point), "axes") for point in points) or not points:
        raise ResultError("joined: wanted results by point, as sweep returns them; for others take results.concat")
    places = {tuple(tuple(getattr(point, name) for name in axis) for axis in kind.axes): point for point in points}
    values = [list(dict.fromkeys(place[k] for place in places)) for k in range(len(kind.axes))]
    wanted = list(itertools.product(*values))
    if len(wanted) != len(places):
        raise ResultError(f"joined: wanted a complete grid of {len(wanted)} points, got {len(places)}; select a part")
    flat = results.concat({k: runs[places[place]] for k, place in enumerate(wanted)}, "point")
    shape = {axis[0]: len(along) for axis, along in zip(kind.axes, values, strict=True)}
    taken = sorted(set(kind.dotted) & {str(name) for name in (*flat.variables, *flat.dims)})
    if taken:
        raise ResultError(f"joined: wanted axes with names that the results do not use, got {', '.join(taken)}")
    unfolded = {name: _unfolded(variable, shape) for name, variable in flat.variables.items()}
    unfolded["point"].attrs = {"long_name": "position of the point in the sweep", "units": "1"}
    for axis, along in zip(kind.axes, values, strict=True):
        for k, entry in enumerate(axis):
            labels = {"long_name": kind.dotted[entry], "units": "1"}
            unfolded[entry] = xr.Variable(axis[0], _coordinate([value[k] for value in along]), labels)
    own = {name: variable for name, variable in unfolded.items() if name not in {*flat.coords, *kind.dotted}}
    return xr.Dataset(own, {name: unfolded[name] for name in unfolded if name not in own}, flat.attrs)


def _unfolded(variable: xr.Variable, shape: Mapping[str, int]) -> xr.Variable:
    """Return a variable with the axes of the sweep in place of the dimension `point`."""
    if "point" not in variable.dims:
        return variable
    front = variable.transpose("point", ...)
    data = np.reshape(front.values, (*shape.values(), *front.shape[1:]))
    return xr.Variable((*shape, *front.dims[1:]), data, variable.attrs)


def _coordinate(values: list[Any]) -> np.ndarray:
    """Return the values of a field as a coordinate: numbers and texts as they are, others as texts."""
    texts = all(isinstance(value, str) for value in values)
    truths = all(isinstance(value, bool) for value in values)
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
    return np.asarray(values if texts or truths or numbers else [str(value) for value in values])
