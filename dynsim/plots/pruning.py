"""Figures of numbers of specialists while networks are trained with masks, and after the masks are taken away.

Pruning masks a share of the neurons, or of the weights, while the gradient is computed.
"""

import textwrap
from collections.abc import Mapping

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynsim.analysis.groups import DISJOINT_GROUPS
from dynsim.plots import parts
from dynsim.plots.masking import mean_band
from dynsim.plots.parts import GROUP_COLOR, MARK, EndDifference
from dynsim.plots.style import COLOR, SMALL_TEXT, STYLE, TWO_COLUMNS

RELEASE_STYLE = {
    "no mask": (COLOR["no mask"], "-"),
    "never released": (COLOR["smallest masked"], "--"),
    "released": (COLOR["smallest masked"], "-"),
    "fixed random, released": (COLOR["fixed random mask"], "-"),
}
"""Colour and line of each variant: colour says what is masked, a broken line that it stays so to the end."""

CAPTIONS = {
    "counts": (
        "Number of specialist neurons for minority (top) and majority features (bottom, an axis of its own) against "
        "training steps, with three kinds of pruning and with a placebo, a random mask of the same size that never "
        "changes; dashed: without pruning. Lines are medians and bands the range over seeds. The text says by how "
        "much each number differs from the unpruned one at the end (mean over seeds, 95 % interval, * p < 0.05 after "
        "Holm). Not all of these runs had settled when they stopped. Seeds whose weights grew without bound are left "
        "out; a variant with no seed left has no panel, and is "
        "named below."
    ),
    "release": (
        "Specialists for minority features when the mask is taken away after a quarter of the steps (dotted line), "
        "beside no mask, a mask to the end (dashed), and a fixed random mask that is taken away at the same step. "
        "Left: neurons masked straight through; right: single weights masked on one branch. Lines are means over "
        "seeds, bands 95 % t intervals; the numbers are the means at the end and the seeds in them."
    ),
}


@matplotlib.rc_context(STYLE)
def counts(curves: xr.Dataset, rows: Mapping[str, EndDifference]) -> Figure:
    """Draw the number of specialists against steps, a column per variant; the first variant is the unpruned run.

    Args:
        curves: Dataset with `specialists` (variant, seed, record, group) and the coordinate `step`; NaN for seeds
            that are left out.
        rows: {variant: its difference from the unpruned run}, as `analysis.outcomes.difference` returns it.
    """
    first, *others = [str(name) for name in curves["variant"].values]
    there = {name: bool(np.isfinite(curves["specialists"].sel(variant=name)).any()) for name in others}
    shown = [name for name in others if there[name]] or others[:1]
    fig, axes = parts.panels(2, len(shown), (TWO_COLUMNS, 4.0), sharex=True, sharey="row")
    for column, name in enumerate(shown):
        for ax, group in zip(axes[:, column], DISJOINT_GROUPS, strict=True):
            _count(ax, curves.sel(group=group), name, first, group)
            differences = rows[name].get("equal steps", {}) if name in rows else {}
            _say(ax, differences.get(f"{group} specialists"), group)
        axes[0, column].set_title(textwrap.fill(name, 22))
        axes[1, column].set_xlabel("training step")
    for row, group in zip(axes, DISJOINT_GROUPS, strict=True):
        top = float(np.nanmax(curves["specialists"].sel(group=group).values, initial=1.0))
        row[0].set_ylim(-0.02 * top, 1.25 * top)
        row[0].set_ylabel(f"specialists for\n{group} features")
    handles: list[Artist] = [Line2D([], [], color=GROUP_COLOR[group], label=f"{group}") for group in DISJOINT_GROUPS]
    handles.append(Line2D([], [], color=COLOR["no mask"], ls="--", lw=0.9, label=first))
    fig.legend(handles=handles, loc="outside upper center", ncols=3)
    if notes := _left_out(rows, [first, *others]):
        fig.supxlabel(notes, fontsize=SMALL_TEXT, color=COLOR["note"])
    return fig


def _count(ax: Axes, curves: xr.Dataset, name: str, first: str, group: str) -> None:
    """Draw the numbers of one variant and group, and the medians of the unpruned runs."""
    steps = curves["step"].values
    values = curves["specialists"].sel(variant=name)
    if np.isfinite(values).any():
        parts.band(ax, steps, parts.over_seeds(values), GROUP_COLOR[group], f"{group} features")
    middle = parts.over_seeds(curves["specialists"].sel(variant=first))[1]
    ax.plot(steps, middle, "--", color=COLOR["no mask"], lw=0.9)
    parts.step_axis(ax, steps)


def _say(ax: Axes, difference: parts.Difference | None, group: str) -> None:
    """Write the difference at the end into the upper left of a panel."""
    if difference is not None:
        text = parts.interval_text("", difference).removeprefix(": ").strip()
        ax.text(0.03, 0.98, text, transform=ax.transAxes, va="top", fontsize=SMALL_TEXT, color=GROUP_COLOR[group])


def _left_out(rows: Mapping[str, EndDifference], names: list[str]) -> str:
    """Return which variants lost seeds, in words; empty for none."""
    said = []
    for name in names:
        if name in rows:
            lost = rows[name]["n_diverged"] + rows[name]["n_exploded"]
            if lost:
                said.append(f"{name}: {lost} of {lost + rows[name]['n_seeds']} seeds left out")
    return "\n".join(said)


@matplotlib.rc_context(STYLE)
def release(panels: dict[str, xr.Dataset], step: int) -> Figure:
    """Draw the number of minority specialists when masks are taken away, one panel per kind of pruning.

    Args:
        panels: {title: Dataset with `specialists` (variant, seed, record, group) and the coordinate `step`}; the
            variants are those of `RELEASE_STYLE`.
        step: step at which the masks are taken away.
    """
    fig, axes = parts.panels(1, len(panels), (TWO_COLUMNS, 2.8), sharex=True, sharey=True)
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        steps = curves["step"].values
        handles: list[Artist] = []
        for name in (str(name) for name in curves["variant"].values):
            color, line = RELEASE_STYLE[name]
            values = curves["specialists"].sel(variant=name, group="minority").transpose("seed", "record").values
            used = int(np.isfinite(values[:, -1]).sum())
            label = f"{name}: no seed left"
            if used:
                mean_band(ax, steps, values, (0, np.inf), color=color, ls=line)
                label = f"{name}: {np.nanmean(values[:, -1]):.1f} (n = {used})"
            handles.append(Line2D([], [], color=color, ls=line, label=label))
        ax.axvline(step, color=MARK, ls=":", lw=1.0)
        parts.step_axis(ax, steps)
        ax.set(title=title, xlabel="training step")
        parts.boxed_legend(ax, handles)
    axes[0, 0].set_ylabel("specialists for minority features")
    return fig
