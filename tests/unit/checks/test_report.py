"""The report: saved, kept, verified, written; the frame of the checks."""

import math
import re
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from dynsim.config.checks import ConfigError
from dynsim.results.sealed import ResultError
from dynsim.stats.verdicts import CHECK_VERDICTS, NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED, UNDECIDED, VACUOUS
from paper_checks import document, drawing, registry, report
from paper_checks.__main__ import FOLDER, CheckOptions, main
from paper_checks.check import (
    ABOVE_0,
    OURS,
    PAPER,
    RIVAL,
    Check,
    about,
    at_points,
    only,
    out_of_regime,
    over_seeds,
    planned,
    row,
    vacuous,
)
from paper_checks.repeats import first_seeds, main_claims, table
from paper_checks.run_sets import RunSet
from paper_checks.runs import RUN_SETS, Point, Source
from tests.reference import toy


def judge(arrays):
    return [row("it is positive", "everywhere", "mean", over_seeds(arrays["x"].values), ABOVE_0, predicted=1.0)]


def draw(arrays, rows):
    fig, (ax,) = drawing.panels(1)
    drawing.points(ax, [1.0], arrays["x"].values[:, None], label="measured", color="all")
    drawing.words(ax, x="level", y="x", legend=True)
    return fig


def check_of(code, values):
    texts = dict.fromkeys(("statement", "title", "formula", "rival", "constants", "power", "caption"), "words")
    return Check(
        code=code, sets=(), measure=lambda source: xr.Dataset({"x": ("seed", values)}), judge=judge, draw=draw, **texts
    )


@pytest.fixture
def made(tmp_path):
    checks = {"A1": check_of("A1", np.array([1.0, 1.1, 0.9])), "B1": check_of("B1", np.array([-1.0, -1.1, -0.9]))}
    summary, arrays = report.make(checks, Source(tmp_path / "runs", "quick"))
    report.save(summary, arrays, tmp_path)
    return checks, tmp_path


def test_a_row_says_where_its_interval_lies():
    words = [row("c", "r", "q", found, (0.0, 1.0)).verdict for found in ((0.5, 0.1, 0.9), (2, 1.5, 2.5), (0.5, -1, 2))]
    assert words == [SUPPORTED, NOT_SUPPORTED, UNDECIDED]
    assert row("c", "r", "q", (0.5, math.nan, math.nan), (0.0, 1.0)).verdict == UNDECIDED
    assert (
        out_of_regime("c", "r", "q", "why").verdict == OUT_OF_REGIME
        and vacuous("c", "r", "q", "why").verdict == VACUOUS
    )
    assert about(-2.0, 0.1) == pytest.approx((-2.2, -1.8))


@pytest.mark.parametrize("found", [(0.5, 0.4, 0.6), (2.0, 1.9, 2.1), (0.5, -1.0, 2.0)])
def test_fewer_seeds_than_planned_decide_nothing_whatever_comes_out(found):
    one = row("c", "r", "q", found, (0.0, 1.0), note="and this")
    few = planned(one, 4, 6)
    assert (few.verdict, few.measured, few.interval) == (UNDECIDED, one.measured, one.interval)
    assert few.note == "4 seeds cannot decide this: at least 6 were planned; and this"
    assert planned(one, 6, 6) == one
    assert planned(out_of_regime("c", "r", "q", "why"), 4, 6).verdict == OUT_OF_REGIME


def test_quick_runs_are_made_while_checks_measure(tmp_path, monkeypatch):
    points = {Point(level=k): toy(data__minority_ratio=ratio) for k, ratio in enumerate((0.5, 0.9))}
    monkeypatch.setitem(RUN_SETS, "toy", RunSet("two toys", lambda preset: points, (2, 2)))
    source = Source(tmp_path, "quick")
    with source.made_meanwhile(["toy"]):
        futures = dict(source._meanwhile)
        found = source.runs("toy")
    assert list(found) == list(points) and [one.sizes["seed"] for one in found.values()] == [2, 2]
    assert all(one is future.result() for one, future in zip(found.values(), futures.values(), strict=True))
    assert source._meanwhile == {} and source.runs("toy") is found
    again = Source(tmp_path, "quick").runs("toy")  # from the folder
    assert all(one.identical(again[point]) for point, one in found.items())
    other = Source(tmp_path / "other", "default")
    with other.made_meanwhile(["toy"]):
        assert other._meanwhile == {}


