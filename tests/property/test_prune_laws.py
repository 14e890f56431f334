"""Laws of masks, for any scores, ties and rates: exact numbers, nesting, invariances, one compilation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dynsim import prune

SHAPES = {"kernel": (2, 3, 2), "nested": {"bias": (5,), "weight": (4, 2)}}
LEAVES, STRUCTURE = jax.tree.flatten(SHAPES, is_leaf=lambda shape: isinstance(shape, tuple))
SIZES = [int(np.prod(shape)) for shape in LEAVES]
N = sum(SIZES)
breadth = settings(max_examples=40)

# few values, so that ties are common, and the corners of float32
FEW = (0.0, -0.0, 1.0, -1.0, 2.0, 1e-45, -3e-45, 1.2e-38, 3e38, np.inf, -np.inf, np.nan)
values = st.sampled_from(FEW) | st.floats(width=32)
flat_scores = arrays(np.float32, (N,), elements=values)
rates = st.floats(0, 1, exclude_max=True, width=32) | st.integers(0, N - 1).map(lambda k: k / N)
scopes = st.sampled_from(prune.SCOPES)
seeds = st.integers(0, 2**32 - 1)

lowest = jax.jit(prune.lowest_mask, static_argnames="scope")
highest = jax.jit(prune.highest_mask, static_argnames="scope")


@partial(jax.jit, static_argnames="scope")
def random_from(seed, rate, scope):
    return prune.random_mask(jax.random.key(seed), tree_of(jnp.zeros(N)), rate, scope)


def tree_of(flat):
    """Cut a flat array into the arrays of the test's network."""
    parts = [flat[end - size : end] for end, size in zip(np.cumsum(SIZES).tolist(), SIZES, strict=True)]
    return jax.tree.unflatten(STRUCTURE, [part.reshape(shape) for part, shape in zip(parts, LEAVES, strict=True)])


def flat_of(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def reference(flat: np.ndarray, count: int) -> np.ndarray:
    """Return the mask of a stable sort: equal sizes in order of position, NaN last."""
    kept = np.ones(flat.size, bool)
    kept[np.argsort(np.abs(flat), kind="stable")[:count]] = False
    return kept


number = prune.masked_number


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16])
@breadth
@given(flat_scores, rates)
def test_one_threshold_is_a_stable_sort_of_all_arrays(dtype, flat, rate):
    flat = flat.astype(dtype)
    mask = lowest(tree_of(flat), rate, scope="global")
    assert np.array_equal(flat_of(mask), reference(flat.astype(np.float64), number(N, rate)))
    assert [leaf.shape for leaf in jax.tree.leaves(mask)] == LEAVES


@breadth
@given(flat_scores, rates)
def test_quotas_are_a_stable_sort_of_each_array(flat, rate):
    scores = tree_of(flat)
    mask = lowest(scores, rate, scope="per_array")
    for kept, score in zip(jax.tree.leaves(mask), jax.tree.leaves(scores), strict=True):
        assert np.array_equal(kept.ravel(), reference(score.ravel(), number(score.size, rate)))


@breadth
@given(flat_scores, rates)
def test_the_highest_are_a_stable_sort_downwards(flat, rate):
    sizes = np.where(np.isnan(flat), np.inf, np.abs(flat)).astype(np.float64)
    rank = np.where(np.isnan(flat), 2, np.isinf(flat))  # NaN above infinity
    order = np.lexsort((np.arange(N), -sizes, -rank))
    kept = np.ones(N, bool)
    kept[order[: int(number(N, rate))]] = False
    assert np.array_equal(flat_of(highest(tree_of(flat), rate, scope="global")), kept)


@breadth
@given(st.integers(1, 2**24 - 1), st.integers(0, 2**24), st.integers(1, 2**24))
def test_the_number_is_that_of_exact_arithmetic(n, numerator, denominator):
    numerator %= denominator
    rate = numerator / denominator
    slack = n * (denominator + numerator * 2**24) // (denominator * 2**24)  # floor(n * (rate + 2^-24))
    assert n * numerator // denominator <= number(n, rate) <= slack
    assert number(n, rate) == number(n, np.float32(rate))
    assert number(denominator, rate) == numerator or denominator == 2**24


