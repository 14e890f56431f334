"""Figures of the three stages of training: projections, specialists, loss, cosines, growth rates, null controls.

`curves` is always a Dataset of `analysis.curves.reduce`. Stage k ends at step Tk, which is found per seed and group.
"""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsim.analysis.stages import STAGES
from dynsim.plots import marks, parts
from dynsim.plots.parts import GROUP_COLOR, StageCounts
from dynsim.plots.style import COLOR, ONE_COLUMN, STYLE, TWO_COLUMNS
from dynsim.stats.intervals import t_half_widths

VISIBLE_ROWS = 0.03
"""Share of the rows of the matrix of cosines below which a line beside them would lie on the edge."""
MARKERS = "osD^vP"
"""Markers of the frequency profiles; the first is filled."""
DIRECTION_TITLE = {
    "own": "along the own feature\n" r"$|\langle w_i, M_\mathrm{own}\rangle|$",
    "other_features": "along other features\n" r"rms of $\langle w_i, M_k\rangle$",
    "complement": "outside all features\nrms per direction",
}

CAPTIONS = {
    "projections": (
        "How neurons grow along their own feature, the other features and the complement of all features, for majority "
        "(top) and minority features (bottom), in units of the weights. Lines are medians and bands 10-90 % over the "
        "neurons of all seeds; specialist neurons end as specialists of the group, ordinary ones do not but were "
        "aligned best with one of its features at T1, other ones are neither. Vertical lines mark the group's stage "
        "ends (median; band: range over seeds; broken where some seeds lack it); dashed lines grow from the "
        "initial medians at the closed-form rate, which has no fitted constant and is meant for the time before the "
        "thresholds are switched on (dotted line)."
    ),
    "specialists": (
        "Number of specialists (left) and share of a group's features that have at least one (right) against training "
        "steps. Lines are medians and bands the range over seeds; triangles above the panels mark the stage ends T1, "
        "T2 and T3 of each group, in its colour (medians over seeds). Specialists appear only after T1; after T3 their "
        "number changes by a tenth at most."
    ),
    "loss": (
        "Contrastive loss of the training batches, without the penalty, averaged between records (median; band: range "
        "over seeds). Horizontal dotted lines are reference levels: chance, where nothing is told apart, and the ideal "
        "encoder, whose weights are the features themselves, each at the best common length. Training may end below a "
        "level that is not the best possible. Vertical lines mark the step at which the thresholds are switched on, "
        "and T2 and T3 of all features together (medians; bands: range over seeds)."
    ),
    "cosines": (
        "Absolute cosine between every neuron (row) and every feature (column) of one seed: at the start, when the "
        "thresholds are switched on, and at T2 and T3 of all features together. The rows keep one order, that of the "
        "feature each neuron ends up with, so that specialisation appears as a diagonal. The vertical line parts "
        "majority from minority features. The axis on the left says how many rows, from the top, end as specialists; a "
        "horizontal line parts them from the others where these are more than a few."
    ),
    "growth_rates": (
        "Early growth of each feature's projections per step, with the decay added back, against the chance P_j that "
        "the feature is active. The dashed line is the closed form, without a fitted constant; points are means and "
        "bars 95 % intervals over seeds. Below, the deviation from the closed form in percent, where features that "
        "share one P_j are spread sideways."
    ),
    "controls": (
        "Specialists per group in the main run and in its controls, on one scale (median; band: range over seeds). The "
        "tables count the seeds in which each stage end was found, over those that were run: a detector that sees a "
        "stage 2 where nothing specialises would show up here."
    ),
}


@matplotlib.rc_context(STYLE)
def projections(curves: xr.Dataset, closed_form: dict[str, float]) -> Figure:
    """Draw the projections of specialist, ordinary and other neurons against steps (theory 6.4).

    Args:
        closed_form: growth of the logarithm per step, by group (`theory.log_growth`); a group without one gets no
            dashed line.
    """
    fig, axes = parts.panels(2, 3, (TWO_COLUMNS, 4.4), sharex=True, sharey=True)
    for row, group in enumerate(("majority", "minority")):
        of_group = curves.sel(group=group)
        for ax, direction in zip(axes[row], DIRECTION_TITLE, strict=True):
            parts.draw_classes(ax, of_group.sel(direction=direction), group)
            ax.set_yscale("log")
            parts.step_axis(ax, curves["step"].values)
            marks.stage_lines(ax, of_group)
            if row == 0:
                ax.set_title(DIRECTION_TITLE[direction], pad=14)
        marks.draw_closed_form(axes[row, 0], of_group, closed_form.get(group))
        marks.switch_line(axes[row, 0], curves)
        axes[row, 0].set_ylabel(f"{group} features\nprojection")
        handles = parts.class_handles(of_group, group, group in closed_form)
        parts.boxed_legend(axes[row, 2], handles, "neurons (number per seed)")
    for ax in axes[1]:
        ax.set_xlabel("training step")
    return fig


