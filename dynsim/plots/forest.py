"""Figures that compare the ends of pruned and unpruned runs.

`end_state` draws them against the frequency ratio r (frequency of minority over majority features); `forest` draws
differences between pruned and unpruned runs with the same seeds, one row per kind of pruning.
"""

from typing import TypedDict

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.plots import parts
from dynsim.plots.parts import GROUP_COLOR, MARK, NOTE, Difference
from dynsim.plots.style import STYLE
from dynsim.stats.intervals import t_half_widths

VARIANT_COLOR = ("#0072B2", "#009E73")
LABELS = {"strength ratio": "sqrt(S minority / S majority)", "specialist ratio": "minority / majority specialists"}
COLUMNS = ("minority", "majority")


class Row(TypedDict):
    """One row of a forest."""

    label: str
    filled: bool
    """Whether its points are filled; the caption says what that means."""
    n_seeds: int
    """Seeds that count."""
    n_given: int
    """Seeds that were run."""
    minority: Difference | None
    """None where no seed counts."""
    majority: Difference | None


CAPTIONS = {
    "end_state": (
        "Strength of minority over majority features (top) and their numbers of specialists (bottom) against the "
        "frequency ratio r, at equal steps (left) and at equal held-out loss (right): geometric means over seeds with "
        "95 % t intervals. The claim is a flat line with pruning and the slope 1 of the grey line without. Numbers: "
        "slopes in log r. At equal loss each pruning has its own unpruned partner, drawn dashed in its colour."
    ),
    "placebos": (
        "Specialists at the end minus those of the unpruned run, for prunings (filled) and for what might do the same "
        "(open): other masks of the same size, a larger learning rate, a larger temperature, more negatives, and a "
        "loss that knows the frequencies. Means and 95 % intervals over seeds; the name of a row "
        "says where seeds were left out because their weights grew without bound."
    ),
    "factors": (
        "Specialists at the end minus those of the unpruned run when one choice of the pruning is changed at a time: "
        "masked share, which gradient a mask gives, how often and when it is computed, when it starts and stops. Means "
        "and 95 % intervals over seeds, the name of a row says where seeds were left "
        "out because their weights grew without bound."
    ),
    "balance": (
        "Pruning where frequencies are equal, and where they are equal but minority features survive into the second "
        "view with a chance of one half only (an imbalance that no frequency shows): specialists at the end minus "
        "those of the unpruned run. Means and 95 % intervals over seeds."
    ),
}


@matplotlib.rc_context(STYLE)
def end_state(ends: xr.Dataset) -> Figure:
    """Draw each quantity of `LABELS` against r, with and without pruning, at equal steps and at equal loss.

    Args:
        ends: Dataset with `end_state` (variant, moment, quantity, run, ratio, seed): natural logarithms of the
            quantities; run 0 is unpruned, run 1 pruned.
    """
    moments, quantities = ends["moment"].values, ends["quantity"].values
    fig, axes = parts.panels(len(quantities), len(moments), (11.5, 6.8), sharex=True, sharey="row")
    r = ends["ratio"].values
    for row, quantity in enumerate(quantities):
        for column, moment in enumerate(moments):
            ax = axes[row, column]
            at = ends["end_state"].sel(moment=moment, quantity=quantity)
            _against_ratio(ax, at, r, same_partner=moment == "equal steps")
            ax.set_yscale("log")
            parts.plain_log_labels(ax)
            ax.set_xscale("log")
            ax.set_xticks(r, [f"{value:g}" for value in r])
            ax.minorticks_off()
            if column == 1:
                bottom, top = ax.get_ylim()
                ax.set_ylim(bottom / (top / bottom) ** 0.45, top)  # room for the legends
            if row == 0:
                ax.set_title(f"at {moment}" if column == 0 else f"at {moment} on held-out batches")
        axes[row, 0].set_ylabel(LABELS[str(quantity)])
    for ax in axes[-1]:
        ax.set_xlabel("frequency ratio r")
    return fig


