"""A study fills up part by part: finished parts are reused, unfinished ones go on, nothing stays behind."""

import threading

import jax.numpy as jnp
import pytest

from dynsim import results, study
from dynsim.engine import simulate
from dynsim.engine.program import Program
from dynsim.losses.contrastive import LossValue
from dynsim.study import StudyPart, finish, part_path, simulate_part, simulated_meanwhile
from tests.reference import toy

SEEDS = [3, 8]


@pytest.fixture(autouse=True)
def a_clean_commit(monkeypatch):
    """Parts are trusted where the code that made them is known: as in a clean clone."""
    now = results.provenance()
    monkeypatch.setattr(results, "provenance", lambda: now | {"dirty": False})


@pytest.fixture
def calls(monkeypatch):
    made, original = [], simulate.simulate

    def counted(*arguments, **options):
        made.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(study, "simulate", counted)
    return made


def test_part_path_by_hand(tmp_path):
    assert part_path(tmp_path, "control r = 1") == tmp_path / "unfinished" / "control_r_1.nc"
    assert part_path(tmp_path, "growth rates as trained").name == "growth_rates_as_trained.nc"


def test_a_finished_part_is_reused(tmp_path, calls, capsys):
    first = simulate_part(tmp_path, "training", toy(), SEEDS)
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["training.nc"]  # no checkpoints left
    again = simulate_part(tmp_path, "training", toy(), SEEDS)
    assert len(calls) == 1 and "finished earlier" in capsys.readouterr().out
    assert again.drop_attrs().equals(first.drop_attrs())
    finish(tmp_path)
    assert not list(tmp_path.iterdir())
    finish(tmp_path)  # again is no error


def test_another_part_is_simulated_anew(tmp_path, calls, monkeypatch):
    simulate_part(tmp_path, "training", toy(), SEEDS)
    simulate_part(tmp_path, "training", toy(data__minority_ratio=0.9), SEEDS)
    simulate_part(tmp_path, "training", toy(data__minority_ratio=0.9), [3, 9])
    assert len(calls) == 3
    now = results.provenance()
    for change in (
        {"code": "other"},
        {"versions": {}},
        {"device": "other"},
        {"x64": not now["x64"]},
    ):
        monkeypatch.setattr(results, "provenance", lambda change=change: now | change)
        before = len(calls)
        simulate_part(tmp_path, "training", toy(data__minority_ratio=0.9), [3, 9])
        assert len(calls) == before + 1, change
        monkeypatch.setattr(results, "provenance", lambda: now)
        simulate_part(tmp_path, "training", toy(data__minority_ratio=0.9), [3, 9])


def test_a_part_made_with_other_functions_is_simulated_anew(tmp_path, calls):
    """They are not among the sources of dynsim, so that the digest of its code does not know them."""

    def scaled(by):
        def loss(query, key, batch, numbers):
            return LossValue(by * jnp.mean(query * key), jnp.zeros((), query.dtype))

        return loss

    one = simulate_part(tmp_path, "training", toy(), SEEDS, loss=scaled(1.0))
    simulate_part(tmp_path, "training", toy(), SEEDS, loss=scaled(1.0))
    assert len(calls) == 1  # the same code and constants: the same function
    two = simulate_part(tmp_path, "training", toy(), SEEDS, loss=scaled(2.0))
    assert len(calls) == 2 and not one.loss.equals(two.loss)
    simulate_part(tmp_path, "training", toy(), SEEDS)
    assert len(calls) == 3


def test_an_interrupted_part_goes_on(tmp_path, calls, monkeypatch):
    wanted = simulate_part(tmp_path / "other", "training", toy(), SEEDS)
    advance, n = Program.advance, []

    def stopping(self, runs, begin, end):
        n.append(begin)
        if len(n) == 3:
            raise KeyboardInterrupt
        return advance(self, runs, begin, end)

    monkeypatch.setattr(Program, "advance", stopping)
    with pytest.raises(KeyboardInterrupt):
        simulate_part(tmp_path, "training", toy(), SEEDS)
    assert not part_path(tmp_path, "training").exists()  # no half-written result
    got = simulate_part(tmp_path, "training", toy(), SEEDS)
    assert n[3] == n[2] > 0  # the stretch that was stopped came first
    assert got.drop_attrs().equals(wanted.drop_attrs())
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["training.nc"]


