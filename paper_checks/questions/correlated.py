"""QCORR: what if feature directions are correlated, or features occur together?

Question (from the public discussion of the paper, theory 10): the theory has orthonormal directions and independent
features. Which results survive directions at a cosine of 0.1 or 0.3, and features of a group that occur together?

In regime: this is a departure from the setting on purpose; all else as in the plain runs, d = 16, r = 0.5. False
firing 1 % and default (24 %); about 1.8 active features per sample.

Rival: each result needs orthonormal, independent features.

Claim: rare features grow more slowly, have fewer specialists and are left without one, as in plain runs. A result that
plain runs do not show is vacuous here; one about the end is judged where runs have settled. Check QSURVIVE has the
other results.

Power: six seeds, paired with plain runs; coverage gaps are known to 0.1.
"""

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from paper_checks.check import OURS, Check, Row
from paper_checks.runs import Source
from paper_checks.variant_results import PLAIN, RATIO, measure_points, results_figure, survival_rows

VARIANTS = ("features at cosine 0.1", "features at cosine 0.3", "features that occur together")
SHOWN = ("growth", "counts", "coverage")


def measure(source: Source) -> xr.Dataset:
    """Return the group measures of the plain runs and of the variants."""
    runs = source.runs("variants").items()
    return measure_points({point: result for point, result in runs if point.level in (PLAIN, *VARIANTS)})


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for each noise level, variant and result."""
    return survival_rows(arrays, VARIANTS, SHOWN)


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw each result in plain runs and in the variants."""
    return results_figure(arrays, VARIANTS, SHOWN)


CHECK = Check(
    code="QCORR",
    origin=OURS,
    statement="question",
    title="correlated features: which results survive",
    formula=f"the sign of each result at r = {RATIO:g} is that of the plain setting.",
    rival="the results need orthonormal directions and independent features.",
    constants="none.",
    power="six seeds, paired with plain runs.",
    sets=("variants",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="rare features are left without specialists",
    caption="Correlated directions seem to weaken the harm of imbalance (undecided); features that "
    "occur together leave it as it is. "
    "Results at r = 0.5 with correlated directions, and with features of a group that occur together. Points: "
    "mean over seeds with 95 % intervals; grey: where the result holds.",
)