def _against_ratio(ax: Axes, at: xr.DataArray, r: np.ndarray, *, same_partner: bool) -> None:
    lines: list[tuple[str, np.ndarray, str, str]] = []
    for k, name in enumerate(at["variant"].values):
        of = at.sel(variant=name).transpose("run", "seed", "ratio").values
        color = VARIANT_COLOR[k % len(VARIANT_COLOR)]
        if same_partner and k == 0:
            lines.append(("unpruned", of[0], "k", "-"))
        elif not same_partner:
            lines.append((f"unpruned, for {name}", of[0], color, "--"))
        lines.append((str(name), of[1], color, "-"))
    for k, (label, values, color, style) in enumerate(lines):
        mean, half = t_half_widths(values)
        moved = r * 1.012 ** (k - len(lines) / 2)  # side by side, so that every bar can be seen
        known = np.isfinite(mean)
        slope = np.polyfit(np.log(r[known]), mean[known], 1)[0] if known.sum() > 1 else np.nan
        bars = np.stack([np.exp(mean) - np.exp(mean - half), np.exp(mean + half) - np.exp(mean)])
        name = f"{label}: slope {slope:.2f}"
        ax.errorbar(moved, np.exp(mean), bars, color=color, ls=style, marker="o", ms=3, elinewidth=0.8, label=name)
    ax.plot(r, r, color=MARK, lw=1.0, zorder=0)
    ax.legend(loc="lower right", fontsize=7.5)


@matplotlib.rc_context(STYLE)
def forest(sections: dict[str, list[Row]], unit: str) -> Figure:
    """Draw rows of differences with their intervals, for minority features left and majority features right.

    Args:
        sections: {heading: rows}.
        unit: what there is more or fewer of, for the label of the x axis.
    """
    n_lines = sum(len(rows) + 1 for rows in sections.values())
    fig, axes = parts.panels(1, 2, (10.5, 0.9 + 0.25 * n_lines), sharey=True)
    ticks: list[tuple[float, str, bool]] = []
    place = 0.0
    for heading, rows in sections.items():
        ticks.append((place, heading, True))
        for row in rows:
            place -= 1
            left = row["n_given"] - row["n_seeds"]
            ticks.append(
                (place, row["label"] + (f" ({left} of {row['n_given']} seeds left out)" if left else ""), False)
            )
            for ax, group, one in zip(axes[0], COLUMNS, (row["minority"], row["majority"]), strict=True):
                _row(ax, place, one, GROUP_COLOR[group], filled=row["filled"])
        place -= 1
    for ax, group in zip(axes[0], COLUMNS, strict=True):
        ax.axvline(0, color="k", lw=0.8)
        ax.set_title(f"{group} features", color=GROUP_COLOR[group])
        ax.set_xlabel(f"{unit} than without pruning")
        ax.set_ylim(place + 0.3, 0.7)
        ax.grid(axis="x", lw=0.4, alpha=0.5)
    axes[0, 0].set_yticks([tick[0] for tick in ticks], [tick[1] for tick in ticks])
    for label, (_, _, is_heading) in zip(axes[0, 0].get_yticklabels(), ticks, strict=True):
        label.set_fontweight("bold" if is_heading else "normal")
    for ax in axes[0]:
        ax.tick_params(axis="y", length=0)
    return fig


def _row(ax: Axes, place: float, one: Difference | None, color: str, *, filled: bool) -> None:
    if one is None or one["estimate"] is None:
        ax.text(0, place, "no seed left ", NOTE, va="center", ha="right")
        return
    low, high = one["low"], one["high"]
    if low is not None and high is not None:
        ax.plot([low, high], [place, place], color=color, lw=1.2)
    ax.plot(one["estimate"], place, "o", ms=4.5, color=color, mfc=color if filled else "white")
