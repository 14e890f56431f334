"""S2b: how many neurons learn a rare feature, against the width m and the imbalance r?

Statement (Lemma 3.2 and Theorem 3.1, in our words): each feature has at least of the order of m d^(-1/r^2) neurons that
end as its specialists, r being the least frequency over the largest.

In regime: the statement is about any width, but says something only where m d^(-1/r^2) is above one neuron. At d = 16
and r = 0.5 that takes m = 65 536; rows say so. Two noise regimes (noise alone fires a neuron on 1 % of the tokens,
and on 24 %); 2 to 3 active features per sample. Settings whose counts still change at the end are left out.

Rivals: the exact Beta law at the paper's cut (theory.lucky_count); counts that do not depend on the bound at all.

Claims: log_d(m / count) rises with 1/r^2 with slope 1 at most, the statement, and with slope 1 if the bound is reached,
which is our reading; the logarithm is averaged over the sizes, as it is to the base d. The margin of 0.1 is a tenth of
the distance to the rival, 0. The count is proportional to m. The number per minority feature is m times the exact tail,
within a fifth, at the widest setting that has settled. With our own constant 1 the count is at least m d^(-1/r^2),
where r < 1: at r = 1 this is m/d, which is reached only if every neuron is a specialist and all features have equally
many, so that it has no row. A seed without any specialist of a minority feature counts as half a neuron in logarithms.

Power: 6 seeds with 8 minority features; a count of 3 per feature is known to a tenth, an exponent in 1/r^2 to 0.03.
"""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.analysis.groups import minority_mask
from dynsim.config import Config, replace
from paper_checks import costs, drawing
from paper_checks.check import INF, RIVAL, Check, Row, at_points, only, over_seeds, row, vacuous
from paper_checks.runs import NOISES, Source, base
from paper_checks.slope_rows import enough_levels, mean_by_level, settled_only, slope_row
from paper_checks.specialist_sizes import finite_runs, found_at, settled_flag

EXACT = 0.2
"""Largest relative deviation from the exact law."""
SLOPE = 0.1
"""Largest deviation of an exponent that still counts as the predicted one."""
N_SEEDS = 6


def measure(source: Source) -> xr.Dataset:
    """Return specialists per minority feature, per seed, of the run sets width and stages, with what is predicted."""
    parts = {}
    for axis, name in enumerate(("stages", "width")):
        points = source.points(name)
        for point, result in source.runs(name).items():
            part = _of_run(points[point], finite_runs(result)).assign(in_width=float(axis))
            parts[point._replace(level=points[point].encoder.n_neurons, second=float(axis))] = part
    return at_points(parts)


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    minority = minority_mask(result) | (config.data.minority_ratio == 1)  # of equal features all are counted
    count = found_at(result)[..., minority].sum(axis=(1, 2)) / minority.sum()
    return xr.Dataset(
        {
            "count": ("seed", count),
            "exact": float(theory.lucky_count(config)[minority].mean()),
            "bound": float(theory.paper_specialist_count(config)[minority].mean()),
            "settled": settled_flag(result),
        }
    )


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return per noise: slopes in 1/r^2 over the sizes, then per r the exponent in m, the exact law and the bound."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        stages, width = only(here, second=0.0), only(here, second=1.0)
        if enough_levels(stages, "ratio"):
            rows += _imbalance_rows(noise, stages)
        for ratio in sorted({float(r) for r in width["ratio"].values}, reverse=True):
            of_ratio = only(width, ratio=ratio)
            rows += [_width_row(noise, ratio, of_ratio), _exact_row(noise, ratio, of_ratio)]
            if ratio < 1:
                rows.append(_bound_row(noise, ratio, of_ratio))
    return rows


