"""The committed report: its rows are what its arrays say, its document what its rows say, and its figures are drawn."""

import functools
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from paper_checks import document, registry, report
from paper_checks.__main__ import FOLDER
from paper_checks.check import ORIGINS


@functools.cache
def committed():
    """The committed summary and arrays."""
    return report.load(FOLDER)


@functools.cache
def judged(code):
    """The rows of a check, from the committed arrays."""
    return registry.all_checks()[code].judge(committed()[1][code])


def test_it_is_what_its_arrays_say():
    def known(code):
        def judge(arrays):
            assert arrays is committed()[1][code]
            return judged(code)

        return judge

    checks = {code: replace(check, judge=known(code)) for code, check in registry.all_checks().items()}
    assert report.differences(checks, *committed()) == []


@pytest.mark.parametrize("code", registry.all_checks())
def test_a_figure_is_drawn_without_a_warning(code):
    """And without layout giving up."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = registry.all_checks()[code].draw(committed()[1][code], judged(code))
        figure.draw_without_rendering()
    assert any(ax.has_data() for ax in figure.axes)
    plt.close(figure)


def test_every_exception_to_whose_claims_a_check_makes_names_some_rows():
    for code, check in registry.all_checks().items():
        claims = [row["claim"] for row in committed()[0]["checks"][code]["rows"]]
        assert {check.origin, *check.origins.values()} <= set(ORIGINS), code
        for begins in check.origins:
            assert any(claim.startswith(begins) for claim in claims), (code, begins)


def test_the_readme_is_what_the_report_says():
    written = (FOLDER / "README.md").read_text(encoding="utf-8")
    figures = FOLDER.parent / "figures" / "checks"
    assert written == document.render(committed()[0], registry.all_checks(), FOLDER, figures)


def test_it_is_complete_and_has_its_figures():
    summary, checks = committed()[0], registry.all_checks()
    assert summary["preset"] == "default" and set(summary["checks"]) == set(checks)
    assert summary["provenance"]["dirty"] is False
    names = {path.name for path in (FOLDER.parent / "figures" / "checks").iterdir()}
    assert names == {f"{report.figure_name(code)}.{kind}" for code in checks for kind in report.COMMITTED_FORMATS}
