"""QWIDE: what does a network drop that has fewer neurons than there are features?

Question (from the public discussion of the paper, theory 10): with 8 neurons for 16 features not all can have a
specialist.

In regime: a departure from the setting on purpose (the theory has m > d); d = 16, r = 0.5. False firing 1 % and default
(24 %); about 1.8 active features per sample.

Rivals: what is dropped is a matter of luck, half of it minority; or neurons mix features, and none is dropped.

Claim: more than half of the features without a specialist are rare; the gap in coverage is above 0; neurons specialise
as they do in wide networks, within one neuron of the eight (0.125). Runs that still change are out of regime.

Power: six seeds; the minority's share of about ten dropped features is known to 0.06.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from paper_checks.check import INF, OURS, Check, Row, out_of_regime, over_seeds, row
from paper_checks.runs import NOISES, Source
from paper_checks.variant_results import PLAIN, RESULTS, longer, measure_points, results_figure, variant

NARROW = "fewer neurons than features"
ONE_NEURON = 0.125


def measure(source: Source) -> xr.Dataset:
    """Return the group measures of plain runs and of runs with half as many neurons as features."""
    runs = source.runs("variants").items()
    return measure_points({point: one for point, one in runs if point.level in (PLAIN, NARROW)})


def dropped_share(one: xr.Dataset) -> np.ndarray:
    """Return the minority's share of the features without a specialist, of two groups of equal size; NaN for none."""
    missing = 1 - one["coverage"]
    total = missing.sum("group", skipna=False).values
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, missing.sel(group="minority").values / np.where(total > 0, total, 1), np.nan)


def specialist_share(one: xr.Dataset) -> np.ndarray:
    """Return the share of the neurons that are specialists, (seed,)."""
    return one["specialists"].sum("group", skipna=False).values / float(one["n_neurons"])


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level, rows on what is dropped, on the gap, and on whether neurons specialise."""
    rows = []
    for noise in NOISES:
        one, plain = variant(arrays, NARROW, noise), variant(arrays, PLAIN, noise)
        if one is None or plain is None:
            continue
        coverage = RESULTS["coverage"]
        share = over_seeds(dropped_share(one))
        more = specialist_share(one) - specialist_share(plain)
        claim, quantity = "most dropped features are rare", "minority's share of the features without a specialist"
        found = [
            row(claim, noise, quantity, share, (0.5, INF), rival="0.5: luck"),
            row(coverage.claim, noise, coverage.quantity, over_seeds(coverage.of_seed(one)), coverage.wanted),
            row(
                "neurons specialise as they do in a wide network",
                noise,
                "share of the neurons that are specialists, narrow - plain",
                over_seeds(more),
                (-ONE_NEURON, INF),
                rival="below: neurons mix features",
            ),
        ]
        if not one["settled"]:  # all three are about the end
            why = longer(NARROW, noise)
            found = [
                out_of_regime(
                    one.claim,
                    noise,
                    one.quantity,
                    why,
                    found=None if one.measured is None or one.interval is None else (one.measured, *one.interval),
                )
                for one in found
            ]
        rows += found
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw specialists, coverage and probe of plain and narrow networks."""
    return results_figure(arrays, (NARROW,), ("counts", "coverage", "probe"), columns=3)


CHECK = Check(
    code="QWIDE",
    origin=OURS,
    statement="question",
    title="with fewer neurons than features, rare features are dropped",
    formula="minority's share of the features without a specialist > 1/2 at m = d/2.",
    rival="luck decides which features are dropped; or neurons mix features and none is dropped.",
    constants="none.",
    power="six seeds.",
    sets=("variants",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="With fewer neurons than features the gaps grow, at both noise levels. Gaps between majority and minority "
    "at r = 0.5 with 64 neurons (plain) and with 8 neurons for 16 features. Points: mean over seeds with 95 % "
    "intervals; grey: where the result holds.",
)
