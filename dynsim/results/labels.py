"""What every variable of a result is, in words, and its unit: the attributes `long_name` and `units`.

xarray and other readers of netCDF files show them, and xarray writes them on the axes of a plot. "1" is the unit of a
number without one, as the netCDF conventions have it.
"""

import xarray as xr

OWN_UNIT = "as recorded"
"""Unit of a variable that a record function of the user's own has made."""

VARIABLES = {
    # coordinates
    "seed": ("seed of the run", "1"),
    "step": ("number of updates made", "steps"),
    "group": ("group of the feature", "1"),
    "feature_group": ("group of the feature", "1"),
    "activation_probability": ("chance that the feature is active in a sample", "1"),
    # records
    "alignment": ("projection of a neuron on a feature, <w_i, M_j>", "weight"),
    "weight_norm": ("length of a neuron's weights, ||w_i||", "weight"),
    "residual_norm": ("length of a neuron's weights outside the span of the features", "weight"),
    "threshold": ("threshold of a neuron, b_i", "weight"),
    "firing": ("share of the samples with a neuron's best feature on which it fires", "1"),
    "false_firing": ("share of the samples without a neuron's best feature on which it fires", "1"),
    "self_weight": ("mean attention weight of a token on itself", "1"),
    "kept": ("share of a neuron's weights that the mask keeps", "1"),
    "held_out_loss": ("contrastive loss on held-out batches", "nat"),
    "refitted_loss": ("contrastive loss on held-out batches at its best temperature", "nat"),
    "refitted_temperature": ("temperature at which the held-out loss is least", "1"),
    "neuron_weight": ("weights of a neuron, w_i", "weight"),
    "probe_few": ("accuracy of a linear probe with few labels", "1"),
    "probe_many": ("accuracy of a linear probe with many labels", "1"),
    # once per seed
    "loss": ("contrastive loss, mean over the steps since the last record", "nat"),
    "positive_weight": ("softmax weight of the positive, mean over the steps since the last record", "1"),
    "switch_step": ("step at which the thresholds came on (-1: never)", "steps"),
    "diverged_step": ("step at which the run diverged (-1: it did not)", "steps"),
    "diverged_reason": ("why the run diverged", "1"),
    "prune_start_step": ("step at which masking started (-1: never)", "steps"),
    "prune_stop_step": ("step at which masking stopped (-1: never)", "steps"),
    "dictionary": ("direction of a feature, M_j", "1"),
    "weight": ("weights of a neuron at the end of the run, w_i", "weight"),
    "bias": ("bias of a neuron at the end of the run", "weight"),
    "attention": ("the matrices W_Q, W_K and W_V of attention at the end of the run", "1"),
}
"""{variable: (long_name, units)}."""


def labelled(result: xr.Dataset) -> xr.Dataset:
    """Return the result with `long_name` and `units` on each variable; what a variable has of them already stays."""
    out = result.copy()
    for name in out.variables:
        words, unit = VARIABLES.get(str(name), (f"{name}, recorded by a function of the user's own", OWN_UNIT))
        out[name].attrs = {"long_name": words, "units": unit} | out[name].attrs
    return out
