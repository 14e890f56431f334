"""What is measured of each run, by hand on two tiny runs."""

import numpy as np
import pytest
import xarray as xr

from paper_checks import end_states

STEPS = [0, 10, 20, 30, 40]


@pytest.fixture
def result():
    """Two seeds, five records, three neurons, four features in two groups.

    Neurons 0 and 1 learn features 0 and 2 from step 20 and 30 on, neuron 2 stays below the norm floor. The second seed
    diverges.
    """
    alignment = np.zeros((2, 5, 3, 4), np.float32)
    alignment[:, :, :, :] = 0.01
    alignment[:, 2:, 0, 0] = -2.0
    alignment[:, 3:, 1, 2] = 3.0
    alignment[:, :, 2, 3] = 0.012
    norm = np.linalg.norm(alignment, axis=-1)
    norm[1, -1] = np.nan
    probe = np.full((2, 5, 4), 0.5, np.float32)
    probe[:, -1, [0, 2]] = 1.0
    return xr.Dataset(
        {
            "alignment": (("seed", "record", "neuron", "feature"), alignment),
            "weight_norm": (("seed", "record", "neuron"), norm),
            "firing": (("seed", "record", "neuron"), np.ones((2, 5, 3), np.float32)),
            "probe_few": (("seed", "record", "feature"), probe),
            "probe_many": (("seed", "record", "feature"), probe),
            "switch_step": ("seed", [10, 10]),
            "diverged_step": ("seed", [-1, -1]),
        },
        {"step": ("record", STEPS), "seed": [1, 2], "group": ("feature", ["majority"] * 2 + ["minority"] * 2)},
    )


def test_numbers_per_feature(result):
    each = end_states.per_feature(result)
    assert each["count"].values[0].tolist() == [1, 0, 1, 0]
    assert each["largest"].values[0] == pytest.approx([2.0, 0.01, 3.0, 0.012])
    assert each["purity"].values[0] == pytest.approx([1.0, 0.005, 1.0, 0.005], abs=2e-3)
    assert each["untrained_probe_few"].values[0].tolist() == [0.5] * 4
    assert np.isnan(each["count"].values[1]).all()


def test_numbers_per_group(result):
    ends = end_states.per_group(result)
    assert ends["coverage"].values[0].tolist() == [0.5, 0.5]
    assert ends["specialists"].values[0].tolist() == [1, 1]
    assert ends["log_size"].values[0] == pytest.approx(np.log([2, 3]))
    assert ends["probe_few"].values[0].tolist() == [0.75, 0.75]
    assert ends["settled"] == 0 and ends["n_neurons"] == 3
    assert np.isnan(ends["coverage"].values[1]).all()
    assert end_states.gap(ends["log_size"])[0] == pytest.approx(np.log(2 / 3))


def test_first_steps_count_from_the_switch_on(result):
    assert end_states.first_steps(result)["first"].values[0].tolist() == [20, 30]
    assert end_states.first_steps(result, 0.5)["first"].values[0].tolist() == [20, 30]
    assert np.isnan(end_states.first_steps(result, 1.0)["first"].values).all()
    later = result.assign(switch_step=("seed", [40, 40]))
    assert end_states.first_steps(later)["first"].values[0].tolist() == [40, 40]
