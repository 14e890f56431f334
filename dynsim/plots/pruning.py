"""Figures of what pruning does during training: numbers of specialists, which neurons are masked, how growth changes.

Pruning masks a share of the neurons, or of the weights, while the gradient is computed. Lines are means over seeds and
bands their 95 % t intervals, unless a caption says otherwise.
"""

from collections.abc import Mapping, Sequence

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
from dynsim.plots.parts import GROUP_COLOR, MARK, EndDifference
from dynsim.plots.style import STYLE
from dynsim.stats.intervals import t_half_widths

MASKED_CLASS_COLOR = {
    "minority": GROUP_COLOR["minority"],
    "majority": GROUP_COLOR["majority"],
    "none": "#009E73",
    "silent": "#222222",
}
CLASS_LABEL = {
    "minority": "minority specialists",
    "majority": "majority specialists",
    "none": "no specialists",
    "silent": "silent on all samples",
}
KIND_STYLE = {"lowest": "-", "random_fixed": "--", "highest": ":"}
KIND_LABEL = {
    "lowest": "lowest norms masked",
    "random_fixed": "random neurons masked",
    "highest": "highest norms masked",
}
KIND_COLOR = {"lowest": "#0072B2", "random_fixed": "#E69F00", "highest": "#CC79A7"}

CAPTIONS = {
    "counts": (
        "Number of specialist neurons for minority and majority features against training steps, without pruning, with "
        "three kinds of pruning, and with their placebo, a random mask of the same size that never changes. Lines are "
        "medians and bands the range over seeds; the dashed lines repeat the unpruned medians. The text says by how "
        "much each number differs from the unpruned one at the end (mean over seeds, 95 % interval, * p < 0.05 after "
        "Holm), and how many seeds were left out because their weights grew without bound."
    ),
    "who_is_masked": (
        "Share of each class of neurons that a mask of the lowest norms hides, at the weights of unpruned runs. If "
        "pruning worked by hiding minority neurons, the minority line would lie above the others; the rival is that it "
        "hides neurons that are no specialists, or that never fire and change no logit. Dotted: the masked share, "
        "which a random mask would hide of every class."
    ),
    "amplification": (
        "One-step amplification A - 1 of the growth of a feature's future specialists along that feature, when a share "
        "of the neurons is masked at the weights of an unpruned run; the gradient is the straight-through one (lines) "
        "or the literal one (crosses); the axis is linear between -1 and 1. "
        "The theorem has the minority's grow in proportion to the masked share and the "
        "majority's smaller by a factor d. Last panel: the ratio of the two slopes, majority over minority, at "
        "several d, beside the theorem's 1/d; points of either sign are shown."
    ),
    "driver": (
        "What a mask can change: D, the part of the gradient that comes from confusing samples, with a mask over that "
        "without it at the same weights, averaged over the features of a group. In the grey part the softmax weights "
        "of the positives are still within a tenth of their first value: there no mask can change the growth."
    ),
    "release": (
        "Specialists for minority features when the mask is taken away after a quarter of the steps (dotted line), "
        "beside no mask, a mask to the end, and a fixed random mask that is taken away at the same step. Left: neurons "
        "masked straight through; right: single weights masked on one branch. Numbers: mean at the end."
    ),
}


