"""Paired comparison: pairs that are none are refused, hand-calculated numbers, scipy called directly, laws."""

import itertools
import json

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from scipy import stats

from dynsim import results
from dynsim.analysis import pairs
from dynsim.config.checks import ConfigError
from dynsim.results.sealed import ResultError
from dynsim.stats import intervals
from dynsim.theory import feature_groups
from tests.reference import toy

SEEDS = np.array([3, 1, 2, 7])
FIRST = np.array([4.1, 5.3, 3.9, 6.2, 4.4, 8.5])
SECOND = np.array([4.9, 5.1, 5.2, 7.9, 4.5, 13.0])


def make_result(seeds=SEEDS, own=(), config=None, **values):
    """A result whose dictionaries depend on the seeds alone; `values` are per-seed arrays, in the order of `seeds`."""
    config = config or toy()
    d1, d = config.data.token_dim, config.data.n_features
    per_seed = {"dictionary": np.stack([np.random.default_rng(int(s)).normal(size=(d1, d)) for s in seeds])}
    return results.to_dataset(
        config, feature_groups(config.data), seeds, np.array([0, 12]), {}, per_seed | values, {"own": dict(own)}
    )


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def refused(*datasets, **options) -> str:
    """Return the message with which results are refused as a pair."""
    with pytest.raises(ConfigError) as caught:
        pairs.check_paired(*datasets, **options)
    return one_line(caught)


# ---- what may be paired


def test_a_pair_may_differ_in_the_named_parts_only():
    base, other = toy(), toy(threshold__scale=0.7, data__minority_ratio=0.4, data__noise_level="sqrt_log_d")
    pairs.check_pair(base, toy(), ())
    pairs.check_pair(base, other, ("threshold", "data"))
    pairs.check_pair(base, other, ("threshold.scale", "data.minority_ratio", "data.noise_level"))
    with pytest.raises(ConfigError) as caught:
        pairs.check_pair(base, other, ("threshold", "data.noise_level"))
    message = one_line(caught)
    assert message.startswith("data.minority_ratio: wanted equal values") and "(0.5, 0.4)" in message
    with pytest.raises(ConfigError) as caught:
        pairs.check_pair(base, other)
    assert one_line(caught).startswith("data.minority_ratio, data.noise_level, threshold.scale: ")


@pytest.mark.parametrize("near", ["thresh", "threshold.", "scale", "threshold.scal", "data.scale", ".scale"])
def test_a_name_that_only_looks_like_the_field_allows_nothing(near):
    with pytest.raises(ConfigError, match=r"^threshold\.scale: "):
        pairs.check_pair(toy(), toy(threshold__scale=0.7), (near,))


def test_left_alone_only_the_section_prune_may_differ(monkeypatch):
    monkeypatch.setattr(pairs, "differing_numbers", lambda first, second: ["prune.rate", "prune.seed"])
    pairs.check_pair(toy(), toy())
    pairs.check_paired(make_result(), make_result())
    with pytest.raises(AttributeError):  # it looks for the values of prune.rate, to show them
        pairs.check_pair(toy(), toy(), ())


def test_results_that_are_a_pair_pass():
    first = make_result(own={"loss": ["m.f#1"]})
    other = make_result(config=toy(threshold__scale=0.7), own={"loss": ["m.f#1"], "record_fn": ["m.g#2"]})
    pairs.check_paired(first, other, first, may_differ=("threshold",))
    turned = other.transpose(*reversed(list(other.dims)))  # an order of axes is no difference
    pairs.check_paired(first, turned, may_differ=("threshold.scale",))


def test_other_seeds_are_refused():
    first = make_result()
    message = refused(first, make_result(np.array([3, 1, 2, 8])))
    assert message.startswith("seeds: wanted the same in the same order, got ([3, 1, 2, 7], [3, 1, 2, 8])")
    assert message.endswith("run both with the same seeds")
    assert "run both" in refused(first, make_result(SEEDS[:3]))
    assert "each seed once" in refused(make_result(np.array([1, 1])), make_result(np.array([1, 1])))
    assert "at least one seed" in refused(first, first.isel(seed=0))
    assert "at least one seed" in refused(first.isel(seed=[]), first.isel(seed=[]))
    assert refused(first).startswith("results: wanted at least two")


def test_shuffled_seeds_are_refused_though_they_are_the_same():
    first = make_result()
    shuffled = first.isel(seed=[1, 0, 2, 3])
    assert refused(first, shuffled).endswith("order one by the other, as with .sel(seed=other.seed)")
    pairs.check_paired(first.sel(seed=shuffled.seed), shuffled)  # the advice works


