"""Masks by hand: counts, ties, special numbers, placebos, application, schedule, and messages."""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import prune

KEY = jax.random.key(0)


def array(*values: float, dtype=np.float32) -> jax.Array:
    return jax.device_put(np.array(values, dtype))


def n_masked(mask) -> int:
    return sum(int(np.sum(~np.asarray(leaf))) for leaf in jax.tree.leaves(mask))


def masked_at(mask) -> list[int]:
    return np.flatnonzero(~np.asarray(mask)).tolist()


# Scores


def test_neuron_norm_by_hand():
    norms = prune.neuron_norm(jnp.asarray(np.array([[3.0, 4.0], [0.0, 0.0], [-5.0, 12.0]])))
    np.testing.assert_allclose(norms, [5, 0, 13], rtol=1e-15)


def test_neuron_norm_of_a_kernel_covers_its_whole_fan_in():
    weight = np.arange(24.0).reshape(2, 3, 4)
    expected = np.sqrt(np.sum(weight**2, axis=(1, 2)))
    np.testing.assert_allclose(prune.neuron_norm(jnp.asarray(weight)), expected, rtol=1e-14)


def test_neuron_norm_where_a_square_would_leave_float32():
    norms = prune.neuron_norm(array(3e30, 4e30, 3e-30, 4e-30).reshape(2, 2))
    np.testing.assert_allclose(norms, [5e30, 5e-30], rtol=1e-6)


def test_a_broken_neuron_has_norm_nan():
    assert np.all(np.isnan(prune.neuron_norm(array(np.nan, 1, np.inf, 1).reshape(2, 2))))


