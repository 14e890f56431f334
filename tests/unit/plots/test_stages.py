"""Figures of tiny reduced results: they build without warnings, say what they show, and save reproducibly."""

import functools

import matplotlib
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dynsim import plots, results
from dynsim.analysis import curves
from dynsim.analysis.stages import STAGES, StageEnd
from dynsim.config import Config, DataConfig, EncoderConfig
from dynsim.plots import parts
from dynsim.plots.style import COLOR
from dynsim.stats import intervals
from dynsim.theory import feature_groups

STEPS = np.array([0, 1, 3, 10, 30, 100])


def tiny_curves(**options):
    """Return the curves of three seeds, five neurons and four features that grow at random."""
    return made_curves(**options).copy(deep=True)


@functools.cache
def made_curves(found=True, fraction=0.5, token_dim=6, diverged=-1):
    data = DataConfig(n_features=4, token_dim=token_dim, minority_fraction=fraction)
    config = Config(data=data, encoder=EncoderConfig(n_neurons=5))
    rng = np.random.default_rng(0)
    # neuron i grows along feature i (the last neuron along none), so that specialists appear
    growth = np.concatenate([np.eye(4), np.zeros((1, 4))]) * np.log1p(STEPS)[:, None, None]
    alignment = 0.05 * rng.standard_normal((3, len(STEPS), 5, 4)) + 0.3 * growth * found
    residual = 0.01 * np.ones(alignment.shape[:3])
    norm = np.sqrt(np.sum(alignment**2, axis=-1) + residual**2)
    one = np.ones_like(norm)
    names = ("weight_norm", "residual_norm", "threshold", "firing", "false_firing")
    fields = {"alignment": alignment} | dict(zip(names, (norm, residual, 0 * one, one, 0 * one), strict=True))
    fields["self_weight"] = one[..., 0]
    loss = np.tile(3.0 / np.log(np.e + STEPS), (3, 1))
    loss[:, 0] = np.nan
    per_seed = {"loss": loss, "switch_step": np.full(3, 3), "diverged_step": np.full(3, diverged)}
    result = results.to_dataset(config, feature_groups(config.data), np.arange(3), STEPS, fields, per_seed, {})
    ends = {s: StageEnd(step if found else None, "", {}) for s, step in zip(STAGES, (3, 10, 30), strict=True)}
    absent = {0.0: "minority", 1.0: "majority"}.get(fraction)
    of_seed = {group: ends for group in ("majority", "minority", "all") if group != absent}
    return curves.reduce(result, [of_seed] * 3)


def tiny_rates(n_seeds=3, **attrs):
    p = np.array([[0.1, 0.1, 0.05, 0.05], [0.1, 0.08, 0.05, 0.02]])
    measured = 0.5 * p[:, None] * (1 + 0.1 * np.linspace(-1, 1, n_seeds)[:, None])
    variables = {
        "measured": (("profile", "seed", "feature"), measured),
        "predicted": (("profile", "feature"), 0.5 * p),
        "activation_probability": (("profile", "feature"), p),
    }
    return xr.Dataset(variables, {"profile": ["two levels", "spread"]}, attrs)


FIGURES = {
    "projections": lambda reduced: plots.projections(reduced, {"majority": 0.1, "minority": 0.05}),
    "specialists": plots.specialist_counts,
    "loss": lambda reduced: plots.loss_curve(reduced, {"chance": 3.0, "ideal": 0.3}),
    "cosines": plots.cosine_matrix,
    "growth_rates": lambda reduced: plots.growth_rates(tiny_rates()),
    "controls": lambda reduced: plots.controls({"main run": reduced, "b = 0": reduced}, {}),
}


def legend_texts(holder):
    return [text.get_text() for text in holder.get_legend().get_texts()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_figures_draw_without_a_warning_and_leave_the_global_style_alone():
    before, reduced = dict(matplotlib.rcParams), tiny_curves()
    for draw in FIGURES.values():
        draw(reduced).draw_without_rendering()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "options", [{"found": False, "token_dim": 4, "fraction": 1.0}, {"fraction": 0.0, "diverged": 5}]
)
def test_figures_draw_whatever_is_missing(options):
    """No stage, no complement, a group without members, every seed diverged: all without a warning."""
    reduced = tiny_curves(**options)
    for name in ("projections", "specialists", "loss", "cosines", "controls"):
        figure = FIGURES[name](reduced)
        figure.set_layout_engine("none")  # laying out takes most of the time
        figure.draw_without_rendering()


def test_every_figure_has_a_caption():
    assert set(plots.CAPTIONS) == set(FIGURES)
    assert all(text.endswith(".") and len(text) > 100 for text in plots.CAPTIONS.values())