def test_other_dictionaries_are_refused():
    first = make_result()
    other = make_result()
    value = other["dictionary"].values[2, 0, 0]
    other["dictionary"][2, 0, 0] = np.nextafter(value, np.inf)  # the last bit of one number
    assert "the same bits in both, got 'others for seeds [2]'" in refused(first, other)
    assert refused(first, first, other).startswith("dictionary: ")
    single = first.assign(dictionary=first["dictionary"].astype(np.float32))
    assert "float64" in refused(first, single) and "float32" in refused(first, single)
    assert refused(first, first.drop_vars("dictionary")).startswith("dictionary: wanted one in each")
    signed = [first.copy(deep=True) for _ in range(2)]
    for part, zero in zip(signed, (0.0, -0.0), strict=True):
        part["dictionary"][0, 0, 0] = zero
    assert "seeds [3]" in refused(*signed)


def test_other_configurations_and_functions_are_refused():
    first, other = make_result(), make_result(config=toy(loss__temperature=0.5))
    assert refused(first, other).startswith("loss.temperature: ")
    assert refused(first, first, other).startswith("loss.temperature: ")
    own = make_result(own={"loss": ["m.f#1"]})
    assert refused(first, own).startswith("own functions: ") and refused(own, first).startswith("own functions: ")
    pairs.check_paired(first, own, may_differ=("own",))


def test_a_joined_result_must_be_selected_first():
    joined = results.concat({"a": make_result(), "b": make_result()}, "study")
    with pytest.raises(ResultError, match="select one"):
        pairs.check_paired(joined, joined)
    pairs.check_paired(joined.sel(study="a"), joined.sel(study="b"))


# ---- intervals and tests


def test_the_interval_is_that_of_scipy():
    difference = np.array([0.75, -0.25, 1.25, 1.75, 0.125, 4.5])  # sums are exact, so no rounding hides a tie
    found = intervals.paired_difference(
        np.arange(6.0), np.arange(6.0) + difference, level=0.9, n_resamples=500, rng_seed=4
    )
    options = {"n_resamples": 500, "confidence_level": 0.9}
    wanted, percentile = (
        stats.bootstrap((difference,), np.mean, **options, method=method, rng=np.random.default_rng(4))
        for method in ("BCa", "percentile")
    )
    np.testing.assert_allclose((found.low, found.high), wanted.confidence_interval, rtol=1e-12)
    np.testing.assert_allclose(found.estimate, 8.125 / 6, rtol=1e-12)
    assert (found.n_seeds, found.level) == (6, 0.9)
    assert found.high > percentile.confidence_interval.high  # corrected towards the long tail, which is on the right
    plain = intervals.bca_interval(difference, level=0.9, n_resamples=500, rng_seed=4)
    assert plain[:3] == found[:3] and np.isnan(plain.p_value)


def test_the_interval_repeats_and_its_seed_counts():
    one, again, other = (intervals.paired_difference(FIRST, SECOND, rng_seed=s, n_resamples=200) for s in (0, 0, 1))
    assert one == again and (one.low, one.high) != (other.low, other.high)


def test_pairing_matters():
    shift = FIRST + np.array([1.0, 1.1, 0.9, 1.0, 1.2, 0.8])
    paired, crossed = intervals.paired_difference(FIRST, shift), intervals.paired_difference(FIRST, shift[::-1])
    np.testing.assert_allclose(paired.estimate, crossed.estimate)
    assert paired.high - paired.low < 0.25 and crossed.high - crossed.low > 2
    assert paired.p_value == 2 / 2**6 and crossed.p_value > 0.2


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([1, 2, 3], 2 / 8),  # only +++ and --- reach 6
        ([3, 2, -1], 4 / 8),  # sums 6, 4, 2, 0 and their opposites; 4 was seen
        ([0.1, 0.2, -0.3], 1.0),  # a sum of zero but for rounding
        ([0.1, 0.2, 0.3, -0.4], 14 / 16),  # 0.2 was seen, and only 0.1 - 0.2 - 0.3 + 0.4 and its opposite are below
        ([0.1, 0.2, -0.3, 0.4], 10 / 16),  # 1, 0.8, 0.6, and 0.4 twice: those two are equal but for rounding
        ([0, 0, 0], 1.0),
        ([0, 0, 5], 1.0),  # either sign reaches 5
        ([2], 1.0),
        ([2, 1], 2 / 4),
        ([4] * 14, 2 / 2**14),
    ],
)
def test_p_values_by_hand(values, p):
    x = np.array(values, float)
    assert intervals.sign_flip_p_value(x) == p
    assert intervals.sign_flip_p_value(-x) == p
    np.testing.assert_equal(intervals.paired_difference(np.zeros_like(x), x, n_resamples=100).p_value, p)