@matplotlib.rc_context(STYLE)
def specialist_counts(curves: xr.Dataset) -> Figure:
    """Draw the number of specialists of each group, and the share of its features that have one, against steps."""
    fig, axes = parts.panels(1, 2, (TWO_COLUMNS, 2.7), sharex=True)
    labels = {"specialists": "number of specialists", "coverage": "share of features with a specialist"}
    for ax, (name, label) in zip(axes[0], labels.items(), strict=True):
        parts.draw_groups(ax, curves, name)
        parts.step_axis(ax, curves["step"].values)
        marks.stage_triangles(ax, curves)
        ax.set(xlabel="training step", ylabel=label)
    parts.boxed_legend(axes[0, 0], [*axes[0, 0].get_legend_handles_labels()[0], marks.triangle_handle(curves)])
    axes[0, 1].set_ylim(-0.04, 1.04)
    return fig


@matplotlib.rc_context(STYLE)
def loss_curve(curves: xr.Dataset, floors: dict[str, float]) -> Figure:
    """Draw the contrastive loss against steps.

    Args:
        floors: reference levels of the loss by their label, in the unit of the loss: nats, or nats times the
            temperature tau where the loss has tau as a prefactor.
    """
    fig, axes = parts.panels(1, 1, (ONE_COLUMN, 2.6))
    ax = axes[0, 0]
    values = parts.over_seeds(curves["loss"])
    parts.band(ax, curves["step"].values, values, GROUP_COLOR["all"], "training batches")
    if np.nanmin([*values[0], *floors.values(), np.inf]) > 0:
        ax.set_yscale("log")
        parts.plain_log_labels(ax.yaxis)
    parts.step_axis(ax, curves["step"].values)
    marks.draw_floors(ax, floors)
    marks.switch_line(ax, curves, height=0.55)
    marks.stage_lines(ax, curves.sel(group="all"), ("T2", "T3"))
    ax.set(xlabel="training step", ylabel="contrastive loss")
    return fig


@matplotlib.rc_context(STYLE)
def cosine_matrix(curves: xr.Dataset) -> Figure:
    """Draw the absolute cosine of every neuron with every feature in one seed: at the start, the switch, T2 and T3."""
    moments = curves["moment"].values
    fig, axes = parts.panels(1, len(moments), (TWO_COLUMNS, 3.6), sharey=True)
    n_majority = int(np.sum(curves["feature_group"].values == "majority"))
    n_specialists = int(np.sum(curves["neuron_kind"].values == "specialist"))
    shape = curves["cosine_at_end"].shape[1:]
    for ax, moment, step in zip(axes[0], moments, curves["moment_step"].values, strict=True):
        found = np.isfinite(step)
        image = np.abs(curves["cosine_at_end"].sel(moment=moment).values)
        shown = ax.imshow(image, vmin=0, vmax=1, cmap="magma_r", aspect="auto", interpolation="nearest")
        name = marks.moment_name(curves, str(moment), step)
        ax.set_title(f"{name}\nstep {step:,.0f}" if found else f"{name}\n(not found)")
        if found and 0 < n_majority < shape[1]:
            ax.axvline(n_majority - 0.5, color=COLOR["ink"], lw=0.7)
        if found and n_specialists > 0 and shape[0] - n_specialists > VISIBLE_ROWS * shape[0]:
            ax.axhline(n_specialists - 0.5, color=COLOR["ink"], lw=0.7)
        ax.spines[["top", "right"]].set_visible(True)
    fig.supxlabel("feature, majority first" if n_majority else "feature", fontsize=8)
    axes[0, 0].set_ylabel(
        f"neuron (seed {int(curves['cosine_seed'])}), by the feature it ends up with\n"
        f"the first {n_specialists} of {shape[0]} end as specialists"
    )
    fig.colorbar(shown, ax=axes[0], label=r"$|\cos(w_i, M_j)|$", shrink=0.9, pad=0.01)
    return fig


