"""The progress bar: one for a study, with an estimate that rests on the time spent in training alone."""

import io

import pytest

from dynsim.config import Config, replace
from dynsim.engine import progress
from dynsim.engine.progress import Bar, StudyBar, running, work_per_step


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal in place of stderr, set by a call in the test itself: pytest sets its own after the fixtures."""
    made = Terminal()

    def begin():
        monkeypatch.setattr(progress.sys, "stderr", made)
        return made

    return begin


def left_s(bar):
    """Return the seconds left that the bar shows: remaining work over the mean speed."""
    shown = bar.tqdm.format_dict
    assert shown["rate"] is None  # tqdm then takes the mean since the start of the clock
    return (shown["total"] - shown["n"]) / ((shown["n"] - shown["initial"]) / shown["elapsed"])


def test_the_estimate_leaves_out_compilation_and_what_is_done_meanwhile(terminal, monkeypatch):
    terminal = terminal()
    with Bar(100, "training") as bar:
        clock = [bar.tqdm.start_t]
        monkeypatch.setattr(bar.tqdm, "_time", lambda: clock[0])
        bar.begin("training", 0, 100)
        clock[0] += 60.0  # compiling
        bar.update(1, None)
        assert bar.tqdm.n == 1 and bar.tqdm.initial == 1
        clock[0] += 2.0
        bar.update(20, 2.0)
        clock[0] += 500.0  # another set of runs is compiled, results are saved
        bar.update(20, 2.0)
        assert left_s(bar) == pytest.approx(59 / 10)
    assert "training" in terminal.getvalue()


def test_a_study_has_one_bar_over_all_its_parts(terminal, monkeypatch):
    terminal = terminal()
    small = replace(Config(), **{"train.n_steps": 10})
    bar = StudyBar("a_study")
    with bar:
        clock = [bar.tqdm.start_t]
        monkeypatch.setattr(bar.tqdm, "_time", lambda: clock[0])
        bar.announce("first", small, 2)
        bar.announce("second", small, 2)
        bar.announce("second", small, 2)  # once
        one = bar.announced["first"]
        assert bar.tqdm.total == pytest.approx(2 * one) and one == 10 * work_per_step(small, 2)
        bar.finished_earlier("first", "first: finished earlier", 7.0)
        bar.finished_earlier("first", "first: finished earlier", 7.0)  # used twice
        assert bar.tqdm.n == pytest.approx(one) and bar.earlier_s == 7.0
        with running(bar, "second", 0, 10) as same:
            assert same is bar
            same.update(2, None)
            clock[0] += 1.0
            same.update(4, 1.0)
        assert bar.tqdm.n == pytest.approx(1.6 * one) and left_s(bar) == pytest.approx(1.0)
        bar.announce("not known before", small, 1)  # joins when it comes
        assert bar.tqdm.total == pytest.approx(2.5 * one)
    said = terminal.getvalue()
    assert said.count("first: finished earlier") == 1 and "second:  " in said and "left" in said


def test_a_resumed_run_says_where_it_goes_on(terminal):
    terminal = terminal()
    with running(True, "control r = 1", 1500, 4000) as bar:
        assert bar.tqdm.n == bar.tqdm.initial == 1500
    assert "control r = 1: resumed at step 1,500 of 4,000" in terminal.getvalue()


def test_a_bar_that_is_not_shown_prints_nothing(terminal):
    terminal = terminal()
    with running(False, "training", 7, 10) as bar:
        bar.update(1, None)
        bar.update(2, 1.0)
    assert terminal.getvalue() == ""


def test_work_by_hand():
    config = replace(
        Config(),
        **{
            "data.n_features": 3,
            "data.token_dim": 5,
            "data.n_tokens": 2,
            "data.batch_size": 4,
            "encoder.n_neurons": 7,
        },
    )
    tokens = 4 * 2 * 5
    assert work_per_step(config, 2) == 2 * (2 * tokens * 3 + 6 * tokens * 7 + 2 * 4 * 4 * 7)
