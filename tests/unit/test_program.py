"""The compiled functions of a structure: shared by equal arguments, compiled once, the same in every thread."""

import jax
import numpy as np
import pytest

from dynsim import results
from dynsim.hyper import hyper, structure
from dynsim.program import program
from dynsim.simulate import simulate
from tests.reference import TOY, toy

SEEDS = np.asarray([3, 8], np.uint32)
BOTH = pytest.mark.parametrize("one_by_one", [True, False], ids=["map", "vmap"])


def prepared(one_by_one):
    compiled = program(structure(TOY), one_by_one)
    return compiled, compiled.init(SEEDS, [hyper(TOY)] * 2)


def test_equal_arguments_share_the_compiled_functions():
    assert program(structure(TOY), True) is program(structure(toy(data__minority_ratio=0.1)), True)
    assert program(structure(TOY), True) is not program(structure(TOY), False)


@BOTH
def test_runs_have_a_leading_axis_where_they_are_handed_out(one_by_one):
    compiled, runs = prepared(one_by_one)
    record, total, runs = compiled.record(runs)
    m, d, d1 = 6, 5, 8
    assert record.alignment.shape == (2, m, d) and total.loss.shape == (2,)
    carry, dictionary = compiled.stacked(runs)
    assert carry.state.params.weight.shape == (2, m, d1) and dictionary.shape == (2, d1, d)


@BOTH
def test_totals_start_anew_after_a_record_and_the_state_stays(one_by_one):
    compiled, runs = prepared(one_by_one)
    runs = compiled.advance(runs, 0, 3)
    before = compiled.stacked(runs)[0]
    _, total, runs = compiled.record(runs)
    after = compiled.stacked(runs)[0]
    np.testing.assert_array_equal(total.loss, before.total.loss)
    assert np.all(np.asarray(before.total.loss) > 0) and not np.any(after.total.loss)
    np.testing.assert_array_equal(before.state.params.weight, after.state.params.weight)


@BOTH
def test_no_steps_change_nothing(one_by_one):
    compiled, runs = prepared(one_by_one)
    same = compiled.advance(runs, 4, 4)
    one, two = (compiled.stacked(each)[0].state.params.weight for each in (runs, same))
    np.testing.assert_array_equal(one, two)


@BOTH
def test_stretches_of_any_length_are_one_compilation(one_by_one):
    compiled, runs = prepared(one_by_one)
    for begin, end in ((0, 1), (1, 5), (5, 5), (5, 12)):
        runs = compiled.advance(runs, begin, end)
    assert compiled.n_compiled() == 1


def test_threads_keep_the_settings_of_the_caller():
    # JAX's context managers hold in one thread alone, and several runs are advanced in several threads
    config = toy(train__precision="float32", train__n_steps=3)
    with jax.enable_x64(False):
        result = simulate(config, [0, 1])
        assert program(structure(config), True).n_compiled() == 1
    assert result.alignment.dtype == np.float32 and np.all(result.diverged_step == -1)
    assert np.all(np.isfinite(result.weight)) and results.provenance_of(result)["x64"] is False
