"""I1: how wide must a network be to cover half of the rare features?

Statement (theory 7.1, 7.3: our reading of the paper's count m d^(-1/r^2)): to have a specialist for a rare feature
takes a width of order d^(1/r^2). So m_50, the width at which half of the minority features are covered, obeys log m_50
= (1/r^2) log d + constant.

In regime: whole training with m from d/2 to 16 d. False firing 1 % and default (24 %); about 1.8 active features per
sample. At the least r the widths must still reach half coverage, else the row names the width that would.

Rival: the race (S2f). Each neuron ends with minority feature j with some chance p, so that coverage is 1 - (1 - p)^m
and m_50 = log 2 / p; p hardly depends on r beyond the lead of the majority.

Claim: the slope of log m_50 in 1/r^2 is log d (within a quarter); as a bound, at most log d.

Power: six seeds, eight minority features: mean coverage is known to 0.07 and log m_50 to about 0.15, while the claim
asks for a factor of 4,000 in m between r = 1 and r = 0.5.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.config import Config
from dynsim.results import provenance_of
from paper_checks import drawing
from paper_checks.check import INF, RIVAL, Check, Row, about, at_points, noises_in, only, out_of_regime, row
from paper_checks.end_states import per_group
from paper_checks.jackknife import jackknife
from paper_checks.runs import NOISES, Source

HALF = 0.5
SHARE = 0.25
"""A slope counts as log d within a quarter: the two rivals are apart by a factor of three or more."""
FACTOR = 1.5
"""The race predicts a width within this factor, which is the step between half of the widths that are run."""
SLOPE, WIDTH = "slope of log m_50 in 1/r²", "log of measured over predicted m_50, mean over r"


def measure(source: Source) -> xr.Dataset:
    """Return minority coverage at the end per seed, the chance of the race, and what a run costs, by noise, r and m."""
    points, runs = source.points("width"), source.runs("width")
    return at_points({point: _of_point(points[point], result) for point, result in runs.items()})


def _of_point(config: Config, result: xr.Dataset) -> xr.Dataset:
    ends = per_group(result)
    won = theory.race_counts(config).winners[theory.is_minority(config.data)].mean() / config.encoder.n_neurons
    values: Any = {"race_chance": float(won), "wall_s": float(provenance_of(result)["wall_s"])}
    return ends[["settled"]].assign(coverage=ends["coverage"].sel(group="minority", drop=True), **values)


def half_width(widths: np.ndarray, coverage: np.ndarray) -> float:
    """Return log m at which coverage first reaches one half, by linear interpolation; NaN where it does not.

    A single neuron covers next to nothing, so that (1, 0) is the first point of every curve.
    """
    widths, coverage = np.append(1.0, widths), np.append(0.0, coverage)
    reached = np.flatnonzero(coverage >= HALF)
    if len(reached) == 0:
        return math.nan
    k = int(reached[0])
    share = (HALF - coverage[k - 1]) / (coverage[k] - coverage[k - 1])
    return float(np.log(widths[k - 1]) + share * np.log(widths[k] / widths[k - 1]))


def _table(arrays: xr.Dataset, noise: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return r, m, coverage (seed, r, m) and log m_50 of the race (r,), over the widths that every r has."""
    one = only(arrays, noise=noise)
    ratios = np.array(sorted(set(one["ratio"].values), reverse=True))
    levels = [set(only(one, ratio=r)["level"].values.astype(float)) for r in ratios]
    widths = np.array(sorted(set.intersection(*levels))) if levels else np.zeros(0)
    cells = [[only(one, ratio=r, level=m).isel(point=0) for m in widths] for r in ratios]
    n_seeds = one.sizes["seed"]
    coverage = np.array([[cell["coverage"].values for cell in line] for line in cells], float)
    chances = np.array([np.mean([float(cell["race_chance"]) for cell in line]) for line in cells])
    shape = (len(ratios), len(widths), n_seeds)
    return ratios, widths, coverage.reshape(shape).transpose(2, 0, 1), np.log(math.log(2) / chances)


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level, a row on the slope as stated, one on it as a bound, and one on the race."""
    return [one for noise in noises_in(arrays) for one in _of_noise(arrays, noise)]


AS_LAW = "the width that covers half of the rare features grows with 1/r² as d^(1/r²)"
AS_BOUND = "the width that covers half of the rare features grows with 1/r² at most as d^(1/r²)"
BY_RACE = "the race gives the width that covers half of the rare features"


def _of_noise(arrays: xr.Dataset, noise: str) -> list[Row]:
    ratios, widths, coverage, race = _table(arrays, noise)
    log_d = math.log(int(only(arrays, noise=noise)["d"].values[0]))

    def slope(values: np.ndarray) -> float:
        halves = [half_width(widths, line) for line in values.mean(axis=0)]
        return float(np.polyfit(1 / ratios**2, halves, 1)[0]) if np.isfinite(halves).all() else math.nan

    def excess(values: np.ndarray) -> float:
        return float(np.mean([half_width(widths, line) for line in values.mean(axis=0)] - race))

    found, off = jackknife(slope, coverage), jackknife(excess, coverage)
    if math.isnan(found[0]):
        why = _price(arrays, noise, ratios, log_d)
        claims = ((AS_LAW, SLOPE), (AS_BOUND, SLOPE), (BY_RACE, WIDTH))
        return [out_of_regime(claim, noise, quantity, why) for claim, quantity in claims]
    moving = int((only(arrays, noise=noise)["settled"].values == 0).sum())
    note = f"{moving} of {only(arrays, noise=noise).sizes['point']} points had not settled"
    rival = f"race {np.polyfit(1 / ratios**2, race, 1)[0]:.2g}"
    shape: Any = {"predicted": log_d, "rival": rival, "note": note}
    within = (-math.log(FACTOR), math.log(FACTOR))
    return [
        row(AS_LAW, noise, SLOPE, found, about(log_d, SHARE), **shape),
        row(AS_BOUND, noise, SLOPE, found, (-INF, log_d), **shape),
        row(BY_RACE, noise, WIDTH, off, within, predicted=0.0, note=note),
    ]


def _price(arrays: xr.Dataset, noise: str, ratios: np.ndarray, log_d: float) -> str:
    """Return in words why no m_50 was found, and what a width that the claim asks for would cost."""
    one = only(arrays, noise=noise)
    largest = float(one["level"].values.astype(float).max())
    wanted = math.exp(log_d / float(ratios.min()) ** 2)
    widest = one.isel(point=np.flatnonzero(one["level"].values.astype(float) == largest))
    hours = float(widest["wall_s"].mean()) * wanted / largest / 3600
    return (
        f"half coverage is not reached at every r; the paper's m at r = {ratios.min():g} "
        f"is {wanted:,.0f}, which would take about {hours:.1f} hours per configuration on 2 cores"
    )


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw minority coverage against width for each r, with the race, one panel for each noise level."""
    fig, axes = drawing.panels(len(NOISES))
    markers = "os^vDP"
    for ax, noise in zip(axes, NOISES, strict=True):
        ratios, widths, coverage, race = _table(arrays, noise)
        for k, (r, marker) in enumerate(zip(ratios, markers, strict=False)):
            fine = np.geomspace(widths[0], widths[-1], 50)
            label = f"r = {r:g}"
            x = drawing.beside(widths, k, len(ratios), share=0.05)
            look = {"marker": marker, "alpha": 1 - 0.25 * k}
            drawing.points(ax, x, coverage[:, k], label=label, color="minority", **look)
            line = 1 - (1 - math.log(2) / math.exp(race[k])) ** fine
            drawing.predicted(ax, fine, line, label="the race", kind="rival")
            paper = np.minimum(1.0, HALF * fine / math.exp(math.log(16) / r**2))
            drawing.predicted(ax, fine, paper, label=r"$m\,d^{-1/r^2}/2$, at most 1", kind="second rival")
        ax.axhline(HALF, color=drawing.COLOR["mark"], linewidth=0.6, zorder=0, label="half of the features")
        drawing.levels(ax, widths)
        drawing.words(ax, x="number of neurons m", y="minority features covered", title=noise)
    drawing.legend_below(fig, *axes, columns=3)
    return fig


CHECK = Check(
    code="I1",
    origins={"the race gives": RIVAL},
    statement="Theorem 3.1",
    title="the width that covers half of the rare features",
    formula="log m_50 = (1/r²) log d + constant.",
    rival="the race: m_50 = log 2 / p with the chance p of `theory.race_counts`.",
    constants="none: the slope has no free constant, and neither has the race.",
    power="six seeds; the claim asks log m_50 to grow by 8.3 between r = 1 and r = 0.5 at d = 16.",
    sets=("width",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="the width that covers half of the rare features grows",
    caption="Rare features are covered at far smaller widths than d^(1/r²). Share of the minority features that have "
    "a specialist at the end, against the number of neurons. Points: mean over seeds with 95 % intervals, "
    "paler for smaller r; broken lines: the race; dotted lines: the paper's number of specialists, scaled so "
    "that it crosses one half at d^(1/r²).",
)
