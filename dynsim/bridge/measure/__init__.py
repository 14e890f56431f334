"""The theory's measurements on a network: channels as neurons, classes as features, class sizes as frequencies.

`balanced_probe` draws the images, `measure` reduces the responses of a layer to them at one record, `channel_dataset`
joins the records. Then `channel_snapshot`, `channel_specialists` and `channel_stage_ends` are the terms of the theory,
`channel_curves` and `channel_summary` the numbers, `channel_stages` and `channel_measures` the figures.
"""

from dynsim.bridge.measure.channels import channel_snapshot, channel_specialists
from dynsim.bridge.measure.curves import channel_curves, channel_summary
from dynsim.bridge.measure.dataset import channel_dataset
from dynsim.bridge.measure.plots import channel_measures, channel_stages
from dynsim.bridge.measure.probe import balanced_probe, shuffled_labels
from dynsim.bridge.measure.responses import chance, class_responses, measure
from dynsim.bridge.measure.stages import channel_stage_ends

__all__ = [
    "balanced_probe",
    "chance",
    "channel_curves",
    "channel_dataset",
    "channel_measures",
    "channel_snapshot",
    "channel_specialists",
    "channel_stage_ends",
    "channel_stages",
    "channel_summary",
    "class_responses",
    "measure",
    "shuffled_labels",
]
