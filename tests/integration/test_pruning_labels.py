"""Labels against masks at toy size: what is written, and that a method which has not settled is trained for longer."""

import json

import numpy as np
import pytest

from dynsim import plots
from dynsim.experiment import run
from experiments import pruning_labels
from experiments.pruning import label_plan, label_table
from experiments.pruning.arms import ARM_SHAPES
from experiments.pruning.label_methods import NO_LABELS

pytestmark = pytest.mark.slow  # several programs are compiled

TINY = {
    "data.n_features": 5,
    "data.token_dim": 8,
    "encoder.n_neurons": 6,
    "data.batch_size": 6,
    "data.activation_rate": 0.4,
    "encoder.init_std": 0.3,
    "train.n_records": 16,
}
METHODS = [NO_LABELS, "ACL", "ACL and early mask"]


def tiny_plan(preset):
    full = label_plan.load_label_plan()
    planned = full.statements[0][0]
    return full._replace(
        lengths={"tiny": (24, 40)},
        seeds=range(3),
        points=[label_plan.LabelPoint("inner products", "tiny", "default", 0.5)],
        methods=METHODS,
        statements=[(planned, "inner products", "ACL", NO_LABELS)],
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(output folder, folder of the study)."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots.style, "DPI", 30)
        patch.setitem(ARM_SHAPES, "tiny", TINY)
        patch.setattr(pruning_labels, "label_plan_of", tiny_plan)
        yield out, run(pruning_labels.EXPERIMENT, pruning_labels.PruningLabels(out=out))


def test_what_is_written(done):
    _, folder = done
    numbers = json.loads((folder / "summary.json").read_text())
    assert numbers["plan"] == label_plan.load_label_plan().digest and numbers["seeds"] == [0, 1, 2]
    rows = {row["method"]: row for row in numbers["methods"]}
    assert list(rows) == METHODS
    for name, row in rows.items():
        ends = row["equal_steps"]["ends"]["minority coverage"]
        assert row["equal_steps"]["n_steps"] == 24 and 0 <= ends["estimate"] <= 1
        longer = not row["equal_steps"]["settled"] and name != "ACL and early mask"  # which no statement needs
        assert row["settled"]["n_steps"] == (40 if longer else 24)
        difference = row["equal_steps"]["against_no_mask"]["minority coverage"]["estimate"]
        base = rows[NO_LABELS]["equal_steps"]["ends"]["minority coverage"]["estimate"]
        np.testing.assert_allclose(difference, ends["estimate"] - base, atol=1e-12)
    (equal,) = numbers["statements_at_equal_steps"]
    assert equal["contrast"] == "ACL - no labels" and equal["form"] == "inner products"
    assert (folder / "coverage.png").is_file()
    text = label_table.table_text(numbers)
    assert "inner products, tiny, noise default, r = 0.5" in text and "LABELS: ACL" in text
