"""The map of regimes at toy size: what it writes, that it goes on and redraws, and the driver under masks."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import plots, study
from dynsim.config import replace
from dynsim.engine import mask_effect, simulate, train
from dynsim.engine.numbers import resolve
from dynsim.engine.replay import held_out_batches, recorded, with_weights
from dynsim.experiment import run
from experiments import make_figures, pruning_regimes
from experiments.pruning import regime_driver, regime_map
from experiments.pruning.points import Point
from tests.reference import begin, toy
from tests.saved_figures import mostly_png

pytestmark = pytest.mark.slow  # 13 programs are compiled

READING = "one branch, weights 0.6"
CONFIG = toy(train__n_steps=30, train__n_records=6, train__precision="float32", loss__temperature_prefactor=False)


def toy_plan(preset):
    points = [
        Point("base", "as given", always=True),
        Point("imbalance", "r = 1", {"data.minority_ratio": 1.0}, always=True),
        Point("imbalance", "r = 0.2", {"data.minority_ratio": 0.2}),
    ]
    return pruning_regimes.Plan(CONFIG, points, range(3), range(5, 9), {"helps": 1, "harms": 1}, (READING,))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(output folder, folder of the study, configurations simulated) of a toy run with one reading."""
    out = tmp_path_factory.mktemp("out")
    simulated = []

    def counted(config, seeds, **options):
        simulated.append((config, tuple(seeds)))
        return simulate.simulate(config, seeds, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots.style, "DPI", 30)
        patch.setattr(plots, "save_figure", mostly_png("driver"))
        patch.setattr(pruning_regimes, "plan", toy_plan)
        patch.setattr(study, "simulate", counted)
        patch.setattr(study, "finish", lambda folder: None)  # the parts are looked at below
        folder = run(pruning_regimes.EXPERIMENT, pruning_regimes.PruningRegimes(out=out))
        first = list(simulated)
        run(
            pruning_regimes.EXPERIMENT, pruning_regimes.PruningRegimes(out=out)
        )  # goes on from the parts: nothing is left to do
        assert simulated == first
        yield out, folder, first


def test_each_run_is_simulated_once(done):
    _, _, simulated = done
    assert len(set(simulated)) == len(simulated)
    assert {seeds for _, seeds in simulated} == {(0, 1, 2), (5, 6, 7, 8)}
    kinds = [config.prune.kind for config, _ in simulated]
    # three points are searched, the base and r = 1 confirmed; the search has placebos only beside a difference
    assert kinds.count("none") == kinds.count("lowest") == 3 + 2 and 2 <= kinds.count("random_fixed") <= 5


def test_what_is_written(done):
    _, folder, _ = done
    numbers = json.loads((folder / "summary.json").read_text())
    assert [point["name"] for point in numbers["points"]] == [
        "base: as given",
        "imbalance: r = 1",
        "imbalance: r = 0.2",
    ]
    assert set(numbers["noise_level"]) == set(numbers["rank_correlation"]) == {READING}
    for point in numbers["points"]:
        found = point["readings"][READING]
        assert found["verdict"] in ("helps", "nothing", "harms", "unstable")
        assert (found["confirmation"] is None) == (found["seeds"] == "search") == (point["label"] == "r = 0.2")
        assert set((found["confirmation"] or found["search"])["contrasts"]) >= {"dense"}
        assert found["confirmation"] is None or "random_fixed" in found["confirmation"]["contrasts"]
        assert set(point["driver"]) == {"dense", READING}
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert files == {"summary.json", *(f"{name}.{kind}" for name in regime_map.CAPTIONS for kind in plots.FORMATS)}


def test_redrawing_simulates_nothing_and_gives_the_same_bytes(done, monkeypatch):
    out, folder, _ = done
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def fails(*unused):
        pytest.fail("simulated or analysed anew")

    drawn_only = dataclasses.replace(pruning_regimes.EXPERIMENT, simulate=fails, analyse=fails)
    run(drawn_only, pruning_regimes.PruningRegimes(out=out, redraw=True))
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_figures_take_it_over_under_its_own_name(done, monkeypatch, tmp_path):
    _, folder, _ = done
    monkeypatch.setattr(make_figures, "FIGURES", tmp_path)
    monkeypatch.setattr(make_figures, "run", lambda experiment, options: folder)
    rows = make_figures.renew(pruning_regimes.EXPERIMENT, make_figures.MakeFigures(simulate=True))
    assert {row["figure"] for row in rows} == {"pruning_regimes_map.png", "pruning_regimes_driver.png"}
    assert [row["caption"] for row in rows] == list(regime_map.CAPTIONS.values())


def test_the_driver_of_masked_neurons_is_that_of_mask_effect():
    dense = simulate.simulate(CONFIG, [4, 2])
    masked = replace(CONFIG, **{"prune.kind": "lowest", "prune.rate": 0.5})
    found = regime_driver.feature_drivers_at_end(dense, {"literal": masked.prune}, n_batches=2)
    parts = train.built_in_parts(resolve(CONFIG).structure)
    for s, seed in enumerate((4, 2)):
        carry, world, _ = begin(CONFIG, seed, parts)
        state = with_weights(carry.state, *map(jnp.asarray, recorded(dense, s)))
        batches = held_out_batches(world, parts, 2)
        mask = mask_effect.neuron_mask(state, world, "lowest", jnp.float32(0.5))
        for name, kept in (("dense", None), ("literal", mask)):
            wanted = mask_effect.driver(state, world, parts, kept, "literal", batches)
            np.testing.assert_allclose(found[name][s], wanted, rtol=1e-4, atol=1e-6)
    assert not np.allclose(found["dense"], found["literal"])
