"""Reduced results, from records small enough to know every class and quantile by hand."""

import dataclasses

import numpy as np
import pytest

from dynsim import results
from dynsim.analysis import curves
from dynsim.analysis.stages import STAGES, StageEnd
from dynsim.config import Config, DataConfig, EncoderConfig
from dynsim.theory import feature_groups

STEPS = np.array([0, 10, 20])
# <w_i, M_j> of four neurons at three records; features 0 and 1 are majority, 2 and 3 minority.
# 0 ends as a specialist for feature 1, though feature 0 was its best at step 10; 1 ends mixed; 2 ends as a specialist
# for feature 3; 3 ends inactive, and feature 2 was its best at step 10.
ALIGNMENT = np.array(
    [
        [[0.1, -0.2, 0.2, 0.1], [0.3, 0.1, 0.1, 0.2], [0.1, 0.2, 0.1, 0.3], [0.1, 0.3, 0.2, 0.1]],
        [[0.9, -0.5, 0.2, 0.1], [0.8, 0.1, 0.1, 0.2], [0.1, 0.3, 0.1, 0.9], [0.1, 0.3, -0.6, 0.1]],
        [[0.0, -3.0, 0.0, 0.0], [1.0, 1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 2.0], [0.1, 0.0, 0.0, 0.0]],
    ]
)
RESIDUAL = np.array([[0.2, 0.4, 0.2, 0.4], [0.2, 0.4, 0.2, 0.4], [0.02, 0.04, 0.02, 0.04]])


def config_with(**data):
    data = dataclasses.replace(DataConfig(n_features=4, token_dim=8, minority_ratio=0.5), **data)
    return Config(data=data, encoder=EncoderConfig(n_neurons=4))


def record(scales=(1.0, 2.0), diverged=(-1, -1), switch=12, config=None):
    """Return a result whose seeds are ALIGNMENT times `scales`; all neurons fire, but neuron 1 does at 0.2 only."""
    by_seed = np.asarray(scales)[:, None, None]
    alignment = by_seed[..., None] * ALIGNMENT
    residual = by_seed * RESIDUAL
    norm = np.sqrt(np.sum(alignment**2, axis=-1) + residual**2)
    firing = np.broadcast_to(np.array([1.0, 0.2, 1.0, 1.0]), norm.shape)
    fields = {
        "alignment": alignment,
        "weight_norm": norm,
        "residual_norm": residual,
        "threshold": np.zeros_like(norm),
        "firing": firing,
        "false_firing": firing / 2,
        "self_weight": np.ones(norm.shape[:2]),
    }
    n = len(scales)
    per_seed = {
        "loss": np.arange(3 * n, dtype=float).reshape(n, 3),
        "switch_step": np.full(n, switch),
        "diverged_step": np.array(diverged),
    }
    return results.to_dataset(
        config or config_with(),
        feature_groups((config or config_with()).data),
        np.arange(n) + 7,
        STEPS,
        fields,
        per_seed,
        {"commit": "abc"},
    )


def ends_of(steps_by_group):
    def end(step):
        return StageEnd(step, "" if step is not None else "not there", {})

    return {group: {s: end(x) for s, x in zip(STAGES, steps, strict=True)} for group, steps in steps_by_group.items()}


FOUND = ends_of({"majority": (10, 20, 20), "minority": (None, None, None), "all": (10, 20, 20)})


def test_projection_quantiles_by_hand():
    reduced = curves.reduce(record(), [FOUND, FOUND])
    of = reduced["projection"].sel(group="majority")
    # each class is one neuron of seed 0 and the same one twice as large: quantiles of {x, 2x}
    factor = np.array([1.1, 1.5, 1.9])[:, None]
    specialist = of.sel(neuron_class="specialist")
    np.testing.assert_allclose(specialist.sel(direction="own"), factor * [0.2, 0.5, 3.0], rtol=1e-6)
    rest = np.sqrt([(0.01 + 0.04 + 0.01) / 3, (0.81 + 0.04 + 0.01) / 3, 0.0])
    np.testing.assert_allclose(specialist.sel(direction="other_features"), factor * rest, rtol=1e-6)
    np.testing.assert_allclose(
        specialist.sel(direction="complement"), factor * [0.1, 0.1, 0.01], rtol=1e-6
    )  # sqrt(8-4) = 2
    ordinary = of.sel(neuron_class="ordinary", direction="own")
    np.testing.assert_allclose(ordinary, factor * [0.3, 0.8, 1.0], rtol=1e-6)
    # neurons 2 and 3, of own feature 1 both: {0.2, 0.3} at the start and twice that
    other = of.sel(neuron_class="other", direction="own", record=0)
    np.testing.assert_allclose(other, np.quantile([0.2, 0.3, 0.4, 0.6], [0.1, 0.5, 0.9]), rtol=1e-6)
    np.testing.assert_array_equal(reduced["class_size"].sel(group="majority"), [1, 1, 2])


@pytest.mark.parametrize(("switch", "ordinary_own"), [(12, 0.6), (-1, None)])
def test_without_t1_classes_come_from_the_switch_or_the_start(switch, ordinary_own):
    reduced = curves.reduce(record(scales=[1.0], diverged=[-1], switch=switch), [FOUND])
    of = reduced["projection"].sel(group="minority", direction="own", quantile=0.5)
    np.testing.assert_allclose(of.sel(neuron_class="specialist"), [0.3, 0.9, 2.0], rtol=1e-6)
    if ordinary_own is None:  # at the start neuron 3 was aligned best with feature 1
        assert np.isnan(of.sel(neuron_class="ordinary")).all()
        np.testing.assert_array_equal(reduced["class_size"].sel(group="minority"), [1, 0, 3])
    else:
        np.testing.assert_allclose(of.sel(neuron_class="ordinary", record=1), ordinary_own, rtol=1e-6)


