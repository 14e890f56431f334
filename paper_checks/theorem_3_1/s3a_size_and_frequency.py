"""S3a: is the weight of a specialist proportional to the frequency of its feature?

Statement (Theorem 3.1, in our words): for times in the window [T3, T4] = [d^1.01/eta, d^1.99/eta], the weight alpha
of a specialist on its feature j lies between r_j tau / Xi_2 and r_j tau, with r_j the frequency over the largest one.

In regime: the window must lie within the run; its geometric middle d^1.5/eta does at every size here. Two noise regimes
(noise alone fires a neuron on 1 % of the tokens, and on 24 to 15 %); 2 to 3 active features per sample. At the end only
settings that have settled are used; the window is a transient by the statement itself, so there all of them are.

Rivals: rest (theory 6.3, S3f: sizes that hardly depend on the frequency, exponent 0) and sharing (theory 6.3: fewer
specialists, larger weights, a negative exponent).

Claims: the logarithm of alpha (minority over majority) against log r has slope 1, within 0.2, for the largest and for
the median specialist of a feature. The margin is a fifth of the distance between the statement, 1, and the rival of
rest, 0. The statement has the same slope at every size, so logarithms are averaged over the sizes that were run at
three or more r. And, with our constant 1, the largest alpha is at most r_j tau at every size and r. Xi_2 is unknown, so
that the lower bound alone excludes nothing at one r; over r it is the slope.

Power: 6 seeds; a ratio of sizes is known to a few hundredths, so the slope is to 0.1.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim.config import Config
from paper_checks import drawing
from paper_checks.check import Check, Row, at_points, only, over_seeds, row
from paper_checks.runs import NOISES, Source
from paper_checks.slope_rows import enough_levels, mean_by_level, settled_only, slope_row
from paper_checks.specialist_sizes import MOMENTS, by_group, finite_runs, moments, settled_flag, sizes

MARGIN = 0.2
KINDS = ("largest", "median")


def measure(source: Source) -> xr.Dataset:
    """Return largest and median |alpha| of specialists per seed, group and moment."""
    points, runs = source.points("stages"), source.runs("stages")
    return at_points({point: _of_run(points[point], finite_runs(result)) for point, result in runs.items()})


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    at = [sizes(result, record) for record in moments(config, result).values()]
    return xr.Dataset(
        {kind: (("moment", "seed", "group"), np.stack([by_group(result, one[kind]) for one in at])) for kind in KINDS}
        | {
            "step": ("moment", result["step"].values[list(moments(config, result).values())]),
            "settled": settled_flag(result),
            "tau": config.loss.temperature,
        }
    )


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return per noise and moment the slopes of both kinds and the inequality for the minority."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        for place, moment in enumerate(MOMENTS):
            one, lost = here.isel(moment=place), ""
            if moment == MOMENTS[1]:
                one, lost = settled_only(one)
            if enough_levels(here, "ratio"):
                rows += [_slope_row(f"{noise}, {moment}", kind, one, lost) for kind in KINDS]
            rows.append(_bound_row(f"{noise}, {moment}", one))
    return rows


def _slope_row(regime: str, kind: str, one: xr.Dataset, lost: str) -> Row:
    """Return the row on the slope; per seed and r the logarithms are averaged over the sizes that have three r."""
    sizes_ = [d for d in np.unique(one["d"].values) if enough_levels(only(one, d=int(d)), "ratio")]
    full = one.isel(point=np.flatnonzero(np.isin(one["d"].values, sizes_)))
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log((full[kind].isel(group=1) / full[kind].isel(group=0)).transpose("point", "seed").values)
    ratios, values = mean_by_level(full, np.where(np.isfinite(logs), logs, np.nan), "ratio")
    steps = ", ".join(f"{only(full, d=int(d))['step'].values[0]:.0f}" for d in sizes_)
    where = f"d = {', '.join(str(int(d)) for d in sizes_)} at step {steps}" if sizes_ else ""
    return slope_row(
        f"the {kind} weight of a feature's specialists is proportional to the frequency of the feature",
        regime,
        "slope of log(minority over majority weight) on log r, mean over sizes",
        np.log(ratios),
        values,
        (1 - MARGIN, 1 + MARGIN),
        logarithmic=False,
        predicted=1.0,
        rival="0 at rest; negative where specialists share what a feature gathers",
        note="; ".join(filter(None, (where, lost))),
    )


def _bound_row(regime: str, one: xr.Dataset) -> Row:
    claim = "the largest weight of a rare feature's specialists is at most r times the temperature"
    quantity = "largest minority weight over r tau, at the size and r where it is largest"
    above = one["largest"].isel(group=1).transpose("point", "seed").values
    above = above / (one["ratio"].values.astype(float) * one["tau"].values)[:, None]
    means = [over_seeds(x)[0] for x in above]
    if not np.isfinite(means).any():
        return row(claim, regime, quantity, (np.nan, np.nan, np.nan), (0.0, 1.0), note="the constant 1 is ours")
    worst = int(np.nanargmax(means))
    note = f"d = {int(one['d'].values[worst])}, r = {float(one['ratio'].values[worst]):g}; the constant 1 is ours"
    return row(claim, regime, quantity, over_seeds(above[worst]), (0.0, 1.0), note=note)


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the ratio of weights against r at the smallest and the largest size, in the window and at the end."""
    sizes_ = sorted({int(d) for d in arrays["d"].values})
    fig, axes = drawing.panels(2)
    for ax, d in zip(axes, (sizes_[0], sizes_[-1]), strict=True):
        for noise, fill in zip(NOISES, ("full", "none"), strict=True):
            one = only(arrays, noise=noise, d=d)
            r = one["ratio"].values.astype(float)
            for place, (moment, color) in enumerate(zip(MOMENTS, ("mark", "minority"), strict=True)):
                at = one["median"].isel(moment=place)
                values = (at.isel(group=1) / at.isel(group=0)).values.T
                x = drawing.beside(r, 2 * place + (fill == "none"), 4, share=0.02)
                look = {"fillstyle": fill, "marker": "so"[place]}
                drawing.points(ax, x, values, label=f"{moment}, {noise}", color=color, **look)
        line = np.array([0.3, 1.0])
        drawing.predicted(ax, line, line, label="proportional to frequency", kind="paper")
        drawing.predicted(ax, line, np.ones(2), label="state of rest", kind="rival")
        drawing.levels(ax, [0.3, 0.5, 0.7, 1.0])
        ax.set_yscale("log")
        ax.set_ylim(0.2, 4)
        ax.set_yticks([0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2, 3], ["0.2", "0.3", "0.5", "0.7", "1", "1.5", "2", "3"])
        ax.set_yticks([], minor=True)
        drawing.words(ax, x="relative frequency r", y="minority / majority weight", title=f"d = {d}")
    drawing.legend_below(fig, axes[0], columns=2)
    return fig


CHECK = Check(
    code="S3a",
    statement="Theorem 3.1",
    title="the weight of a specialist is proportional to the frequency of its feature",
    formula="r_j τ/Ξ₂ ≤ α_ij ≤ r_j τ for times in `theory.stage3_window`: slope 1 of log α on log r_j.",
    rival="rest, exponent 0 (`theory.rest_magnitude`); sharing among specialists, negative.",
    constants="Ξ₂ is unknown and drops out of the slope; the constant 1 of the upper bound is ours.",
    power="6 seeds.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="the median weight",
    caption="Weights are not proportional to frequency: at the end those of rare features are the larger ones. Median "
    "weight of the specialists of a minority feature over that of a majority feature, against r, in the "
    "middle of the paper's window and at the end. The theorem says that it is proportional to r (solid), a "
    "state of rest that it hardly depends on it (broken). Filled: false firing 1 %, open: default noise.",
)