def test_parts_made_meanwhile_are_those_that_would_be_made_in_turn(tmp_path, calls, monkeypatch):
    parts = [StudyPart("a", toy(), SEEDS, {}), StudyPart("b", toy(data__minority_ratio=0.9), SEEDS, {})]
    wanted = [simulate_part(tmp_path / "other", *part[:3]) for part in parts]
    simulate_part(tmp_path, *parts[0][:3])
    with study.one_bar("study") as bar:
        with simulated_meanwhile(tmp_path, parts, 2) as meanwhile:
            assert list(meanwhile) == ["b"]
        assert bar.counted == {"b"} and len(calls) == 4  # what was there is left to the call that asks for it
        got = [simulate_part(tmp_path, *part[:3]) for part in parts]
        assert bar.counted == {"a", "b"} and bar.tqdm.n == bar.tqdm.total
    assert len(calls) == 4
    for one, other in zip(got, wanted, strict=True):
        assert one.drop_attrs().equals(other.drop_attrs())
    assert meanwhile["b"].result().identical(got[1])


def test_the_time_of_a_stopped_study_is_that_of_all_its_calls(tmp_path, calls):
    first = simulate_part(tmp_path, "a", toy(), SEEDS)
    took = results.provenance_of(first)["wall_s"]
    study.keep_numbers(tmp_path, "numbers", {}, lambda: 1)
    kept = results.load_json(part_path(tmp_path, "numbers").with_suffix(".json"))["took_s"]
    with study.one_bar("study") as bar:
        for _ in range(2):  # used twice, it counts once
            simulate_part(tmp_path, "a", toy(), SEEDS)
        assert bar.earlier_s == took > 0 and len(calls) == 1
        simulate_part(tmp_path, "b", toy(data__minority_ratio=0.9), SEEDS)
        simulate_part(tmp_path, "b", toy(data__minority_ratio=0.9), SEEDS)  # of this call
        assert bar.earlier_s == took
        study.keep_numbers(tmp_path, "numbers", {}, lambda: pytest.fail("computed again"))
        assert bar.earlier_s == took + kept


def test_parts_are_made_while_the_block_runs(tmp_path, monkeypatch):
    asked, real = threading.Event(), study.simulate

    def waiting(config, seeds, **options):
        assert asked.wait(20)
        return real(config, seeds, **options)

    monkeypatch.setattr(study, "simulate", waiting)
    with simulated_meanwhile(tmp_path, [StudyPart("a", toy(), SEEDS, {})], 1) as meanwhile:
        assert not meanwhile["a"].done()
        asked.set()
        assert meanwhile["a"].result().sizes["seed"] == len(SEEDS)


@pytest.mark.parametrize("ask", [True, False])
def test_a_part_that_fails_meanwhile_ends_the_study(tmp_path, monkeypatch, ask):
    begun, left = [], threading.Event()

    def broken(config, seeds, **options):
        begun.append(options["label"])
        if options["label"] == "a":
            raise ValueError("a")
        assert left.wait(20)
        return results.load(part_path(tmp_path, "there"))

    simulate_part(tmp_path, "there", toy(), SEEDS)
    monkeypatch.setattr(study, "simulate", broken)
    parts = [StudyPart(name, toy(), SEEDS, {}) for name in "abc"]

    def fail():
        with simulated_meanwhile(tmp_path, parts, 1) as meanwhile:
            if ask:
                try:
                    meanwhile["a"].result()
                finally:
                    threading.Timer(0.2, left.set).start()  # b ends when c has been cancelled
            left.set()

    with pytest.raises(ValueError, match=r"^a$"):
        fail()
    assert "c" not in begun or not ask
    assert not part_path(tmp_path, "a").exists()
