"""Pruning inside the training loop and in results: when it acts, what it leaves alone, what is recorded."""

import itertools
from functools import lru_cache

import jax
import numpy as np
import pytest

from dynsim import results
from dynsim.config.checks import ConfigError
from dynsim.engine import simulate, train
from dynsim.engine.data import Batch
from dynsim.engine.encoder import Encoder, make_encoder
from dynsim.engine.numbers import resolve
from dynsim.engine.program import Program, program
from tests import reference
from tests.reference import TOY, advancer, begin, repeating, toy, trajectory

d, d1, m, K, L, T = 5, 8, 6, 6, 2, 12
DICTIONARY = np.eye(d1, d)
SEMANTICS = ("literal", "straight_through", "one_branch", "masked_query", "masked_key")


@lru_cache
def batch():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2, K, L, d1))
    mask = rng.random((K, K)) < 0.7
    return Batch(X, Y, np.zeros((K, d)), mask | mask.T | np.eye(K, dtype=bool))


def pruned(semantics="literal", unit="neuron", **changes):
    common = {"prune__kind": "lowest", "prune__rate": 0.4, "prune__semantics": semantics, "prune__unit": unit}
    return toy(**(common | changes))


def states_of(config, n_steps=T):
    return trajectory(config, n_steps, parts=repeating(config, batch(), DICTIONARY))[0]


def same(one, two):
    leaves = [jax.tree.leaves(tree) for tree in (one, two)]
    return len(leaves[0]) == len(leaves[1]) and all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))


def bits(dataset):
    return {name: variable.values for name, variable in dataset.data_vars.items()}


# ----- what does not change a run


@pytest.mark.parametrize("unit", ["neuron", "weight"])
@pytest.mark.parametrize("semantics", SEMANTICS)
def test_a_mask_that_hides_nothing_changes_nothing(semantics, unit):
    """Rate 0 is the unpruned program; here the pruned one runs, before its start or with every entry kept."""
    plain = states_of(TOY)
    waiting = states_of(pruned(semantics, unit, prune__start_step=1000))
    keeping = states_of(pruned(semantics, unit, prune__rate=1e-4))  # less than one of 48 entries
    assert [int(state.pruning.start_step) for state in waiting] == [-1] * (T + 1)
    assert [int(state.pruning.start_step) for state in keeping] == [0] * (T + 1)
    for one in (waiting, keeping):
        assert all(np.all(state.pruning.mask.weight) for state in one)
        for state, wanted in zip(one, plain, strict=True):
            # seen: the same bits; but it is another program, in which a compiler may join products and sums otherwise
            np.testing.assert_allclose(state.params.weight, wanted.params.weight, rtol=1e-11, atol=1e-13)
            assert state.thresholds.switch_step == wanted.thresholds.switch_step


def test_rate_zero_is_the_unpruned_run_bit_for_bit():
    plain = simulate.simulate(TOY, [3, 8])
    zero = simulate.simulate(pruned("one_branch", prune__rate=0.0, prune__stop="coverage"), [3, 8])
    assert set(zero.data_vars) == set(plain.data_vars)
    assert all(np.array_equal(zero[name], plain[name], equal_nan=True) for name in ("weight", "alignment", "loss"))


def test_paired_runs_have_the_same_data_weights_and_first_steps():
    """Whatever is masked, the batches are those of the seed, and up to its start a run is the unpruned one."""
    plain, world = reference.draw_batch(TOY, 4)
    start = begin(TOY)[0].state
    config = pruned(prune__kind="random")
    drawn, other = reference.draw_batch(config, 4)
    assert same(drawn, plain) and same(other.dictionary, world.dictionary) and same(other.probe, world.probe)
    assert np.array_equal(begin(config)[0].state.params.weight, start.params.weight)
    late, early = states_of(pruned(prune__start_step=5)), states_of(TOY)
    for n in range(6):
        np.testing.assert_allclose(late[n].params.weight, early[n].params.weight, rtol=1e-12, atol=1e-14)
    assert np.max(np.abs(late[6].params.weight - early[6].params.weight)) > 1e-4


# ----- what a mask does


def test_masked_neurons_only_decay_under_literal_semantics():
    eta, l2 = 0.5, 0.05
    states = states_of(pruned(loss__l2_penalty=l2, optimizer__learning_rate=eta, prune__rate=0.5))
    for old, new in itertools.pairwise(states):
        hidden = ~old.pruning.mask.weight
        assert np.sum(hidden) == 3
        np.testing.assert_allclose(new.params.weight[hidden], (1 - eta * l2) * old.params.weight[hidden], rtol=1e-14)
        moved = np.abs(new.params.weight - (1 - eta * l2) * old.params.weight)[~hidden]
        assert np.all(np.max(moved, axis=1) > 1e-6)


