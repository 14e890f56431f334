"""The style of all figures, and how one is saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dynsim.results.sealed import atomic_write

# matplotlib's own type of settings differs between its versions
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


def save_figure(fig: Figure, path: Path, caption: str, metadata: Mapping[str, object]) -> None:
    """Save a figure as PNG or SVG, by the suffix of `path`; equal figures give equal bytes.

    The file is written completely or not at all.

    Args:
        caption: stored in the file as its description.
        metadata: where the figure comes from (experiment, config hash, commit), stored as text entries of a PNG or
            as keywords of an SVG.
    Errors:
        `ValueError` for another suffix.
    """
    kind = Path(path).suffix.lstrip(".").lower()
    if kind == "png":
        texts: dict[str, str | list[str] | None] = {"Software": None, "Description": caption}
        options: dict[str, Any] = {"dpi": DPI, "pil_kwargs": {"optimize": True}}
        texts |= {name: str(value) for name, value in metadata.items()}
    elif kind == "svg":
        texts = {"Date": None, "Creator": None, "Description": caption}
        texts["Keywords"] = [f"{name}: {value}" for name, value in metadata.items()]
        options = {}
    else:
        raise ValueError(f"{path}: wanted a suffix of png or svg, got {kind or 'none'}; rename the figure")
    with matplotlib.rc_context(STYLE):
        # drawing a second time would move things a little, so the layout is computed once and then fixed
        fig.draw_without_rendering()
        fig.set_layout_engine("none")
        atomic_write(path, lambda temporary: fig.savefig(temporary, format=kind, metadata=texts, **options))