def _imbalance_rows(noise: str, stages: xr.Dataset) -> list[Row]:
    sizes = [d for d in np.unique(stages["d"].values) if enough_levels(only(stages, d=int(d)), "ratio")]
    kept, lost = settled_only(stages.isel(point=np.flatnonzero(np.isin(stages["d"].values, sizes))))
    d, count = kept["d"].values.astype(float)[:, None], kept["count"].transpose("point", "seed").values
    counted = np.maximum(count, 1 / d)  # half a neuron in all d/2 minority features
    missing = np.log(kept["level"].values.astype(float)[:, None] / counted) / np.log(d)
    ratios, values = mean_by_level(kept, missing, "ratio")
    note = "; ".join(filter(None, ("mean over d = " + ", ".join(str(int(x)) for x in sizes), lost)))
    said = {"rival": "0: numbers do not depend on r", "note": note}
    return [
        slope_row(
            claim, noise, "slope on 1/r²", 1 / ratios**2, values, wanted, logarithmic=False, predicted=1.0, **said
        )
        for claim, wanted in (
            ("the specialists of a rare feature fall with r no faster than d^(-1/r²)", (-INF, 1 + SLOPE)),
            ("the specialists of a rare feature fall with r as d^(-1/r²)", (1 - SLOPE, 1 + SLOPE)),
        )
    ]


def _width_row(noise: str, ratio: float, width: xr.Dataset) -> Row:
    kept, lost = settled_only(width)
    counted = np.maximum(kept["count"].values, np.where(np.isfinite(kept["count"].values), 1 / 16, np.nan))
    return slope_row(
        f"the number of specialists of a rare feature is proportional to the width m at r = {ratio:g}",
        noise,
        "exponent in m",
        kept["level"].values.astype(float),
        list(counted),
        (1 - SLOPE, 1 + SLOPE),
        predicted=1.0,
        note=lost,
    )


def _exact_row(noise: str, ratio: float, width: xr.Dataset) -> Row:
    """Return the row on the exact law, at the widest setting that has settled."""
    claim = f"a rare feature has as many specialists as the exact law has lucky neurons at r = {ratio:g}"
    quantity = "measured over predicted number per minority feature"
    kept, _ = settled_only(width)
    wide = kept.isel(point=[int(np.argmax(kept["level"].values.astype(float)))]) if kept.sizes["point"] else kept
    found = over_seeds(wide["count"].values)
    at = f"at m = {int(float(wide['level'].values[0]))}" if wide.sizes["point"] else "no setting had settled"
    if not width["exact"].values.any():
        note = f"{at}; no neuron can be lucky here: the cut is above 1, the largest cosine there is"
        return row(claim, noise, "specialists per minority feature", found, (0.0, 0.0), predicted=0.0, note=note)
    expected = float(wide["exact"].values[0]) if wide.sizes["point"] else math.nan
    ratio_of = found[0] / expected, found[1] / expected, found[2] / expected
    note = f"{at}: {found[0]:.2g} measured, {expected:.2g} predicted" if wide.sizes["point"] else at
    wanted = (1 - EXACT, 1 + EXACT)
    return row(claim, noise, quantity, ratio_of, wanted, predicted=1.0, rival="m d^(-1/r²)", note=note)


def _bound_row(noise: str, ratio: float, width: xr.Dataset) -> Row:
    claim = f"a rare feature has at least m d^(-1/r²) specialists at r = {ratio:g}"
    quantity = "measured number over the bound, mean over widths with a bound of at least one neuron"
    kept, lost = settled_only(width)
    usable = kept.isel(point=np.flatnonzero(kept["bound"].values >= 1))
    d = int(width["d"].values[0])
    if float(width["bound"].max()) < 1:
        return vacuous(
            claim, noise, quantity, f"the bound is {float(width['bound'].max()):.2g} neurons; {needed(d, ratio)}"
        )
    each = (usable["count"] / usable["bound"]).mean("point").values if usable.sizes["point"] else np.array([np.nan])
    share = f"all m neurons shared equally by all features would give {d ** (1 / ratio**2 - 1):.3g}"
    note = "; ".join(filter(None, (f"the constant 1 is ours; {share}", lost)))
    return row(claim, noise, quantity, over_seeds(each), (1.0, INF), note=note)