def _mean_band(
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
def counts(curves: xr.Dataset, rows: Mapping[str, EndDifference]) -> Figure:
    """Draw the number of specialists against steps, one panel per variant; the first variant is the unpruned run.

    Args:
        curves: Dataset with `specialists` (variant, seed, record, group) and the coordinate `step`; NaN for seeds
            that are left out.
        rows: {variant: its difference from the unpruned run}, as `analysis.outcomes.difference` returns it.
    """
    names = [str(name) for name in curves["variant"].values]
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    fig, axes = parts.panels(lines, columns, (3.9 * columns, 3.1 * lines), sharex=True, sharey=True)
    steps = curves["step"].values
    for ax, name in zip(axes.flat, names, strict=False):
        for group in DISJOINT_GROUPS:
            values = curves["specialists"].sel(variant=name, group=group)
            if np.isfinite(values).any():
                parts.band(ax, steps, parts.over_seeds(values), GROUP_COLOR[group], f"{group} features")
            if name != names[0]:
                middle = parts.over_seeds(curves["specialists"].sel(variant=names[0], group=group))[1]
                ax.plot(steps, middle, "--", color=GROUP_COLOR[group], lw=0.9)
        parts.step_axis(ax, steps)
        ax.set_title(name)
        if name in rows:
            _say(ax, rows[name])
    for row in axes:
        row[0].set_ylabel("number of specialists")
    axes[0, 0].set_ylim(0, 1.45 * float(np.nanmax(curves["specialists"].values)))
    for k, ax in enumerate(axes.flat):
        if k >= len(names):
            ax.remove()
        elif k + columns >= len(names):  # nothing below it: it has the labels
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("training step")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def _say(ax: Axes, row: EndDifference) -> None:
    """Write the differences at the end, and how many seeds were left out, into the upper left of a panel."""

    def write(height: float, text: str, color: str = "k") -> None:
        ax.text(0.02, height, text, transform=ax.transAxes, va="top", fontsize=8, color=color)

    steps = row.get("equal steps", {})
    for line, group in enumerate(DISJOINT_GROUPS):
        difference = parts.interval_text(group, steps.get(f"{group} specialists"))
        write(0.985 - 0.085 * line, difference, GROUP_COLOR[group])
    lost = row["n_diverged"] + row["n_exploded"]
    if lost:
        write(0.815, f"{lost} of {lost + row['n_seeds']} seeds left out")


@matplotlib.rc_context(STYLE)
def who_is_masked(shares: xr.Dataset, rates: Sequence[float]) -> Figure:
    """Draw which share of each class of neurons is masked against steps, one panel per masked share of all neurons.

    Args:
        shares: Dataset with `masked` (rate, seed, record, neuron_class) and the coordinate `step`.
        rates: shares of all neurons that are masked; a subset of the coordinate `rate`.
    """
    fig, axes = parts.panels(1, len(rates), (3.7 * len(rates) + 1.6, 3.6), sharex=True, sharey=True)
    steps = shares["step"].values
    for ax, rate in zip(axes[0], rates, strict=True):
        for name, color in MASKED_CLASS_COLOR.items():
            values = shares["masked"].sel(rate=rate, neuron_class=name).transpose("seed", "record").values
            enough = np.isfinite(values).sum(axis=0) > len(values) / 2
            if enough.any():
                style = "--" if name == "silent" else "-"
                shown = np.where(enough[None, :], values, np.nan)
                _mean_band(ax, steps, shown, (0, 1), color=color, ls=style)
        ax.axhline(rate, color=MARK, ls=":", lw=1.0)
        parts.step_axis(ax, steps)
        ax.set(title=f"{rate:.0%} of the neurons masked", xlabel="training step", ylim=(-0.03, 1.03))
    axes[0, 0].set_ylabel("share of the class that is masked")
    handles: list[Artist] = []
    for name, color in MASKED_CLASS_COLOR.items():
        is_there = np.isfinite(shares["masked"].sel(neuron_class=name)).any()
        words = CLASS_LABEL[name] if is_there else f"{CLASS_LABEL[name]}: none"
        handles.append(Line2D([], [], color=color, ls="--" if name == "silent" else "-", label=words))
    parts.side_legend(axes[0, -1], handles)
    return fig


@matplotlib.rc_context(STYLE)
def amplification(gain: xr.Dataset, trend: Mapping[str, Sequence[float | None]]) -> Figure:
    """Draw A - 1 against the masked share at each moment, and the ratio of slopes against the number of features d.

    A is the growth of a feature's future specialists in one step with a mask, over that without one.

    Args:
        gain: Dataset with A for two definitions of the masked gradient: `straight_through` (seed, moment, kind, rate,
            group) and `literal` (seed, moment, rate, group).
        trend: {d as text: slope of the majority over that of the minority, one per seed, None where there is none}.
    """
    moments = gain["moment"].values
    fig, axes = parts.panels(1, len(moments) + 1, (2.9 * (len(moments) + 1), 4.0))
    rates = gain["rate"].values
    shown = gain["straight_through"].sel(kind=["lowest", "random_fixed"]).mean("seed").values - 1
    limit = max(1.0, 1.3 * float(np.nanmax(np.abs(shown), initial=0)))
    for ax, moment in zip(axes[0], moments, strict=False):
        at = gain.sel(moment=moment)
        for group in DISJOINT_GROUPS:
            for kind in ("lowest", "random_fixed"):
                values = at["straight_through"].sel(kind=kind, group=group).transpose("seed", "rate").values - 1
                if kind == "lowest":
                    _mean_band(ax, rates, values, color=GROUP_COLOR[group])
                else:  # its band would hide the other one
                    ax.plot(rates, t_half_widths(values)[0], KIND_STYLE[kind], color=GROUP_COLOR[group])
            mean = t_half_widths(at["literal"].sel(group=group).transpose("seed", "rate").values - 1)[0]
            ax.plot(rates, mean, "x", ms=4, color=GROUP_COLOR[group], clip_on=True)
        ax.axhline(0, color="k", lw=0.7)
        ax.set(title=str(moment), xlabel="masked share")
        ax.set_yscale("symlog", linthresh=1.0)
        ax.set_ylim(-limit, limit)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.tick_params(labelleft=moment == moments[0])
    axes[0, 0].set_ylabel("amplification A - 1")
    handles = [Line2D([], [], color=GROUP_COLOR[group], label=f"{group} features") for group in DISJOINT_GROUPS]
    handles += [Line2D([], [], color="k", ls=KIND_STYLE[kind], label=KIND_LABEL[kind]) for kind in list(KIND_STYLE)[:2]]
    handles += [Line2D([], [], color="k", ls="", marker="x", label="lowest, literal gradient")]
    fig.legend(handles=handles, loc="outside upper center", ncols=5)
    _trend(axes[0, -1], trend)
    return fig


def _trend(ax: Axes, trend: Mapping[str, Sequence[float | None]]) -> None:
    sizes = sorted(int(d) for d in trend)
    for d in sizes:
        values = np.array([value for value in trend[str(d)] if value is not None], float)
        if len(values):
            ax.plot(np.full(len(values), d), values, "o", ms=3, color=MARK, mfc="none")
            ax.plot(d, np.median(values), "_", ms=16, mew=2, color="k")
    ax.plot(sizes, 1 / np.array(sizes), "--", color="#009E73")
    ax.annotate("1/d", (sizes[-1], 1 / sizes[-1]), (0, -12), textcoords="offset points", color="#009E73", ha="right")
    ax.axhline(1, color="k", lw=0.7)
    ax.set_yscale("symlog", linthresh=1.0)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set(title="slope: majority / minority", xlabel="features d", xticks=sizes)
    ax.set_xlim(0, 1.15 * sizes[-1])


@matplotlib.rc_context(STYLE)
def driver(drivers: xr.Dataset, uniform: float) -> Figure:
    """Draw D with a mask over D without one against steps, one panel per group of features.

    D is the part of a feature's gradient that comes from confusing different samples.

    Args:
        drivers: Dataset with D as `driver` (seed, record, kind, group) and the coordinate `step`; kind "none" is D
            without a mask.
        uniform: last step of the early phase, drawn grey, in which no mask can change the growth.
    """
    fig, axes = parts.panels(1, 2, (9.6, 3.8), sharex=True, sharey=True)
    steps = drivers["step"].values
    for ax, group in zip(axes[0], DISJOINT_GROUPS, strict=True):
        of_group = drivers["driver"].sel(group=group)
        without = of_group.sel(kind="none").transpose("seed", "record").values
        for kind, color in KIND_COLOR.items():
            values = of_group.sel(kind=kind).transpose("seed", "record").values
            _mean_band(ax, steps, values / np.where(without > 0, without, np.nan), color=color, label=KIND_LABEL[kind])
        ax.axhline(1, color="k", lw=0.7)
        ax.axvspan(0, uniform, color=MARK, alpha=0.2, lw=0)
        parts.step_axis(ax, steps)
        ax.set_title(f"{group} features", color=GROUP_COLOR[group])
        ax.set_xlabel("training step")
    axes[0, 0].set_ylabel("driver D, masked / unmasked")
    parts.side_legend(axes[0, 1], axes[0, 1].get_legend_handles_labels()[0])
    return fig


@matplotlib.rc_context(STYLE)
def release(panels: dict[str, xr.Dataset], step: int) -> Figure:
    """Draw the number of minority specialists when masks are taken away, one panel per kind of pruning.

    Args:
        panels: {title: Dataset with `specialists` (variant, seed, record, group) and the coordinate `step`}.
        step: step at which the masks are taken away.
    """
    fig, axes = parts.panels(1, len(panels), (6.2 * len(panels), 3.8), sharex=True)
    colors = ("k", "#0072B2", "#009E73", "#E69F00")
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        steps = curves["step"].values
        handles: list[Artist] = []
        for color, name in zip(colors, curves["variant"].values, strict=False):
            values = curves["specialists"].sel(variant=name, group="minority").transpose("seed", "record").values
            used = int(np.isfinite(values[:, -1]).sum())
            label = f"{name}: no seed left"
            if used:
                _mean_band(ax, steps, values, (0, np.inf), color=color)
                label = f"{name}: {np.nanmean(values[:, -1]):.1f} (n = {used})"
            handles.append(Line2D([], [], color=color, label=label))
        ax.axvline(step, color=MARK, ls=":", lw=1.2)
        parts.step_axis(ax, steps)
        ax.set(title=title, xlabel="training step", ylabel="specialists for minority features")
        parts.side_legend(ax, handles)
    return fig