@pytest.mark.parametrize("decay", ["l2_penalty", "weight_decay"])
def test_penalty_and_decay_act_on_masked_weights(decay):
    options = {"loss__l2_penalty": 0.0, f"loss__{decay}": 0.1, "threshold__rule": "zero"}
    states = states_of(pruned("one_branch", "weight", **options), 3)
    for old, new in itertools.pairwise(states):
        hidden = ~old.pruning.mask.weight
        # their query has no gradient, and the key is held fixed: all that is left is the shrinking
        np.testing.assert_allclose(new.params.weight[hidden], 0.95 * old.params.weight[hidden], rtol=1e-14)


def test_the_mask_is_that_of_the_weights_and_a_masked_weight_can_come_back():
    states = states_of(pruned("literal", "weight", prune__rate=0.5, threshold__rule="zero"))
    masks = [state.pruning.mask.weight for state in states]
    for state, kept in zip(states, masks, strict=True):
        size = np.abs(state.params.weight)
        assert np.sum(~kept) == 24 and np.max(size[~kept]) < np.min(size[kept])
        assert np.all(state.params.weight != 0)  # the dense weights live on
    returned = np.any([~old & new for old, new in itertools.pairwise(masks)], axis=0)
    assert np.any(returned)


def test_the_mask_is_undone_exactly_at_its_stop():
    config = pruned("literal", "weight", prune__stop="at_step", prune__stop_step=5)
    states = states_of(config)
    hidden = [int(np.sum(~state.pruning.mask.weight)) for state in states]
    assert hidden == [19] * 5 + [0] * (T - 4)
    assert [int(state.pruning.stop_step) for state in states] == [-1] * 5 + [5] * (T - 4)
    # from then on every step is that of the unpruned network
    parts = repeating(TOY, batch(), DICTIONARY)
    _, world, _ = begin(TOY, parts=parts)
    for n in (4, 5, 8):
        dense = advancer(parts)(train.start(states[n]._replace(pruning=None)), world, n, n + 1).state.params.weight
        is_dense = np.allclose(states[n + 1].params.weight, dense, rtol=1e-11, atol=1e-13)
        assert is_dense == (n >= 5)


def test_the_reported_loss_is_that_of_the_masked_network():
    config = pruned("straight_through", "weight", prune__rate=0.7, threshold__rule="zero")
    parts = repeating(config, batch(), DICTIONARY)
    carry, world, _ = begin(config, parts=parts)
    state = jax.device_get(carry.state)
    loss = advancer(parts)(carry, world, 0, 1).total.loss
    thin = state.params.weight * state.pruning.mask.weight
    query, key = (reference.encode(thin, np.zeros(m), tokens) for tokens in (batch().query, batch().key))
    wanted = reference.embedding_loss(query, key, batch().is_candidate, 1.0)
    np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    dense = [reference.encode(state.params.weight, np.zeros(m), tokens) for tokens in (batch().query, batch().key)]
    assert abs(reference.embedding_loss(*dense, batch().is_candidate, 1.0) - wanted) > 1e-3


# ----- in a result


SWITCHED = {
    "prune__start": "switch",
    "prune__stop": "coverage",
    "threshold__start": "at_step",
    "threshold__start_step": 4,
}


@pytest.fixture(scope="module")
def switched():
    """Masked from the switch of the thresholds on."""
    return simulate.simulate(pruned("straight_through", prune__rate=0.5, **SWITCHED), [3, 8])


def test_what_is_recorded(switched, tmp_path):
    plain = simulate.simulate(TOY, [3, 8])  # the toy runs of other tests, so compiled before
    assert set(switched.data_vars) - set(plain.data_vars) == {"kept", "prune_start_step", "prune_stop_step"}
    assert {name: switched[name].dims for name in plain.data_vars} == {n: plain[n].dims for n in plain.data_vars}
    assert switched.kept.dims == ("seed", "record", "neuron")
    assert switched.prune_start_step.values.tolist() == switched.switch_step.values.tolist()
    assert np.all(switched.prune_stop_step == -1)  # five features are not covered in twelve steps
    for seed in (3, 8):
        run = switched.sel(seed=seed)
        start = int(run.prune_start_step)
        assert start == 4
        for step, kept, norm in zip(run.step.values, run.kept.values, run.weight_norm.values, strict=True):
            lowest = norm <= np.sort(norm)[2]
            assert kept.tolist() == (np.where(lowest, 0.0, 1.0) if step >= start else np.ones(m)).tolist()
    # measured are the dense weights
    np.testing.assert_allclose(switched.weight_norm[:, -1], np.linalg.norm(switched.weight, axis=2), rtol=1e-13)
    results.save(switched, tmp_path / "run.nc")
    assert results.load(tmp_path / "run.nc").identical(switched)
    assert results.config_of(switched).prune.semantics == "straight_through"