def test_projections_name_classes_stages_and_units():
    figure = plots.projections(tiny_curves(), {"majority": 0.1})
    axes = np.array(figure.axes).reshape(2, 3)
    assert "majority" in axes[0, 0].get_ylabel() and "minority" in axes[1, 0].get_ylabel()
    assert [ax.get_xlabel() for ax in axes[1]] == ["training step"] * 3
    named = legend_texts(axes[0, 2])
    assert named == [
        "specialist (2)",
        *[label for label in named if label.startswith(("ordinary", "other"))],
        "closed form",
    ]
    assert "closed form" not in legend_texts(axes[1, 2])
    assert axes[0, 2].get_legend().get_title().get_text() == "neurons (number per seed)"
    assert texts(axes[0, 1]) == list(STAGES)
    assert axes[0, 0].get_xscale() == "symlog" and axes[0, 0].get_yscale() == "log"


def test_the_closed_form_starts_at_the_median_and_grows_at_its_rate():
    reduced = tiny_curves()
    ax = plots.projections(reduced, {"majority": 0.1}).axes[0]
    dashed = next(line for line in ax.lines if line.get_linestyle() == "--")
    start = float(
        reduced["projection"].sel(group="majority", neuron_class="specialist", direction="own", quantile=0.5)[0]
    )
    x, y = dashed.get_data()
    assert x[0] == 0 and 3 < x[-1] < 10  # a bit past T1 = 3
    np.testing.assert_allclose(y, start * np.exp(0.1 * x), rtol=1e-6)


def test_classes_of_single_neurons_are_named_but_not_drawn():
    reduced = tiny_curves()
    reduced["class_size"][:] = 0.4
    ax = plots.projections(reduced, {}).axes[2]
    assert legend_texts(ax)[0] == "specialist (0.4, not drawn)"
    assert all(len(line.get_xdata()) != len(STEPS) for line in ax.lines)


def test_specialist_counts_show_groups_and_stage_ends():
    left, right = plots.specialist_counts(tiny_curves()).axes
    assert legend_texts(left) == ["majority features", "minority features", "median stage end of the group"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("number of specialists", "share of features with a specialist")
    assert texts(left) == list(STAGES) * 2
    np.testing.assert_array_equal(left.lines[0].get_ydata()[-1], 2)


@pytest.mark.parametrize(("n_missing", "shown"), [(0, ["T1", "T2", "T3"]), (1, ["T1", "T2", "T3"]), (2, ["T1", "T2"])])
def test_a_stage_end_says_how_few_seeds_have_it(n_missing, shown):
    """Fewer than half of the seeds give no mark: their median may come before that of an earlier stage."""
    reduced = tiny_curves()
    reduced["stage_end"].loc[{"stage": "T3", "seed": reduced.seed.values[:n_missing]}] = np.nan
    left = plots.specialist_counts(reduced).axes[0]
    assert texts(left) == shown * 2
    faces = [line.get_markerfacecolor() for line in left.lines if line.get_marker() == "v"]
    assert faces.count(COLOR["empty"]) == (2 if n_missing == 1 else 0)
    assert ("open" in legend_texts(left)[2]) == (n_missing == 1)
    ax = plots.projections(reduced, {}).axes[0]
    assert [text for text in texts(ax) if text.startswith("T")] == shown
    assert sum(line.get_linestyle() == "-." and len(line.get_xdata()) == 2 for line in ax.lines) == (n_missing == 1)


def test_loss_floors_are_labelled_apart():
    ax = plots.loss_curve(tiny_curves(), {"a": 0.5, "b": 0.5001}).axes[0]
    labels = [text for text in ax.texts if text.get_text().startswith(("a:", "b:"))]
    assert [text.get_text() for text in labels] == ["a: 0.5", "b: 0.5"]
    assert labels[1].get_position()[1] - labels[0].get_position()[1] > 0.08
    assert ax.get_ylabel() == "contrastive loss"


def test_a_floor_of_zero_keeps_the_axis_linear():
    ax = plots.loss_curve(tiny_curves(), {"nothing": 0.0}).axes[0]
    assert ax.get_yscale() == "linear" and ax.get_ylim()[0] <= 0


def test_cosine_titles_say_the_step():
    figure = plots.cosine_matrix(tiny_curves())
    named = ["initial\nstep 0", "thresholds on\nstep 3", "T2\nstep 10", "T3\nstep 30"]
    assert [ax.get_title() for ax in figure.axes[:4]] == named
    missing = plots.cosine_matrix(tiny_curves(found=False))
    assert [ax.get_title() for ax in missing.axes[2:4]] == [f"{stage}\n(not found)" for stage in STAGES[1:]]


def test_the_switch_of_the_thresholds_has_one_name_and_t1_is_that_of_a_group():
    """Of all features together, T1 is the doubling of the norms: the step at which the thresholds are switched on."""
    reduced = tiny_curves()
    assert texts(plots.loss_curve(reduced, {}).axes[0]) == ["thresholds on ", "T2", "T3"]
    reduced["switch_step"][:] = 30  # elsewhere than T1
    assert [plots.cosine_matrix(reduced).axes[1].get_title()] == ["norms doubled\nstep 3"]
    reduced["switch_step"][:] = -1  # never
    assert texts(plots.loss_curve(reduced, {}).axes[0]) == ["T2", "T3"]
    assert plots.projections(reduced, {}).axes[0].texts[0].get_text() == "T1"


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_growth_rates_add_the_decay_once(decay):
    top, bottom = plots.growth_rates(tiny_rates(decay=decay)).axes
    assert legend_texts(top) == ["closed form", "two levels", "spread"]
    line = next(line for line in top.lines if line.get_label() == "closed form")
    np.testing.assert_allclose(line.get_ydata(), [0, *(0.5 * np.array([0.05, 0.05, 0.1, 0.1]) + decay)])
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), 0, atol=1e-9)  # the seeds lie evenly around the prediction
    assert bottom.get_ylabel() == "deviation, %"


