"""`run.dynsim`: labelled stages, specialists and purity, figures against steps, rich text, differences."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dynsim.accessor  # noqa: F401  registers it
from dynsim.analysis import summary
from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError
from dynsim.engine.simulate import simulate
from dynsim.results import ResultError, concat
from dynsim.theory.specialists import is_specialist, purity
from tests.reference import toy

ROOT = Path(__file__).resolve().parents[2]
LONG = toy(encoder__init_std=0.02, train__n_steps=300, train__n_records=30)  # no further compilation


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return simulate(LONG, [3, 4])


def test_it_is_there_after_the_first_name_of_the_package_and_costs_no_import():
    code = (
        "import sys, dynsim\n"
        "assert 'dynsim.accessor' not in sys.modules and 'xarray' not in sys.modules\n"
        "from dynsim import load\n"
        "import xarray\n"
        "assert hasattr(xarray.Dataset, 'dynsim')\n"
        "heavy = {'jax', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    code = "import xarray, dynsim, sys; sys.exit(not hasattr(xarray.Dataset, 'dynsim') or 'jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_stages_are_those_of_the_analysis_with_labels(run):
    found, ends = run.dynsim.stages(), summary.all_stage_ends(run)
    assert found.step.dims == ("seed", "group", "stage") and found.seed.values.tolist() == [3, 4]
    assert found.stage.values.tolist() == ["T1", "T2", "T3"]
    for k, of_seed in enumerate(ends):
        for group, by_stage in of_seed.items():
            for stage, end in by_stage.items():
                one = found.isel(seed=k).sel(group=group, stage=stage)
                assert np.isnan(one.step) if end.step is None else one.step == end.step
                assert str(one.reason.item()) == end.reason and bool(end.reason) == np.isnan(one.after)
    assert np.isfinite(found.step.sel(stage="T1")).any() and np.isnan(found.step).any()  # both kinds are seen
    assert all(one.attrs["long_name"] and one.attrs["units"] for one in found.variables.values())


def test_specialists_and_purity_by_hand(run):
    found = run.dynsim.specialists(min_purity=0.5, min_firing=0.2)
    seen = run.alignment.values, run.weight_norm.values, run.firing.values
    by_hand = is_specialist(*seen, min_purity=0.5, min_firing=0.2)
    np.testing.assert_array_equal(found.is_specialist, by_hand)
    minority = run.group.values == "minority"
    np.testing.assert_array_equal(found["count"].sel(group="minority"), by_hand[..., minority].sum(axis=(2, 3)))
    np.testing.assert_array_equal(found.coverage.sel(group="all"), by_hand.any(axis=2).mean(axis=2))
    assert found["count"].max() > 0
    assert found.step.dims == ("record",) and found.feature_group.values.tolist() == run.group.values.tolist()
    pure = run.dynsim.purity()
    assert pure.dims == ("seed", "record", "neuron")
    np.testing.assert_array_equal(pure, purity(*seen[:2]))


def test_a_diverged_run_keeps_its_place_and_has_no_numbers(run):
    broken = run.copy(deep=True)
    broken["alignment"][0, 4:], broken["diverged_step"][0] = np.nan, 7
    assert np.isnan(broken.dynsim.stages().step.isel(seed=0)).all()
    assert set(broken.dynsim.stages().reason.isel(seed=0).values.ravel()) == {"the run diverged"}
    counts = broken.dynsim.specialists()["count"]
    assert np.isnan(counts[0, 4:]).all() and np.isfinite(counts[0, :4]).all()
    xr.testing.assert_equal(counts[1], run.dynsim.specialists()["count"][1])


def test_one_selected_seed_is_a_result_of_one_seed(run):
    xr.testing.assert_equal(run.isel(seed=1).dynsim.stages(), run.isel(seed=[1]).dynsim.stages())
    xr.testing.assert_equal(run.isel(seed=1).dynsim.purity(), run.isel(seed=[1]).dynsim.purity())


def test_configuration_and_differences(run):
    assert run.dynsim.config == LONG and run.dynsim.provenance["precision"] == "float64"
    other = simulate(replace(LONG, **{"data.minority_ratio": 0.7, "train.n_steps": 8}), [3])
    assert run.dynsim.diff(other) == {
        "data.minority_ratio": (0.5, 0.7),
        "train.n_steps": (300, 8),
        "seeds": ([3, 4], [3]),
    }
    assert run.dynsim.diff(run) == {}


@pytest.mark.parametrize("name", ["specialists", "projections", "loss", "cosines"])
def test_figures_are_shown_by_a_notebook(run, name):
    figure = getattr(run.dynsim.plot, name)()
    assert figure._repr_png_()[0].startswith(b"\x89PNG")


def test_the_axis_of_a_plot_is_the_step(run):
    ax = run.dynsim.plot("weight_norm").axes[0]
    assert ax.get_xlabel() == "training step" and ax.get_title() == "median and range over 2 seeds"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), run.step)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), run.weight_norm.mean("neuron").median("seed"))
    assert ax.get_ylabel().replace("\n", " ") == "mean of the length of a neuron's weights, ||w_i|| (weight)"
    majority, minority = run.dynsim.plot("alignment").axes[0].lines
    assert (majority.get_label(), minority.get_label()) == ("majority features", "minority features")
    sizes = abs(run.alignment).isel(feature=run.group.values == "minority").mean(["neuron", "feature"])
    np.testing.assert_allclose(minority.get_ydata(), sizes.median("seed"))  # signs would cancel
    assert run.isel(seed=0).dynsim.plot("self_weight").axes[0].get_title() == "one seed"


def test_the_axis_of_a_variable_of_the_users_own_is_its_name(run):
    own = {"long_name": "spread, recorded by a function of the user's own", "units": "as recorded"}
    spread = (("seed", "record", "spread_0"), np.abs(run.alignment.values[..., 0]))
    mine = run.assign(spread=(*spread, own), drift=(("seed", "record"), run.loss.values, own), bare=spread)
    labels = [mine.dynsim.plot(name).axes[0].get_ylabel() for name in ("spread", "drift", "bare")]
    assert labels == ["mean of spread", "drift", "mean of bare"]


def test_rich_text_says_first_what_differs_from_the_default(run):
    html = run.dynsim._repr_html_()
    assert html.index("data.minority_ratio") < html.index("seeds 3, 4") < html.index("step: median [min, max]")
    assert "data.pooling" not in html and "300 steps" in html
    text = repr(run.dynsim)
    assert "data.minority_ratio = 0.5 (default 0.7)" in text and "seeds 3, 4" in text and "majority T1" in text
    assert "all      T1* " in text and "T1*: the squared norms of the weights have doubled" in html


def test_rich_text_says_why_a_stage_is_missing(run):
    """For every stage that a seed lacks there is the reason of `stages`, once, below the line of the stage."""
    found, lines, html = run.dynsim.stages(), repr(run.dynsim).splitlines(), run.dynsim._repr_html_()
    missing = 0
    for group in found.group.values:
        for stage in found.stage.values:
            reasons = {why for why in found.reason.sel(group=group, stage=stage).values.tolist() if why}
            (at,) = (k for k, line in enumerate(lines) if line.split()[:1] == [group] and f" {stage}" in line[9:14])
            below = lines[at + 1] if at + 1 < len(lines) else ""
            assert below.startswith("      where it was not: ") == bool(reasons)
            assert all(below.count(why) == 1 and why in html for why in reasons)
            missing += len(reasons)
    assert missing and all(line.isprintable() for line in lines)
    bare = run.drop_vars("firing")  # a record from which no stages can be found
    assert repr(bare.dynsim).splitlines()[-1].startswith("  no stages: record: wanted variables")
    assert "<p>no stages: record: wanted variables" in bare.dynsim._repr_html_()


def test_rich_text_of_a_configuration():
    assert "Every field has its default." in Config()._repr_html_()
    html = replace(Config(), **{"data.minority_ratio": 0.25, "optimizer.arguments": (("b1<", 0.5),)})._repr_html_()
    fold = html.index("<details>")
    assert html.index("data.minority_ratio") < fold and html.index("0.25") < fold
    assert "data.n_features" not in html and "n_features" in html[fold:]  # defaults are behind the fold
    assert "b1&lt;" in html and "b1<" not in html


def test_what_is_no_whole_result_is_refused_in_one_line(run):
    cases = [
        (lambda: xr.Dataset().dynsim.config, ResultError, "wanted a result of simulate or load"),
        (lambda: xr.Dataset().dynsim.plot, ResultError, "wanted a result of simulate or load"),
        (lambda: concat({"a": run, "b": run}, "study").dynsim.config, ResultError, "several joined"),
        (lambda: run.drop_vars("firing").dynsim.specialists(), ConfigError, "none named firing"),
        (lambda: run.isel(record=-1).dynsim.stages(), ConfigError, "none named record"),
        (lambda: run.dynsim.plot("weigth_norm"), ConfigError, "weight_norm"),
    ]
    for make, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            make()
        assert "\n" not in str(caught.value)