def test_reseedings_have_seeds_of_their_own(tmp_path):
    source = Source(tmp_path, "quick")
    starts = first_seeds(source, 10)
    assert starts[:2] == [13100, 13200] and len(starts) == 10  # 12100 to 13000 were looked at before
    longest = max(len(source.seeds(name)) for name in RUN_SETS)
    assert min(np.diff(starts)) > longest and starts[0] > source.first_seed + longest


def test_means_over_seeds_leave_out_nan():
    assert over_seeds(np.array([1.0, np.nan, 1.0, 1.0])) == (1.0, 1.0, 1.0)
    assert math.isnan(over_seeds(np.array([1.0, np.nan]))[1])


def test_points_of_different_sizes_are_joined_and_found_again():
    parts = {
        Point("a", d, 0.5, f"level {d}"): xr.Dataset({"x": ("feature", np.arange(d, dtype=float))}) for d in (3, 5)
    }
    one = only(at_points(parts), d=3)
    assert one["x"].values[0, :3].tolist() == [0, 1, 2] and np.isnan(one["x"].values[0, 3:]).all()
    assert one["level"].values.tolist() == ["level 3"]


def test_the_report_is_saved_and_computed_again(made):
    checks, folder = made
    summary, _ = report.load(folder)
    assert summary["verdicts"] == dict.fromkeys(CHECK_VERDICTS, 0) | {SUPPORTED: 1, NOT_SUPPORTED: 1}
    assert report.require_alike(checks, folder) == 2


def test_a_number_that_differs_is_named(made):
    checks, folder = made
    summary, arrays = report.load(folder)
    summary["checks"]["A1"]["rows"][0]["measured"] = 1.001
    report.results.save_json({k: v for k, v in summary.items() if k != "sha256"}, folder / report.SUMMARY)
    with pytest.raises(ResultError, match=r"1 differences, first: A1, everywhere: measured 1\.001"):
        report.require_alike(checks, folder)
    assert report.differences({"A1": checks["A1"]}, summary, arrays)[-1] == "B1: no check of this name"


def test_another_run_of_one_check_keeps_the_others(made):
    _, folder = made
    summary, arrays = report.make(
        {"A1": check_of("A1", np.array([-1.0, -1.1, -0.9]))}, Source(folder / "runs", "quick")
    )
    merged, kept = report.save(summary, arrays, folder)
    assert merged == report.load(folder)[0] and merged["verdicts"][NOT_SUPPORTED] == 2
    assert set(report.load(folder)[1]) == set(kept) == {"A1", "B1"}


def test_a_report_of_two_commands_says_which_check_is_of_which_commit(made, monkeypatch):
    checks, folder = made
    provenance = report.results.provenance()
    monkeypatch.setattr(report.results, "provenance", lambda: provenance | {"commit": "0123456789"})
    summary, arrays = report.make({"B1": checks["B1"]}, Source(folder / "runs", "quick"))
    report.save(summary, arrays, folder)
    summary, _ = report.load(folder)
    assert [summary["checks"][code]["commit"] for code in checks] == [provenance["commit"], "0123456789"]
    text = document.render(summary, checks, folder, folder)
    assert f"at commit {str(provenance['commit'])[:7]} (B1 at commit 0123456);" in text


def test_a_report_of_an_earlier_version_is_not_added_to(made):
    checks, folder = made
    summary, _ = report.load(folder)
    new = report.make(checks, Source(folder / "runs", "quick"))
    for entry in summary["checks"].values():
        del entry["commit"]
    report.results.save_json({k: v for k, v in summary.items() if k != "sha256"}, folder / report.SUMMARY)
    with pytest.raises(ResultError, match="made by an earlier version; run once with --redraw"):
        report.save(*new, folder)
    report.rejudge(checks, folder)
    report.save(*new, folder)


def test_totals_say_whose_claims_they_are_about(tmp_path):
    values = np.array([1.0, 1.1, 0.9])
    checks = {
        "A1": check_of("A1", values),
        "B1": replace(check_of("B1", -values), origin=RIVAL),
        "C1": replace(check_of("C1", values), origin=RIVAL, origins={"it is": OURS}),
    }
    summary, _ = report.make(checks, Source(tmp_path, "quick"))
    assert [entry["rows"][0]["origin"] for entry in summary["checks"].values()] == [PAPER, RIVAL, OURS]
    assert document.counts_text(summary) == (
        "3 checks say 3 verdicts. On the 1 claims of the paper: 1 supported. On the 1 of rival explanations: 1 not "
        "supported. On the 1 about our sampler, controls and questions: 1 supported."
    )