@matplotlib.rc_context(STYLE)
def growth_rates(rates: xr.Dataset) -> Figure:
    """Draw measured and predicted growth of each feature, and the deviation of one from the other in percent.

    Args:
        rates: Dataset of `analysis.rates.rate_table`: growth per step, with the decay of the weights added back, as
            `measured` (profile, seed, feature) and `predicted` (profile, feature), and `activation_probability`
            (profile, feature). If rates are given without the decay, the attribute `decay` holds what is to be added
            (learning rate times penalty).
    """
    fig, axes = parts.panels(2, 1, (ONE_COLUMN, 3.9), sharex=True, height_ratios=(2.0, 1))
    top, bottom = axes[:, 0]
    decay = float(rates.attrs.get("decay", 0.0))
    for k, profile in enumerate(rates["profile"].values):
        one = rates.sel(profile=profile)
        p = one["activation_probability"].values
        expected = one["predicted"].values + decay
        mean, half = t_half_widths(one["measured"].transpose("seed", "feature").values + decay)
        _points(top, p, mean, half, k, str(profile))
        _points(bottom, parts.spread(p), 100 * (mean / expected - 1), 100 * half / np.abs(expected), k)
        order = np.argsort(p)
        label = "closed form" if k == 0 else None
        line, style = [0, *expected[order]], {"color": COLOR["theory"], "lw": 0.9, "zorder": 5}
        top.plot([0, *p[order]], line, "--", label=label, **style)
    top.legend(loc="upper left")
    top.set_ylabel("growth rate per step,\ndecay ηλ added back")
    top.set_xlim(left=0)
    top.set_ylim(bottom=0)
    bottom.axhline(0, ls="--", **style)
    bottom.set(xlabel="chance $P_j$ that the feature is active", ylabel="deviation, %")
    return fig


def _points(ax: Axes, x: np.ndarray, y: np.ndarray, half: np.ndarray, k: int, label: str | None = None) -> None:
    """Draw the points of profile k with their error bars of half width `half`."""
    color = COLOR["all"] if k == 0 else COLOR["other neurons"]
    look: dict[str, Any] = {
        "color": COLOR["ink"] if k == 0 else COLOR["mark"],
        "mfc": color if k == 0 else COLOR["empty"],
    }
    ax.errorbar(x, y, half, fmt=MARKERS[k % len(MARKERS)], ms=3.0, mew=0.7, elinewidth=0.6, label=label, **look)


@matplotlib.rc_context(STYLE)
def controls(curves_by_name: dict[str, xr.Dataset], false_alarm: dict[str, StageCounts]) -> Figure:
    """Draw specialists per group for several sets of runs side by side, with a table of the stage ends found.

    Args:
        curves_by_name: {title: curves}.
        false_alarm: {title: counts} for the table, where other seeds were counted than those of the curves; a title
            that is not in it is counted from its curves.
    """
    n = len(curves_by_name)
    fig, axes = parts.panels(2, n, (TWO_COLUMNS, 3.2), height_ratios=(5, 1))
    for k, (name, curves) in enumerate(curves_by_name.items()):
        ax = axes[0, k]
        ax.sharey(axes[0, 0])
        parts.draw_groups(ax, curves, "specialists")
        parts.step_axis(ax, curves["step"].values)
        ax.set(title=name, xlabel="training step")
        ax.tick_params(labelleft=k == 0)
        parts.draw_stage_table(axes[1, k], false_alarm.get(name) or stages_found(curves), names=k == 0)
    axes[0, 0].set_ylabel("number of specialists")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def stages_found(curves: xr.Dataset) -> StageCounts:
    """Return in how many of the seeds that did not diverge each stage end was found, for groups with members."""
    found: dict[str, dict[str, int]] = {}
    for group in GROUP_COLOR:
        if np.isfinite(curves["specialists"].sel(group=group)).any():
            ends = curves["stage_end"].sel(group=group)
            found[group] = {stage: int(np.isfinite(ends.sel(stage=stage)).sum()) for stage in STAGES}
    return {"n_seeds": int(np.sum(curves["diverged_step"].values < 0)), "found": found}
