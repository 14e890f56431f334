"""Own losses in every form, own parts of the wrong kind, and a function that is told every record as it comes in."""

import csv
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config.checks import ConfigError
from dynsim.engine import own_parts, resume
from dynsim.engine import simulate as module
from dynsim.engine.data import Batch, DataModel
from dynsim.engine.encoder import Encoder, Params
from dynsim.engine.program import Program
from dynsim.engine.simulate import simulate
from dynsim.engine.snapshot import built_in_record
from dynsim.losses.contrastive import LossValue
from dynsim.results.sealed import ResultError  # noqa: F401  loads the room before types are checked
from tests.integration.test_running import assert_same_bits
from tests.reference import toy

SEEDS = [3, 8]
plain = inspect.unwrap(simulate)  # as outside of the tests, where no types are checked at calls


# ----- losses


def per_query(query, key, batch, numbers):
    """Return a spectral contrastive loss, one number per query."""
    similarity = query @ key.T
    return jnp.mean(similarity**2, axis=1) - 2 * jnp.diagonal(similarity)


def scalar(query, key, batch, numbers):
    return jnp.mean(per_query(query, key, batch, numbers))


def whole(query, key, batch, numbers):
    return LossValue(scalar(query, key, batch, numbers), jnp.zeros((), query.dtype))


def test_a_loss_may_return_a_number_or_one_per_query():
    config = toy(optimizer__learning_rate=0.02)
    runs = {fn.__name__: simulate(config, SEEDS, loss=fn) for fn in (per_query, scalar, whole)}
    for name in ("weight", "loss", "alignment"):
        for other in ("per_query", "scalar"):
            np.testing.assert_array_equal(runs[other][name], runs["whole"][name])
    assert np.isfinite(runs["scalar"].loss[:, 1:]).all() and (runs["scalar"].diverged_step == -1).all()
    assert np.isnan(runs["scalar"].positive_weight).all()  # which such a loss does not tell
    assert runs["scalar"].loss.attrs["units"] == "as recorded" and runs["scalar"].threshold.attrs["units"] == "weight"
    assert (runs["whole"].positive_weight[:, 1:] == 0).all()


# ----- parts of the wrong kind


class Weights(NamedTuple):
    """Parameters with the one field that is needed."""

    weight: Any


def encoder(init=None, apply=None):
    return Encoder(
        init or (lambda key, numbers: Weights(jnp.ones((6, 8)))),
        apply or (lambda params, thresholds, tokens: params.weight @ tokens[0]),
    )


GOOD = Batch(jnp.ones((4, 2, 8)), jnp.ones((4, 2, 8)), jnp.ones((4, 5)), jnp.ones((4, 4), bool))


def data_model(init=None, batch=GOOD, probe=None):
    return DataModel(
        init or (lambda key, numbers: jnp.eye(8, 5)),
        lambda codes_key, noise_key, dictionary, numbers: batch,
        lambda key, dictionary, numbers: (jnp.ones((3, 2, 8)), jnp.ones((3, 5))) if probe is None else probe,
    )


