"""The committed figures, drawn from their committed data: text that can be read, inside the figure, none on another."""

import itertools

import pytest
from matplotlib.text import Text

from dynsim import plots
from dynsim.experiment import load
from dynsim.plots.style import LARGE_TEXT, SMALL_TEXT
from experiments import make_figures

TALLEST = 9.0  # inches: a page of a paper


def figures_of(experiment):
    data = make_figures.FIGURES / "data"
    numbers, reduced = load(experiment, data / f"{experiment.name}.json", data / f"{experiment.name}.nc")
    return experiment.draw(numbers, reduced)


def drawn_texts(figure):
    """Return [(text, its box in pixels)] of everything that is written when the figure is drawn."""
    found = []
    real = Text.draw

    def draw(self, renderer, *more, **options):
        done = real(self, renderer, *more, **options)
        if self.get_visible() and self.get_text().strip():
            found.append((self, self.get_window_extent(renderer)))
        return done

    figure.set_dpi(plots.DPI)
    if figure.get_layout_engine() is not None:
        figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", draw)
        figure.draw_without_rendering()  # every artist places itself, and nothing is painted
    return found


@pytest.mark.slow
@pytest.mark.parametrize("experiment", make_figures.EXPERIMENTS, ids=lambda one: one.name)
def test_every_text_can_be_read_at_the_width_of_the_figure(experiment):
    figures = figures_of(experiment)
    committed = {
        path.stem.removeprefix(f"{experiment.name}_") for path in make_figures.FIGURES.glob(f"{experiment.name}*.png")
    }
    assert set(figures) == committed <= set(experiment.captions())  # some are drawn for certain arms only
    for name, figure in figures.items():
        width, height = figure.get_size_inches()
        assert width in (plots.ONE_COLUMN, plots.TWO_COLUMNS) and height <= TALLEST, name
        texts = drawn_texts(figure)
        assert len(texts) > 10, name
        for text, box in texts:
            assert SMALL_TEXT <= text.get_fontsize() <= LARGE_TEXT, (
                f"{name}: {text.get_text()!r} has {text.get_fontsize()} pt"
            )
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width * plots.DPI + 1 and box.y1 < height * plots.DPI + 1
            assert inside, f"{name}: {text.get_text()!r} leaves the figure: {box.extents}"
        for (one, a), (two, b) in itertools.combinations(texts, 2):
            apart = a.x1 < b.x0 + 2 or b.x1 < a.x0 + 2 or a.y1 < b.y0 + 2 or b.y1 < a.y0 + 2
            assert apart or one is two, f"{name}: {one.get_text()!r} lies on {two.get_text()!r}"
