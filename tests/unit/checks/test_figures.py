"""Every figure of the committed report is drawn from its arrays, without a warning and without layout giving up."""

import functools
import warnings

import matplotlib.pyplot as plt
import pytest

from paper_checks import registry, report
from paper_checks.__main__ import FOLDER


@functools.cache
def committed_arrays():
    if not (FOLDER / report.ARRAYS).is_file():
        pytest.skip(f"{FOLDER / report.ARRAYS} is not there yet")
    return report.load(FOLDER)[1]


@pytest.mark.parametrize("code", registry.all_checks())
def test_a_figure_is_drawn_without_a_warning(code):
    arrays = committed_arrays()
    if code not in arrays:
        pytest.skip(f"{code} is not in the report")
    check = registry.all_checks()[code]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what judging says is no matter of the figure
        rows = check.judge(arrays[code])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = check.draw(arrays[code], rows)
        figure.draw_without_rendering()
    assert any(ax.has_data() for ax in figure.axes)
    plt.close(figure)
