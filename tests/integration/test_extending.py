"""The examples of dynsim/README.md run as they stand there, and give what the text beside them says."""

import csv
import re
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from dynsim import results
from dynsim.analysis.summary import all_stage_ends

MAP = (Path(__file__).parents[2] / "dynsim" / "README.md").read_text(encoding="utf-8")
SECTION = MAP.partition("## Extending\n")[2].partition("\n## ")[0]
OWN = dict(re.findall(r"\*\*Own (\w+)\.\*\*.*?```python\n(.*?)```", SECTION, re.S))
HEADED = {"save": r"## Save and plot\n", "views": r"## Views\n", "table": r"\*\*Records as they come in\.\*\*"}
HEADED |= {"lists": r"`train_with_labels` also takes lists of files"}
HEADED |= {"networks": r"## Networks, training and judging\n"}
ELSEWHERE = ["Sweeps", "Images", "Losses that learn from labels"]  # each run by a test of its own
EXAMPLES = OWN | {name: re.search(f"{head}.*?```python\n(.*?)```", MAP, re.S)[1] for name, head in HEADED.items()}


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Run an example as a user does, who has not asked JAX for strict arithmetic, and return its variables."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        script = tmp_path / f"example_{name}.py"
        script.write_text(EXAMPLES[name], encoding="utf-8")
        with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return runpy.run_path(str(script))

    return run


def own_parts(run):
    return list(results.provenance_of(run)["own"])


def test_there_is_one_example_for_each_part_that_can_be_replaced():
    assert list(OWN) == ["data", "encoder", "loss", "record"]
    assert MAP.count("```python") == len(EXAMPLES) + len(ELSEWHERE)
    assert all(re.search(rf"## {head}\n(?:(?!\n## ).)*```python", MAP, re.S) for head in ELSEWHERE)


def test_views(example, capsys):
    names = example("views")
    assert names["first"].shape == names["second"].shape == (4, 32, 32, 3)
    assert np.any(np.asarray(names["first"]) != np.asarray(names["second"]))
    assert "crop_scale (0.1, 1.0)" in capsys.readouterr().out


def test_lists_of_files(example, capsys):
    recipe = example("lists")["recipe"]
    assert recipe.training.network.architecture == "resnext50_32x4d"
    assert f"{recipe.images} {recipe.training.epochs} {recipe.source}" in capsys.readouterr().out


@pytest.mark.slow
def test_networks(example):
    """A ResNet is trained with a mask and judged; two epochs teach it nothing, so only what must hold is asked for."""
    names = example("networks")
    trained, found = names["trained"], names["found"]
    assert np.isfinite(trained.log["loss"]).all() and trained.log["loss"].shape == (2,)
    kept = [np.asarray(part) for part in jax.tree.leaves(trained.state.mask)]
    assert sum(part.sum() for part in kept) == sum(part.size for part in kept) - int(
        0.9 * sum(part.size for part in kept)
    )
    assert 0 <= found["linear"]["all_classes"] <= 1 and len(found["linear"]["per_class"]) == 10


def test_own_data(example, capsys):
    run = example("data")["run"]
    assert run.alignment.dims == ("seed", "record", "neuron", "feature") and own_parts(run) == ["data_model"]
    assert "'majority' 'majority' 'minority' 'minority'" in capsys.readouterr().out
    np.testing.assert_array_equal(run.dictionary[0], np.eye(8, 4))
    assert np.all(run.diverged_step == -1)


def test_own_data_draws_the_minority_half_as_often(example):
    names = example("data")

    class Numbers:
        minority = np.array([0, 0, 1, 1], np.float32)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        keys = jax.random.split(jax.random.key(1), 200)
        sample = jax.vmap(lambda key: names["sample"](key, key, np.eye(8, 4, dtype=np.float32), Numbers))
        batches = jax.jit(sample)(keys)
    share = float(batches.codes[:, :, 2:].sum() / batches.codes.sum())
    assert abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / 3200)


def test_own_encoder(example):
    run = example("encoder")["run"]
    assert own_parts(run) == ["encoder"] and run.weight.shape == (2, 6, 8)
    assert np.any(run.weight_norm.isel(record=-1) != run.weight_norm.isel(record=0))


def test_own_loss(example):
    run = example("loss")["run"]
    assert own_parts(run) == ["loss"] and np.isnan(run.positive_weight).all()  # a number has no softmax weight
    assert np.isfinite(run.loss[:, 1:]).all()


def test_own_record_keeps_what_stages_are_found_from(example):
    run = example("record")["run"]
    assert own_parts(run) == ["record_fn"] and run.singular.dims == ("seed", "record", "singular_0")
    np.testing.assert_allclose(run.singular[:, -1], np.linalg.svd(run.weight, compute_uv=False), rtol=1e-5)
    assert [set(ends) for ends in all_stage_ends(run)] == [{"majority", "minority", "all"}] * 2


@pytest.mark.slow
def test_save_and_plot(example, tmp_path, capsys):
    run = example("save")["run"]
    said = capsys.readouterr().out
    assert "data.n_features = 8 (default" in said and "stage" in said and "coverage" in said
    assert run.alignment.dims == ("seed", "record", "neuron", "feature") and run.sizes["feature"] == 8
    for name in ("specialists.png", "norms.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_records_as_they_come_in(example, tmp_path):
    example("table")
    with (tmp_path / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [[int(row["step"]) for row in rows if row["seed"] == seed] for seed in "01"]
    assert steps[0] == steps[1] == sorted(set(steps[0])) and steps[0][-1] == 20
    assert len(rows) == 2 * len(steps[0])
    assert all(float(row["loss"]) > 0 for row in rows if row["step"] != "0")
    assert all(float(row["largest norm"]) > 0 for row in rows)
