"""Figures that a notebook shows, in its first cell too."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dynsim.plots.style import DPI, STYLE

PIXELS_PER_INCH = 96
"""What a page calls an inch."""


class ShownFigure(Figure):
    """A figure that a notebook shows at its true size, whether or not pyplot or a magic command was used before."""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        """Return the figure as a PNG file, and its size on a page."""
        stream = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(stream, format="png", dpi=DPI)
        width, height = (round(PIXELS_PER_INCH * inches) for inches in self.get_size_inches())
        return stream.getvalue(), {"width": width, "height": height}