def test_the_document_has_a_row_a_figure_and_a_section_for_each(made):
    checks, folder = made
    summary, arrays = report.load(folder)
    paths = report.draw_all(checks, arrays, summary, folder)
    text = document.render(summary, checks, folder, folder)
    assert [path.name for path in paths] == ["a1.png", "b1.png"] and all(path.stat().st_size for path in paths)
    assert text.count("**supported**") == 2 and text.count("![") == 2 and "1 [" in text
    assert "2 checks say 2 verdicts" in document.table_text(summary)


@pytest.mark.slow
def test_figures_drawn_in_several_processes_are_those_of_one(tmp_path, monkeypatch):
    summary, arrays = report.load(FOLDER)
    codes = ["S1e", "I2", "S1d"]
    wanted = report.draw_all(registry.chosen(codes), arrays, summary, tmp_path / "one", ("png",))
    monkeypatch.setattr(report, "WORTH_A_PROCESS", len(codes))
    got = report.draw_in_processes(codes, arrays, summary, tmp_path / "two", ("png",))
    assert [path.name for path in got] == [f"{code.lower()}.png" for code in codes]
    for name in [path.name for path in wanted]:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_drawing_process_that_was_killed_is_told_in_one_line(tmp_path, monkeypatch):
    class Broken(ProcessPoolExecutor):
        def map(self, *given, **options):
            raise BrokenProcessPool("a process was terminated abruptly")

    monkeypatch.setattr(report, "ProcessPoolExecutor", Broken)
    with pytest.raises(ResultError, match=r"^figures: a process that draws was killed; run .* --redraw$"):
        report.draw_in_processes([f"A{k}" for k in range(report.WORTH_A_PROCESS)], {}, {}, tmp_path, ("png",))


def test_repeats_are_counted_by_the_usual_verdict(tmp_path):
    found = {"A1 | r | c": [SUPPORTED] * 9 + [UNDECIDED], "B1 | r | c": [NOT_SUPPORTED] * 10}
    found["A1 | r | d"] = [SUPPORTED] * 8 + [NOT_SUPPORTED] * 2
    main = main_claims({"A1": check_of("A1", np.ones(3)), "B1": check_of("B1", np.ones(3))}, found)
    assert main == {"A1 | r | c", "B1 | r | c"}
    counted = table(found, 10, Source(tmp_path, "quick"), main)
    assert counted["repeated"] == 0.9 and counted["pairs"] == 30
    assert counted["main_repeated"] == 0.95 and counted["main_pairs"] == 20 and counted["opposite"] == 2
    assert counted["rows"]["A1 | r | c"]["repeats"] == 9
    assert document.usual_text(counted) == (
        "Usual verdicts: 2 supported, 1 not supported; those that support or do not support repeat in 90.0% of their "
        "pairs."
    )


def test_all_checks_are_complete():
    checks = registry.all_checks()
    known = {*RUN_SETS, *(path.stem for path in (FOLDER.parent / "figures" / "data").glob("*.json"))}
    for code, check in checks.items():
        assert set(check.sets) <= known, code
        assert all((check.statement, check.title, check.formula, check.rival, check.constants, check.power)), code
        assert "\n" not in check.title and check.caption.endswith("."), code
        # how well a number is known is its interval, which is measured; a text would go out of date unseen
        assert not re.search(r"known to|know to|scatters? by|are seen|would be seen", check.power), code


@pytest.mark.parametrize("preset", ["quick", "default", "large"])
def test_run_sets_are_configurations_that_differ(preset, tmp_path):
    source = Source(tmp_path, preset)
    for name in RUN_SETS:
        labels = [label for label, _ in source.parts(name).values()]
        assert len(labels) == len(set(labels)) > 0, name


def test_an_unknown_code_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="only: wanted codes of checks, got LUCKI; did you mean LUCKY"):
        registry.chosen(["LUCKI"])


def test_the_command_line_refuses_two_ways_at_once(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--verify", "--redraw"])
    assert caught.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1
    assert CheckOptions(repeats=3).repeats == 3


def test_a_part_of_the_checks_gives_no_table_of_repeats():
    with pytest.raises(ConfigError, match="only: wanted none with --repeats"):
        CheckOptions(repeats=3, only=("S1a",))


def test_a_part_of_the_report_is_computed_again_alone(made):
    checks, folder = made
    assert report.require_alike({"A1": checks["A1"]}, folder, ["A1"]) == 1
    with pytest.raises(ResultError, match="B1: no check of this name"):
        report.require_alike({"A1": checks["A1"]}, folder)
