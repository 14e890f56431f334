"""Results that may or may not survive a departure from the theory's setting, and how they are judged and drawn.

A result is one number per seed at the end of runs with r = 0.5, and the range in which it holds. Runs of a variant and
plain runs have the same seeds, so that both are compared by paired differences.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.stats.verdicts import OUT_OF_REGIME, SUPPORTED
from paper_checks import costs, drawing
from paper_checks.check import (
    ABOVE_0,
    BELOW_0,
    INF,
    Numbers,
    Row,
    at_points,
    only,
    out_of_regime,
    over_seeds,
    row,
    vacuous,
)
from paper_checks.end_states import early_growth, gap, per_group, stage_ends
from paper_checks.runs import NOISES, VARIANTS, Point, base

PLAIN = "plain"
RATIO = 0.5
N_FEATURES, N_STEPS, N_SEEDS = 16, 4000, 6  # of the run set "variants"
LETTERS = 72  # of all titles beside each other


class Result(NamedTuple):
    """A result of the plain setting."""

    claim: str
    quantity: str
    of_seed: Callable[[xr.Dataset], np.ndarray]
    """(arrays of one point) -> one number per seed."""
    wanted: tuple[float, float]


def _stages_found(one: xr.Dataset) -> np.ndarray:
    found = np.isfinite(one["T2"].sel(group="majority").values).astype(float)
    return np.where(np.isfinite(one["coverage"].values).all(axis=-1), found, np.nan)


def _log_growth(one: xr.Dataset) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return -gap(xr.apply_ufunc(np.log, one["growth"]))


RESULTS = {
    "stages": Result(
        "stages 1 and 2 follow each other",
        "share of the runs in which T1 and T2 of the majority are found",
        _stages_found,
        (0.5, INF),
    ),
    "growth": Result(
        "rare features grow more slowly from the start", "log of growth, minority over majority", _log_growth, BELOW_0
    ),
    "counts": Result(
        "rare features have fewer specialists",
        "specialists, majority - minority, over the neurons",
        lambda one: gap(one["specialists"]) / float(one["n_neurons"]),
        ABOVE_0,
    ),
    "coverage": Result(
        "rare features are left without specialists",
        "coverage, majority - minority",
        lambda one: gap(one["coverage"]),
        ABOVE_0,
    ),
    "sizes": Result(
        "weights on a rare feature are smaller",
        "log of the size per feature, minority over majority",
        lambda one: -gap(one["log_size"]),
        BELOW_0,
    ),
    "probe": Result(
        "a linear probe reads rare features less well",
        "accuracy with few labels, majority - minority",
        lambda one: gap(one["probe_few"]),
        ABOVE_0,
    ),
}
"""By short name. "Stages" holds where they are found in more than half of the runs."""
AT_END = ("counts", "coverage", "sizes", "probe")
"""Results about the end of training, for which runs must have settled."""


def measure_points(runs: Mapping[Point, xr.Dataset]) -> xr.Dataset:
    """Return what `RESULTS` need of every point, per seed and group."""
    return at_points({point: _of_run(result) for point, result in runs.items()})


def _of_run(result: xr.Dataset) -> xr.Dataset:
    ends = per_group(result)[["coverage", "specialists", "log_size", "probe_few", "settled", "n_neurons"]]
    return ends.assign(growth=early_growth(result)["growth"], T2=stage_ends(result)["T2"])


def variant(arrays: xr.Dataset, name: str, noise: str, ratio: float = RATIO) -> xr.Dataset | None:
    """Return the arrays of one variant, None where its runs are not there."""
    found = only(arrays, level=name, noise=noise, ratio=ratio)
    return found.isel(point=0) if found.sizes["point"] else None


def survival_rows(arrays: xr.Dataset, variants: Sequence[str], results: Sequence[str]) -> list[Row]:
    """Return one row for each noise level, variant and result; the note has the paired difference to plain runs.

    A result that plain runs do not show has nothing to survive: its rows are vacuous.
    """
    rows = []
    for noise in NOISES:
        plain = variant(arrays, PLAIN, noise)
        for name in variants:
            one = variant(arrays, name, noise)
            if one is not None and plain is not None:
                rows += [_survival_row(key, name, noise, one, plain) for key in results]
    return rows


def _survival_row(key: str, name: str, noise: str, one: xr.Dataset, plain: xr.Dataset) -> Row:
    result = RESULTS[key]
    of_plain = result_row(key, PLAIN, noise, plain)
    against = _against(over_seeds(result.of_seed(one) - result.of_seed(plain)))
    found = result_row(key, name, noise, one, note=against)
    if found.verdict != OUT_OF_REGIME and of_plain.verdict != SUPPORTED:
        why = f"plain runs do not show this result, so that nothing is left to survive; {against}"
        return vacuous(found.claim, noise, found.quantity, why, found=over_seeds(result.of_seed(one)))
    return found


def result_row(key: str, name: str, noise: str, one: xr.Dataset, *, note: str = "") -> Row:
    """Return the row of one result under one departure; out of regime where it is about the end, and not settled."""
    result = RESULTS[key]
    claim, found = f"{result.claim}: {name}", over_seeds(result.of_seed(one))
    if key in AT_END and not one["settled"]:
        return out_of_regime(claim, noise, result.quantity, longer(name, noise), found=found)
    return row(claim, noise, result.quantity, found, result.wanted, note=note)


def longer(name: str, noise: str) -> str:
    """Return why runs that still change decide nothing, and what twice their steps would cost."""
    config = base(N_FEATURES, RATIO, noise, train__n_steps=2 * N_STEPS, **VARIANTS[name])
    cost = costs.in_words(costs.hours(config, N_SEEDS))
    return f"the runs were still changing at their last step; the same sizes at twice the steps would take about {cost}"


def _against(found: Numbers) -> str:
    value, low, high = found
    ends = f" [{low:.2g}, {high:.2g}]" if math.isfinite(low) else ""
    return f"variant - plain: {value:.2g}{ends}"


def results_figure(arrays: xr.Dataset, variants: Sequence[str], results: Sequence[str], columns: int = 2) -> Figure:
    """Draw one panel for each result: its number in plain runs and in every variant, at both noise levels."""
    fig, axes = drawing.panels(
        len(results), columns=columns, height=(0.9 if columns < 3 else 1.75) + 0.22 * (len(variants) + 1)
    )
    names = [PLAIN, *variants]
    for k, (ax, key) in enumerate(zip(axes, results, strict=True)):
        result = RESULTS[key]
        for noise, marker, shift in zip(NOISES, "os", (-0.12, 0.12), strict=True):
            _points(ax, arrays, names, noise, result, (marker, shift))
        _shade(ax, result.wanted)
        ax.set_yticks(range(len(names)), names if k % columns == 0 else [""] * len(names))
        ax.set_ylim(len(names) - 0.5, -0.5)
        wrapped = [textwrap.fill(text, LETTERS // columns) for text in (result.quantity, result.claim)]
        drawing.words(ax, x=wrapped[0], y="", title=wrapped[1])
    drawing.legend_below(fig, axes[0])
    return fig


def _points(
    ax: Axes, arrays: xr.Dataset, names: Sequence[str], noise: str, result: Result, look: tuple[str, float]
) -> None:
    marker, shift = look
    found = []
    for y, name in enumerate(names):
        one = variant(arrays, name, noise)
        if one is not None:
            found.append((y + shift, *over_seeds(result.of_seed(one))))
    if found:
        y, value, low, high = np.array(found).T
        bars = np.nan_to_num([value - low, high - value])
        color = drawing.COLOR["all" if marker == "o" else "mark"]
        ax.errorbar(value, y, xerr=bars, fmt=marker, markersize=3.5, capsize=2, linewidth=1, color=color, label=noise)


def _shade(ax: Axes, wanted: tuple[float, float]) -> None:
    ax.plot([end for end in wanted if math.isfinite(end)], [0], alpha=0)  # the end of the range is always in sight
    limits = ax.get_xlim()
    low, high = np.clip(wanted, *limits)
    ax.axvspan(low, high, color=drawing.COLOR["grid"], linewidth=0, zorder=0, label="where the result holds")
    ax.set_xlim(limits)