def test_interval_by_hand():
    mean, half = intervals.t_half_widths(np.array([[1.0, 5.0, np.nan], [3.0, np.nan, np.nan]]))
    np.testing.assert_array_equal(mean, [2, 5, np.nan])
    # two values, each 1 from their mean: s / sqrt(2) = 1, and the t quantile at one degree of freedom is tan(0.475 pi)
    np.testing.assert_allclose(half, [np.tan(0.475 * np.pi), np.nan, np.nan])


def test_spread_moves_only_equal_places():
    moved = parts.spread(np.array([0.5, 1.0, 1.0, 1.0]), share=0.1)
    np.testing.assert_allclose(moved, [0.5, 0.95, 1.0, 1.05])


def cells(ax):
    return {place: cell.get_text().get_text() for place, cell in ax.tables[0].get_celld().items()}


def test_controls_count_the_stages_found():
    given = {"n_seeds": 20, "found": {"minority": {"T1": 19, "T2": 0, "T3": 0}}}
    both = {"main run": tiny_curves(), "b = 0": tiny_curves(found=False)}
    figure = plots.controls(both, {"b = 0": given})
    main, control = figure.axes[2:4]
    assert [cells(main)[0, k] for k in range(3)] == list(STAGES) and texts(main) == ["majority", "minority"]
    assert cells(main)[1, 0] == cells(main)[2, 2] == "3/3"
    assert [cells(control)[1, k] for k in range(3)] == ["19/20", "0/20", "0/20"]
    assert plots.stages_found(both["b = 0"])["found"]["all"] == {"T1": 0, "T2": 0, "T3": 0}
    assert [ax.get_title() for ax in figure.axes[:2]] == ["main run", "b = 0"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


META = {"experiment": "stage_tracking", "config": "1a2b", "commit": "fc2920a"}


def test_png_carries_caption_and_origin(tmp_path):
    path = tmp_path / "new" / "loss.png"
    plots.save_figure(plots.loss_curve(tiny_curves(), {}), path, "How to read |N|.", META)
    with Image.open(path) as image:
        assert image.text == {"Description": "How to read |N|.", **META}
    assert [p.name for p in path.parent.iterdir()] == ["loss.png"]


def test_svg_carries_caption_and_origin(tmp_path):
    path = tmp_path / "loss.svg"
    plots.save_figure(plots.loss_curve(tiny_curves(), {}), path, "How to read it.", META)
    text = path.read_text()
    assert "How to read it." in text and "config: 1a2b" in text and "dc:date" not in text


def test_pdf_carries_caption_and_origin_and_no_date(tmp_path):
    path = tmp_path / "loss.pdf"
    plots.save_figure(plots.loss_curve(tiny_curves(), {}), path, "How to read it.", META)
    text = path.read_bytes()
    assert b"How to read it." in text and b"config: 1a2b" in text and b"Date" not in text


@pytest.mark.parametrize("suffix", plots.FORMATS)
def test_two_saves_are_the_same_bytes(tmp_path, suffix):
    reduced = tiny_curves()
    figure = plots.loss_curve(reduced, {"chance": 3.0})
    saved = []
    for k, drawn in enumerate([figure, figure, plots.loss_curve(reduced, {"chance": 3.0})]):
        plots.save_figure(drawn, tmp_path / f"{k}.{suffix}", "caption", META)
        saved.append((tmp_path / f"{k}.{suffix}").read_bytes())
    assert saved[0] == saved[1] == saved[2]


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match="png, pdf, svg, got jpg"):
        plots.save_figure(plots.loss_curve(tiny_curves(), {}), tmp_path / "a.jpg", "", {})
