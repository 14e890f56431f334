"""Names for numbers that documents quote often, and the tables that they show; read from summaries, never computed."""

from experiments.documents.numbers import Names, summaries


def names() -> Names:
    """Return everything that a placeholder may begin with."""
    return summaries()
