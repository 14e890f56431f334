"""Figures: every function takes reduced data and returns a matplotlib Figure."""

from dynsim.plots.stages import (
    CAPTIONS,
    DIRECTION_TITLE,
    MARKERS,
    controls,
    cosine_matrix,
    growth_rates,
    loss_curve,
    projections,
    specialist_counts,
    stages_found,
)
from dynsim.plots.style import COLOR, DPI, FORMATS, ONE_COLUMN, STYLE, TWO_COLUMNS, save_figure
from dynsim.plots.variables import over_steps

__all__ = [
    "CAPTIONS",
    "COLOR",
    "DIRECTION_TITLE",
    "DPI",
    "FORMATS",
    "MARKERS",
    "ONE_COLUMN",
    "STYLE",
    "TWO_COLUMNS",
    "controls",
    "cosine_matrix",
    "growth_rates",
    "loss_curve",
    "over_steps",
    "projections",
    "save_figure",
    "specialist_counts",
    "stages_found",
]
