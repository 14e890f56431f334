"""Figures of pruning and of cost: what they leave out, what they say, and how they colour what is not confirmed."""

import numpy as np
import pytest
import xarray as xr

from dynsim.plots import cost, forest, masking, pruning
from dynsim.plots.style import COLOR
from experiments.pruning import regime_map

STEPS = np.array([0, 1, 10, 100])


def difference(estimate):
    spread = {"low": None, "high": None} if estimate is None else {"low": estimate - 1, "high": estimate + 1}
    return {"estimate": estimate, **spread}


def row(label, minority, majority, n_seeds=10):
    both = {"minority": difference(minority), "majority": difference(majority)}
    return {"label": label, "filled": True, "n_seeds": n_seeds, "n_given": 10, **both}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_counts_have_an_axis_per_group_and_no_panel_for_a_variant_that_lost_all_seeds():
    values = np.ones((3, 2, 4, 2)) * np.array([5.0, 100.0])
    values[2] = np.nan
    names = ["no pruning", "lowest", "random"]
    coords = {"variant": names, "group": ["minority", "majority"], "step": ("record", STEPS)}
    curves = xr.Dataset({"specialists": (("variant", "seed", "record", "group"), values)}, coords)
    rows = {
        "lowest": {
            "n_seeds": 2,
            "n_diverged": 0,
            "n_exploded": 0,
            "equal steps": {"minority specialists": difference(2.0), "majority specialists": difference(-3.0)},
        },
        "random": {"n_seeds": 0, "n_diverged": 1, "n_exploded": 1},
    }
    figure = pruning.counts(curves, rows)
    assert [ax.get_title() for ax in figure.axes] == ["lowest", ""]
    minority, majority = figure.axes
    assert minority.get_ylim()[1] < 10 < 100 < majority.get_ylim()[1]
    assert texts(minority) == ["+2.0 [+1.0, +3.0]"] and texts(majority) == ["-3.0 [-4.0, -2.0]"]
    assert figure.get_supxlabel() == "random: 2 of 2 seeds left out"


def test_shares_are_lines_and_choices_are_rows():
    sections = {
        "ratio, neurons": [row("0", 0.0, 0.0), row("0.5", 2.0, -3.0), row("0.9", None, None, 0)],
        "start": [row("switch", 1.0, 1.0)],
    }
    axes = forest.factors(sections).axes
    assert len(axes) == 4
    (line,) = [line for line in axes[0].lines if line.get_label() == "minority features"]
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0], [0.5, 2]])
    crosses = [line for line in axes[0].lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[0.9]] and texts(axes[0]) == ["no seed left"]
    assert axes[1].get_xlabel() == "masked share, neurons"
    assert [label.get_text() for label in axes[2].get_yticklabels()] == ["start", "thresholds on"]


def test_a_forest_says_which_rows_lost_seeds_and_shares_its_axis_when_told():
    sections = {"all": [row("one", -1.0, 30.0, 8), row("two", None, None, 0)]}
    left, right = forest.forest(sections, shared=True).axes
    assert left.get_xlim() == right.get_xlim()
    assert "2 of 10 seeds left out" in texts(left) and " all 10 seeds left out " in texts(left)
    left, right = forest.forest(sections).axes
    assert left.get_xlim() != right.get_xlim()


def test_amplification_shows_both_slopes_with_intervals_and_what_the_theorem_has():
    moments, groups, rates = ["stage 1", "end"], ["minority", "majority"], [0.1, 0.5]
    gain = np.ones((2, 2, 2, 2, 2))
    coords = {"moment": moments, "kind": ["lowest", "random_fixed"], "rate": rates, "group": groups}
    straight = xr.DataArray(gain, coords, ("seed", "moment", "kind", "rate", "group"))
    literal = straight.isel(kind=0, drop=True)
    slopes = xr.DataArray(
        np.array([[[1.0, 7.0], [2.0, 8.0]], [[3.0, 9.0], [4.0, 12.0]]]),
        {"moment": moments, "group": groups},
        ("seed", "moment", "group"),
    )
    figure = masking.amplification(xr.Dataset({"straight_through": straight, "literal": literal}), slopes, 4)
    assert [ax.get_title() for ax in figure.axes] == ["stage 1", "end", "slope, lowest norms masked", ""]
    points = [line for line in figure.axes[2].lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in points] == [[2, 3], [8, 10]]  # means over the two seeds
    (theorem,) = [line for line in figure.axes[2].lines if line.get_color() == COLOR["theory"]]
    np.testing.assert_allclose(theorem.get_ydata(), [0.5, 0.75])  # the minority's over d = 4
    assert figure.axes[3].get_legend() is not None


def sweep(last):
    return {
        "label": "neurons m",
        "held": "K = 8, L = 1, d = 4",
        "sizes": [1, 2, 4],
        "ms": [1.0, 2.0, 4.0],
        "ms_median": [1.0, 2.0, 4.0],
        "exponent": 1.0,
        "low": 0.9,
        "high": 1.1,
        "factor": 1e-3,
        "last": last,
    }


@pytest.mark.parametrize(("last", "bent"), [(1.0, False), (1.2, True), (0.8, True)])
def test_a_fit_says_where_the_times_bend(last, bent):
    assert cost.bends(sweep(last)) is bent
    ax = cost.cost_growth({"m": sweep(last)}, 1.05, ["m"]).axes[0]
    words = f"bends: {last:.2f} at the end" if bent else f"last pair {last:.2f}"
    assert texts(ax) == [f"fit 1.00 (0.90 to 1.10)\n{words}"]
    assert (ax.lines[0].get_linestyle() == "--") is bent


@pytest.mark.parametrize(
    ("seeds", "verdict", "colour"),
    [
        ("confirmation", "helps", COLOR["helps"]),
        ("confirmation", "harms", COLOR["harms"]),
        ("confirmation", "nothing", COLOR["all"]),
        ("search", "helps", COLOR["no verdict"]),
        ("search", "harms", COLOR["no verdict"]),
        ("search", "unstable", COLOR["no verdict"]),
    ],
)
def test_only_confirmed_verdicts_have_a_colour(seeds, verdict, colour):
    assert regime_map.mark_color({"seeds": seeds, "verdict": verdict}) == colour
