"""Figures: every function takes reduced data and returns a matplotlib Figure."""

from dynsim.plots.stages import (
    CAPTIONS,
    DIRECTION_TITLE,
    MARKERS,
    PROFILE_COLOR,
    controls,
    cosine_matrix,
    growth_rates,
    loss_curve,
    projections,
    specialist_counts,
    stages_found,
)
from dynsim.plots.style import DPI, STYLE, save_figure
from dynsim.plots.variables import over_steps

__all__ = [
    "CAPTIONS",
    "DIRECTION_TITLE",
    "DPI",
    "MARKERS",
    "PROFILE_COLOR",
    "STYLE",
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