def test_numbers_of_the_masks_do_not_recompile():
    base = pruned("straight_through", **SWITCHED)
    compiled, before = program(resolve(base).structure, True), program.cache_info()
    rates = (0.2, 0.9)
    for rate, run in zip(
        rates,
        simulate.simulate_many([pruned("straight_through", prune__rate=r, **SWITCHED) for r in rates], [3]),
        strict=True,
    ):
        assert np.sum(run.kept.values[0, -1] == 0) == int(rate * m)
    assert program.cache_info().misses == before.misses and compiled.n_compiled() == 1


def test_an_interrupted_pruned_run_goes_on_with_the_same_bits(switched, tmp_path, monkeypatch):
    config, whole = results.config_of(switched), Program.advance

    def interrupted(self, runs, begin, end):
        if begin >= 5:
            raise KeyboardInterrupt
        return whole(self, runs, begin, end)

    with monkeypatch.context() as patch:
        patch.setattr(Program, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate.simulate(config, [3, 8], checkpoint_folder=tmp_path)
    resumed = simulate.simulate(config, [3, 8], checkpoint_folder=tmp_path)
    assert all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(bits(resumed).values(), bits(switched).values(), strict=True)
    )


@pytest.mark.slow
def test_pruned_runs_side_by_side_equal_one_by_one_at_first():
    options = {"prune__refresh": 2, "prune__kind": "random", "train__n_steps": 5, "train__n_records": 9}
    one, many = (simulate.simulate(pruned(train__batching=how, **options), [3, 8]) for how in ("map", "vmap"))
    assert np.array_equal(one.kept, many.kept)
    np.testing.assert_allclose(many.weight, one.weight, rtol=1e-9, atol=1e-12)


# ----- with parts of one's own


def test_the_general_way_gives_the_run_of_the_fast_one():
    """Masked parameters, as for an encoder of one's own, and columns of zeros."""
    config = pruned("straight_through", prune__rate=0.5)
    parts = repeating(config, batch(), DICTIONARY)
    fast = trajectory(config, T, parts=parts)[0]
    slow = trajectory(config, T, parts=parts._replace(own=frozenset({"encoder"})))[0]
    for one, two in zip(fast, slow, strict=True):
        assert np.array_equal(one.pruning.mask.weight, two.pruning.mask.weight)
        np.testing.assert_allclose(one.params.weight, two.params.weight, rtol=1e-11, atol=1e-13)


def own_loss(query, key, batch, numbers):
    return train.built_in_loss(TOY.loss)(query, key, batch, numbers)


def test_encoder_and_loss_of_ones_own_can_be_pruned():
    config = pruned("literal", train__n_steps=4, train__n_records=5)
    built = make_encoder(config.encoder, config.data)
    own = Encoder(built.init, lambda params, thresholds, tokens: built.apply(params, thresholds, tokens))
    mine = simulate.simulate(config, [3], encoder=own, loss=own_loss)
    ours = simulate.simulate(config, [3])
    assert np.array_equal(mine.kept, ours.kept) and np.any(ours.kept == 0)
    np.testing.assert_allclose(mine.weight, ours.weight, rtol=1e-11, atol=1e-13)


def test_a_loss_of_ones_own_has_no_straight_through_gradient():
    with pytest.raises(ConfigError, match=r"^prune\.semantics: wanted .* a loss of your own") as caught:
        simulate.simulate(pruned("straight_through"), [3], loss=own_loss)
    assert "\n" not in str(caught.value)


def test_an_encoder_of_ones_own_has_no_other_arrays_to_mask():
    attention = {"encoder__train_attention": True, "encoder__attention": "softmax_scaled"}
    config = pruned("literal", "weight", prune__scope="global", **attention)
    own = Encoder(lambda key, numbers: None, lambda params, thresholds, tokens: None)
    wanted = r"^prune\.scope: wanted weight or per_neuron with an encoder of your own, got 'global'$"
    with pytest.raises(ConfigError, match=wanted):
        simulate.simulate(config, [3], encoder=own)


def test_numbers_of_a_pruned_run():
    numbers = resolve(
        pruned(prune__refresh=7, prune__start_step=3, prune__stop="at_step", prune__stop_step=2**24)
    ).numbers
    assert (numbers.prune_rate, numbers.prune_refresh, numbers.prune_start, numbers.prune_stop) == (0.4, 7, 3, 2**24)