WRONG = {
    "loss of three": (
        {"loss": lambda query, key, batch: 0.0},
        "loss: wanted a function of (query, key, batch, numbers)",
    ),
    "loss that is a number": ({"loss": 3}, "loss: wanted a function of (query, key, batch, numbers), got int; pass"),
    "loss per neuron": (
        {"loss": lambda q, k, b, n: jnp.mean(q, axis=0)[:3]},
        "got an array of shape (3,) and type float",
    ),
    "loss of integers": ({"loss": lambda q, k, b, n: jnp.sum(b.is_candidate, axis=1)}, "and type int"),
    "loss without return": ({"loss": lambda q, k, b, n: None}, "got NoneType; return jnp.mean(...)"),
    "loss and weight": ({"loss": lambda q, k, b, n: (jnp.sum(q), jnp.sum(q))}, "got tuple; return"),
    "loss value per query": (
        {"loss": lambda q, k, b, n: LossValue(jnp.sum(q, axis=1), jnp.sum(q))},
        "loss.loss: wanted a scalar, got an array of shape (6,)",
    ),
    "encoder as a function": ({"encoder": lambda w, x: x}, "encoder: wanted a dynsim.Encoder, got function; make one"),
    "encoder of tokens alone": (
        {"encoder": encoder(apply=lambda tokens: tokens)},
        "encoder.apply: wanted a function of",
    ),
    "weights in a list": ({"encoder": encoder(lambda k, n: [jnp.ones((6, 8))])}, "wanted parameters in a NamedTuple"),
    "too few neurons": ({"encoder": encoder(lambda k, n: Weights(jnp.ones((2, 8))))}, "= (6, 8), got (2, 8)"),
    "one number per token": (
        {"encoder": encoder(apply=lambda params, thresholds, tokens: tokens)},
        "wanted embeddings of shape (sample, neuron) = (6, 6), got (6, 2, 8); return one number per neuron",
    ),
    "data as a function": ({"data_model": lambda key: None}, "data_model: wanted a dynsim.DataModel, got function"),
    "a smaller dictionary": ({"data_model": data_model(lambda k, n: jnp.eye(8, 4))}, "(8, 5), got (8, 4)"),
    "no batch": ({"data_model": data_model(batch=None)}, "data_model.sample: wanted a dynsim.Batch, got NoneType"),
    "samples without tokens": (
        {"data_model": data_model(batch=GOOD._replace(query=jnp.ones((4, 8))))},
        "data_model.sample: query: wanted shape (query, token, token_dim = 8), got an array of shape (4, 8)",
    ),
    "numbers for Booleans": (
        {"data_model": data_model(batch=GOOD._replace(is_candidate=jnp.ones((4, 4))))},
        "is_candidate: wanted Booleans, got float64; compare with > 0",
    ),
    "fewer keys": (
        {"data_model": data_model(batch=GOOD._replace(key=jnp.ones((3, 2, 8))))},
        "key: wanted at least 4 candidates, got 3",
    ),
    "a probe alone": ({"data_model": data_model(probe=jnp.ones((3, 2, 8)))}, "wanted a pair (samples, codes)"),
    "other codes": (
        {"data_model": data_model(probe=(jnp.ones((3, 2, 8)), jnp.ones((3, 4))))},
        "data_model.probe: wanted codes of shape (n, n_features) = (3, 5), got (3, 4)",
    ),
    "record of a state": (
        {"record_fn": lambda state: {}},
        "record_fn: wanted a function of (state, world), got one of (s",
    ),
    "record without names": ({"record_fn": lambda state, world: state.params.weight}, "wanted a NamedTuple or a dict"),
    "record of words": ({"record_fn": lambda state, world: {"a": "b"}}, "record_fn: a: wanted an array, got str"),
    "record of a taken name": ({"record_fn": lambda s, w: {"loss": s.params.weight}}, "got loss; rename them"),
    "tracker of one": (
        {"on_record": lambda values: None},
        "on_record: wanted a function of (seed, step, values), got one",
    ),
    "one seed": ({"seeds": 3}, "seeds: wanted a sequence of integers such as range(3), got 3"),
    "a dictionary": (
        {"config": {"data": 3}},
        "config: wanted a dynsim.Config, got {'data': 3}; make one, as in replace",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_line_before_anything_is_compiled(name, monkeypatch):
    given, words = WRONG[name]
    monkeypatch.setattr(Program, "init", lambda *a: pytest.fail("a run was begun"))
    arguments = {"config": toy(), "seeds": [0]} | given
    check = {"seeds": module.check_seeds, "config": module.check_runnable}
    with pytest.raises(ConfigError) as caught:
        for one in given:
            if one in check:  # the outer functions check types at calls in the tests
                inspect.unwrap(check[one])(given[one])
        plain(**arguments)
    message = str(caught.value)
    assert words in message and "\n" not in message and len(message) < 300, message


def test_an_error_in_a_function_of_the_users_own_comes_through():
    def wrong(query, key, batch, numbers):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        simulate(toy(), [0], loss=wrong)


def test_what_the_parts_are_called_with_is_what_the_table_says():
    """The table of arguments is the one of the built-in parts, so that a message never asks for others."""
    from dynsim.engine import train
    from dynsim.engine.numbers import resolve

    built_in = train.built_in_parts(resolve(toy()).structure)
    for name, part in (("data_model", built_in.data), ("encoder", built_in.encoder)):
        for field, fn in part._asdict().items():
            if fn is not None:
                assert (
                    ", ".join(inspect.signature(inspect.unwrap(fn)).parameters)
                    == own_parts.CALLED_WITH[f"{name}.{field}"]
                )


# ----- a record of the user's own beside an encoder of the user's own


def test_the_built_in_record_measures_the_encoder_that_it_is_given():
    """A neuron that is never silent fires on every token, and would not by the thresholds of the built-in encoder."""
    config = toy(threshold__start="at_step")  # from the first step on
    own = encoder(
        lambda key, numbers: Params(0.1 * jax.random.normal(key, (6, 8))),
        lambda params, thresholds, tokens: jnp.sum(jnp.tanh(tokens @ params.weight.T) + 2, axis=0),
    )

    def record(state, world):
        ours = built_in_record(config, encoder=own)(state, world)
        return ours | {"by_built_in": built_in_record(config)(state, world)["firing"]}

    run, default = simulate(config, [0], encoder=own, record_fn=record), simulate(config, [0], encoder=own)
    assert (run.firing == 1).all() and (run.by_built_in < 1).any()
    for name in default.data_vars:
        np.testing.assert_array_equal(run[name], default[name])


def test_the_built_in_record_is_named_arrays_with_and_without_masks():
    masked = simulate(pruned := toy(prune__kind="lowest", prune__rate=0.5), [0], record_fn=built_in_record(pruned))
    assert masked.kept.dims == ("seed", "record", "neuron")
    with pytest.raises(ConfigError, match=r"encoder: wanted a dynsim\.Encoder, got function; make one"):
        inspect.unwrap(built_in_record)(toy(), encoder=lambda w, x: x)


# ----- a call-back for each record


class CsvTracker:
    """The worked example: a tracker that writes one row per seed and record into a table, as the run goes on.

    Rows are keyed by seed and step, so that a record that is reported twice after a crash has one row.
    """

    def __init__(self, path):
        self.path, self.rows = path, {}
        if path.exists():  # a run that was stopped goes on
            with path.open(newline="") as file:
                self.rows = {(int(row["seed"]), int(row["step"])): row for row in csv.DictReader(file)}

    def __call__(self, seed, step, values):
        row = {"seed": seed, "step": step, "loss": float(values["loss"])}
        row["largest_norm"] = float(values["weight_norm"].max())
        self.rows[seed, step] = row
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows(self.rows.values())


def rows_of(path):
    with path.open(newline="") as file:
        return {
            (int(r["seed"]), int(r["step"])): (float(r["loss"]), float(r["largest_norm"])) for r in csv.DictReader(file)
        }


def expected_rows(run):
    norm = run.weight_norm.max("neuron")
    return {
        (int(seed), int(step)): (float(run.loss[s, r]), float(norm[s, r]))
        for s, seed in enumerate(run.seed)
        for r, step in enumerate(run.step)
    }


def assert_same_rows(found, wanted):
    assert set(found) == set(wanted)
    for key, values in wanted.items():
        np.testing.assert_array_equal(found[key], values)  # NaN, the loss of no steps, equals itself here


def test_a_tracker_is_told_every_record_and_changes_no_bit(tmp_path):
    alone = simulate(toy(), SEEDS)
    tracked = simulate(toy(), SEEDS, on_record=CsvTracker(tmp_path / "run.csv"))
    assert_same_bits(tracked, alone)
    assert_same_rows(rows_of(tmp_path / "run.csv"), expected_rows(alone))


def test_records_come_in_while_the_run_goes_on_and_cannot_be_written_to(monkeypatch):
    order, advance = [], Program.advance

    def watched(self, runs, begin, end):
        order.append(("steps to", end))
        return advance(self, runs, begin, end)

    def told(seed, step, values):
        order.append((seed, step))
        with pytest.raises(ValueError, match="read-only"):
            values["alignment"][...] = 0

    monkeypatch.setattr(Program, "advance", watched)
    run = simulate(toy(), SEEDS, on_record=told)
    steps = run.step.values.tolist()
    assert [item for item in order if item[0] != "steps to"] == [(seed, step) for step in steps for seed in SEEDS]
    assert order.index((3, steps[1])) < order.index(("steps to", steps[2]))


def test_a_resumed_run_reports_from_its_checkpoint_on(tmp_path, monkeypatch):
    wanted, told = simulate(toy(), SEEDS), []
    steps = wanted.step.values.tolist()

    def stopping(seed, step, values):
        told.append((seed, step))
        if (seed, step) == (8, steps[3]):
            raise OSError("the tracker's disk is full")

    folder = tmp_path / "checkpoint"
    with pytest.raises(OSError, match="the tracker's disk is full"):
        simulate(toy(), SEEDS, on_record=stopping, checkpoint_folder=folder)
    again = []
    result = simulate(
        toy(), SEEDS, on_record=lambda seed, step, values: again.append((seed, step)), checkpoint_folder=folder
    )
    assert_same_bits(result, wanted)
    both = [(seed, step) for step in steps for seed in SEEDS]
    assert told == both[:8] and again == both[6:]  # the record at which it failed is reported again


def test_a_killed_run_keeps_one_row_per_record(tmp_path, monkeypatch):
    wanted = simulate(toy(), SEEDS)
    path, folder, calls, advance = tmp_path / "run.csv", tmp_path / "checkpoint", [], Program.advance

    def crashing(self, runs, begin, end):
        calls.append(None)
        if len(calls) == 4:
            raise MemoryError
        if len(calls) == 3:
            monkeypatch.setattr(resume, "CHECKPOINT_EVERY_S", 1e9)  # the last checkpoint is older than the crash
        return advance(self, runs, begin, end)

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        monkeypatch.setattr(resume, "CHECKPOINT_EVERY_S", 0.0)
        patched.setattr(Program, "advance", crashing)
        simulate(toy(), SEEDS, on_record=CsvTracker(path), checkpoint_folder=folder)
    before = len(rows_of(path))
    result = simulate(toy(), SEEDS, on_record=CsvTracker(path), checkpoint_folder=folder)
    assert 0 < before < len(expected_rows(wanted))
    assert_same_bits(result, wanted)
    assert_same_rows(rows_of(path), expected_rows(wanted))


def test_several_configurations_report_their_place():
    configs, told = [toy(), toy(data__minority_ratio=0.9)], {}

    def note(position, seed, step, values):
        told[position, seed, step] = values["weight_norm"]

    runs = module.simulate_many(configs, SEEDS, on_record=note)
    assert len(told) == 2 * len(SEEDS) * runs[0].sizes["record"]
    for position, run in enumerate(runs):
        np.testing.assert_array_equal(told[position, 8, 12], run.weight_norm.sel(seed=8)[-1])
