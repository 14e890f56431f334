"""S3e: how do the weights of specialists depend on the temperature?

Statement (Theorem 3.1, in our words): in stage 3 the weight of a specialist lies between r_j tau/Xi_2 and r_j tau, so
that it is proportional to the temperature tau, in a loss without the prefactor tau.

In regime: two noise regimes (noise alone fires a neuron on 1 % of the tokens, and on 24 %); 2.5 active features per
sample; d = 16, r = 0.5. In the window d^1.5/eta, and at the end for settings that have settled. Step size and penalty
are the same at all temperatures and early rates go as 1/tau, so that a colder run is also further in its training: the
rows on the window, whose ends do not contain tau, mix both effects.

Rival: rest (theory 6.3, S3f), where S_j = tau times a logarithm, and alpha goes about as sqrt(tau); what
theory.rest_magnitude gives at these temperatures is computed, as its logarithm contains tau too.

Claims: exponent 1 of the median weight in tau (within 0.1, a fifth of the distance to the rival; the exponent of the
largest weight stands in the note); as the rival, at the end, the exponent of sqrt(S_j) is that of theory.rest_magnitude
(within 0.1): S_j does not depend on how many specialists share it, which changes with the temperature.

Power: 4 temperatures over a factor of 8, 6 seeds: the exponent is known to 0.03.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.config import Config
from paper_checks import drawing
from paper_checks.check import RIVAL, Check, Row, at_points, noises_in, only
from paper_checks.runs import NOISES, Source
from paper_checks.slope_rows import settled_only, slope_row
from paper_checks.slopes import power
from paper_checks.specialist_sizes import GROUPS, MOMENTS, by_group, finite_runs, moments, settled_flag, sizes

MARGIN = 0.1
KINDS = ("largest", "median")


def measure(source: Source) -> xr.Dataset:
    """Return largest and median |alpha| per seed, group and moment, and sqrt(S_j) at rest by group."""
    points, runs = source.points("temperature"), source.runs("temperature")
    return at_points({point: _of_run(points[point], finite_runs(result)) for point, result in runs.items()})


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    at = [sizes(result, record) for record in moments(config, result).values()]
    rest, minority = np.sqrt(theory.rest_magnitude(config)), theory.is_minority(config.data)
    return xr.Dataset(
        {kind: (("moment", "seed", "group"), np.stack([by_group(result, one[kind]) for one in at])) for kind in KINDS}
        | {
            "total": (
                ("moment", "seed", "group"),
                np.stack([by_group(result, np.sqrt(one["strength"])) for one in at]),
            ),
            "rest": ("group", np.array([rest[~minority].mean(), rest[minority].mean()])),
            "settled": settled_flag(result),
        }
    )


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return per noise, moment and group the exponents in tau, and the rival's at the end."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        for place, moment in enumerate(MOMENTS):
            one, lost = here.isel(moment=place), ""
            if moment == MOMENTS[1]:
                one, lost = settled_only(one)
            for group_place, group in enumerate(GROUPS):
                of_group = one.isel(group=group_place)
                rows.append(_paper_row(f"{noise}, {moment}", group, of_group, lost))
                if moment == MOMENTS[1]:
                    rows.append(_rest_row(f"{noise}, {moment}", group, of_group, lost))
    return rows


def _paper_row(regime: str, group: str, one: xr.Dataset, lost: str) -> Row:
    tau = one["level"].values.astype(float)
    largest = power(tau, list(one["largest"].values)).span
    said = f"of the largest weight: {largest[0]:.2f} [{largest[1]:.2f}, {largest[2]:.2f}]"
    return slope_row(
        f"the median weight of {group} specialists is proportional to the temperature",
        regime,
        "exponent in the temperature",
        tau,
        list(one["median"].values),
        (1 - MARGIN, 1 + MARGIN),
        predicted=1.0,
        rival=f"{_exponent(tau, one['rest'].values):.2f} at rest",
        note="; ".join(filter(None, (said if np.isfinite(largest[0]) else "", lost))),
    )


def _rest_row(regime: str, group: str, one: xr.Dataset, lost: str) -> Row:
    tau = one["level"].values.astype(float)
    resting = _exponent(tau, one["rest"].values)
    return slope_row(
        f"the strength of {group} features goes with the temperature as in a state of rest",
        regime,
        "exponent of sqrt(S) in the temperature",
        tau,
        list(one["total"].values),
        (resting - MARGIN, resting + MARGIN),
        predicted=resting,
        rival="1: proportional to the temperature",
        note=lost,
    )


def _exponent(x: np.ndarray, y: np.ndarray) -> float:
    """Return the least-squares exponent of a curve; 1/2 where there are too few points for one."""
    good = (y > 0) & np.isfinite(y)
    return float(np.polyfit(np.log(x[good]), np.log(y[good]), 1)[0]) if good.sum() > 1 else 0.5


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw median weights against tau, with both exponents through the weights at tau = 1."""
    fig, axes = drawing.panels(2)
    for ax in axes[len(noises_in(arrays)) :]:
        ax.set_visible(False)
    for ax, noise in zip(axes, noises_in(arrays), strict=False):
        here = only(arrays, noise=noise)
        tau = here["level"].values.astype(float)
        for place, group in enumerate(GROUPS):
            for moment, fill in zip((0, 1), ("none", "full"), strict=True):
                values = here["median"].isel(group=place, moment=moment).values.T
                label = f"{group}, {MOMENTS[moment]}"
                x = drawing.beside(tau, 2 * place + (fill == "full"), 4)
                drawing.points(ax, x, values, label=label, color=group, fillstyle=fill)
        middle = float(np.nanmean(here["median"].isel(group=0, moment=1).values[np.argmin(np.abs(tau - 1))]))
        drawing.predicted(ax, tau, middle * tau, label="proportional to temperature", kind="paper")
        rest = here["rest"].isel(group=0).values
        drawing.predicted(
            ax, tau, middle * rest / rest[np.argmin(np.abs(tau - 1))], label="state of rest", kind="rival"
        )
        drawing.levels(ax, tau)
        drawing.log_y(ax)
        ax.set_ylim(0.03, 8)
        drawing.words(ax, x="temperature", y="median weight of specialists", title=noise)
    drawing.legend_below(fig, axes[0], columns=3)
    return fig


CHECK = Check(
    code="S3e",
    origins={"the strength of": RIVAL},
    statement="Theorem 3.1",
    title="the weights of specialists are proportional to the temperature",
    formula="r_j τ/Ξ₂ ≤ α ≤ r_j τ: exponent 1 in τ; rival at rest: that of sqrt(`theory.rest_magnitude`), about 1/2.",
    rival="about 1/2, from the state of rest.",
    constants="none in exponents.",
    power="4 temperatures over a factor of 8, 6 seeds.",
    sets=("temperature",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="the median weight of majority",
    caption="At the end weights rise with the temperature, but more slowly than in proportion. Median weight of "
    "specialists against the temperature, in the middle of the paper's window (open) and at the end (filled). "
    "Solid: proportional, as the theorem has it; broken: as at rest; both drawn through the majority's weight "
    "at temperature 1.",
)
