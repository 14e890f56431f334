"""Figures of what a mask does at the weights of unpruned runs: which neurons it hides, what it does to their growth.

Lines are means over seeds and bands their 95 % t intervals.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from dynsim.analysis.groups import DISJOINT_GROUPS
from dynsim.plots import parts
from dynsim.plots.parts import GROUP_COLOR, MARK
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from dynsim.stats.intervals import t_half_widths

CLASS_STYLE = {
    "minority": ("minority specialists", GROUP_COLOR["minority"], "-"),
    "majority": ("majority specialists", GROUP_COLOR["majority"], "-"),
    "none": ("neurons that are no specialists", COLOR["other neurons"], "-"),
    "silent": ("silent on all samples", COLOR["silent neurons"], "--"),
}
"""Label, colour and line of each class of neurons."""
KIND_LABEL = {
    "lowest": "lowest norms masked",
    "random_fixed": "random neurons masked",
    "highest": "highest norms masked",
}
KIND_COLOR = {
    "lowest": COLOR["smallest masked"],
    "random_fixed": COLOR["fixed random mask"],
    "highest": COLOR["largest masked"],
}
KIND_LINE = {"lowest": "-", "random_fixed": "--"}

CAPTIONS = {
    "who_is_masked": (
        "Share of each class of neurons that a mask of the lowest norms hides, at the weights of unpruned runs: means "
        "over seeds, bands are 95 % t intervals. If pruning worked by hiding minority specialists, their line would "
        "lie above the others; the rival is that it hides neurons that are no specialists, or that never fire and "
        "change no logit (silent on all samples; where a class has no neuron it is not drawn, nor named). Dotted: the "
        "masked share of all neurons, which a random mask would hide of every class. A class is drawn from the step on "
        "at which most seeds have a neuron in it."
    ),
    "amplification": (
        "One-step amplification A - 1: the growth of a feature's future specialists along that feature with a mask, "
        "over that without one, minus 1, at four moments of unpruned runs (T2: that of all features; thresholds on: "
        "three times the step at which they come on). Lines are means over seeds for the straight-through gradient, "
        "bands 95 % t intervals (lowest norms only; most are narrower than the line), crosses the literal gradient. "
        "The axis is linear between -1 and 1. Last panel: slope of A - 1 in the masked share, through the origin, for "
        "shares up to one half with the lowest norms masked straight through; means with 95 % t intervals. The theorem "
        "has the minority's growth raised in proportion to the masked share, and the majority's less by a factor d, "
        "the number of features (black dashes: the minority's slope over d)."
    ),
    "driver": (
        "What a mask can change: the driver D of a feature is the part of its gradient that comes from confusing "
        "different samples. Drawn is D with a mask of half of the neurons over D without one, at the same weights of "
        "unpruned runs, averaged over the features of a group: means over seeds, bands are 95 % t intervals. In the "
        "grey part the softmax weights of the positives are still within a tenth of their first value: there no mask "
        "can change the growth."
    ),
}


def mean_band(
    ax: Axes,
    x: np.ndarray,
    values: np.ndarray,
    limits: tuple[float, float] = (-np.inf, np.inf),
    *,
    color: str,
    ls: str = "-",
    label: str | None = None,
) -> None:
    """Draw the mean of `values` (seed, point) over seeds with its 95 % t interval, cut to the possible values."""
    mean, half = t_half_widths(values)
    ax.plot(x, mean, color=color, ls=ls, label=label)
    low, high = np.clip((mean - half, mean + half), *limits)
    ax.fill_between(x, low, high, color=color, alpha=0.15, lw=0)


@matplotlib.rc_context(STYLE)
def who_is_masked(shares: xr.Dataset, rates: Sequence[float]) -> Figure:
    """Draw which share of each class of neurons is masked against steps, one panel per masked share of all neurons.

    Args:
        shares: Dataset with `masked` (rate, seed, record, neuron_class) and the coordinate `step`.
        rates: shares of all neurons that are masked; a subset of the coordinate `rate`.
    """
    fig, axes = parts.panels(1, len(rates), (TWO_COLUMNS, 2.6), sharex=True, sharey=True)
    steps = shares["step"].values
    for ax, rate in zip(axes[0], rates, strict=True):
        for name, (_, color, line) in CLASS_STYLE.items():
            values = shares["masked"].sel(rate=rate, neuron_class=name).transpose("seed", "record").values
            enough = np.isfinite(values).sum(axis=0) > len(values) / 2
            if enough.any():
                shown = np.where(enough[None, :], values, np.nan)
                mean_band(ax, steps, shown, (0, 1), color=color, ls=line)
        ax.axhline(rate, color=MARK, ls=":", lw=1.0)
        parts.step_axis(ax, steps)
        ax.set(title=f"{rate:.0%} of the neurons masked", xlabel="training step", ylim=(-0.03, 1.03))
    axes[0, 0].set_ylabel("masked share of the class")
    handles: list[Artist] = []
    for name, (label, color, line) in CLASS_STYLE.items():
        if np.isfinite(shares["masked"].sel(neuron_class=name)).any():
            handles.append(Line2D([], [], color=color, ls=line, label=label))
    handles.append(Line2D([], [], color=MARK, ls=":", lw=1.0, label="all neurons"))
    parts.lower_legend(fig, handles, 4)
    return fig


@matplotlib.rc_context(STYLE)
def amplification(gain: xr.Dataset, slopes: xr.DataArray, n_features: int) -> Figure:
    """Draw A - 1 against the masked share at each moment, and the slopes of both groups at each moment.

    A is the growth of a feature's future specialists in one step with a mask, over that without one.

    Args:
        gain: Dataset with A for two definitions of the masked gradient: `straight_through` (seed, moment, kind, rate,
            group) and `literal` (seed, moment, rate, group).
        slopes: slope of A - 1 in the masked share, straight through, lowest norms masked (seed, moment, group).
        n_features: number of features d, the factor between the two slopes by the theorem.
    """
    moments = gain["moment"].values
    columns = -(-(len(moments) + 2) // 2)
    fig, axes = parts.panels(2, columns, (TWO_COLUMNS, 4.4))
    places = list(axes.flat)
    for ax, moment in zip(places, moments, strict=False):
        ax.sharey(places[0])
        _gains(ax, gain.sel(moment=moment))
        ax.set(title=str(moment), xlabel="masked share")
        ax.tick_params(labelleft=ax in axes[:, 0])
    places[0].set_yscale("symlog", linthresh=1.0)
    places[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for row in axes:
        row[0].set_ylabel("amplification A - 1")
    _slopes(places[len(moments)], slopes, n_features)
    handles: list[Artist] = [
        Line2D([], [], color=GROUP_COLOR[group], label=f"{group} features") for group in DISJOINT_GROUPS
    ]
    ink = COLOR["ink"]
    handles += [Line2D([], [], color=ink, ls=line, label=KIND_LABEL[kind]) for kind, line in KIND_LINE.items()]
    handles.append(Line2D([], [], color=ink, ls="", marker="x", ms=4, label="lowest, literal gradient"))
    for ax in places[len(moments) + 1 :]:
        ax.axis("off")
    places[-1].legend(handles=handles, loc="center", fontsize=STYLE["legend.fontsize"])
    return fig


def _gains(ax: Axes, at: xr.Dataset) -> None:
    """Draw A - 1 at one moment."""
    rates = at["rate"].values
    for group in DISJOINT_GROUPS:
        for kind, line in KIND_LINE.items():
            values = at["straight_through"].sel(kind=kind, group=group).transpose("seed", "rate").values - 1
            if kind == "lowest":
                mean_band(ax, rates, values, color=GROUP_COLOR[group])
            else:  # its band would hide the other one
                ax.plot(rates, t_half_widths(values)[0], line, color=GROUP_COLOR[group])
        mean = t_half_widths(at["literal"].sel(group=group).transpose("seed", "rate").values - 1)[0]
        ax.plot(rates, mean, "x", ms=3.5, color=GROUP_COLOR[group])
    ax.axhline(0, color=COLOR["ink"], lw=0.6)


def _slopes(ax: Axes, slopes: xr.DataArray, n_features: int) -> None:
    """Draw the slopes of both groups at each moment with 95 % t intervals, and the theorem's one of the majority."""
    moments = slopes["moment"].values
    for group, shift in zip(DISJOINT_GROUPS, (-0.15, 0.15), strict=True):
        mean, half = t_half_widths(slopes.sel(group=group).transpose("seed", "moment").values)
        place = np.arange(len(moments)) + shift
        ax.errorbar(place, mean, half, fmt="o", ms=3, color=GROUP_COLOR[group], elinewidth=1.0, capsize=2)
        if group == "minority":
            ax.plot(np.arange(len(moments)) + 0.15, mean / n_features, "_", ms=9, color=COLOR["theory"], zorder=5)
    ax.axhline(0, color=COLOR["ink"], lw=0.6)
    ax.set_xticks(range(len(moments)), [str(moment).replace(" ", "\n") for moment in moments])
    ax.set(title="slope, lowest norms masked", ylabel="slope of A - 1")


