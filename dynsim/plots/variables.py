"""Any recorded variable against training steps: median and range over seeds."""

import textwrap

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim.plots import parts
from dynsim.plots.parts import GROUP_COLOR
from dynsim.plots.style import STYLE

LABEL_WIDTH = 44
"""Characters in a line of the label of the vertical axis."""


@matplotlib.rc_context(STYLE)
def over_steps(values: xr.DataArray) -> Figure:
    """Draw values (seed, record) or (seed, record, group) against the step of each record.

    Lines are medians over seeds and bands their range. The axis is labelled by the attributes `long_name` and `units`.
    """
    fig, axes = parts.panels(1, 1, (6.0, 3.6))
    ax = axes[0, 0]
    steps = values["step"].values
    grouped = "group" in values.dims
    for name in values["group"].values if grouped else ["all"]:
        one = values.sel(group=name) if grouped else values
        parts.band(ax, steps, parts.over_seeds(one), GROUP_COLOR[str(name)], f"{name} features")
    if grouped:
        ax.legend()
    if np.isfinite(values.values).any():
        parts.step_axis(ax, steps)
    unit = values.attrs.get("units", "1")
    label = str(values.attrs.get("long_name", values.name or "value"))
    label = label if unit == "1" else f"{label} ({unit})"
    ax.set(xlabel="training step", ylabel=textwrap.fill(label, LABEL_WIDTH))
    n = values.sizes["seed"]
    ax.set_title("one seed" if n == 1 else f"median and range over {n} seeds")
    return fig
