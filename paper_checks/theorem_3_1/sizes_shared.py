"""SIZES: are the weights of a rare feature larger because fewer specialists share them?

Statement (rival of Theorem 3.1, theory 6.3): what a feature gathers is shared among its specialists, so that with n of
them alpha_min / alpha_maj = sqrt((S_min / S_maj) / (n_min / n_maj)): fewer specialists, larger weights. The theorem has
alpha in proportion to the frequency, so that this ratio would be r.

In regime: a setting at rest (counts have settled, strengths change by less than 5 % over the last quarter of the
steps), thresholds that track the norm. Two noise regimes (noise alone fires a neuron on 1 % of the tokens, and on 24 to
15 %); 2 to 3 active features per sample. Only features with a specialist count.

Rival: slope 1 of S3a, that is a ratio of r.

Claims: alpha (root mean square over the specialists of a feature, mean over the features of a group that have any, as
is sqrt(S_j / n_j)) follows the prediction with the measured n and with S of theory.rest_magnitude: measured over
predicted ratio within 10 %, the slope of its logarithm on that of the prediction is 1 within 0.2, and the error is
smaller than that of the rival.

Power: 6 seeds, 4 sizes and up to 5 r: a ratio is known to 3 %. Fewer than three settings with r < 1 decide nothing.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from paper_checks import drawing
from paper_checks.check import INF, RIVAL, Check, Row, only, over_seeds, planned, row
from paper_checks.resting_strengths import mean_over_settings, measured, resting_only
from paper_checks.runs import NOISES, Source
from paper_checks.slope_rows import mean_by_level, slope_row

MARGIN, SLOPE = 0.1, 0.2
SETTINGS = 3
"""Settings without which nothing is said over settings: of a few, luck decides which have come to rest."""


def measure(source: Source) -> xr.Dataset:
    """Return sizes, numbers and strengths of specialists of the run set stages."""
    return measured(source, "stages")


def _ratio_of(kept: xr.Dataset, name: str) -> np.ndarray:
    """Return minority over majority per setting and seed."""
    return np.asarray((kept[name].isel(group=1) / kept[name].isel(group=0)).values)


def predicted_ratio(kept: xr.Dataset) -> np.ndarray:
    """Return what sharing predicts per setting and seed, minority over majority; NaN where no rare feature has any.

    That is sqrt(S_j / n_j), averaged over the features of a group that have specialists, as the measured weight is.
    """
    return _ratio_of(kept, "shared")


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return per noise a row on the ratio, the slope on the prediction, and the error against the rival's."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        here = here.isel(point=np.flatnonzero(here["ratio"].values < 1))
        if here.sizes["point"]:
            own = [_ratio_row(noise, here), *_over_settings(noise, here)]
            rows += [planned(one, here.sizes["point"], SETTINGS, "settings") for one in own]
    return rows


def _ratio_row(noise: str, here: xr.Dataset) -> Row:
    kept, lost = resting_only(here)
    logs = np.log(_ratio_of(kept, "rms") / predicted_ratio(kept))
    ratios, values = mean_by_level(kept, logs, "ratio")
    by_r = ", ".join(f"{np.exp(over_seeds(x)[0]):.2f} at r = {r:g}" for r, x in zip(ratios, values, strict=True))
    return row(
        "the weight of a specialist is its share of what its feature gathers",
        noise,
        "measured over predicted ratio of weights (minority over majority), mean over settings with r < 1",
        over_seeds(np.exp(mean_over_settings(logs.T))),
        (1 - MARGIN, 1 + MARGIN),
        predicted=1.0,
        rival="weights in proportion to the frequency",
        note="; ".join(filter(None, (by_r, lost))),
    )


def _over_settings(noise: str, here: xr.Dataset) -> list[Row]:
    kept, lost = resting_only(here)
    found, shared = _ratio_of(kept, "rms"), predicted_ratio(kept)
    by_frequency = kept["ratio"].values.astype(float)[:, None]
    gain = mean_over_settings((np.abs(np.log(found / by_frequency)) - np.abs(np.log(found / shared))).T)
    x = np.array([np.exp(np.mean(np.log(part[np.isfinite(part)]))) for part in shared])
    claim, quantity = (
        "over settings the ratio of weights follows that of the shares",
        "exponent of measured in predicted",
    )
    rows = [
        slope_row(
            claim, noise, quantity, x, list(found), (1 - SLOPE, 1 + SLOPE), predicted=1.0, rival="0 or less", note=lost
        )
    ]
    claim, quantity = (
        "sharing is closer than proportionality to frequency",
        "error in log ratio of r less that of sharing",
    )
    rows.append(row(claim, noise, quantity, over_seeds(gain), (0.0, INF), rival="0 or less", note=lost))
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the measured ratio of weights against the predicted one, and against r."""
    fig, axes = drawing.panels(2)
    for noise, fill in zip(NOISES, ("full", "none"), strict=True):
        one, _ = resting_only(only(arrays, noise=noise))
        if one.sizes["point"] == 0:
            continue
        found, shared = _ratio_of(one, "rms"), predicted_ratio(one)
        r = one["ratio"].values.astype(float)
        drawing.points(axes[0], np.nanmean(shared, axis=1), found.T, label=noise, color="minority", fillstyle=fill)
        x = r + (0.008 if fill == "none" else -0.008)
        drawing.points(axes[1], x, found.T, label=noise, color="minority", fillstyle=fill)
    line = np.array([0.8, 2.5])
    drawing.predicted(axes[0], line, line, label="equal")
    drawing.predicted(
        axes[1], np.array([0.3, 1.0]), np.array([0.3, 1.0]), label="in proportion to frequency", kind="rival"
    )
    drawing.words(axes[0], x="minority / majority weight, predicted", y="minority / majority weight")
    drawing.words(axes[1], x="relative frequency r", y="minority / majority weight")
    axes[1].set_ylim(bottom=0)
    drawing.legend_below(fig, *axes, columns=2)
    return fig


CHECK = Check(
    code="SIZES",
    origin=RIVAL,
    statement="Theorem 3.1",
    title="fewer specialists, larger weights",
    formula="α_min/α_maj = sqrt((S_min/S_maj)/(n_min/n_maj)), S by `theory.rest_magnitude`, n as measured.",
    rival="r: weights proportional to frequency.",
    constants="none.",
    power="6 seeds, 4 sizes and up to 5 r.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Rare features have fewer specialists with larger weights, as sharing predicts. Weight of the specialists "
    "of a minority feature over that of a majority feature, against the prediction by sharing (left; line: "
    "equal) and against r (right; broken: in proportion to frequency). One point per setting that has come to "
    "rest, means over seeds with 95 % intervals. Filled: false firing 1 %, open: default noise.",
)