def needed(d: int, ratio: float) -> str:
    """Return the least width at which the bound is one neuron per feature, and what such runs cost."""
    m = math.ceil(d ** (1 / ratio**2) - 1e-6)
    config = base(d, ratio, train__n_steps=4000)
    wide = replace(config, **{"encoder.n_neurons": m})
    return f"it reaches one neuron at m = {m}, {costs.in_words(costs.hours(wide, N_SEEDS))}"


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw log_d(m / count) against 1/r^2, and the counts against m, with law and bound."""
    fig, axes = drawing.panels(3)
    noise = next(name for name in NOISES if name in arrays["noise"].values)
    here = only(arrays, noise=noise)
    stages, width = only(here, second=0.0), only(here, second=1.0)
    sizes = sorted({int(d) for d in stages["d"].values})
    for place, (marker, d) in enumerate(zip("osD^v", sizes, strict=False)):
        one = only(stages, d=d)
        missing = np.log(one["level"].values.astype(float)[:, None] / np.maximum(one["count"].values, 1 / d))
        x = 1 / one["ratio"].values.astype(float) ** 2
        x = drawing.beside(x, place, len(sizes), share=0.13)
        drawing.points(axes[0], x, missing.T / math.log(d), label=f"d = {d}", color="minority", marker=marker)
    line = np.array([1.0, 1 / float(arrays["ratio"].min()) ** 2])
    drawing.predicted(axes[0], line, line, label="the paper's bound", kind="paper")
    drawing.levels(axes[0], 1 / stages["ratio"].values.astype(float) ** 2)
    axes[0].set_ylim(0.8, 3.5)
    drawing.words(axes[0], x="$1/r^2$", y="$\\log_d(m\\,/\\,$count$)$", title="m = 4 d")
    for ax, ratio in zip(axes[1:], (1.0, float(width["ratio"].min())), strict=True):
        one = only(width, ratio=ratio)
        m = one["level"].values.astype(float)
        drawing.points(ax, m, one["count"].values.T, label=f"d = {int(one['d'].values[0])}", color="minority")
        drawing.predicted(ax, m, one["bound"].values, label="the paper's bound", kind="paper")
        if float(one["exact"].max()) > 0:
            drawing.predicted(ax, m, one["exact"].values, label="exact law", kind="rival")
        drawing.levels(ax, m)
        drawing.log_y(ax)
        title = f"r = {ratio:g}" + (", exact law: 0" if float(one["exact"].max()) == 0 else "")
        drawing.words(ax, x="number of neurons m", y="specialists per feature", title=title)
    drawing.legend_below(fig, *axes, columns=4)
    return fig


CHECK = Check(
    code="S2b",
    origins={"a rare feature has as many specialists as the exact law": RIVAL},
    statement="Lemma 3.2",
    title="how many neurons learn a rare feature, against width and imbalance",
    formula="specialists per minority feature ≥ c m d^(-1/r²) (`theory.paper_specialist_count`): log_d(m/count) has "
    "slope 1 on 1/r², the count is proportional to m; exact law at the same cut: `theory.lucky_count`.",
    rival="the exact Beta law at the paper's cut; counts that do not depend on r.",
    constants="none in slopes; the constant 1 of the inequality is ours.",
    power="6 seeds with 8 to 32 minority features each.",
    sets=("width", "stages"),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="There are as many specialists of rare features as the bound asks for, and far more at strong imbalance. "
    "Specialists of a minority feature at false firing 1 %. Left: share of neurons in powers of d, against "
    "1/r²; on the line the paper's bound would be an equality. Middle and right: counts against width at "
    "equal frequencies and at the smallest r, with the bound and the exact law at its cut. Points: means with "
    "95 % intervals.",
)
