"""In which fields two configurations differ."""

import dataclasses
from typing import Any


def differing_values(first: Any, second: Any) -> dict[str, tuple[Any, Any]]:
    """Return {name: (value in the first, value in the second)} of the fields in which two `Config`s differ.

    A name is that of section and field, such as "data.n_features".
    """
    found = {}
    for section in dataclasses.fields(first):
        a, b = getattr(first, section.name), getattr(second, section.name)
        for part in dataclasses.fields(a):
            values = getattr(a, part.name), getattr(b, part.name)
            if values[0] != values[1]:
                found[f"{section.name}.{part.name}"] = values
    return found


def differing_numbers(first: Any, second: Any) -> list[str]:
    """Return the names, such as "data.n_features", of the fields in which two `Config`s differ."""
    return list(differing_values(first, second))
