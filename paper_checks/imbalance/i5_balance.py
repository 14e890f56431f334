"""I5: control. Are both halves of the features alike where all are equally frequent?

Statement (ours): at r = 1 the half that is called minority is nothing but a name, so that no measure may tell it
apart. What did would be a fault of the simulator or of the measure.

In regime: always. False firing 1 % and default (15 to 24 %); about two active features per sample.

Rival: an effect of the order of features, for instance in how ties are broken.

Claim: coverage, specialists, T1, first specialists and probe accuracy of both halves are equal: coverage within one
feature of a half, counts and T1 within a tenth, the time of specialists within a quarter (records are 20 % apart, and
single features scatter), accuracy within 0.02.

Power: six seeds and two or three sizes; specialists per half scatter by 12 % per run, so by 4 % in their mean.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from paper_checks.check import OURS, Check, Row, at_points, only, over_seeds, planned, row
from paper_checks.end_states import first_steps, gap, per_group, stage_ends
from paper_checks.row_figure import rows_figure
from paper_checks.runs import NOISES, Source

HALF = 0.5
TENTH = (-0.1, 0.1)
QUARTER = (-0.25, 0.25)
ACCURACY = (-0.02, 0.02)


def measure(source: Source) -> xr.Dataset:
    """Return the group measures of the runs with r = 1."""
    runs = {point: result for point, result in source.runs("stages").items() if point.ratio == 1}
    return at_points({point: _of_point(result) for point, result in runs.items()})


def _of_point(result: xr.Dataset) -> xr.Dataset:
    ends = per_group(result)[["coverage", "specialists", "probe_few"]]
    return ends.assign(T1=stage_ends(result)["T1"], first=first_steps(result, HALF)["first"])


def _relative(values: xr.DataArray) -> np.ndarray:
    """Return 2 (majority - minority) / (majority + minority)."""
    return gap(values) / np.maximum(values.mean("group").values, 1e-12)


QUANTITIES: dict[str, tuple[str, str, Callable[[xr.DataArray], np.ndarray]]] = {
    "coverage": ("two equally frequent halves have equal coverage", "difference in coverage, first half - second", gap),
    "specialists": (
        "two equally frequent halves have as many specialists",
        "difference, as a share of the mean",
        _relative,
    ),
    "T1": (
        "collective growth of two equally frequent halves ends together (T1)",
        "difference, as a share of the mean",
        _relative,
    ),
    "first": (
        "half of the features of two equally frequent halves have a specialist at the same time",
        "difference, as a share of the mean",
        _relative,
    ),
    "probe_few": (
        "a linear probe with few labels is as accurate for two equally frequent halves",
        "difference in accuracy, first half - second",
        gap,
    ),
}


SEEDS = 6
"""Seeds that it takes to decide on the time of specialists: with four at two sizes it is known to about the margin."""


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for each quantity and noise level, over all sizes."""
    rows = []
    for noise in NOISES:
        one = only(arrays, noise=noise)
        feature = 2 / float(one["d"].values.min())  # one feature of a half, at the smallest size
        margins = {"coverage": (-feature, feature), "probe_few": ACCURACY, "first": QUARTER}
        for name, (claim, quantity, fn) in QUANTITIES.items():
            each = fn(one[name].transpose("point", "seed", "group"))
            found = over_seeds(_mean_over_points(each))
            judged = row(claim, noise, quantity, found, margins.get(name, TENTH), predicted=0.0)
            rows.append(planned(judged, arrays.sizes["seed"], SEEDS) if name == "first" else judged)
    return rows


def _mean_over_points(values: np.ndarray) -> np.ndarray:
    """Return the mean over points per seed, without what was not found."""
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw each difference with its interval over its margin."""
    return rows_figure(rows)


CHECK = Check(
    code="I5",
    origin=OURS,
    statement="control",
    title="no gap between two halves that are equally frequent",
    formula="majority - minority = 0 at r = 1 for coverage, counts, times and accuracy.",
    rival="an effect of the order of features.",
    constants="none.",
    power="six seeds at up to four sizes.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Two equally frequent halves fare alike; their numbers of specialists are known less well. Differences "
    "between the two halves of equally frequent features. Points: mean over seeds and sizes, with 95 % "
    "intervals; grey: the margin within which both count as equal.",
)
