"""S3f: how strong are features once training has come to rest? One active feature per sample.

Statement (rival of Theorem 3.1, theory 6.3): at rest, pull and decay balance, and the strength S_j = sum over the
specialists i of j of (|alpha_ij| - b_i)^2 is tau log(|N| P_j / (lambda (1 + |N| P_j / 2))): nearly flat in the
frequency, where the theorem has weights in proportion to it.

In regime: no noise (nothing fires falsely), at most 1.25 active features per sample on average, and a setting at rest:
counts have settled, and strengths change by less than 5 % over the last quarter of the steps. Settings with more active
features are out of regime; check REST is about those.

Rival: weights in proportion to the frequency, S in proportion to its square.

Claims: measured over predicted strength within 10 % (the formula drops terms of the order of the active features beyond
the first); the exponent of S in the frequency, from minority over majority at r = 0.5, is that of the formula within
0.15, and so far from 2.

Power: 4 seeds with 8 features a group: a strength is known to 2 %.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim.plots.style import COLOR
from paper_checks import drawing
from paper_checks.check import RIVAL, Check, Row, only, out_of_regime, over_seeds, row
from paper_checks.resting_strengths import mean_ratio, measured, resting_only
from paper_checks.runs import Source
from paper_checks.specialist_sizes import GROUPS

MARGIN, FLAT = 0.1, 0.15
MOST_ACTIVE = 1.25
"""Active features per sample up to which "one feature per sample" is taken to hold."""


def measure(source: Source) -> xr.Dataset:
    """Return strengths of the run set rest, measured and predicted."""
    return measured(source, "rest")


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return rows on the strength by r and on the exponent, at each frequency in regime; for the others one row."""
    rows, too_many = [], []
    for rate in sorted({float(x) for x in arrays["level"].values}):
        here = only(arrays, level=rate)
        if float(here["active"].max()) > MOST_ACTIVE:
            too_many.append(here)
            continue
        for ratio in sorted({float(r) for r in here["ratio"].values}, reverse=True):
            rows.append(_strength_row(only(here, ratio=ratio), ratio))
        if np.any(here["ratio"].values < 1):
            rows.append(_exponent_row(here.isel(point=np.flatnonzero(here["ratio"].values < 1))))
    return rows + ([_outside(too_many)] if too_many else [])


def _regime(one: xr.Dataset) -> str:
    return f"no noise, {float(one['active'].max()):.2f} active features per sample"


def _strength_row(one: xr.Dataset, ratio: float) -> Row:
    claim, quantity = f"the strength of a feature is that of rest at r = {ratio:g}", "measured over predicted strength"
    kept, lost = resting_only(one)
    found = over_seeds(mean_ratio(kept, "few"))
    return row(claim, _regime(one), quantity, found, (1 - MARGIN, 1 + MARGIN), predicted=1.0, note=lost)


def _outside(parts: list[xr.Dataset]) -> Row:
    """Return the row on frequencies at which a sample has more active features than the formula assumes."""
    by_active = [
        f"{over_seeds(mean_ratio(resting_only(one)[0], 'few'))[0]:.2f} at {float(one['active'].max()):.1f}"
        for one in parts
    ]
    why = (
        f"at most {MOST_ACTIVE} active features per sample are assumed; measured over predicted strength with more: "
        f"{', '.join(by_active)}; check REST has the formula for several, and the rows above are in regime"
    )
    quantity = "measured over predicted strength"
    return out_of_regime("the strength of a feature is that of rest", "no noise, more active features", quantity, why)


def _exponent_row(one: xr.Dataset) -> Row:
    claim, quantity = (
        "the strength of a feature hardly depends on its frequency",
        "exponent of S in the frequency, r = 0.5",
    )
    kept, lost = resting_only(one)
    formula = (one["few"].isel(group=1) / one["few"].isel(group=0)).values
    predicted = float(np.nanmean(np.log(formula)) / np.log(_ratio(one)))
    if kept.sizes["point"]:
        of_first = (kept["strength"].isel(group=1) / kept["strength"].isel(group=0)).isel(point=0).values
        found = over_seeds(np.log(of_first) / np.log(_ratio(one)))
    else:
        found = (np.nan, np.nan, np.nan)
    wanted, rival = (predicted - FLAT, predicted + FLAT), "2: weights proportional to frequency"
    return row(claim, _regime(one), quantity, found, wanted, predicted=predicted, rival=rival, note=lost)


def _ratio(one: xr.Dataset) -> float:
    return float(one["ratio"].values[0])


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw strengths against the number of active features, with the formulas for one and for several."""
    ratios = sorted({float(r) for r in arrays["ratio"].values}, reverse=True)
    fig, axes = drawing.panels(len(ratios))
    for ax, ratio in zip(axes, ratios, strict=True):
        one = only(arrays, ratio=ratio).sortby("active")
        x = one["active"].values
        for place, group in enumerate(GROUPS):
            part = one.isel(group=place)
            drawing.points(ax, x * (1 + 0.01 * place), part["strength"].values.T, label=group, color=group)
        few, many = (np.nanmean(one[name].values, axis=(1, 2)) for name in ("few", "many"))
        drawing.predicted(ax, x, few, label="formula for one")
        drawing.predicted(ax, x, many, label="formula for several", kind="second rival")
        square = np.nanmean(one["few"].isel(group=0).values, axis=1) * ratio**2
        if ratio < 1:
            drawing.predicted(ax, x, square, label="minority, if weight goes with frequency", kind="rival")
        ax.axvline(MOST_ACTIVE, color=COLOR["mark"], lw=0.8, label="meant for the left")
        ax.set_ylim(bottom=0)
        drawing.words(ax, x="active features per sample", y="strength S", title=f"r = {ratio:g}")
    drawing.legend_below(fig, *axes, columns=3)
    return fig


CHECK = Check(
    code="S3f",
    origin=RIVAL,
    statement="Theorem 3.1",
    title="strength at rest hardly depends on the frequency",
    formula="S_j = τ log(|N| P_j / (λ (1 + |N| P_j/2))) (`theory.stationary_magnitude`).",
    rival="weights proportional to frequency, S to its square.",
    constants="none.",
    power="4 seeds with 8 features a group.",
    sets=("rest",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="the strength of a feature hardly depends",
    caption="Strength hardly depends on frequency, but falls with the number of active features. Strength S of a "
    "feature at the end of training without noise, against the number of active features of a sample. The "
    "formula for one active feature (solid) is meant for the left of the thin grey line; dotted: the formula for "
    "several; broken: strength of the minority if weights went with frequency. Means over seeds, 95 % "
    "intervals.",
)
