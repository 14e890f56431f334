"""LUCKY: how many neurons are lucky before the first step?

Statement (Definition 3.1 with the count of Theorem 3.1, in our words): a neuron is lucky for feature j if at the start
it is aligned with j so well that it will learn j alone; per feature there are at least m d^(-1/r^2) of them.

Cut (our reading, theory 5.3): |<w, M_j>| >= (1/r) sqrt(2 log d / d) ||M M^T w||. No training is needed: weights are
drawn by the million.

In regime: always, as the statement is about Gaussian weights. The false-firing rate and the number of active features
per sample play no part before the first step.

Rivals: the exact Beta law at that cut (theory.lucky_tail); the Gaussian tail (theory.gaussian_tail).

Claim: the share of lucky neurons is d^(-1/r^2) (theory.power_law_tail): equal to it, or at least of that exponent in d.

Power: sixty-four million pairs per size; a share of 1e-5 is known to 4 %, and eight blocks of pairs give the interval.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from paper_checks import drawing, slopes
from paper_checks.check import INF, RIVAL, Check, Row, over_seeds, row
from paper_checks.runs import Source

SIZES = (16, 64, 256, 1024, 4096)
RATIOS = (1.0, 0.85)
"""At smaller r hardly any neuron of a large network is lucky, and nothing can be counted."""
BLOCKS = 8
PAIRS = {"quick": 500_000, "default": 8_000_000, "large": 8_000_000}
"""Least number of (neuron, feature) pairs that a block draws; a block is here what a seed is elsewhere."""
CHUNK = 2**20
"""Weights that are drawn at once."""
BEFORE = "before the first step"


def measure(source: Source) -> xr.Dataset:
    """Return numbers of lucky (neuron, feature) pairs and of all pairs of sampled weights, by block, size and ratio."""
    lucky, pairs = np.zeros((BLOCKS, len(SIZES), len(RATIOS))), np.zeros((BLOCKS, len(SIZES)))
    for block in range(BLOCKS):
        rng = np.random.default_rng([source.first_seed, block])
        for k, d in enumerate(SIZES):
            n_neurons = -(-PAIRS[source.preset] // d)
            lucky[block, k], pairs[block, k] = _lucky_pairs(rng, n_neurons, d), n_neurons * d
    dims = ("block", "d", "ratio")
    coords = {"d": list(SIZES), "ratio": list(RATIOS)}
    return xr.Dataset({"lucky": (dims, lucky), "pairs": (dims[:2], pairs)}, coords)


def _lucky_pairs(rng: np.random.Generator, n_neurons: int, d: int) -> np.ndarray:
    """Return how many pairs of Gaussian neurons and features are lucky, shape (ratio,). All features are alike."""
    cut = np.sqrt(2 * np.log(d) / d) / np.array(RATIOS)
    found, rows = np.zeros(len(RATIOS)), max(1, CHUNK // d)
    for first in range(0, n_neurons, rows):
        g = rng.standard_normal((min(rows, n_neurons - first), d), dtype=np.float32)
        share = np.abs(g) / np.linalg.norm(g, axis=1, keepdims=True)
        found += [np.count_nonzero(share >= one) for one in cut]
    return found


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return rows on the exact law and on the Gaussian tail per ratio, and on the paper's power: value and exponent."""
    share = arrays["lucky"] / arrays["pairs"]
    sizes = arrays["d"].values
    rows = []
    for ratio in arrays["ratio"].values:
        of_ratio = share.sel(ratio=ratio)
        where = f"{BEFORE}, r = {ratio:g}"
        for name, tail, wanted in (
            ("the exact Beta law counts lucky neurons", _exact, (0.9, 1.1)),
            ("the Gaussian tail counts lucky neurons", _gaussian, (0.9, 1.1)),
            ("there are at least m d^(-1/r²) lucky neurons", _power, (1.0, INF)),
        ):
            quantity = f"measured over predicted share, d = {sizes[0]} to {sizes[-1]}"
            each = np.stack([of_ratio.sel(d=d).values / tail(int(d), float(ratio)) for d in sizes])
            rows.append(row(name, where, quantity, over_seeds(each.mean(axis=0)), wanted, predicted=1.0))
        fit = slopes.power(sizes, [of_ratio.sel(d=d).values for d in sizes])
        predicted = -1 / ratio**2
        wanted = (1.05 * predicted, 0.95 * predicted)
        claim, quantity = "the share of lucky neurons falls as d^(-1/r²)", "exponent in d"
        rows.append(row(claim, where, quantity, fit.span, wanted, predicted=predicted))
    return rows


def _exact(d: int, ratio: float) -> float:
    return float(theory.lucky_tail(d, np.sqrt(2 * np.log(d) / d) / ratio))


def _gaussian(d: int, ratio: float) -> float:
    return float(theory.gaussian_tail(d, 1 / ratio))


def _power(d: int, ratio: float) -> float:
    return float(theory.power_law_tail(d, 1 / ratio))


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the share of lucky pairs against d, with the exact law, the Gaussian tail and the power."""
    share, sizes = arrays["lucky"] / arrays["pairs"], arrays["d"].values
    fig, axes = drawing.panels(len(arrays["ratio"]))
    for ax, ratio in zip(axes, arrays["ratio"].values, strict=True):
        drawing.points(ax, sizes, share.sel(ratio=ratio).values, label="sampled weights", color="all")
        for label, tail, kind in (
            ("exact Beta law", _exact, "theory"),
            ("Gaussian tail", _gaussian, "second rival"),
            ("the paper's power", _power, "rival"),
        ):
            drawing.predicted(ax, sizes, [tail(int(d), float(ratio)) for d in sizes], label=label, kind=kind)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        drawing.words(ax, x="number of features d", y="share of lucky neurons", title=f"r = {ratio:g}")
    drawing.legend_below(fig, axes[0], columns=4)
    return fig


CHECK = Check(
    code="LUCKY",
    origins={"the exact Beta law": RIVAL, "the Gaussian tail": RIVAL},
    statement="Definition 3.1",
    title="the number of lucky neurons before training",
    formula="A neuron is lucky for j if its alignment is at least (1/r) sqrt(2 log d / d); their share is d^(-1/r²) by "
    "the paper (`theory.power_law_tail`) and a Beta tail exactly (`theory.lucky_tail`).",
    rival="the exact Beta law and the Gaussian tail at the same cut.",
    constants="none; the cut is our reading of the exponent, as the paper's is not known to us.",
    power="sixty-four million pairs of a neuron and a feature per size, so that of a share of 1e-5 there are hundreds.",
    sets=(),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="there are at least",
    caption="The exact law counts the lucky neurons; the paper's power overstates them several times. Share of the "
    "neurons that are lucky for one feature before the first step, against the number of features. Points: "
    "sampled Gaussian weights, with 95 % intervals; lines: exact law, Gaussian tail, the paper's power.",
)