def _signs(n):
    return itertools.product((1, -1), repeat=n)


@pytest.mark.parametrize("n", [5, 14])
def test_exact_p_values_are_those_of_scipy(n):
    x = np.random.default_rng(n).normal(0.4, 1.0, n)
    wanted = stats.permutation_test(
        (x,), np.mean, permutation_type="samples", vectorized=True, n_resamples=2**n, batch=2**10
    )
    np.testing.assert_allclose(intervals.sign_flip_p_value(x), wanted.pvalue, rtol=1e-12)


def test_a_sampled_p_value_is_near_the_exact_one():
    x = np.random.default_rng(0).normal(0.5, 1.0, 15)
    signs = np.array(list(_signs(15)))
    exact = np.mean(np.abs(signs @ x) >= abs(x.sum()) - 1e-12)
    assert 0.02 < exact < 0.5
    sampled = intervals.sign_flip_p_value(x)
    # twice the smaller of two tails, each a binomial count
    assert abs(sampled - exact) < 4 * np.sqrt(2 * exact / intervals.N_RESAMPLES)
    assert sampled != exact and sampled == intervals.sign_flip_p_value(x)
    assert sampled != intervals.sign_flip_p_value(x, rng_seed=1)
    assert intervals.sign_flip_p_value(np.zeros(15)) == 1


def test_equal_differences_are_a_point():
    found = intervals.paired_difference(FIRST.round(), FIRST.round() + 2)
    assert found == intervals.Interval(2.0, 2.0, 2.0, 2 / 2**6, 6, 0.95)
    assert intervals.paired_difference(FIRST, FIRST) == intervals.Interval(0.0, 0.0, 0.0, 1.0, 6, 0.95)


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_seeds_have_no_interval(n):
    found = intervals.paired_difference(FIRST[:n], SECOND[:n])
    np.testing.assert_allclose(found.estimate, [0.8, 0.3][n - 1], rtol=1e-9)
    assert np.isnan(found.low) and np.isnan(found.high) and found.n_seeds == n
    ratio = intervals.paired_ratio(FIRST[:n], SECOND[:n])
    assert np.isnan(ratio.low) and np.isnan(ratio.high) and ratio.n_seeds == n


def test_tiny_huge_and_nearly_equal_values_do_not_break_the_correction():
    values = np.array([1.1, 3.0, 4.3, 9.7])
    wanted = intervals.bca_interval(values, n_resamples=200)
    for power in (-500, 500):  # the cubes vanish or overflow
        found = intervals.bca_interval(2.0**power * values, n_resamples=200)
        np.testing.assert_array_equal(found[:3], 2.0**power * np.array(wanted[:3]))
    rounded = intervals.paired_difference(FIRST, FIRST + 0.1)
    assert np.ptp(FIRST + 0.1 - FIRST) > 0 and rounded.low == rounded.estimate == rounded.high
    np.testing.assert_allclose(rounded.estimate, 0.1, rtol=1e-12)


def test_rounding_does_not_hide_ties():
    exact = np.array([1.0, 3.0, 4.0, 9.0])  # of four, one resample in eleven is the sample in another order
    wanted = intervals.bca_interval(exact, n_resamples=200)
    scaled = intervals.bca_interval(exact / 30, n_resamples=200)
    np.testing.assert_allclose(scaled[:3], np.array(wanted[:3]) / 30, rtol=1e-9)


def test_ratios_by_hand():
    found = intervals.paired_ratio(np.array([1.0, 2.0, 5.0]), np.array([2.0, 8.0, 40.0]))
    np.testing.assert_allclose(found.estimate, 4.0, rtol=1e-12)  # (2 * 4 * 8)^(1/3)
    assert 2 <= found.low < 4 < found.high <= 8.0001 and found.p_value == 2 / 8
    logs = intervals.bca_interval(np.log(SECOND / FIRST), n_resamples=300)
    ratio = intervals.paired_ratio(FIRST, SECOND, n_resamples=300)
    np.testing.assert_allclose(ratio[:3], np.exp(logs[:3]), rtol=1e-9)


