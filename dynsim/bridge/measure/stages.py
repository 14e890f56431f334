"""Where the stages of the theory end in a network, in epochs, by the rules of `analysis.stages` (NumPy)."""

import numpy as np
import xarray as xr

from dynsim.analysis.stages import (
    GroupEnds,
    GroupRecord,
    StageEnd,
    Trajectory,
    ends_of_groups,
    growth_end,
    median_of_three,
)
from dynsim.bridge.measure.channels import channel_snapshot, channel_specialists
from dynsim.bridge.measure.dataset import group_members
from dynsim.config.checks import require
from dynsim.theory.specialists import PURITY

SATURATED = 0.5
"""Share of its largest gain of energy at which a group has ended its collective growth, by the rule saturation."""
GROWN = 2.0
"""Least factor by which the energy of a group must grow for that rule."""
T1_RULES = ("norm", "saturation")


def saturation_end(steps: np.ndarray, group: GroupRecord) -> StageEnd:
    """Find T1 of one group as the first record at which collective growth has made `SATURATED` of its largest gain.

    This needs no absolute scale. The energy of the group must have grown by the factor `GROWN` at some record, so that
    noise does not pass for growth. The rest is as in `analysis.stages.growth_end`.
    """
    energy = median_of_three(group.energy)
    factor = float(energy.max() / max(energy[0], np.finfo(float).tiny))
    largest = float(median_of_three(group.growth).max())
    if factor < GROWN:
        return StageEnd(None, f"the group's energy grew by a factor of {factor:.3g} at most, wanted {GROWN:g}", {})
    if largest <= 0:
        return StageEnd(None, "specialists alone have gained energy", {})
    return growth_end(steps, group._replace(growth=group.growth / (SATURATED * largest)))


def channel_stage_ends(
    data: xr.Dataset,
    basis: str = "classes",
    reading: str = "whole",
    *,
    min_purity: float = PURITY,
    t1_rule: str = "norm",
) -> GroupEnds:
    """Find T1, T2 and T3 of every group of classes in one training.

    A specialist here is one beyond chance, in all rules.

    Args:
        data: a Dataset of `dataset.channel_dataset`, with at least three records.
        basis, reading, min_purity: as for `channels.channel_specialists`.
        t1_rule: "norm" is the rule of the theory: the energy of the channels that are no specialists has grown by
            their squared norm at the start. In the whole reading they must thus gain as much variation between the
            classes of the group as they have within classes, nearly; in the class part, as much as between all classes
            at the start. Channels of a trained network need not come that far, and then no stage is found. "saturation"
            asks for half of the largest gain instead (`saturation_end`).

    Returns:
        {group: {"T1": ..., "T2": ..., "T3": ...}}, with epochs as steps, for many, medium, few and all.
    """
    require(t1_rule in T1_RULES, "t1_rule", " or ".join(T1_RULES), repr(t1_rule), "choose one of them")
    _, beyond = channel_specialists(data, basis, reading, min_purity=min_purity)
    trajectory = Trajectory(data["epoch"].values, channel_snapshot(data, basis, reading))
    rule = growth_end if t1_rule == "norm" else saturation_end
    return ends_of_groups(trajectory, beyond, beyond, group_members(data), t1_rule=rule)
