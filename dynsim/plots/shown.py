"""Figures that a notebook shows, in its first cell too."""

import io

import matplotlib
from matplotlib.figure import Figure

from dynsim.plots.style import DPI, STYLE


class Shown(Figure):
    """A figure that a notebook shows where it is the value of a cell, without `pyplot` or a backend being loaded."""

    def _repr_png_(self) -> bytes:
        """Return the figure as a PNG file."""
        out = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(out, format="png", dpi=DPI)
        return out.getvalue()
