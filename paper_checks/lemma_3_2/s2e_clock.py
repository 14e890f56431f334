"""S2e: what sets the length of stage 2?

Statement (Lemma 3.2, in our words): stage 2 lasts of the order of d tau log d / (eps_max eta log log d) steps. So its
length falls as 1/eta and as 1/eps_max, rises as tau (in a loss without the prefactor tau) and with d as
theory.stage2_clock, and does not depend on the least frequency: the majority sets the clock.

In regime: T1 and T2 must be found for the majority; T2 is by coverage (theory 6.2, T2), and by the number of
specialists as a sensitivity. A record is at most 25 % of a step number away from the next; ends are taken at the
geometric mean of the record before and the record at which they are found. Two noise regimes; 1 to 4 active features
per sample where the frequency is varied, 2 to 3 elsewhere.

Rivals: an exponent of 0 (a length that another process sets); for r, an exponent of -1 (the minority sets the clock).

Claims: exponents of T2 - T1 of the majority of -1 in eta, -1 in the chance that a majority feature is active, 1 in tau,
1 in theory.stage2_clock over d, and 0 in r, each within 0.2: records 25 % apart move an exponent over a factor of four
by up to 0.15.

Power: 6 seeds; the length scatters by a fifth between seeds, an exponent over a factor of four is known to 0.1.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.analysis import labelled
from dynsim.config import Config
from dynsim.theory.specialists import COVERED
from paper_checks import drawing
from paper_checks.check import Check, Row, at_points, only
from paper_checks.runs import NOISES, Source
from paper_checks.slope_rows import fitted, slope_row
from paper_checks.specialist_sizes import finite_runs

MARGIN = 0.2
SETS = ("clock", "stages", "temperature")
IMBALANCE = "the imbalance r"
INVERSE = {1.0: "", -1.0: "the inverse of "}
ENDS = {"coverage": "T2 by coverage", "count": "T2 by the number of specialists"}


class Axis(NamedTuple):
    """What varies, and the exponent that the lemma gives."""

    name: str
    pick: Callable[[xr.Dataset], xr.Dataset]
    x: Callable[[xr.Dataset], np.ndarray]
    exponent: float
    rival: str


def _run_set(arrays: xr.Dataset, name: str) -> xr.Dataset:
    return arrays.isel(point=np.flatnonzero(arrays["set"].values == SETS.index(name)))


AXES = (
    Axis(
        "the step size",
        lambda arrays: only(_run_set(arrays, "clock"), level="eta"),
        lambda one: one["eta"].values,
        -1.0,
        "0",
    ),
    Axis(
        "the frequency of the majority",
        lambda arrays: only(_run_set(arrays, "clock"), level="rate"),
        lambda one: one["chance"].values,
        -1.0,
        "0",
    ),
    Axis("the temperature", lambda arrays: _run_set(arrays, "temperature"), lambda one: one["tau"].values, 1.0, "0"),
    Axis(
        "log d over the largest growth rate",
        lambda arrays: only(_run_set(arrays, "stages"), ratio=0.5),
        lambda one: one["clock"].values,
        1.0,
        "0",
    ),
    Axis(
        IMBALANCE,
        lambda arrays: _run_set(arrays, "stages"),
        lambda one: one["ratio"].values.astype(float),
        0.0,
        "-1: the minority sets the clock",
    ),
)


def measure(source: Source) -> xr.Dataset:
    """Return T2 - T1 of the majority per seed, by both definitions of T2, and what varies."""
    parts = {}
    for place, name in enumerate(SETS):
        points = source.points(name)
        for point, result in source.runs(name).items():
            part = _of_run(points[point], finite_runs(result)).assign(set=float(place))
            # one axis of points for three run sets: temperatures are numbers, names of the clock are text
            parts[point._replace(level=str(point.level), second=f"{name} {point.second}")] = part
    return at_points(parts)


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    ends = labelled.stages_of(result).sel(group="majority")
    middle = np.sqrt(np.maximum(ends["after"], 1) * ends["step"])
    counts = labelled.specialists_of(result)["count"].sel(group="majority").values
    t1 = middle.sel(stage="T1").values
    by_count = np.array([count_end(result["step"].values, one) for one in counts])
    majority = ~theory.is_minority(config.data)
    return xr.Dataset(
        {
            "coverage": ("seed", middle.sel(stage="T2").values - t1),
            "count": ("seed", np.where(np.isfinite(t1), by_count - t1, np.nan)),
            "eta": config.optimizer.learning_rate,
            "tau": config.loss.temperature,
            "chance": float(theory.activation_probability(config.data)[majority].mean()),
            "clock": theory.stage2_clock(config),
        }
    )


def count_end(steps: np.ndarray, counts: np.ndarray) -> float:
    """Return when the number of specialists reaches nine tenths of the final one for good; NaN without specialists.

    Args:
        steps: of the records; counts: of one run, by record.
    """
    final = float(np.median(counts[-max(1, len(counts) // 5) :]))
    below = np.flatnonzero(counts < COVERED * final)
    if final <= 0 or len(below) == 0 or below[-1] + 1 >= len(steps):
        return float("nan")
    return float(np.sqrt(max(steps[below[-1]], 1) * steps[below[-1] + 1]))


def _levels(axis: Axis, here: xr.Dataset, end: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the levels of an axis and T2 - T1 per seed at each.

    Against r lengths are taken over `theory.stage2_clock`, so that all sizes that have every r count together.
    """
    one = axis.pick(here)
    if axis.name != IMBALANCE:
        return axis.x(one), list(one[end].values)
    ratios = np.unique(one["ratio"].values.astype(float))
    complete = [d for d in np.unique(one["d"].values) if len(only(one, d=int(d))["ratio"]) == len(ratios)]
    lengths = one[end] / one["clock"]
    kept = np.isin(one["d"].values, complete)
    return ratios, [lengths.values[kept & (one["ratio"].values == ratio)].ravel() for ratio in ratios]