@breadth
@given(flat_scores, rates, scopes, seeds)
def test_every_mask_hides_the_same_number(flat, rate, scope, seed):
    scores = tree_of(flat)
    quotas = {
        "global": [number(N, rate)],
        "per_array": [number(size, rate) for size in SIZES],
        "per_row": [shape[0] * number(size // shape[0], rate) for shape, size in zip(LEAVES, SIZES, strict=True)],
    }
    wanted = quotas[scope]
    for mask in (lowest(scores, rate, scope=scope), highest(scores, rate, scope=scope), random_from(seed, rate, scope)):
        leaves = [flat_of(mask)] if scope == "global" else jax.tree.leaves(mask)
        assert [int(np.sum(~np.asarray(leaf))) for leaf in leaves] == wanted


FROM = {
    scope: jax.jit(lambda scores, rate, before, scope=scope: prune.lowest_mask(scores, rate, scope, before))
    for scope in prune.SCOPES
}


@breadth
@given(flat_scores, flat_scores, rates, rates, scopes)
def test_the_mask_before_changes_nothing(flat, earlier, rate, other, scope):
    """Whatever was masked before, as many entries or not: it is where the search starts and not what it finds."""
    scores, wanted = tree_of(flat), flat_of(lowest(tree_of(flat), rate, scope=scope))
    for before in (lowest(tree_of(earlier), rate, scope=scope), lowest(tree_of(flat), other, scope=scope)):
        assert np.array_equal(flat_of(FROM[scope](scores, rate, before)), wanted)
    tied = tree_of(np.round(flat))
    before = lowest(tied, rate, scope=scope)
    assert np.array_equal(flat_of(FROM[scope](tied, rate, before)), flat_of(before))


@breadth
@given(flat_scores, rates, rates, scopes, seeds)
def test_masks_nest_as_the_rate_grows(flat, one, other, scope, seed):
    low, high = sorted((one, other))
    scores = tree_of(flat)
    for mask in (
        lambda rate: lowest(scores, rate, scope=scope),
        lambda rate: highest(scores, rate, scope=scope),
        lambda rate: random_from(seed, rate, scope),
    ):
        assert np.all(flat_of(mask(low)) >= flat_of(mask(high)))


@breadth
@given(flat_scores, scopes, seeds)
def test_rate_0_is_the_identity(flat, scope, seed):
    scores = tree_of(flat)
    for mask in (lowest(scores, 0.0, scope=scope), highest(scores, 0.0, scope=scope), random_from(seed, 0.0, scope)):
        assert np.all(flat_of(mask))
        same = flat_of(prune.apply_mask(scores, mask))
        assert np.array_equal(same.view(np.uint32), flat.view(np.uint32))


@breadth
@given(arrays(np.int64, (N,), elements=st.integers(-9, 9)), st.floats(1e-30, 1e30), rates, scopes)
def test_a_positive_factor_changes_nothing(whole, factor, rate, scope):
    before = lowest(tree_of(whole.astype(np.float64)), rate, scope=scope)
    after = lowest(tree_of(whole * factor), rate, scope=scope)
    assert np.array_equal(flat_of(before), flat_of(after))


@breadth
@given(arrays(np.float32, (5, 3), elements=st.floats(-8, 8, width=16)), st.integers(-60, 60), rates)
def test_a_factor_of_two_changes_no_mask_of_neurons(weight, power, rate):
    assert np.array_equal(lowest_neurons(weight, rate), lowest_neurons(weight * np.float32(2.0**power), rate))


@jax.jit
def lowest_neurons(weight, rate):
    return prune.lowest_mask(prune.neuron_norm(weight), rate)


@breadth
@given(arrays(np.float32, (3, N), elements=values), st.lists(rates, min_size=3, max_size=3), scopes)
def test_vmap_equals_a_loop(flat, three, scope):
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[tree_of(row) for row in flat])
    together = VMAPPED[scope](stacked, np.array(three))
    for i, rate in enumerate(three):
        single = lowest(tree_of(flat[i]), rate, scope=scope)
        assert np.array_equal(flat_of(jax.tree.map(lambda leaf, i=i: leaf[i], together)), flat_of(single))


VMAPPED = {scope: jax.jit(jax.vmap(partial(prune.lowest_mask, scope=scope))) for scope in prune.SCOPES}


def test_a_sweep_of_rates_has_one_trace():
    traces = []

    @jax.jit
    def both(scores, key, rate):
        traces.append(rate)
        return (
            prune.lowest_mask(scores, rate),
            prune.random_mask(key, scores, rate),
            prune.dropout_mask(key, scores, rate),
        )

    for rate in (0.0, 0.25, 0.5, 0.95):
        masks = both(tree_of(np.ones(N)), jax.random.key(0), rate)
        assert [int(np.sum(~flat_of(mask))) for mask in masks[:2]] == [number(N, rate)] * 2
    assert len(traces) == 1


@breadth
@given(st.integers(-1, 12), st.integers(-1, 12), st.none() | st.integers(1, 6))
def test_the_schedule_is_that_of_a_plain_loop(start, stop, every):
    active, refreshed, last = [], [], None
    for step in range(14):
        on = 0 <= start <= step and (stop < 0 or step < stop)
        due = on and (last is None or (every is not None and step - last == every))
        last = step if due else last
        active.append(on)
        refreshed.append(due)
    is_refresh = once_schedule if every is None else partial(schedule, every)
    assert [tuple(map(bool, is_refresh(step, start, stop))) for step in range(14)] == list(
        zip(active, refreshed, strict=True)
    )


@jax.jit
def schedule(every, step, start, stop):
    return prune.is_active(step, start, stop), prune.is_refresh(step, every, start, stop)


@jax.jit
def once_schedule(step, start, stop):
    return prune.is_active(step, start, stop), prune.is_refresh(step, None, start, stop)


@breadth
@given(
    arrays(np.float64, (8, 6), elements=st.floats(-4, 4, width=16)),
    st.integers(-1, 7),
    st.integers(-1, 8),
    st.sampled_from([1, 2, 3]),
)
def test_between_refreshes_the_mask_stays_and_outside_the_window_it_is_released(weights, start, stop, every):
    mask, expected = np.ones(6, bool), np.ones(6, bool)
    for step, weight in enumerate(weights):
        mask = advance(mask, weight, step, every, start, stop)
        on = 0 <= start <= step and (stop < 0 or step < stop)
        if on and (step - start) % every == 0:
            expected = reference(weight, 3)
        assert np.array_equal(mask, expected if on else np.ones(6, bool))


@jax.jit
def advance(mask, weight, step, every, start, stop):
    return prune.update_mask(mask, lambda: prune.lowest_mask(weight, 0.5), step, every, start, stop)
