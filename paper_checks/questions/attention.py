"""QATTN: does it matter how the encoder attends, and does a mask help when attention is trained?

Question (from the public discussion of the paper, theory 10): the analysis keeps the attention matrices at the
identity. Which results survive attention that is uniform, a softmax, or trained; and does pruning help where it is
trained?

In regime: a departure from the setting on purpose; all else as in the plain runs, d = 16, r = 0.5. False firing 1 % and
default (24 %, of token-wise attention); about 1.8 active features per sample.

Rivals: the results need token-wise attention; a random mask of the same size does as much as one of the smallest
weights.

Claim: rare features have fewer specialists and are left without one, as in plain runs (stages are in QSURVIVE); under
trained attention a mask of the 60 % smallest weights (on one branch) covers more of the minority than no mask and than
a fixed random mask.

Power: six seeds, paired; differences in coverage are known to 0.1.
"""

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from paper_checks.check import ABOVE_0, OURS, Check, Row, out_of_regime, over_seeds, row, vacuous
from paper_checks.runs import NOISES, Source
from paper_checks.variant_results import PLAIN, longer, measure_points, results_figure, survival_rows, variant

VARIANTS = ("uniform attention", "softmax attention", "trained attention")
MASKED, AT_RANDOM = "trained attention, masked", "trained attention, masked at random"
SHOWN = ("counts", "coverage")
DIFFERENCE = "difference in minority coverage"
PAIRS = (
    (
        MASKED,
        "trained attention",
        "under trained attention a mask of the smallest weights covers more of the minority than none",
        ABOVE_0,
        "0 or below: no help",
    ),
    (
        MASKED,
        AT_RANDOM,
        "under trained attention a mask of the smallest weights covers more of the minority than a fixed random one",
        ABOVE_0,
        "0 or below: any mask does it",
    ),
)
"""First variant, second variant, claim, range of first - second, rival."""


def measure(source: Source) -> xr.Dataset:
    """Return the group measures of the plain runs and of the variants."""
    kept = (PLAIN, *VARIANTS, MASKED, AT_RANDOM)
    return measure_points({point: one for point, one in source.runs("variants").items() if point.level in kept})


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for each noise level, variant and result, then the paired differences in minority coverage."""
    rows = survival_rows(arrays, VARIANTS, SHOWN)
    for noise in NOISES:
        for first, second, claim, wanted, rival in PAIRS:
            a, b = variant(arrays, first, noise), variant(arrays, second, noise)
            if a is None or b is None:
                continue
            found = over_seeds((a["coverage"] - b["coverage"]).sel(group="minority").values)
            unsettled = [name for name, one in ((first, a), (second, b)) if not one["settled"]]
            if unsettled:
                rows.append(out_of_regime(claim, noise, DIFFERENCE, longer(unsettled[0], noise), found=found))
            elif float(b["coverage"].sel(group="minority").min()) == 1:
                why = f"{second}: every rare feature is covered, so that nothing is left to gain"
                rows.append(vacuous(claim, noise, DIFFERENCE, why, found=found))
            else:
                rows.append(row(claim, noise, DIFFERENCE, found, wanted, rival=rival))
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw each result in plain runs and in the variants, those with a mask included."""
    return results_figure(arrays, (*VARIANTS, MASKED, AT_RANDOM), ("stages", *SHOWN, "probe"))


CHECK = Check(
    code="QATTN",
    origin=OURS,
    statement="question",
    title="attention: which results survive, and whether a mask helps where it is trained",
    formula="signs as in the plain setting; coverage(masked) - coverage(other) > 0 under trained attention.",
    rival="the results need token-wise attention; any mask of that size does as much.",
    constants="none.",
    power="six seeds, paired.",
    sets=("variants",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="rare features are left without specialists",
    caption="With attention the gaps between majority and minority look small, but most runs still "
    "changed at their end. Results at r = 0.5 with other "
    "kinds of attention, and with masks under trained attention. Points: mean over seeds with 95 % intervals; "
    "grey: where the result holds.",
)
