"""A predicted trajectory drawn over the simulated one, and how far apart they are."""

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynsim.analysis.flow_error import LEFT_AT, FlowError
from dynsim.plots import parts
from dynsim.plots.style import COLOR, STYLE, TWO_COLUMNS
from dynsim.theory.flow import Flow

NEURONS = 5
"""Neurons drawn per group."""

FLOW_CAPTION = (
    "A deterministic prediction of training (dashed) over a simulated run that starts from the same weights (solid). "
    "Left and middle: for some neurons that end on a majority or a minority feature, the projection on the feature on "
    "which the simulated neuron ends. A dashed line that falls where the solid one rises is a neuron that the "
    "prediction sends to another feature. Right: error of the median neuron (its projections on all features, as a "
    "share of the neuron's norm) and of the median feature (the squared projections of all neurons on it, summed). "
    "The vertical line, where there is one, is the step from which on the median neuron's error stays above the "
    "tolerance (dotted)."
)


@matplotlib.rc_context(STYLE)
def predicted_trajectories(result: xr.Dataset, flow: Flow, error: FlowError, position: int = 0) -> Figure:
    """Draw predicted over simulated projections for some neurons of both groups, and the error against steps.

    Args:
        result: the record of a run set.
        flow, error: the prediction for one of its runs, and how far it is off (`analysis.flow_error`).
        position: of that run on the seed axis.
    """
    fig, axes = parts.panels(1, 3, (TWO_COLUMNS, 2.6))
    simulated = np.asarray(result["alignment"].values[position], np.float64)
    for ax, group in zip(axes[0], ("majority", "minority"), strict=False):
        _draw_neurons(ax, simulated, flow, result["group"].values == group, parts.GROUP_COLOR[group])
        parts.step_axis(ax, flow.step)
        ax.set(yscale="log", title=f"{group} features", xlabel="training step")
    axes[0, 0].set_ylabel("projection on the final feature")
    axes[0, 1].sharey(axes[0, 0])
    styles = {"simulated": "-", "predicted": "--"}
    handles = [Line2D([], [], color=COLOR["ink"], ls=line, label=label) for label, line in styles.items()]
    axes[0, 0].legend(handles=handles, loc="upper left")
    _draw_error(axes[0, 2], error)
    return fig


def shown_neurons(simulated: np.ndarray, in_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return some neurons that end on a feature of a group, evenly spaced by their last projection, and the features.

    Args:
        simulated: <w_i, M_j>, shape (record, neuron, feature).
        in_group: Boolean (feature,).
    """
    last = np.abs(simulated[-1])
    winner = np.argmax(last, axis=1)
    members = np.flatnonzero(in_group[winner])
    members = members[np.argsort(last[members, winner[members]])]
    places = np.unique(np.rint(np.linspace(0, len(members) - 1, min(NEURONS, len(members)))).astype(int))
    return members[places], winner[members[places]]


def _draw_neurons(ax: Axes, simulated: np.ndarray, flow: Flow, in_group: np.ndarray, color: str) -> None:
    neurons, features = shown_neurons(simulated, in_group)
    for values, line in ((simulated, "-"), (flow.alignment, "--")):
        projections = np.abs(values[:, neurons, features])
        look: dict[str, Any] = {"color": color, "lw": 1.0} if line == "-" else {"color": COLOR["theory"], "lw": 0.8}
        ax.plot(flow.step, projections, line, **look)


def _draw_error(ax: Axes, error: FlowError) -> None:
    ax.plot(error.step, error.error, color=COLOR["ink"], label="median neuron")
    ax.plot(error.step, error.strength_error, ":", color=COLOR["ink"], label="median feature")
    ax.axhline(LEFT_AT, color=parts.MARK, ls=":", lw=0.8)
    if np.isfinite(error.leaving_step):
        ax.axvline(error.leaving_step, color=parts.MARK, lw=0.8)
    parts.step_axis(ax, error.step)
    highest = max(float(np.max(error.error)), float(np.max(error.strength_error)), LEFT_AT)
    # room for the legend above the lines
    ax.set(title="error of the prediction", xlabel="training step", ylim=(0, 1.4 * highest))
    ax.legend(loc="upper left")
