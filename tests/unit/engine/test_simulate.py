"""Running: record grid, seeds, labelled output, same bits however a run is cut, and no needless compilation."""

import dataclasses
import inspect
import io
from functools import partial
from itertools import pairwise

import jax
import numpy as np
import pytest

from dynsim import results, theory
from dynsim.config.checks import ConfigError
from dynsim.engine import progress, resume, simulate, train
from dynsim.engine.numbers import resolve
from dynsim.engine.program import Program, program, runs_one_by_one
from dynsim.engine.simulate import check_seeds, record_grid
from tests.reference import TOY, advancer, begin, toy

SEEDS = [3, 8, 11]
d, d1, m, T = 5, 8, 6, TOY.train.n_steps


@pytest.fixture(scope="module")
def result():
    return simulate.simulate(TOY, SEEDS)


def prepared(one_by_one, per_seed):
    """Return the toy program and runs of SEEDS with one configuration each."""
    compiled = program(resolve(TOY).structure, one_by_one)
    return compiled, compiled.init(np.asarray(SEEDS, np.uint32), [resolve(config).numbers for config in per_seed])


def final_state(compiled, runs):
    """Return the training state with a leading run axis, as NumPy arrays."""
    return jax.device_get(compiled.stacked(runs)[0].state)


def same(one, two):
    """Equal bits in every array, keys included."""
    leaves = [jax.tree.leaves(jax.tree.map(lambda leaf: np.asarray(leaf), tree)) for tree in (one, two)]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(*leaves, strict=True))


# ----- record grid and seeds


def test_record_grid_by_hand():
    assert record_grid(100, 4).tolist() == [0, 1, 10, 100]
    assert record_grid(1, 5).tolist() == [0, 1]
    assert record_grid(100, 2).tolist() == [0, 100]
    assert record_grid(4, 100).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("n_steps", [1, 2, 7, 100, 4000, 10**6])
@pytest.mark.parametrize("n_records", [2, 3, 20, 160])
def test_record_grid_spans_the_run(n_steps, n_records):
    grid = record_grid(n_steps, n_records)
    assert grid[0] == 0 and grid[-1] == n_steps
    assert len(grid) <= n_records and np.all(np.diff(grid) > 0)


def test_seeds():
    assert check_seeds([0, 2**32 - 1]).dtype == np.uint32
    for seeds, words in (([], "got none"), ([-1], "got -1"), ([2**32], "got 4294967296"), ([1, 1], "each seed once")):
        with pytest.raises(ConfigError, match=words):
            check_seeds(seeds)


@pytest.mark.parametrize("seeds", [5, None, 2.5, np.uint32(3)])
def test_seeds_that_are_no_sequence(seeds):
    with pytest.raises(ConfigError) as caught:
        inspect.unwrap(check_seeds)(seeds)  # as outside of the tests, where no types are checked at calls
    assert str(caught.value) == f"seeds: wanted a sequence of integers such as range(3), got {seeds!r}"


def test_precision_and_optimiser_are_checked_before_the_run(monkeypatch):
    with pytest.raises(ConfigError, match=r"optimizer\.name"):
        simulate.simulate(toy(optimizer__name="nonsense"), [0])
    monkeypatch.setattr(simulate, "program", None)  # nothing may be compiled before the checks
    with jax.enable_x64(False), pytest.raises(ConfigError, match="JAX_ENABLE_X64=1"):
        simulate.simulate(TOY, [0])


def test_batching_choice():
    assert runs_one_by_one(toy(train__batching="map")) and not runs_one_by_one(toy(train__batching="vmap"))
    assert runs_one_by_one(toy(train__batching="auto")) == (jax.default_backend() == "cpu")


# ----- the output


def test_the_dataset_has_the_documented_shapes(result):
    n = len(record_grid(T, TOY.train.n_records))
    S = len(SEEDS)
    assert dict(result.sizes) == {"seed": S, "record": n, "neuron": m, "feature": d, "token_dim": d1}
    shapes = {name: variable.shape for name, variable in result.data_vars.items()}
    per_neuron = dict.fromkeys(["weight_norm", "residual_norm", "threshold", "firing", "false_firing"], (S, n, m))
    assert shapes == per_neuron | {
        "alignment": (S, n, m, d),
        "self_weight": (S, n),
        "loss": (S, n),
        "positive_weight": (S, n),
        "switch_step": (S,),
        "diverged_step": (S,),
        "diverged_reason": (S,),
        "dictionary": (S, d1, d),
        "weight": (S, m, d1),
    }
    assert result.seed.values.tolist() == SEEDS
    assert result.step.values.tolist() == record_grid(T, TOY.train.n_records).tolist()
    assert result.group.values.tolist() == ["majority"] * 3 + ["minority"] * 2
    assert results.config_of(result) == TOY
    assert result.attrs["false_firing_rate"] == theory.false_firing_rate(TOY)
    named = {"wall_s", "steps_per_s", "precision", "batching", "peak_memory_mb", "cpu_count", "code", "own"}
    assert named <= set(results.provenance_of(result))
    assert results.provenance_of(result)["batching"] == "one by one"
    assert results.provenance_of(result)["embedding"] == "hand-written gradient, neurons in 1 block"


