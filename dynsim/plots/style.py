"""The look of all figures, and how one is saved."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dynsim.results.sealed import atomic_write

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "dynsim",
}
DPI = 130


def save_figure(fig: Figure, path: Path, caption: str, metadata: dict[str, Any]) -> None:
    """Write a figure as PNG or SVG, by the suffix of `path`: atomically, and the same bytes for the same figure.

    Args:
        caption: kept inside the file as its description.
        metadata: where the figure comes from (experiment, config hash, commit); PNG text entries of these names, or
            the keywords of an SVG.
    Errors:
        `ValueError` for another suffix.
    """
    kind = Path(path).suffix.lstrip(".").lower()
    if kind == "png":
        texts: dict[str, Any] = {"Software": None, "Description": caption}
        options: dict[str, Any] = {"dpi": DPI, "pil_kwargs": {"optimize": True}}
        texts |= {name: str(value) for name, value in metadata.items()}
    elif kind == "svg":
        texts = {"Date": None, "Creator": None, "Description": caption}
        texts["Keywords"] = [f"{name}: {value}" for name, value in metadata.items()]
        options = {}
    else:
        raise ValueError(f"{path}: wanted a suffix of png or svg, got {kind or 'none'}; rename the figure")
    with matplotlib.rc_context(STYLE):
        # a second drawing would move the layout a little: lay out once, then hold it
        fig.draw_without_rendering()
        fig.set_layout_engine("none")
        atomic_write(path, lambda temporary: fig.savefig(temporary, format=kind, metadata=texts, **options))
