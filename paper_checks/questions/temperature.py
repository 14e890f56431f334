"""QTEMP: does a small temperature favour the majority?

Question (from the public discussion of the paper, theory 10): the lengths of the stages contain tau. Does a small one
give the frequent features a head start?

In regime: a loss without the factor tau in front, since with it tau is nothing but a scale of the weights. d = 16, r =
0.5, tau from 1/4 to 2, at one learning rate. False firing 1 % and default (24 %); about 1.8 active features per
sample.

Rival: it does, so that growth of the majority over that of the minority falls with tau, and minority coverage rises.

Claim (theory 10): all early rates scale as 1/tau, so that their ratio does not move: the slope of (growth of the
minority over that of the majority, before decay) in log tau is within 0.05 of 0, a tenth of the ratio for a factor e.
The end is another matter, so that minority coverage and counts against tau are rows of their own.

Power: six seeds and four temperatures; a ratio of rates is known to 0.1 per run (64 neurons, few steps before the
switch), its slope to 0.05.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim.stats.trends import trend
from paper_checks import drawing
from paper_checks.check import ABOVE_0, OURS, Check, Numbers, Row, at_points, only, row
from paper_checks.end_states import early_growth, gap, per_group
from paper_checks.runs import NOISES, Source

FLAT = (-0.05, 0.05)
NAMES = {
    "growth": "growth of the minority over that of the majority",
    "coverage": "minority coverage",
    "share": "minority's share of the specialists",
}


def measure(source: Source) -> xr.Dataset:
    """Return growth, coverage and specialists by temperature, seed and group."""
    return at_points({point: _of_run(result) for point, result in source.runs("temperature").items()})


def _of_run(result: xr.Dataset) -> xr.Dataset:
    return per_group(result)[["coverage", "specialists", "settled"]].assign(growth=early_growth(result)["growth"])


def _values(one: xr.Dataset, name: str) -> np.ndarray:
    """Return one of `NAMES` by (point, seed)."""
    if name == "coverage":
        return one["coverage"].sel(group="minority").transpose("point", "seed").values
    if name == "growth":
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.exp(-gap(xr.apply_ufunc(np.log, one["growth"].transpose("point", "seed", "group"))))
    numbers = one["specialists"].transpose("point", "seed", "group")
    total = numbers.sum("group", skipna=False)
    return (numbers.sel(group="minority") / total.where(total > 0)).values


def slope(one: xr.Dataset, name: str, *, settled_only: bool) -> Numbers:
    """Return the slope of a quantity in log tau over the temperatures that may count; NaN where fewer than three do."""
    values, keep = _values(one, name), np.ones(one.sizes["point"], bool)
    if settled_only:
        keep &= one["settled"].values == 1
    keep &= np.isfinite(values).sum(axis=1) >= 2
    if keep.sum() < 3:
        return float("nan"), float("nan"), float("nan")
    parts = [line[np.isfinite(line)] for line in values[keep]]
    if np.ptp(np.concatenate(parts)) == 0:
        return 0.0, 0.0, 0.0  # exactly: a fitted slope would differ from 0 by rounding
    return trend(np.log(one["level"].values[keep].astype(float)), parts).span


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level, rows on early rates, on coverage and on the share of specialists."""
    rows = []
    for noise in NOISES:
        one = only(arrays, noise=noise)
        moving = int((one["settled"].values == 0).sum())
        note = f"{moving} of {one.sizes['point']} temperatures had not settled and are left out"
        early = slope(one, "growth", settled_only=False)
        claim = "the ratio of early rates does not depend on the temperature"
        quantity = f"slope in log tau of {NAMES['growth']}"
        rows.append(row(claim, noise, quantity, early, FLAT, predicted=0.0, rival="above 0"))
        for name, claim in (
            ("coverage", "a smaller temperature leaves more rare features without a specialist"),
            ("share", "a smaller temperature leaves rare features a smaller share of the specialists"),
        ):
            found = slope(one, name, settled_only=True)
            rows.append(
                row(claim, noise, f"slope in log tau of {NAMES[name]}", found, ABOVE_0, rival="0 or below", note=note)
            )
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the three quantities against the temperature, at both noise levels."""
    fig, axes = drawing.panels(len(NAMES))
    for ax, (name, words) in zip(axes, NAMES.items(), strict=True):
        for noise, color, marker in zip(NOISES, ("all", "mark"), "os", strict=True):
            one = only(arrays, noise=noise).sortby("level")
            tau = one["level"].values.astype(float)
            x = drawing.beside(tau, marker == "s", 2, share=0.06)
            drawing.points(ax, x, _values(one, name).T, label=noise, color=color, marker=marker)
        if name == "growth":
            ratio = float(arrays["ratio"].values[0])
            drawing.predicted(ax, tau, np.full(len(tau), ratio), label="r: no dependence on the temperature")
        drawing.levels(ax, tau)
        drawing.words(ax, x="temperature", y=words.replace(" over", "\nover").replace(" of the spec", "\nof the spec"))
    drawing.legend_below(fig, *axes)
    return fig


CHECK = Check(
    code="QTEMP",
    origin=OURS,
    statement="question",
    title="a small temperature does not favour the majority at the start",
    formula="growth of the minority over that of the majority = r at every tau (loss without the factor tau).",
    rival="a small temperature gives the majority a head start.",
    constants="none.",
    power="six seeds, four temperatures.",
    sets=("temperature",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="A small temperature does not favour the majority: at the end the minority has more specialists then. "
    "Early growth, minority coverage and minority share of the specialists against the temperature, at r = "
    "0.5 with a loss without the factor tau. Points: mean over seeds with 95 % intervals; line: r.",
)