@pytest.mark.parametrize(
    ("changes", "name", "dims"),
    [
        ({"encoder__architecture": "relu", "encoder__train_bias": True, "data__n_tokens": 1}, "bias", ("neuron",)),
        (
            {"encoder__attention": "softmax_scaled", "encoder__train_attention": True},
            "attention",
            ("three", "token_dim", "token_dim_in"),
        ),
    ],
)
def test_all_that_was_trained_is_kept(changes, name, dims, tmp_path):
    config = toy(train__n_steps=2, **changes)
    run = simulate.simulate(config, SEEDS[:1])
    assert run[name].dims == ("seed", *dims)
    carry, world, parts = begin(config, SEEDS[0])
    wanted = getattr(advancer(parts)(carry, world, 0, 2).state.params, name)
    np.testing.assert_allclose(run[name][0], wanted, rtol=1e-12, atol=1e-14)
    results.save(run, tmp_path / "run.nc")
    assert results.load(tmp_path / "run.nc")[name].dims == ("seed", *dims)


def test_the_last_record_is_that_of_the_final_weights(result):
    for seed in SEEDS:
        run = result.sel(seed=seed)
        np.testing.assert_allclose(run.alignment[-1], run.weight.values @ run.dictionary.values, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(run.weight_norm[-1], np.linalg.norm(run.weight.values, axis=1), rtol=1e-13)


def test_energies_add_up_at_every_record(result):
    energy = (result.alignment**2).sum("feature") + result.residual_norm**2
    np.testing.assert_allclose(energy, result.weight_norm**2, rtol=1e-12)


def test_dictionaries_are_orthonormal_and_differ_between_seeds(result):
    M = result.dictionary.values
    np.testing.assert_allclose(np.einsum("stj,stk->sjk", M, M), np.broadcast_to(np.eye(d), (3, d, d)), atol=1e-13)
    assert np.max(np.abs(M[0] - M[1])) > 0.1


def test_recorded_losses_are_means_over_the_steps_since_the_last_record(result):
    carry, world, parts = begin(TOY, SEEDS[1])
    go, losses = advancer(parts), []
    for n in range(T):
        carry = go(train.start(carry.state), world, n, n + 1)
        losses.append(float(carry.total.loss))
    steps, recorded = result.step.values, result.loss.sel(seed=SEEDS[1]).values
    assert np.isnan(recorded[0])  # no step lies before the first record
    for t in range(1, len(steps)):
        np.testing.assert_allclose(recorded[t], np.mean(losses[steps[t - 1] : steps[t]]), rtol=1e-12)


def test_thresholds_come_on_at_the_switch(result):
    for seed in SEEDS:
        run = result.sel(seed=seed)
        switch = int(run.switch_step)
        is_on = run.threshold.values.any(axis=1)
        assert is_on.tolist() == [0 <= switch <= step for step in run.step.values.tolist()]


def test_progress_off_prints_nothing(capfd):
    simulate.simulate(TOY, SEEDS, progress=False)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_ends_at_the_last_step(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress, "tqdm", partial(progress.tqdm, file=terminal))
    simulate.simulate(TOY, SEEDS, progress=True, label="some run")
    assert "some run" in terminal.getvalue() and f"{T}/{T}" in terminal.getvalue()


def test_progress_in_a_log_file_is_a_few_lines(capfd):
    simulate.simulate(TOY, SEEDS, progress=True)
    out, shown = capfd.readouterr()
    assert out == "" and f"{T}/{T}" in shown and shown.count("\r") <= 3


# ----- the same bits


def bits(dataset):
    return {name: variable.values for name, variable in dataset.data_vars.items()}


def test_the_same_seeds_give_the_same_bits_twice(result):
    assert same(bits(simulate.simulate(TOY, SEEDS)), bits(result))


def test_one_by_one_each_seed_is_its_own_run_bit_for_bit(result):
    alone = simulate.simulate(TOY, [SEEDS[1]])
    assert same(bits(alone), bits(result.sel(seed=[SEEDS[1]])))
    turned = simulate.simulate(TOY, SEEDS[::-1])
    assert same(bits(turned.sel(seed=SEEDS)), bits(result))


def test_any_cuts_give_the_same_bits(result):
    compiled, runs = prepared(True, [TOY] * 3)
    outcomes = []
    for cuts in ([0, T], [0, 1, T], [0, 5, 5, 9, T], list(range(T + 1))):
        at = runs
        for begin_at, end_at in pairwise(cuts):
            at = compiled.advance(at, begin_at, end_at)
        outcomes.append(final_state(compiled, at))
    assert all(same(outcome, outcomes[0]) for outcome in outcomes[1:])
    # and the cuts that simulate makes for its records and its bar
    assert np.array_equal(outcomes[0].params.weight, result.weight)


def test_records_do_not_change_a_run(result):
    other = simulate.simulate(toy(train__n_records=3), SEEDS)
    assert len(other.record) == 3
    assert np.array_equal(other.weight, result.weight)
    assert same(bits(other.isel(record=[0, 1, -1]))["alignment"], bits(result.isel(record=[0, 1, -1]))["alignment"])


@pytest.mark.slow
def test_side_by_side_equals_one_by_one_at_first():
    # longer runs part ways: rounding differs under vmap and the dynamics amplify it
    first, T_short = {}, 5
    compiled = program(resolve(toy(train__batching="vmap")).structure, False)
    before = compiled.n_compiled()  # by other tests, for other numbers of seeds
    for batching in ("map", "vmap"):
        run = simulate.simulate(toy(train__batching=batching, train__n_steps=T_short, train__n_records=9), SEEDS)
        assert results.provenance_of(run)["batching"] == {"map": "one by one", "vmap": "vmap"}[batching]
        first[batching] = run
    assert first["map"].step.values.tolist() == list(range(T_short + 1))
    for name in ("alignment", "weight", "threshold", "loss", "dictionary"):
        np.testing.assert_allclose(first["vmap"][name], first["map"][name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert np.array_equal(first["vmap"].switch_step, first["map"].switch_step)
    assert 1 <= compiled.n_compiled() <= before + 1


# ----- compilation


def test_numbers_do_not_recompile():
    base = toy(data__majority_keep=0.9, data__co_occurrence=0.1)
    simulate.simulate(base, SEEDS)
    compiled, before = program(resolve(base).structure, True), program.cache_info()
    assert compiled.n_compiled() == 1
    changed = toy(
        data__minority_ratio=0.3,
        data__minority_fraction=0.4,
        data__activation_rate=0.2,
        data__noise_level="sqrt_log_d",
        data__majority_keep=1.0,
        data__minority_keep=0.5,
        data__co_occurrence=0.3,
        encoder__init_std=0.1,
        loss__temperature=2.0,
        loss__l2_penalty=0.0,
        loss__weight_decay=0.01,
        threshold__scale=0.9,
        optimizer__learning_rate=0.1,
        train__n_steps=7,
        train__n_records=4,
    )
    profile = dataclasses.replace(
        base, data=dataclasses.replace(base.data, frequency_profile="exponential", keep_probability=(0.5,) * d)
    )
    one, two = simulate.simulate(changed, SEEDS), simulate.simulate(profile, SEEDS)
    assert not np.allclose(one.weight, two.weight)
    assert (
        program(resolve(changed).structure, True) is compiled and program(resolve(profile).structure, True) is compiled
    )
    assert program.cache_info().misses == before.misses
    assert compiled.n_compiled() == 1


def test_structures_do_recompile():
    shape = resolve(TOY).structure
    for change in (
        {"threshold__rule": "zero"},
        {"threshold__start": "at_step", "threshold__start_step": 3},
        {"loss__temperature_prefactor": False},
        {"optimizer__name": "adam"},
        {"encoder__n_neurons": 7},
        {"data__majority_keep": 0.5},
        {"train__precision": "float32"},
    ):
        assert resolve(toy(**change)).structure != shape, change


def largest(state, world):
    return {"largest": jax.numpy.max(state.params.weight), "numbers": world.numbers.temperature}


def test_your_own_record_function():
    run = simulate.simulate(TOY, SEEDS, record_fn=largest)
    assert "alignment" not in run and run.largest.dims == ("seed", "record")
    np.testing.assert_array_equal(run.largest[:, -1], run.weight.max(["neuron", "token_dim"]))


# ----- checkpoints


def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path, monkeypatch, result):
    whole = Program.advance

    def interrupted(self, runs, begin, end):
        if begin >= 5:
            raise KeyboardInterrupt
        return whole(self, runs, begin, end)

    monkeypatch.setattr(Program, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate.simulate(TOY, SEEDS, checkpoint_folder=tmp_path)
    steps = []

    def counted(self, runs, begin, end):
        steps.append(begin)
        return whole(self, runs, begin, end)

    monkeypatch.setattr(Program, "advance", counted)
    resumed = simulate.simulate(TOY, SEEDS, checkpoint_folder=tmp_path)
    assert steps[0] >= 5  # it did not begin anew
    assert same(bits(resumed), bits(result))
    other = [TOY, toy(data__minority_ratio=0.9)]
    with pytest.raises(ConfigError, match="config_hash"):
        simulate.simulate_many(other, SEEDS, checkpoint_folder=tmp_path)


def test_a_checkpoint_of_another_second_configuration_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "CHECKPOINT_EVERY_S", 0.0)
    simulate.simulate_many([TOY, toy(data__minority_ratio=0.9)], SEEDS[:1], checkpoint_folder=tmp_path)
    with pytest.raises(ConfigError, match="config_hash"):
        simulate.simulate_many([TOY, toy(data__minority_ratio=0.8)], SEEDS[:1], checkpoint_folder=tmp_path)


# ----- several configurations at once


def test_many_configurations_are_those_configurations(result):
    configs = [TOY, toy(data__minority_ratio=1.0)]
    together = simulate.simulate_many(configs, SEEDS)
    assert [results.config_of(one) for one in together] == configs
    assert same(bits(together[0]), bits(result))
    assert same(bits(together[1]), bits(simulate.simulate(configs[1], SEEDS)))
    assert not np.array_equal(together[0].weight, together[1].weight)


@pytest.mark.slow
def test_many_configurations_side_by_side(result):
    configs = [toy(train__batching="vmap", data__minority_ratio=r) for r in (1.0, 0.7, 0.5)]
    last = simulate.simulate_many(configs, [SEEDS[1]])[2]
    early = {"seed": [1], "record": slice(4)}
    np.testing.assert_allclose(last.alignment[:, :4], result.isel(**early).alignment, rtol=1e-9, atol=1e-12)


def test_configurations_of_other_structure_are_refused():
    for other in (toy(threshold__rule="zero"), toy(train__n_steps=13)):
        with pytest.raises(ConfigError, match="equal sizes, rules and train sections"):
            simulate.simulate_many([TOY, other], SEEDS)


# ----- divergence


@pytest.mark.parametrize("one_by_one", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_diverging_seed_leaves_the_others_alone(one_by_one):
    wild = toy(optimizer__learning_rate=1e30)
    compiled, runs = prepared(one_by_one, [TOY, wild, TOY])
    state = final_state(compiled, compiled.advance(runs, 0, T))
    assert state.diverged_step[[0, 2]].tolist() == [-1, -1] and 1 <= state.diverged_step[1] <= T
    weight = state.params.weight
    assert np.all(np.isfinite(weight[[0, 2]])) and not np.all(np.isfinite(weight[1]))
    wanted = final_state(compiled, compiled.advance(prepared(one_by_one, [TOY] * 3)[1], 0, T)).params.weight
    assert np.array_equal(weight[[0, 2]], wanted[[0, 2]])


def test_divergence_is_reported():
    wild, tame = simulate.simulate_many([toy(optimizer__learning_rate=1e30), TOY], SEEDS[:2])
    assert np.all(wild.diverged_step > 0) and np.all(tame.diverged_step == -1)
    assert set(wild.diverged_reason.values) <= {"the loss was not finite", "a weight was not finite"}
    assert tame.diverged_reason.values.tolist() == ["", ""]


def test_a_configuration_is_resolved_once_and_its_groups_label_the_result(monkeypatch):
    asked = []

    def counted(config):
        asked.append(config)
        resolved = resolve(config)
        groups = resolved.groups._replace(minority=np.array([True, False, False, False, True]))
        return resolved._replace(groups=groups)

    monkeypatch.setattr(simulate, "resolve", counted)
    made = simulate.simulate_many([TOY, toy(data__minority_ratio=0.3)], SEEDS[:1])
    assert len(asked) == 2
    for config, one in zip(asked, made, strict=True):
        assert one["group"].values.tolist() == ["minority", "majority", "majority", "majority", "minority"]
        wanted = resolve(config).groups.activation_probability
        np.testing.assert_array_equal(one["activation_probability"].values, wanted)
