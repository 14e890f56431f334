"""QBAL: is there imbalance where all features are equally frequent?

Question (from the public discussion of the paper, theory 10): features may be equally frequent and yet survive into the
second view with different chances. Do those that survive less often fare like rare ones?

In regime: r = 1, minority features survive with a chance of 1, 0.7 or 0.5; d = 16. False firing 1 % and default (24
%); about two active features per sample.

Rival: only frequency counts; or surviving less often is not the same as being rare, since the query still has the
feature.

Claim: early growth is that of an effective frequency keep * P (`theory.second_moment`), so that features that survive
less often have fewer specialists and less coverage; and as much coverage as at an explicit r = keep, within one
feature of eight (0.125).

Power: six seeds; with explicit runs of the same seeds differences in coverage are known to 0.1.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.results.dataset import config_of
from paper_checks import drawing
from paper_checks.check import ABOVE_0, OURS, Check, Row, about, at_points, only, over_seeds, row
from paper_checks.end_states import early_growth, gap, per_group
from paper_checks.runs import NOISES, Point, Source

FEATURE = 0.125
TENTH = 0.1
AT = 16
IMPLICIT, EXPLICIT = "implicit", "explicit"


def measure(source: Source) -> xr.Dataset:
    """Return group measures of the implicit runs (level: keep) and of runs with an explicit r = keep (second: "
    "which)."""
    runs = {
        point._replace(ratio=float(point.level), second=IMPLICIT): result
        for point, result in source.runs("implicit").items()
    }
    keeps = {point.ratio for point in runs}
    runs |= {
        Point(point.noise, AT, point.ratio, point.ratio, EXPLICIT): result
        for point, result in source.runs("stages").items()
        if point.d == AT and point.ratio in keeps
    }
    return at_points({point: _of_run(result) for point, result in runs.items()})


def _of_run(result: xr.Dataset) -> xr.Dataset:
    ends = per_group(result)[["coverage", "specialists", "settled", "n_neurons"]]
    config = config_of(result)
    growth, rare = theory.growth_rate(config), theory.is_minority(config.data)
    predicted = float(growth[rare].mean() / growth[~rare].mean()) if rare.any() else 1.0
    return ends.assign(growth=early_growth(result)["growth"], predicted=predicted)


def _one(arrays: xr.Dataset, noise: str, keep: float, which: str) -> xr.Dataset | None:
    found = only(arrays, noise=noise, ratio=keep, second=which)
    return found.isel(point=0) if found.sizes["point"] else None


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level and keep probability below 1, rows on growth, counts, coverage and explicit runs."""
    rows = []
    keeps = sorted({float(r) for r in only(arrays, second=IMPLICIT)["ratio"].values if r < 1}, reverse=True)
    for noise in NOISES:
        for keep in keeps:
            one, other = (_one(arrays, noise, keep, which) for which in (IMPLICIT, EXPLICIT))
            if one is None:
                continue
            where = f"{noise}, survives with {keep:g}"
            note = "" if one["settled"] else "the runs had not settled"
            closed = float(one["predicted"])
            growth = over_seeds(np.exp(-gap(xr.apply_ufunc(np.log, one["growth"]))))
            claim, quantity = (
                "features that survive less often grow at first like rarer ones",
                "growth, minority over majority",
            )
            rows.append(row(claim, where, quantity, growth, about(closed, TENTH), predicted=closed, rival="1"))
            counts = gap(one["specialists"]) / float(one["n_neurons"])
            claim, quantity = (
                "features that survive less often have fewer specialists",
                "specialists, majority - minority, over the neurons",
            )
            rows.append(row(claim, where, quantity, over_seeds(counts), ABOVE_0, rival="0", note=note))
            claim, quantity = (
                "features that survive less often are left without specialists",
                "coverage, majority - minority",
            )
            rows.append(row(claim, where, quantity, over_seeds(gap(one["coverage"])), ABOVE_0, rival="0", note=note))
            if other is not None:
                n = min(one.sizes["seed"], other.sizes["seed"])
                a, b = (part["coverage"].sel(group="minority").values[:n] for part in (one, other))
                claim, quantity = (
                    "features that survive less often are covered like features as much rarer",
                    "minority coverage, implicit - explicit",
                )
                rows.append(
                    row(claim, where, quantity, over_seeds(a - b), (-FEATURE, FEATURE), predicted=0.0, note=note)
                )
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw minority coverage against the chance to survive, and against an explicit r, for both noise levels."""
    fig, axes = drawing.panels(len(NOISES))
    for ax, noise in zip(axes, NOISES, strict=True):
        for which, marker, words in ((IMPLICIT, "o", "survival (r = 1)"), (EXPLICIT, "s", "frequency (r)")):
            one = only(arrays, noise=noise, second=which).sortby("ratio")
            x = one["ratio"].values.astype(float)
            values = one["coverage"].sel(group="minority").transpose("seed", "point").values
            look = {"marker": marker, "fillstyle": "full" if marker == "o" else "none"}
            x = x + (0.006 if marker == "s" else -0.006)
            drawing.points(ax, x, values, label=f"minority, by {words}", color="minority", **look)
        drawing.words(ax, x="chance to survive, or r", y="minority coverage", title=noise)
        ax.set_ylim(0, 1.1)
    drawing.legend_below(fig, *axes)
    return fig


CHECK = Check(
    code="QBAL",
    origin=OURS,
    statement="question",
    title="features that survive less often fare like rare ones",
    formula="the effective frequency is keep * P (`theory.second_moment`).",
    rival="only frequency counts.",
    constants="none.",
    power="six seeds.",
    sets=("implicit", "stages"),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="features that survive less often have fewer specialists",
    caption="At false firing 1 % features that survive less often are left uncovered as rare ones are; at default "
    "noise neither are. Minority coverage against the chance that a minority feature survives into the second "
    "view, at equal frequencies, and against an explicit frequency ratio r. Points: mean over seeds with 95 % "
    "intervals.",
)