# How many


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 10, 49, 256, 4097, 99_999, 11_173_900, 16_777_200])
def test_a_decimal_rate_means_the_decimal(n, dtype):
    hundredths = np.arange(100)
    counts = jax.jit(jax.vmap(lambda rate: prune.masked_number(n, rate)))((hundredths / 100).astype(dtype))
    assert counts.tolist() == [n * int(h) // 100 for h in hundredths]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [3, 10, 600, 9_999_991])
def test_a_rate_k_over_n_masks_k(n, dtype):
    k = np.unique(np.linspace(0, n - 1, 600).astype(np.int64))
    counts = jax.jit(jax.vmap(lambda rate: prune.masked_number(n, rate)))((k / n).astype(dtype))
    assert counts.tolist() == k.tolist()


@pytest.mark.parametrize("rate", [0.0, 0.123456789, 0.5, 0.7, 0.999])
def test_number_of_very_many_entries_is_within_rounding(rate):
    for n in (11_173_962, 2**31 - 1):
        count = int(prune.masked_number(n, rate))
        assert int(Fraction(rate) * n) <= count <= int((Fraction(rate) + Fraction(1, 2**24)) * n)
        assert count == int(prune.masked_number(n, np.float32(rate)))


def test_a_rate_just_below_one_leaves_an_entry():
    for n in (1, 2, 1000, 11_000_000):
        assert int(prune.masked_number(n, 1 - 2.0**-53)) == n - 1
        assert int(prune.masked_number(n, np.nextafter(np.float32(1), np.float32(0)))) == n - 1


def test_traced_rates_are_cut_to_the_allowed_range():
    counts = jax.vmap(lambda rate: prune.masked_number(10, rate))(array(-1, -0.0, 1e-40, 1, 7))
    assert counts.tolist() == [0, 0, 0, 9, 9]


# Which


def test_lowest_mask_by_hand():
    assert prune.lowest_mask(array(3, -1, 2, -5, 4), 0.4).tolist() == [True, False, False, True, True]


def test_highest_mask_by_hand():
    assert prune.highest_mask(array(3, -1, 2, -5, 4), 0.4).tolist() == [True, True, True, False, False]


def test_three_tenths_of_ten_are_three():
    for rate in (0.3, np.float32(0.3), jnp.asarray(0.3, jnp.bfloat16)):
        assert n_masked(prune.lowest_mask(jnp.ones(10), rate)) == 3


def test_equal_scores_go_in_order_of_position():
    scores = array(2, 1, -1, 0, 1, -2)
    assert masked_at(prune.lowest_mask(scores, 3 / 6)) == [1, 2, 3]
    assert masked_at(prune.highest_mask(scores, 3 / 6)) == [0, 1, 5]


def test_positions_run_through_the_arrays_in_the_order_of_the_tree():
    mask = prune.lowest_mask({"b": jnp.ones(3), "a": jnp.ones((2, 2))}, 5 / 7)
    assert not np.any(mask["a"])
    assert mask["b"].tolist() == [False, True, True]


def test_one_threshold_against_a_quota_for_each_array():
    scores = {"large": array(10, 11, 12, 13), "small": array(1, 2)}
    whole = prune.lowest_mask(scores, 0.5, "global")
    assert masked_at(whole["small"]) == [0, 1]
    assert masked_at(whole["large"]) == [0]
    quota = prune.lowest_mask(scores, 0.5, "per_array")
    assert masked_at(quota["small"]) == [0]
    assert masked_at(quota["large"]) == [0, 1]


def test_a_quota_for_each_row():
    mask = prune.lowest_mask(array(5, 1, 2, 9).reshape(2, 2), 0.5, "per_row")
    assert mask.tolist() == [[True, False], [False, True]]
    kernel = array(*range(8)).reshape(2, 2, 2)
    assert prune.highest_mask(kernel, 0.25, "per_row").ravel().tolist() == [1, 1, 1, 0] * 2


def test_zeros_of_both_signs_are_equal_and_go_before_denormals():
    tiny = 2.0**-149  # the smallest float32 above zero
    scores = array(2 * tiny, tiny, 0.0, -0.0, -tiny, 0.0)
    assert [masked_at(prune.lowest_mask(scores, k / 6)) for k in range(1, 6)] == [
        [2],
        [2, 3],
        [2, 3, 5],
        [1, 2, 3, 5],
        [1, 2, 3, 4, 5],
    ]


def test_infinities_and_nans_are_the_largest():
    quiet = np.array([0x7FC00001, 0xFFC00000], np.uint32).view(np.float32)  # two NaNs that differ in their bits
    scores = array(quiet[0], -np.inf, 3e38, quiet[1], np.inf)
    assert [masked_at(prune.lowest_mask(scores, k / 5)) for k in range(1, 5)] == [[2], [1, 2], [1, 2, 4], [0, 1, 2, 4]]
    assert masked_at(prune.highest_mask(scores, 2 / 5)) == [0, 3]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_every_float_type(dtype):
    scores = array(-1, 0.5, 0, np.nan, np.inf, -0.5, dtype=dtype)
    assert masked_at(prune.lowest_mask(scores, 0.5)) == [1, 2, 5]


def test_an_absent_array_is_neither_counted_nor_masked():
    class Params(NamedTuple):
        weight: jax.Array
        bias: jax.Array | None = None

    mask = prune.lowest_mask(Params(array(1, 2, 3, 4)), 0.5)
    assert mask.bias is None
    assert masked_at(mask.weight) == [0, 1]


def test_an_empty_array_among_others():
    scores = {"empty": jnp.zeros((0, 3)), "full": jnp.ones(4)}
    for scope in prune.SCOPES:
        mask = prune.lowest_mask(scores, 0.5, scope)
        assert mask["empty"].shape == (0, 3)
        assert masked_at(mask["full"]) == ([] if scope == "per_row" else [0, 1])  # half of a single number is none


# Placebos


def test_every_subset_is_equally_likely():
    n_keys, n, k = 8000, 6, 2
    draw = jax.jit(jax.vmap(lambda key: prune.random_mask(key, jnp.zeros(n), k / n)))
    keys = jax.random.split(KEY, n_keys)
    hidden = ~np.asarray(draw(keys))
    assert np.all(np.sum(hidden, axis=1) == k)
    assert np.array_equal(~hidden[3], prune.random_mask(keys[3], jnp.zeros(n), k / n))
    subsets, counts = np.unique(hidden, axis=0, return_counts=True)
    share = 1 / len(subsets)
    assert len(subsets) == 15
    # 5 standard deviations of a binomial count: a chance of 1e-5 over the 15 subsets, and the key is fixed
    assert np.max(np.abs(counts - n_keys * share)) < 5 * np.sqrt(n_keys * share * (1 - share))


def test_a_fixed_mask_stays_and_a_redrawn_one_does_not():
    like = jnp.zeros((20, 10))
    fixed = prune.random_mask(KEY, like, 0.5)
    assert np.array_equal(fixed, prune.random_mask(KEY, like, 0.5))
    drawn = [prune.random_mask(KEY, like, 0.5, refresh=refresh) for refresh in range(3)]
    assert np.array_equal(drawn[1], prune.random_mask(KEY, like, 0.5, refresh=jnp.asarray(1, jnp.int32)))
    everything = np.stack([fixed, *drawn])
    assert np.all(np.sum(~everything, axis=(1, 2)) == 100)
    agreement = [np.mean(a == b) for i, a in enumerate(everything) for b in everything[:i]]
    assert max(agreement) < 0.7  # a half on average; 0.7 is 5.6 standard deviations off


def test_random_masks_ignore_the_values():
    like = {"a": jnp.zeros((3, 4)), "b": None, "c": jnp.ones(5)}
    other = jax.tree.map(lambda leaf: leaf * 7 - 2, like)
    for scope in prune.SCOPES:
        one, two = (prune.random_mask(KEY, tree, 0.5, scope) for tree in (like, other))
        assert one["b"] is None
        assert all(np.array_equal(one[name], two[name]) for name in "ac")


def test_dropout_hides_each_entry_by_itself():
    n_keys, n, rate = 4000, 10, 0.3
    draw = jax.jit(jax.vmap(lambda key: prune.dropout_mask(key, jnp.zeros(n), rate)))
    hidden = ~np.asarray(draw(jax.random.split(KEY, n_keys)))
    deviation = np.sqrt(n_keys * rate * (1 - rate))
    assert np.max(np.abs(np.sum(hidden, axis=0) - n_keys * rate)) < 5 * deviation
    # the number hidden varies as that of independent entries; the variance of a variance is about 2 variance^2 / n_keys
    variance = n * rate * (1 - rate)
    assert abs(np.var(np.sum(hidden, axis=1)) - variance) < 5 * variance * np.sqrt(2 / n_keys)


def test_dropout_is_fixed_or_redrawn_and_empty_at_rate_0():
    like = {"a": jnp.zeros((20, 10)), "b": None}
    first, again = (prune.dropout_mask(KEY, like, 0.5)["a"] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, prune.dropout_mask(KEY, like, 0.5, refresh=3)["a"])
    assert np.all(prune.dropout_mask(KEY, like, 0.0)["a"])


# Use of a mask


def test_a_mask_of_neurons_hides_rows_and_a_mask_of_weights_entries():
    weight = array(1, 2, 3, 4).reshape(2, 2)
    rows = prune.apply_mask(weight, jnp.asarray([True, False]))
    assert rows.tolist() == [[1, 2], [0, 0]]
    entries = prune.apply_mask(weight, jnp.asarray([[True, False], [False, True]]))
    assert entries.tolist() == [[1, 0], [0, 4]]
    assert entries.dtype == weight.dtype


def test_a_broken_weight_is_hidden_too():
    assert prune.apply_mask(array(np.nan, np.inf, 1), jnp.asarray([False, False, True])).tolist() == [0, 0, 1]


def test_kept_entries_keep_their_bits():
    values = array(-0.0, 1e-45, np.inf, 1 / 3)
    kept = prune.apply_mask(values, prune.all_kept(values))
    assert np.array_equal(np.asarray(kept).view(np.uint32), np.asarray(values).view(np.uint32))


def test_no_mask_leaves_a_whole_part_as_it_is():
    params = {"conv": array(1, 2), "norm": {"scale": array(3)}, "none": None}
    out = prune.apply_mask(params, {"conv": jnp.asarray([False, True]), "norm": None, "none": None})
    assert out["conv"].tolist() == [0, 2]
    assert out["norm"] is params["norm"]


def test_inverted_dropout_scales_what_is_masked_and_kept():
    params = {"w": array(1, 2, 4), "bias": array(5)}
    out = prune.apply_mask(params, {"w": jnp.asarray([True, False, True]), "bias": None}, scale=1 / (1 - 0.5))
    assert out["w"].tolist() == [2, 0, 8]
    assert out["bias"].tolist() == [5]


def test_the_gradient_is_the_literal_one():
    weight, mask = array(1, 2, 3), jnp.asarray([True, False, True])
    gradient = jax.grad(lambda w: jnp.sum(prune.apply_mask(w, mask) ** 2))(weight)
    assert gradient.tolist() == [2, 0, 6]


def test_kept_fraction_by_hand():
    mask = {"a": jnp.asarray([True, False, False]), "b": jnp.ones((5,), bool), "c": None}
    assert float(prune.kept_fraction(mask)) == 6 / 8


def test_kept_fraction_of_a_neuron_mask_counts_neurons():
    assert float(prune.kept_fraction(prune.lowest_mask(array(1, 2, 3, 4, 5), 0.2))) == 4 / 5


# When


@pytest.mark.parametrize(
    ("every", "start", "stop", "refreshed", "active"),
    [
        (1, 2, 5, [2, 3, 4], [2, 3, 4]),
        (3, 1, 9, [1, 4, 7], [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, 1, 4, [1], [1, 2, 3]),
        (None, 4, 7, [4], [4, 5, 6]),
        (4, 0, -1, [0, 4, 8], list(range(10))),
        (1, -1, -1, [], []),
        (1, -1, 5, [], []),
        (None, 3, 3, [], []),
    ],
)
def test_schedules_by_hand(every, start, stop, refreshed, active):
    steps = range(10)
    assert [t for t in steps if prune.is_refresh(t, every, start, stop)] == refreshed
    assert [t for t in steps if prune.is_active(t, start, stop)] == active


def test_refresh_numbers_by_hand():
    assert [int(prune.refresh_number(t, 3, 1)) for t in range(1, 9)] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert [int(prune.refresh_number(t, None, 1)) for t in range(1, 5)] == [0, 0, 0, 0]


def test_a_weight_comes_back_and_the_mask_is_released():
    weights = [array(1, 2, 3, 4), array(9, 2, 3, 4), array(9, 8, 1, 0)]  # at steps 0 and 1, 2 and 3, and from 4 on
    mask = prune.all_kept(weights[0])
    history = []
    for step in range(7):
        now = weights[min(step // 2, 2)]
        mask = prune.update_mask(mask, lambda now=now: prune.lowest_mask(now, 0.5), step, every=2, start=0, stop=6)
        history.append(masked_at(mask))
    assert history == [[0, 1], [0, 1], [1, 2], [1, 2], [2, 3], [2, 3], []]


# Messages


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, 1.5, float("nan"), np.float32(1), np.array([0.1, 0.2])])
def test_a_rate_outside_is_refused_in_one_line(rate):
    for call in (prune.lowest_mask, prune.highest_mask):
        with pytest.raises(ValueError, match=r"^rate: wanted one number in \[0, 1\), got .*$"):
            call(jnp.ones(3), rate)
    for call in (prune.random_mask, prune.dropout_mask):
        with pytest.raises(ValueError, match=r"^rate: wanted"):
            call(KEY, jnp.ones(3), rate)


def test_other_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"scope: wanted one of global, per_array, per_row, got 'all'"):
        prune.lowest_mask(jnp.ones(3), 0.1, "all")
    with pytest.raises(ValueError, match="at least one array"):
        prune.lowest_mask({"a": None}, 0.1)
    with pytest.raises(ValueError, match="floating-point arrays of 16, 32 or 64 bits, got int32"):
        prune.lowest_mask(jnp.ones(3, jnp.int32), 0.1)
    with pytest.raises(ValueError, match="one dtype, got bfloat16, float16"):
        prune.lowest_mask([jnp.ones(3, jnp.float16), jnp.ones(3, jnp.bfloat16)], 0.1)
    with pytest.raises(ValueError, match=r"n: wanted a number of entries in \[0, 2\^31\)"):
        prune.masked_number(2**31, 0.1)
    with pytest.raises(ValueError, match=r"mask: wanted the shape \(2, 3\)"):
        prune.apply_mask(jnp.ones((2, 3)), jnp.ones(3, bool))
    with pytest.raises(ValueError, match="mask: wanted None"):
        prune.apply_mask({"a": None}, {"a": jnp.ones(3, bool)})
    with pytest.raises(ValueError, match="every: wanted at least 1 step"):
        prune.is_refresh(3, 0, 0, 5)


def test_arrays_of_several_types_have_quotas_of_their_own():
    mask = prune.lowest_mask([array(2, 1), array(1, 2, dtype=np.float64)], 0.5, "per_array")
    assert [masked_at(leaf) for leaf in mask] == [[1], [0]]
