"""S1a: in stage 1 every neuron grows along every feature, each at the rate that the closed form gives.

Statement (Lemma 3.1, in our words): while the thresholds are zero and the weights small, the projection of a neuron on
feature j is multiplied by the same factor at every step, and what is added is proportional to the feature's frequency.

In regime: no thresholds, weights small enough that the softmax stays uniform, features orthonormal. The false-firing
rate does not matter here (every neuron fires on everything), nor does the number of active features per sample, which
the exact second moment takes into account.

Rivals: growth that all features share; growth with the square of the frequency (a pair counts twice).

Claim: log |<w_i, M_j>| grows by `theory.log_growth` per step, with no constant to fit; before decay, growth is a line
in the activation probability through the origin.

Power: a relative rate of a feature has a standard error of about 1 % per seed (64 neurons, 16 features); with 8 seeds
a deviation of 2 % is seen.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.analysis import rates
from dynsim.config import Config
from dynsim.stats.trends import exponent
from paper_checks import drawing
from paper_checks.check import Check, Row, at_points, only, over_seeds, row
from paper_checks.runs import Source

MARGIN = 0.03
"""Largest relative deviation of a rate that still counts as the predicted one."""
NO_THRESHOLDS = "no thresholds"


def measure(source: Source) -> xr.Dataset:
    """Return growth per step with the decay added back, measured and predicted, per seed and feature of each size."""
    points, runs = source.points("growth"), source.runs("growth")
    return at_points({point: _of_size(points[point], result) for point, result in runs.items()})


def _of_size(config: Config, result: xr.Dataset) -> xr.Dataset:
    upto = int(np.searchsorted(result["step"].values, theory.stage1_end(config, "all")))
    grown = np.expm1(rates.log_growth_per_step(result, upto)) + theory.decay_rate(config)
    return xr.Dataset(
        {
            "measured": (("seed", "feature"), grown),
            "predicted": ("feature", theory.growth_rate(config)),
            "probability": ("feature", theory.activation_probability(config.data)),
        },
    )


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for the rate at each size and one for its exponent in the frequency at the largest size."""
    rows = []
    for d in arrays["d"].values:
        one = only(arrays, d=d).isel(point=0)
        ratio = (one["measured"] / one["predicted"]).mean("feature").values
        rows.append(
            row(
                f"growth agrees with the closed form at d = {d}",
                NO_THRESHOLDS,
                "measured over predicted growth per step",
                over_seeds(ratio),
                (1 - MARGIN, 1 + MARGIN),
                predicted=1.0,
            )
        )
    largest = arrays.isel(point=-1)
    fit = exponent(largest["probability"].values, list(largest["measured"].values.T))
    note = f"R² {fit.r_squared:.4f}; p-value of a misfit {fit.misfit_p:.2g}"
    claim, quantity = "growth before decay is proportional to frequency", "exponent of growth in the frequency"
    wanted = (1 - MARGIN, 1 + MARGIN)
    rows.append(row(claim, NO_THRESHOLDS, quantity, fit.span, wanted, predicted=1.0, rival="0 or 2", note=note))
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw measured growth over frequency beside the closed form, for the smallest and the largest size."""
    fig, axes = drawing.panels(2)
    for ax, d in zip(axes, arrays["d"].values[[0, -1]], strict=True):
        one = only(arrays, d=d).isel(point=0).dropna("feature", how="all").sortby("probability")
        chance = one["probability"].values
        drawing.points(ax, chance, one["measured"].values, label="measured, 95 % interval", color="all")
        drawing.predicted(ax, chance, one["predicted"].values, label="closed form")
        square = one["predicted"].values[-1] * (chance / chance[-1]) ** 2
        drawing.predicted(ax, chance, square, label="rival: square of frequency", kind="rival")
        drawing.words(ax, x="chance that the feature is active", y="growth per step", title=f"d = {d}")
    drawing.legend_below(fig, axes[0])
    return fig


CHECK = Check(
    code="S1a",
    statement="Lemma 3.1",
    title="every neuron grows along every feature at the predicted rate",
    formula="log |<w_i, M_j>| grows by `theory.log_growth` per step while b = 0 and weights are small.",
    rival="growth that does not depend on the frequency, or depends on its square.",
    constants="none: the closed form has no free constant.",
    power="8 seeds; a margin of 3 % in the rate averaged over features.",
    sets=("growth",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="growth before decay is proportional",
    caption="Every feature grows at the predicted rate, in proportion to its frequency. Growth per step of a neuron's "
    "projection on a feature, against how often the feature is active. Points: mean over seeds with 95 % "
    "intervals; solid line: closed form without a fitted constant; broken line: what growth with the square "
    "of the frequency would give.",
)
