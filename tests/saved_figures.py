"""Saving figures in the tests of whole experiments, where PDF and SVG would take as long as the rest of a drawing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

from matplotlib.figure import Figure

from dynsim.plots import style


def mostly_png(whole: str) -> Callable[[Figure, Path, str, Mapping[str, object]], None]:
    """Return a function in place of `plots.save_figure`, which saves the figure named `whole` in every format.

    Others are saved as PNG, small and not laid out, and an empty file stands for their PDF and SVG. The formats have
    tests of their own, in tests/unit/plots, and so has what a reader sees, in test_committed_figures.py.
    """

    def save(fig: Figure, path: Path, caption: str, metadata: Mapping[str, object]) -> None:
        if path.stem.endswith(whole):
            style.save_figure(fig, path, caption, metadata)
        elif path.suffix == ".png":
            fig.set_layout_engine(None)
            with mock.patch.object(style, "DPI", 30):
                style.save_figure(fig, path, caption, metadata)
        else:
            path.write_bytes(b"")

    return save