@matplotlib.rc_context(STYLE)
def driver(drivers: xr.Dataset, uniform: float) -> Figure:
    """Draw D with a mask over D without one against steps, one panel per group of features.

    D is the part of a feature's gradient that comes from confusing different samples.

    Args:
        drivers: Dataset with D as `driver` (seed, record, kind, group) and the coordinate `step`; kind "none" is D
            without a mask.
        uniform: last step of the early phase, drawn grey, in which no mask can change the growth.
    """
    fig, axes = parts.panels(1, 2, (TWO_COLUMNS, 2.6), sharex=True, sharey=True)
    steps = drivers["step"].values
    for ax, group in zip(axes[0], DISJOINT_GROUPS, strict=True):
        of_group = drivers["driver"].sel(group=group)
        without = of_group.sel(kind="none").transpose("seed", "record").values
        for kind, color in KIND_COLOR.items():
            values = of_group.sel(kind=kind).transpose("seed", "record").values
            mean_band(ax, steps, values / np.where(without > 0, without, np.nan), color=color, label=KIND_LABEL[kind])
        ax.axhline(1, color=COLOR["ink"], lw=0.6)
        ax.axvspan(0, uniform, color=MARK, alpha=0.2, lw=0)
        parts.step_axis(ax, steps)
        ax.set_title(f"{group} features", color=GROUP_COLOR[group])
        ax.set_xlabel("training step")
    axes[0, 0].set_ylabel("driver D, masked / unmasked")
    parts.lower_legend(fig, axes[0, 1].get_legend_handles_labels()[0], 3)
    return fig
