"""In which fields two configurations differ."""

import dataclasses

from dynsim.config.run import Config


def differing_numbers(first: Config, second: Config) -> list[str]:
    """Return the names, such as "data.n_features", of the fields in which two configurations differ."""
    names = []
    for section in dataclasses.fields(Config):
        a, b = getattr(first, section.name), getattr(second, section.name)
        for part in dataclasses.fields(a):
            if getattr(a, part.name) != getattr(b, part.name):
                names.append(f"{section.name}.{part.name}")
    return names