def test_counts_by_hand():
    reduced = curves.reduce(record(), [FOUND, FOUND])
    last = reduced.isel(seed=0, record=-1)
    np.testing.assert_array_equal(last["specialists"], [1, 1, 2])
    np.testing.assert_array_equal(last["coverage"], [0.5, 0.5, 0.5])
    assert (float(last["inactive"]), float(last["mixed"])) == (1, 1)
    np.testing.assert_allclose(float(last["firing"]), 0.8, rtol=1e-6)
    np.testing.assert_allclose(float(last["false_firing"]), 0.4, rtol=1e-6)
    np.testing.assert_array_equal(reduced["loss"], [[0, 1, 2], [3, 4, 5]])


def test_stage_ends_become_an_array():
    reduced = curves.reduce(record(), [FOUND, FOUND])
    np.testing.assert_array_equal(reduced["stage_end"].sel(group="majority").isel(seed=0), [10, 20, 20])
    assert np.isnan(reduced["stage_end"].sel(group="minority")).all()
    np.testing.assert_array_equal(reduced["switch_step"], [12, 12])


def test_cosines_are_sorted_into_a_diagonal():
    reduced = curves.reduce(record(), [FOUND, FOUND])
    np.testing.assert_array_equal(reduced["neuron"], [0, 2, 1, 3])
    assert list(reduced["neuron_kind"].values) == ["specialist", "specialist", "mixed", "inactive"]
    np.testing.assert_array_equal(reduced["moment_step"], [0, 10, 20, 20])
    norm = np.sqrt(9 + 0.02**2)
    np.testing.assert_allclose(reduced["cosine_at_end"].sel(moment="T3", neuron=0), [0, -3 / norm, 0, 0], atol=6e-4)


def test_the_first_seed_with_all_stages_is_shown():
    partial = FOUND | ends_of({"all": (10, None, None)})
    assert int(curves.reduce(record(), [partial, FOUND])["cosine_seed"]) == 8
    reduced = curves.reduce(record(), [partial, partial])
    assert int(reduced["cosine_seed"]) == 7
    np.testing.assert_array_equal(np.isfinite(reduced["moment_step"]), [True, True, False, False])
    assert np.isnan(reduced["cosine_at_end"].sel(moment="T2")).all()


def test_a_diverged_seed_enters_nothing():
    with_lost = record(scales=[1.0, np.nan, 2.0], diverged=[-1, 5, -1])
    reduced = curves.reduce(with_lost, [FOUND, FOUND, FOUND])
    without = curves.reduce(record(), [FOUND, FOUND])
    np.testing.assert_array_equal(reduced["projection"], without["projection"])
    np.testing.assert_array_equal(reduced["class_size"], without["class_size"])
    for name in ("specialists", "coverage", "mixed", "inactive", "loss", "stage_end", "firing"):
        assert np.isnan(reduced[name].isel(seed=1)).all(), name
    np.testing.assert_array_equal(reduced["diverged_step"], [-1, 5, -1])


def test_all_seeds_diverged():
    reduced = curves.reduce(record(scales=[np.nan], diverged=[3]), [FOUND])
    assert int(reduced["cosine_seed"]) == -1
    assert all(np.isnan(reduced[name]).all() for name in ("projection", "class_size", "specialists", "cosine_at_end"))


@pytest.mark.parametrize(("fraction", "empty"), [(0.0, "minority"), (1.0, "majority")])
def test_a_group_without_members_is_nan(fraction, empty):
    ends = {group: FOUND["majority"] for group in ("majority", "minority", "all") if group != empty}
    reduced = curves.reduce(record(config=config_with(minority_fraction=fraction)), [ends, ends])
    for name in ("projection", "class_size", "specialists", "coverage", "stage_end"):
        assert np.isnan(reduced[name].sel(group=empty)).all(), name
    np.testing.assert_array_equal(reduced["specialists"].sel(group="all").isel(seed=0, record=-1), 2)


def test_without_a_complement_its_projection_is_nan():
    reduced = curves.reduce(record(config=config_with(token_dim=4)), [FOUND, FOUND])
    assert np.isnan(reduced["projection"].sel(direction="complement")).all()
    assert np.isfinite(reduced["projection"].sel(direction="own", group="majority")).all()


def test_features_stand_majority_first():
    config = config_with(frequency_profile="given", relative_frequency=(0.5, 1.0, 0.4, 1.0))
    reduced = curves.reduce(record(config=config), [FOUND, FOUND])
    np.testing.assert_array_equal(reduced["feature"], [1, 3, 0, 2])
    assert list(reduced["feature_group"].values) == ["majority"] * 2 + ["minority"] * 2
    assert np.all(np.diff(reduced["activation_probability"]) <= 0)


def test_saved_curves_load_again(tmp_path):
    reduced = curves.reduce(record(), [FOUND, FOUND])
    results.save(reduced, tmp_path / "curves.nc")
    loaded = results.load(tmp_path / "curves.nc")
    assert loaded.identical(reduced)
    assert results.provenance_of(loaded) == {"commit": "abc"}


def test_one_entry_of_ends_per_seed():
    with pytest.raises(ValueError, match="2 seeds, got 1"):
        curves.reduce(record(), [FOUND])
