"""The drawing at the top of the README: tokens, two views, neurons, loss and mask."""

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from dynsim.plots.parts import panels
from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAJORITY, MINORITY, INK = COLOR["majority"], COLOR["minority"], COLOR["ink"]
N_FEATURES, RARE = 8, 4
# Which features are in which token: the same ones in both views, placed anew.
VIEWS = {"view X": (((1, 6), ()), 4.15), "view Y": (((6,), (1,)), 0.55)}
HEIGHT = 5.9
MODEL_CAPTION = (
    "A sample is a set of active features, some frequent and some rare. Two views of it share these features, spread "
    "over tokens with noise. The encoder turns each view into one number per neuron; the loss asks it to pick the "
    "second view out of those of other samples. A mask may hide the smallest weights (white) for the first view alone, "
    "or, as the published algorithm says if it is taken literally, for the second view too (grey)."
)


@matplotlib.rc_context(STYLE)
def model() -> "Figure":
    """Return the drawing."""
    figure, axes = panels(1, 1, (TWO_COLUMNS, 3.0))
    ax = axes[0, 0]
    ax.set(xlim=(0, 14.8), ylim=(-0.5, HEIGHT + 0.2))
    ax.axis("off")
    _sample(ax)
    for name, (tokens, y) in VIEWS.items():
        _view(ax, name, tokens, y)
        _encoder(ax, y, first=name == "view X")
    _loss(ax)
    return figure


def _box(ax: "Axes", x: float, y: float, width: float, height: float) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0.08",
            facecolor=COLOR["empty"],
            edgecolor=COLOR["mark"],
            linewidth=0.8,
        )
    )


def _arrow(ax: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, linewidth=1.0))


def _code(ax: "Axes", x: float, y: float, active: tuple[int, ...], size: float = 0.3) -> None:
    """Draw a row of features as squares, the active ones filled; the last RARE of them are rare."""
    for j in range(N_FEATURES):
        colour = MINORITY if j >= N_FEATURES - RARE else MAJORITY
        face = colour if j in active else COLOR["empty"]
        ax.add_patch(Rectangle((x + j * size, y), size, size, facecolor=face, edgecolor=colour, linewidth=0.9))


def _sample(ax: "Axes") -> None:
    middle = HEIGHT / 2
    ax.text(1.25, middle + 1.35, "a sample", ha="center", weight="bold")
    ax.text(1.25, middle + 0.85, "a few active features", ha="center", fontsize=SMALL_TEXT)
    _code(ax, 0.05, middle - 0.1, (1, 6))
    ax.text(0.65, middle - 0.75, "frequent", color=MAJORITY, ha="center", fontsize=SMALL_TEXT)
    ax.text(1.85, middle - 0.75, "rare", color=MINORITY, ha="center", fontsize=SMALL_TEXT)
    for y in (4.8, 1.1):
        _arrow(ax, (2.6, middle + 0.2 * np.sign(y - middle)), (3.2, y))


def _view(ax: "Axes", name: str, tokens: tuple[tuple[int, ...], ...], y: float) -> None:
    ax.text(4.65, y + 1.55, name, ha="center", weight="bold")
    _box(ax, 3.3, y, 2.7, 1.3)
    for place, active in enumerate(tokens):
        _code(ax, 3.45, y + 0.85 - 0.62 * place, active)
    ax.text(4.65, y - 0.2, "two tokens: features + noise", ha="center", va="top", fontsize=SMALL_TEXT)
    _arrow(ax, (6.15, y + 0.65), (6.9, y + 0.65))


def _encoder(ax: "Axes", y: float, *, first: bool) -> None:
    """Draw the neurons, each with one weight per direction; white: hidden for the first view, grey: where both are."""
    ax.text(8.5, y + 1.55, "the encoder, masked" if first else "masked too, or not", ha="center", weight="bold")
    _box(ax, 7.0, y, 3.0, 1.3)
    sizes = np.random.default_rng(3).uniform(0.08, 0.3, (4, N_FEATURES))
    hidden = sizes < np.quantile(sizes, 0.5)
    for i, j in np.ndindex(*sizes.shape):
        x, level, side = 7.2 + 0.34 * j, y + 1.05 - 0.32 * i, float(sizes[i, j])
        face = COLOR["mark"] if hidden[i, j] else INK
        ax.add_patch(
            Rectangle(
                (x + 0.15 - side / 2, level + 0.1 - side / 2),
                side,
                side,
                facecolor=COLOR["empty"] if first and hidden[i, j] else face,
                edgecolor=face,
                linewidth=0.7,
            )
        )
    words = (
        "one neuron per row; white: hidden"
        if first
        else "grey: hidden in the literal algorithm,\nkept with a mask for one view"
    )
    ax.text(8.5, y - 0.2, words, ha="center", va="top", fontsize=SMALL_TEXT)
    _arrow(ax, (10.15, y + 0.65), (11.3, HEIGHT / 2 + 0.55 * np.sign(y - 2)))


def _loss(ax: "Axes") -> None:
    middle = HEIGHT / 2
    _box(ax, 11.4, middle - 0.95, 3.2, 1.9)
    ax.text(13.0, middle + 0.3, "contrastive loss", ha="center", weight="bold")
    ax.text(13.0, middle - 0.65, "pick Y out of the views\nof other samples", ha="center", fontsize=SMALL_TEXT)
