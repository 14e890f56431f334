"""A configuration as a notebook shows it: first what differs from the defaults, the rest behind a fold."""

import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any

from dynsim.config.differences import differing_values


def table_html(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML; every cell is plain text and is escaped."""

    def line(cells: Sequence[object], tag: str) -> str:
        joined = "".join(f'<{tag} style="text-align: left">{html.escape(str(cell))}</{tag}>' for cell in cells)
        return f"<tr>{joined}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def changes_html(config: Any) -> str:
    """Return a table of the fields of a `Config` that differ from their defaults, or a line if none does."""
    changed = differing_values(type(config)(), config)
    if not changed:
        return "<p>Every field has its default.</p>"
    rows = [(name, repr(value), repr(default)) for name, (default, value) in changed.items()]
    return table_html(("differs from the default", "value", "default"), rows)


def config_html(config: Any) -> str:
    """Return a `Config` as HTML: the changed fields, then all fields of each section behind a fold."""
    folds = []
    for section in dataclasses.fields(config):
        part = getattr(config, section.name)
        rows = [(field.name, repr(getattr(part, field.name))) for field in dataclasses.fields(part)]
        table = table_html(("field", "value"), rows)
        folds.append(f"<details><summary>{section.name}: all {len(rows)} fields</summary>{table}</details>")
    return f"<div><b>dynsim.Config</b>{changes_html(config)}{''.join(folds)}</div>"
