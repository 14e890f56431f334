"""I4: does it matter how many features are rare?

Statement (theory 7.3 of Theorem 3.1): the paper's number of specialists of a rare feature, m d^(-1/r^2), does not
depend on how many rare features there are.

In regime: whole training at fixed d, r = 0.5 and shares of the minority from 1/8 to 3/4. False firing 1 % and default
(24 %); one to two active features per sample (fewer where more features are rare).

Rival: the race (S2f): with fewer frequent rivals a neuron ends more often with a rare feature, so that the count grows
with the share (by 1.9 from 1/8 to 3/4 at d = 16).

Claim: the specialists per minority feature are the same at every share: the slope of the count in the share, over the
mean count, is 0 within a quarter (a quarter is a third of what the race predicts). As a lower bound the statement is
vacuous: m d^(-1/r^2) is below 0.001 neurons here.

Power: six seeds; the mean count per feature is known to 10 to 20 %, its relative slope to about 0.3.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.config import Config
from paper_checks import drawing
from paper_checks.check import RIVAL, Check, Row, at_points, noises_in, only, over_seeds, row, vacuous
from paper_checks.end_states import per_group
from paper_checks.runs import Source
from paper_checks.slope_rows import settled_only

FLAT = (-0.25, 0.25)
PER_FEATURE = "specialists per minority feature"
NEAR = (0.8, 1.25)


def measure(source: Source) -> xr.Dataset:
    """Return specialists per minority feature, measured, by the race and by the paper's bound, for each share."""
    points, runs = source.points("fraction"), source.runs("fraction")
    return at_points({point: _of_point(points[point], result) for point, result in runs.items()})


def _of_point(config: Config, result: xr.Dataset) -> xr.Dataset:
    rare = theory.is_minority(config.data)
    ends = per_group(result)
    count = ends["specialists"].sel(group="minority", drop=True) / int(rare.sum())
    race = float(theory.race_counts(config).winners[rare].mean())
    bound = float(theory.paper_specialist_count(config)[rare].mean())
    return ends[["settled"]].assign(count=count, race=race, bound=bound)


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level, rows on the slope in the share, on the race, and on the bound (vacuous)."""
    rows = []
    for noise in noises_in(arrays):
        one, note = settled_only(only(arrays, noise=noise))
        known = one.sizes["point"] >= 2
        if not known:  # the count is shown, and decides nothing
            one = only(arrays, noise=noise)
        share, count = one["level"].values.astype(float), one["count"].transpose("point", "seed").values
        mean, race = float(np.nanmean(count)), one["race"].values
        rival = f"race {np.polyfit(share, race, 1)[0] / race.mean():.2g}"
        claim, quantity = (
            "the specialists of a rare feature do not depend on how many features are rare",
            "slope of the count in the share, over the mean",
        )
        value, low, high = _slope(share, count) if known else (np.nan,) * 3
        found = (value / mean, low / mean, high / mean)
        rows.append(row(claim, noise, quantity, found, FLAT, predicted=0.0, rival=rival, note=note))
        ratio = over_seeds((count / race[:, None]).mean(axis=0) if known else np.full(1, np.nan))
        rows.append(
            row(
                "the race gives the number of specialists of a rare feature",
                noise,
                "measured over predicted count",
                ratio,
                NEAR,
                predicted=1.0,
                note=note,
            )
        )
        bound = float(one["bound"].values.max())
        why = f"the bound is {bound:.1g} neurons, which any count obeys; at r = 0.5 it says something from m = d^4 on"
        found = over_seeds(count.mean(axis=0))
        rows.append(
            vacuous("a rare feature has at least m d^(-1/r²) specialists", noise, PER_FEATURE, why, found=found)
        )
    return rows


def _slope(share: np.ndarray, count: np.ndarray) -> tuple[float, float, float]:
    """Return the least-squares slope of the count (point, seed) in the share, taken for each seed: any bend counts."""
    finite = count[:, np.isfinite(count).all(axis=0)]
    return over_seeds(np.polyfit(share, finite, 1)[0] if finite.size else np.full(3, np.nan))


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw specialists per minority feature against the share of the minority, with race and a flat line."""
    fig, axes = drawing.panels(len(noises_in(arrays)))
    for ax, noise in zip(axes, noises_in(arrays), strict=True):
        one = only(arrays, noise=noise).sortby("level")
        share = one["level"].values.astype(float)
        count = one["count"].transpose("seed", "point").values
        drawing.points(ax, share, count, label="measured", color="minority")
        drawing.predicted(
            ax, share, np.full(len(share), np.nanmean(count)), label="no dependence, as the paper's count"
        )
        drawing.predicted(ax, share, one["race"].values, label="the race", kind="rival")
        ax.set_ylim(bottom=0)
        drawing.words(ax, x="share of the features that are rare", y="specialists per rare feature", title=noise)
    drawing.legend_below(fig, *axes)
    return fig


CHECK = Check(
    code="I4",
    origins={"the race gives": RIVAL},
    statement="Theorem 3.1",
    title="how many features are rare does not matter for one of them",
    formula="specialists per minority feature = m d^(-1/r²) (`theory.paper_specialist_count`), at any size of the "
    "group.",
    rival="the race (`theory.race_counts`): more where fewer features are frequent.",
    constants="the level of the flat line is the measured mean; only its slope is tested.",
    power="six seeds, four shares; the race predicts a relative slope of 0.8.",
    sets=("fraction",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Specialists per minority feature at the end, against the share of the features that are rare, at r = 0.5. "
    "Points: mean over seeds with 95 % intervals; solid line: no dependence, at the measured mean; broken line: race.",
)
