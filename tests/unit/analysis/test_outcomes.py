"""The outcomes that runs are compared by, on records made by hand."""

import numpy as np
import pytest

from dynsim import results
from dynsim.analysis import outcomes
from dynsim.config import checks
from dynsim.theory import feature_groups
from tests.reference import toy

CONFIG = toy()  # five features, of which two are minority
SEEDS = np.array([4, 9])


def make(alignment, loss, config=CONFIG):
    """A result of two seeds from alignment (seed, record, neuron, feature) and held-out loss (seed, record)."""
    alignment = np.asarray(alignment, float)
    norm = np.linalg.norm(alignment, axis=-1)
    records = {
        "alignment": alignment,
        "weight_norm": norm,
        "firing": np.ones_like(norm),
        "held_out_loss": np.asarray(loss, float),
    }
    steps = np.arange(alignment.shape[1])
    per_seed = {"dictionary": np.zeros((2, 8, 5)), "diverged_step": np.full(2, -1)}
    return results.to_dataset(config, feature_groups(config.data), SEEDS, steps, records, per_seed, {"own": {}})


def aligned(*features, size=1.0):
    """Six neurons; neuron i lies on the given feature, the others are nearly zero."""
    out = np.zeros((6, 5))
    out[:, 0] = 1e-3
    for neuron, feature in enumerate(features):
        out[neuron] = 0
        out[neuron, feature] = size
    return out


def test_counts_coverage_and_strength_by_hand():
    minority = np.flatnonzero(make(np.zeros((2, 1, 6, 5)), np.zeros((2, 1)))["group"].values == "minority")
    majority = [j for j in range(5) if j not in minority]
    first = aligned(minority[0], minority[0], majority[0], size=2.0)
    second = aligned(majority[0], majority[1], size=1.0)
    result = outcomes.at_end(make([[first], [second]], [[1.5], [2.5]]))
    found = outcomes.values(result)
    assert found["minority specialists"] == [2, 0]
    assert found["majority specialists"] == [1, 2]
    assert found["minority share of specialists"] == [pytest.approx(2 / 3), 0]
    assert found["minority coverage"] == [1 / len(minority), 0]
    assert found["majority coverage"] == [pytest.approx(1 / len(majority)), pytest.approx(2 / len(majority))]
    # S_j = 4 + 4 for one minority feature
    assert found["minority strength"][0] == pytest.approx(8 / len(minority), rel=1e-5)
    assert found["held-out loss"] == [1.5, 2.5]


def test_equal_loss_is_the_first_record_at_the_level_that_both_reach():
    nothing = np.zeros((2, 4, 6, 5))
    first = make(nothing, [[3, 2, 1.0, 0.5], [3, 2.5, 2.4, 2.3]])
    second = make(nothing, [[3, 2.5, 1.1, 1.2], [3, 1, 1, 1]])
    one, other = outcomes.at_equal_loss(first, second)
    # seed 0: levels 0.5 and 1.1, hence 1.1; seed 1: 2.3 and 1, hence 2.3
    assert one["step"].values.tolist() == [2, 3]
    assert other["step"].values.tolist() == [2, 1]
    assert one["held_out_loss"].values.tolist() == [1.0, 2.3]


def test_ends_are_compared_pair_by_pair_and_strangers_are_refused():
    rng = np.random.default_rng(0)
    losses = np.array([[3.0, 1.0], [3.0, 1.5]])
    first = make(rng.normal(size=(2, 2, 6, 5)), losses)
    second = make(rng.normal(size=(2, 2, 6, 5)), losses - 0.25, toy(prune__kind="lowest", prune__rate=0.5))
    found = outcomes.compare_ends(first, second)
    assert found["equal steps"]["held-out loss"]["estimate"] == pytest.approx(-0.25)
    assert set(found["equal loss"]) == set(outcomes.MEASURES)
    other = make(rng.normal(size=(2, 2, 6, 5)), losses, toy(data__minority_ratio=0.4))
    with pytest.raises(checks.ConfigError, match=r"data\.minority_ratio"):
        outcomes.compare_ends(first, other)