def _claim(axis: Axis) -> str:
    if axis.exponent == 0:
        return f"the length of the majority's stage 2 does not depend on {axis.name}"
    return f"the length of the majority's stage 2 is proportional to {INVERSE[axis.exponent]}{axis.name}"


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return a row per noise and axis, with T2 by coverage; the exponent with the other T2 stands in its note."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        for axis in AXES:
            x, values = _levels(axis, here, "coverage")
            by_count, _ = fitted(*_levels(axis, here, "count"))
            said = "{:.2f} [{:.2f}, {:.2f}]".format(*by_count.span) if by_count else "too few runs"
            rows.append(
                slope_row(
                    _claim(axis),
                    noise,
                    "exponent of T2 - T1, T2 by coverage",
                    x,
                    values,
                    (axis.exponent - MARGIN, axis.exponent + MARGIN),
                    predicted=axis.exponent,
                    rival=axis.rival,
                    note=f"with T2 by the number of specialists: {said}",
                )
            )
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw T2 - T1 against each axis, with a line of the predicted exponent through the geometric mean."""
    fig, axes = drawing.panels(len(AXES), columns=3)
    for ax, axis in zip(axes, AXES, strict=False):
        for noise, fill in zip(NOISES, ("full", "none"), strict=True):
            here = only(arrays, noise=noise)
            for name, color, marker in (("coverage", "majority", "o"), ("count", "mark", "s")):
                x, values = _levels(axis, here, name)
                if len(x):
                    label = f"{ENDS[name]}, {noise}"
                    x = drawing.beside(x, fill == "none", 2)
                    drawing.points(ax, x, _table(values), label=label, color=color, fillstyle=fill, marker=marker)
            if fill == "full" and len(x):
                _line(ax, axis, *_levels(axis, here, "coverage"))
        ticks = axis.x(axis.pick(arrays)).astype(float)
        drawing.levels(ax, ticks)
        if len(ticks) == 0:
            ax.text(0.5, 0.5, "no runs", transform=ax.transAxes, ha="center")
        drawing.log_y(ax)
        per_clock = axis.name == IMBALANCE
        drawing.words(ax, x=axis.name, y="$T_2-T_1$ over the clock" if per_clock else "$T_2-T_1$ in steps")
    drawing.legend_below(fig, *axes, columns=2)
    return fig


def _table(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the levels side by side, shape (seed, level), filled up with NaN."""
    longest = max(len(part) for part in values)
    return np.stack([np.append(part, np.full(longest - len(part), np.nan)) for part in values], axis=1)


def _line(ax: Axes, axis: Axis, x: np.ndarray, values: Sequence[np.ndarray]) -> None:
    order, means = np.argsort(x), np.array([np.nanmean(part) for part in values])
    line = (x[order] / np.exp(np.log(x).mean())) ** axis.exponent * np.exp(np.nanmean(np.log(means)))
    drawing.predicted(ax, x[order], line, label="predicted exponent")


CHECK = Check(
    code="S2e",
    statement="Lemma 3.2",
    title="the length of stage 2 is set by the majority",
    formula="T2 − T1 ∝ log d / max_j g_j (`theory.stage2_clock`): exponents −1 in η, −1 in ε_max, 1 in τ without the "
    "prefactor, 1 in the clock over d, 0 in r.",
    rival="an exponent of 0; for r, −1.",
    constants="the constant in front is free and drops out of exponents.",
    power="6 seeds; exponents are fitted over a factor of four.",
    sets=SETS,
    measure=measure,
    judge=judge,
    draw=draw,
    primary="the length of the majority's stage 2 does not depend",
    caption="Stage 2 becomes longer and shorter with the majority's clock; the exponents are known only roughly. "
    "Length of stage 2 of the majority against what should set it. Points: means over seeds with 95 % "
    "intervals, T2 by coverage and by the number of specialists; filled: false firing 1 %, open: default "
    "noise; lines: the predicted exponents, through the means at false firing 1 %.",
)