sixteenths = st.integers(1, 800).map(lambda k: k / 16)  # differences are exact, and p-values then too
numbers = st.lists(sixteenths, min_size=3, max_size=7).map(np.array)


@settings(max_examples=25)
@given(numbers, st.sampled_from([0.125, 1.0, 32.0]), st.data())
def test_laws_of_scale_and_exchange(first, scale, data):
    second = np.array(data.draw(st.lists(sixteenths, min_size=len(first), max_size=len(first))))
    there = intervals.paired_difference(first, second, n_resamples=100)
    scaled = intervals.paired_difference(scale * first, scale * second, n_resamples=100)
    back = intervals.paired_ratio(second, first, n_resamples=100)
    ratio = intervals.paired_ratio(first, second, n_resamples=100)
    assert scaled[:3] == tuple(scale * end for end in there[:3])
    np.testing.assert_allclose(back.estimate, 1 / ratio.estimate, rtol=1e-9)
    assert there.p_value == scaled.p_value and ratio.p_value == back.p_value
    difference = second - first
    for part, values in ((there, difference), (ratio, second / first)):
        assert part.low <= part.high
        slack = 1e-9 * np.max(np.abs(values))
        assert values.min() - slack <= part.low and part.high <= values.max() + slack


@pytest.mark.parametrize(("n", "stated"), [(5, 0.85), (8, 0.89), (16, 0.92)])
def test_coverage_stated_in_the_docstring(n, stated):
    """Of 4000 intervals, which scipy computes side by side; the first 60 are compared with ours."""
    # multiples of 2^-20: their sums are exact, and resamples of the same values have the same mean in any order
    samples = np.ldexp(np.rint(np.ldexp(np.random.default_rng(n).normal(size=(4000, n)), 20)), -20)

    def ends(some):
        options = {"n_resamples": 999, "confidence_level": 0.95, "method": "BCa", "axis": 1}
        found = stats.bootstrap((some,), np.mean, **options, rng=np.random.default_rng(0))
        return np.transpose(found.confidence_interval)

    found = np.concatenate([ends(some) for some in np.split(samples, 20)])
    ours = [intervals.bca_interval(sample, n_resamples=999)[1:3] for sample in samples[:60]]
    np.testing.assert_allclose(found[:60], ours, rtol=1e-12)
    assert abs(np.mean((found[:, 0] <= 0) & (found[:, 1] >= 0)) - stated) < 0.03


@pytest.mark.parametrize(
    ("first", "second", "start"),
    [
        ([1.0, 2.0], [1.0], "second: wanted 2 numbers"),
        ([1.0, np.nan], [1.0, 2.0], "first: wanted finite numbers, got 'others at positions [1]'"),
        ([1.0, 2.0], [-np.inf, 2.0], "second: wanted finite numbers"),
        ([], [], "first: wanted one number per seed"),
        ([[1.0]], [[1.0]], "first: wanted one number per seed"),
    ],
)
@pytest.mark.parametrize("compared", [intervals.paired_difference, intervals.paired_ratio])
def test_values_that_do_not_fit_are_refused(compared, first, second, start):
    with pytest.raises(ConfigError) as caught:
        compared(np.array(first), np.array(second))
    assert one_line(caught).startswith(start)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_ratios_of_numbers_not_above_zero_are_refused(bad):
    good, other = np.array([1.0, 2.0, 3.0]), np.array([1.0, bad, 3.0])
    with pytest.raises(ConfigError, match=r"^first: wanted numbers above 0"):
        intervals.paired_ratio(other, good)
    with pytest.raises(ConfigError, match=r"^second: wanted numbers above 0"):
        intervals.paired_ratio(good, other)


@pytest.mark.parametrize(
    "option", [{"level": 0.0}, {"level": 1.0}, {"level": 95.0}, {"n_resamples": 99}, {"rng_seed": -1}]
)
def test_options_that_do_not_fit_are_refused(option):
    with pytest.raises(ConfigError, match=f"^{next(iter(option))}: wanted"):
        intervals.paired_difference(FIRST, SECOND, **option)


# ---- many tests at once


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and the last is raised to 0.06
    wanted = {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    found = intervals.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(found) == list(wanted)
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), rtol=1e-12)
    np.testing.assert_allclose(intervals.holm([0.6, 0.5, 0.0]), [1.0, 1.0, 0.0])
    assert intervals.holm([]) == [] and intervals.holm({}) == {}
    for bad in (1.1, -0.1, float("nan")):
        with pytest.raises(ConfigError, match=r"^p_values: "):
            intervals.holm([0.5, bad])


