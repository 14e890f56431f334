"""QCOSINE: does the harm of imbalance survive the losses that are used in practice?

Question (ours): the theory's similarity is an inner product without normalisation, with a gradient through one side.
With cosine similarity, and with NT-Xent (both sides, each as query), a feature's share of the norm counts, not its
size.

In regime: a departure from the setting on purpose; d = 16, r = 0.5 against r = 1 of the same loss and seeds. False
firing 1 % and default (24 %); about 1.8 active features per sample.

Rival: normalisation makes up for rareness, as every sample must be told from the others by direction.

Claim: the gap majority - minority is larger at r = 0.5 than at r = 1, in coverage, in specialists and in probe
accuracy. Runs of either r that still change are out of regime. A harm that plain runs do not show is vacuous here.

Power: six seeds, paired; gaps in coverage are known to 0.1, in accuracy to 0.02.
"""

import math
from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure

from paper_checks.check import ABOVE_0, OURS, Check, Numbers, Row, out_of_regime, over_seeds, row, vacuous
from paper_checks.runs import NOISES, Source
from paper_checks.variant_results import PLAIN, RATIO, RESULTS, longer, measure_points, results_figure, variant

VARIANTS = ("cosine similarity", "NT-Xent")
SHOWN = ("counts", "coverage", "probe")
HARM = {
    "counts": "imbalance costs rare features specialists",
    "coverage": "imbalance leaves rare features without specialists",
    "probe": "imbalance makes rare features harder to read",
}


def measure(source: Source) -> xr.Dataset:
    """Return the group measures of both losses and of plain runs, at r = 0.5 and 1."""
    kept = (PLAIN, *VARIANTS)
    return measure_points({point: one for point, one in source.runs("variants").items() if point.level in kept})


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for each noise level, loss and kind of harm: the gap at r = 0.5 minus that at r = 1."""
    rows = []
    for noise in NOISES:
        harmed = {key: _harm(arrays, key, PLAIN, noise) for key in SHOWN}
        for name in (PLAIN, *VARIANTS):
            rare, balanced = variant(arrays, name, noise), variant(arrays, name, noise, 1.0)
            if rare is None or balanced is None:
                continue
            settled = rare["settled"] and balanced["settled"]
            for key in SHOWN:
                found = _harm(arrays, key, name, noise)
                words = "inner product (plain)" if name == PLAIN else name
                claim, quantity = f"{HARM[key]}: {words}", f"{RESULTS[key].quantity}, r = {RATIO:g} minus r = 1"
                if not settled:
                    rows.append(out_of_regime(claim, noise, quantity, longer(name, noise), found=found))
                elif name != PLAIN and not harmed[key][1] > 0:
                    why = "plain runs do not show this harm, so that nothing is left to survive"
                    rows.append(vacuous(claim, noise, quantity, why, found=found))
                else:
                    rows.append(row(claim, noise, quantity, found, ABOVE_0, rival="0"))
    return rows


def _harm(arrays: xr.Dataset, key: str, name: str, noise: str) -> Numbers:
    """Return the gap at r = 0.5 minus that at r = 1 of one loss; unknown where its runs are not there."""
    rare, balanced = variant(arrays, name, noise), variant(arrays, name, noise, 1.0)
    if rare is None or balanced is None:
        return math.nan, math.nan, math.nan
    return over_seeds(RESULTS[key].of_seed(rare) - RESULTS[key].of_seed(balanced))


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the gaps at r = 0.5 for plain runs and both losses."""
    return results_figure(arrays, VARIANTS, SHOWN, columns=3)


CHECK = Check(
    code="QCOSINE",
    origin=OURS,
    statement="question",
    title="the harm of imbalance with cosine similarity and NT-Xent",
    formula="gap(r = 0.5) - gap(r = 1) > 0 for coverage, specialists and probe accuracy.",
    rival="normalisation makes up for rareness.",
    constants="none.",
    power="six seeds, paired.",
    sets=("variants",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="imbalance leaves rare features without specialists",
    caption="With cosine similarity and NT-Xent the harm of imbalance is small or gone. Gaps between majority and "
    "minority at r = 0.5 with an inner product (plain), cosine similarity and NT-Xent. Points: mean over "
    "seeds with 95 % intervals; grey: where the result holds.",
)
