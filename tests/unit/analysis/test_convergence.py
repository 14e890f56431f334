"""When runs count as settled: by hand, on records made for it."""

import numpy as np
import pytest
import xarray as xr

from dynsim.analysis import convergence
from dynsim.config.checks import ConfigError

STEPS = np.array([0, 40, 60, 70, 80, 100])  # third quarter: 60 and 70; last: 80 and 100
N_NEURONS, N_FEATURES, N_SEEDS = 10, 4, 2


def runs(pure_neurons, probe=None):
    """Runs in which the first `pure_neurons[record]` neurons are specialists of features 0, 1, 2, 3, 0, ... in turn."""
    shape = (N_SEEDS, len(STEPS), N_NEURONS)
    alignment = np.zeros((*shape, N_FEATURES))
    for record, number in enumerate(pure_neurons):
        for neuron in range(number):
            alignment[:, record, neuron, neuron % N_FEATURES] = 1.0
    variables = {
        "alignment": (("seed", "record", "neuron", "feature"), alignment),
        "weight_norm": (("seed", "record", "neuron"), np.ones(shape)),
        "firing": (("seed", "record", "neuron"), np.ones(shape)),
    }
    if probe is not None:
        each = np.broadcast_to(np.asarray(probe)[None, :, None], (N_SEEDS, len(STEPS), N_FEATURES))
        variables["probe_few"] = (("seed", "record", "feature"), each.copy())
    groups = np.array(["majority", "majority", "minority", "minority"], dtype=object)
    return xr.Dataset(variables, {"step": ("record", STEPS), "group": ("feature", groups)})


def test_drifts_by_hand():
    """Of 10 neurons 4, 5 are specialists in the third quarter and 6, 6 in the last: 1.5 more, all of the majority."""
    drifts = convergence.drifts(runs([0, 0, 4, 5, 6, 6], probe=[0.5, 0.5, 0.8, 0.9, 0.9, 1.0]))
    assert drifts["majority specialists"] == pytest.approx((3 + 3) / 20 + 0.0 - (2 + 3) / 20 + 0.1, abs=1e-12)
    assert drifts["minority specialists"] == 0 and drifts["minority coverage"] == 0
    assert drifts["minority probe"] == drifts["majority probe"] == pytest.approx(0.1)


def test_what_stays_has_settled_and_what_moves_has_not():
    assert convergence.has_settled(runs([0, 1, 6, 6, 6, 6]))
    assert not convergence.has_settled(runs([0, 0, 4, 5, 6, 6]))
    assert not convergence.has_settled(runs([0, 0, 2, 2, 4, 4]))  # coverage of the minority
    assert not convergence.has_settled(runs([6] * 6, probe=[0.5, 0.5, 0.8, 0.8, 0.9, 0.9]))
    assert convergence.has_settled(runs([6] * 6, probe=[0.5, 0.5, 0.8, 0.8, 0.81, 0.81]))


def test_runs_that_are_not_finite_have_not_settled():
    broken = runs([6] * 6)
    broken["weight_norm"][0, -1, 0] = np.nan
    assert not convergence.has_settled(broken)


def test_too_few_records_are_refused():
    with pytest.raises(ConfigError, match="record: wanted some in both last quarters"):
        convergence.drifts(runs([6] * 6).isel(record=[0, 1, 5]))