raw_p = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=8)


@given(raw_p, st.sampled_from([0.01, 0.05, 0.2]))
def test_laws_of_holm(raw, level):
    adjusted = intervals.holm(raw)
    assert all(p <= q <= 1 for p, q in zip(raw, adjusted, strict=True))
    pairs = list(zip(raw, adjusted, strict=True))
    assert all(a[1] <= b[1] for a in pairs for b in pairs if a[0] <= b[0])
    assert intervals.holm(raw[:1]) == raw[:1]
    assert intervals.holm(raw[::-1]) == adjusted[::-1]
    # the procedure as it is defined: from the smallest on, stop at the first p above level / (number left)
    rejected = set()
    left = list(range(len(raw)))
    while left and min(raw[i] for i in left) * len(left) <= level:
        rejected.add(left.pop(min(range(len(left)), key=lambda k: raw[left[k]])))
    assert {i for i, q in enumerate(adjusted) if q <= level} == rejected


# ---- whole results


def pair_of_results():
    seeds = np.arange(6)
    first = make_result(seeds, alive=np.array([3, 4, 3, 5, 4, 6]), final=FIRST)
    return first, make_result(seeds, alive=np.array([2, 2, 1, 1, 2, 1]), final=SECOND)


MEASURES = {
    "alive": lambda result: result["alive"].values,
    "final": lambda result: result["final"].values,
    "same": lambda result: np.ones(result.sizes["seed"]),
}


def test_measures_of_two_results(tmp_path):
    first, second = pair_of_results()
    found = pairs.compare_runs(first, second, MEASURES, n_resamples=300, level=0.9, rng_seed=2)
    assert list(found) == ["alive", "final", "same"]
    wanted = intervals.paired_difference(FIRST, SECOND, n_resamples=300, level=0.9, rng_seed=2)
    # signs of 0.8, -0.2, 1.3, 1.7, 0.1, 4.5: sums of at least 8.2 have + but for -0.2 and 0.1: 8.6, 8.4, 8.2
    assert wanted.p_value == 2 * 3 / 64
    assert found["final"] == wanted._asdict() | {"p_holm": 2 * wanted.p_value}
    np.testing.assert_allclose(found["alive"]["estimate"], -16 / 6)
    assert found["alive"]["p_value"] == 2 / 64 and found["alive"]["p_holm"] == 3 * 2 / 64
    assert found["same"]["p_holm"] == 1.0 and found["same"]["low"] == found["same"]["high"] == 0.0
    results.save_json(found, tmp_path / "summary.json")
    assert results.load_json(tmp_path / "summary.json") == found


def test_what_is_not_there_is_null_in_the_summary():
    first, second = (part.isel(seed=[0, 1]) for part in pair_of_results())
    row = pairs.compare_runs(first, second, MEASURES)["alive"]
    assert row["low"] is None and row["high"] is None and row["n_seeds"] == 2
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert intervals.bca_interval(FIRST).plain()["p_value"] is None


def test_measures_are_taken_of_pairs_only():
    first, second = pair_of_results()
    with pytest.raises(ConfigError, match=r"^seeds: "):
        pairs.compare_runs(first, second.isel(seed=[1, 0, 2, 3, 4, 5]), MEASURES)
    changed = second.assign_attrs(make_result(config=toy(threshold__scale=0.7)).attrs)
    with pytest.raises(ConfigError, match=r"^threshold\.scale: "):
        pairs.compare_runs(first, changed, MEASURES)
    assert pairs.compare_runs(first, changed, MEASURES, may_differ=("threshold",))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda result: result["dictionary"].values, "measure x: wanted shape"),
        (lambda result: np.ones(5), "measure x: wanted shape"),
        (lambda result: np.where(result["seed"].values == 1, np.nan, 1.0), "measure x: first: wanted finite numbers"),
    ],
)
def test_measures_that_do_not_fit_are_refused_by_name(measure, message):
    with pytest.raises(ConfigError) as caught:
        pairs.compare_runs(*pair_of_results(), {"x": measure})
    assert one_line(caught).startswith(message)


def test_a_result_is_not_changed():
    first, second = pair_of_results()
    before = first.copy(deep=True)
    pairs.compare_runs(first, second, MEASURES)
    xr.testing.assert_identical(first, before)
