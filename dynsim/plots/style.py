"""The style of all figures: widths, sizes of text, the one palette, and how a figure is saved.

A figure is drawn at the width at which it is read, so that its text has its true size: `ONE_COLUMN` or `TWO_COLUMNS` of
a paper, in inches, with text of 7 to 9 points. Each colour of `COLOR` has one meaning in all figures, and no other
module names a colour.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dynsim.results.sealed import atomic_write

ONE_COLUMN = 3.3
"""Width of a figure in one column of a paper, in inches."""
TWO_COLUMNS = 6.8
"""Width of a figure over both columns."""
SMALL_TEXT = 7.0
"""Size of the smallest text, in points."""
LARGE_TEXT = 9.0
"""Size of the largest text."""

COLOR = {
    # groups of features, and their specialists
    "majority": "#0072B2",
    "minority": "#D55E00",
    "all": "#444444",
    # neurons that are no specialists
    "ordinary neurons": "#555555",
    "other neurons": "#A0A0A0",
    "silent neurons": "#000000",
    # what is masked
    "no mask": "#000000",
    "smallest masked": "#332288",
    "fixed random mask": "#E69F00",
    "redrawn random mask": "#56B4E9",
    "largest masked": "#CC6699",
    "perturbed": "#8C8C8C",
    # verdicts
    "helps": "#008080",
    "helps alike": "#7FDBD0",
    "harms": "#882255",
    "no verdict": "#A0A0A0",
    # everything else is neutral, but for the one highlight
    "paper's assumptions": "#F0E442",
    "theory": "#000000",
    "ink": "#222222",
    "mark": "#888888",
    "note": "#555555",
    "grid": "#DDDDDD",
    "empty": "#FFFFFF",
}
"""{meaning: colour}: hues of Okabe and Ito and of Paul Tol, told apart with any common kind of colour blindness.

Neutral colours (greys, black, white) may share a value; a hue has one meaning."""

# matplotlib's own type of settings differs between its versions
STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "figure.titlesize": LARGE_TEXT,
    "lines.linewidth": 1.2,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.titlepad": 5.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "dynsim",
}
DPI = 200
FORMATS = ("png", "pdf", "svg")
"""What a figure is saved as: for a screen, for a paper, and to be edited."""


def save_figure(fig: Figure, path: Path, caption: str, metadata: Mapping[str, object]) -> None:
    """Save a figure as PNG, PDF or SVG, by the suffix of `path`; equal figures give equal bytes.

    The file is written completely or not at all. It holds no date.

    Args:
        caption: stored in the file as its description (in a PDF: its subject).
        metadata: where the figure comes from (experiment, config hash, commit), stored as text entries of a PNG or
            as keywords of an SVG or PDF.
    Errors:
        `ValueError` for another suffix.
    """
    kind = Path(path).suffix.lstrip(".").lower()
    keywords = [f"{name}: {value}" for name, value in metadata.items()]
    texts: dict[str, str | list[str] | None]
    options: dict[str, Any] = {}
    if kind == "png":
        texts = {"Software": None, "Description": caption, **{name: str(value) for name, value in metadata.items()}}
        options = {"dpi": DPI, "pil_kwargs": {"optimize": True}}
    elif kind == "svg":
        texts = {"Date": None, "Creator": None, "Description": caption, "Keywords": keywords}
    elif kind == "pdf":
        texts = {"CreationDate": None, "Creator": None, "Producer": None, "Subject": caption}
        texts["Keywords"] = ", ".join(keywords)
    else:
        raise ValueError(f"{path}: wanted a suffix of {', '.join(FORMATS)}, got {kind or 'none'}; rename the figure")
    no_layout = {"figure.autolayout": False, "figure.constrained_layout.use": False}
    with matplotlib.rc_context(STYLE | no_layout):
        # each drawing moves things a little, so the layout is computed once, for texts as wide as they are at this
        # resolution, and then fixed, so that all files of a figure show the same
        if fig.get_layout_engine() is not None:  # with one, even one that does nothing, saving draws once more
            given = fig.dpi
            fig.set_dpi(DPI)
            fig.draw_without_rendering()
            fig.set_layout_engine(None)
            fig.set_dpi(given)
        atomic_write(path, lambda temporary: fig.savefig(temporary, format=kind, metadata=texts, **options))
