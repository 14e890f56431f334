"""Verdicts, excluded seeds and shares of hand-made results, worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from dynsim import results
from dynsim.analysis import outcomes
from dynsim.config import Config, replace
from dynsim.stats import verdicts
from dynsim.stats.intervals import holm, sign_flip_p_value
from dynsim.stats.verdicts import Statement, judge
from dynsim.theory import feature_groups
from experiments.pruning import measures

INF, NAN = math.inf, math.nan
DENSE = replace(
    Config(),
    **{"data.n_features": 4, "data.token_dim": 4, "encoder.n_neurons": 6, "train.n_steps": 20, "train.n_records": 3},
)
PRUNED = replace(DENSE, **{"prune.kind": "lowest", "prune.rate": 0.5})
STEPS = np.array([0, 10, 20])
OWN = (0, 0, 1, 2, 3, 3)
"""Feature of each neuron; features 2 and 3 are minority."""


def result(config=DENSE, size=1.0, owners=OWN, n_seeds=5, loss=1.0, diverged=-1, firing=1.0):
    """Return a result in which neuron i lies along feature owners[i], with weight `size` (seed, record, neuron)."""
    shape = (n_seeds, len(STEPS), 6)
    w = np.broadcast_to(np.asarray(size, float), shape)
    alignment = w[..., None] * (np.arange(4) == np.array(owners)[:, None])
    names = ("weight_norm", "residual_norm", "threshold", "firing", "false_firing")
    fires = np.broadcast_to(np.asarray(firing, float), shape)
    fields = dict(zip(names, (w, 0 * w, 0 * w, fires, 0 * w), strict=True))
    fields |= {"alignment": alignment, "self_weight": w[..., 0]}
    fields["held_out_loss"] = np.broadcast_to(np.asarray(loss, float), shape[:2])
    per_seed = {
        "diverged_step": np.broadcast_to(np.asarray(diverged), (n_seeds,)),
        "positive_weight": np.tile([NAN, 0.1, 0.3], (n_seeds, 1)),
        "dictionary": np.tile(np.eye(4), (n_seeds, 1, 1)),
    }
    return results.to_dataset(config, feature_groups(config.data), np.arange(n_seeds), STEPS, fields, per_seed, {})


def sized(*by_seed):
    """Return weights (seed, record, neuron) of one size per seed."""
    return np.array(by_seed, float)[:, None, None]


# ----- verdicts


@pytest.mark.parametrize(
    ("low", "high", "wanted", "p", "verdict"),
    [
        (0.1, 0.4, (0.0, INF), 0.01, "supported"),
        (0.1, 0.4, (0.0, INF), 0.06, "undecided"),
        (-0.4, -0.1, (0.0, INF), 0.01, "not supported"),
        (-0.4, -0.1, (0.0, INF), 0.2, "undecided"),
        (-0.1, 0.4, (0.0, INF), 0.01, "undecided"),
        (-0.1, 0.2, (-0.25, 0.25), None, "supported"),
        (-0.1, 0.3, (-0.25, 0.25), None, "undecided"),
        (0.3, 0.4, (-0.25, 0.25), None, "not supported"),
        (NAN, NAN, (-0.25, 0.25), None, "undecided"),
    ],
)
def test_the_verdict_follows_from_interval_range_and_p_value(low, high, wanted, p, verdict):
    assert judge(low, high, wanted, p) == verdict


DATA = Path(__file__).resolve().parents[3] / "figures" / "data"


def statements_of(summary):
    """Yield (interval, wanted range, p, verdict) of each statement of a committed summary whose runs had settled."""
    for entries in summary.get("tests", {}).values():
        for one in entries:
            if one.get("wanted"):
                low, high = (NAN if end is None else end for end in one["interval"])
                below, above = (one["wanted"][k] if one["wanted"][k] is not None else (-INF, INF)[k] for k in (0, 1))
                yield low, high, (below, above), one["p_holm"], one["verdict"]
    for one in [*summary.get("statements", []), *summary.get("statements_at_equal_steps", [])]:
        low, high = (NAN if one["found"][end] is None else one["found"][end] for end in ("low", "high"))
        wanted = (0.0, INF) if one["wanted"] == "above 0" else (-one["margin"], one["margin"])
        if one["verdict"] != verdicts.NOT_CONVERGED:
            yield low, high, wanted, one["p_holm"], one["verdict"]


@pytest.mark.parametrize("name", ["pruning_answer", "pruning_recipe", "pruning_recipe_large", "pruning_comparison"])
def test_words_of_older_summaries_are_read_as_what_the_rule_says_today(name):
    summary = verdicts.in_present_words(results.load_json(DATA / f"{name}.json"))
    found = list(statements_of(summary))
    assert len(found) > 10
    for low, high, wanted, p_holm, verdict in found:
        assert judge(low, high, wanted, p_holm) == verdict and verdict in verdicts.CHECK_VERDICTS
    words = {one["verdict"] for one in summary.get("verdicts", [])}
    assert words <= set(verdicts.READING_VERDICTS)


def test_present_words_change_verdicts_and_nothing_else():
    old = {"rows": [{"verdict": "as stated", "claim": "as stated"}, {"verdict": "harms"}], "verdict": {"a": None}}
    new = {"rows": [{"verdict": "supported", "claim": "as stated"}, {"verdict": "harms"}], "verdict": {"a": None}}
    assert verdicts.in_present_words(old) == new and old["rows"][0]["verdict"] == "as stated"


def statement(wanted):
    return Statement("claim", "quantity", wanted, "rival", "refuted by")


def test_entries_share_holms_correction_and_count_the_seeds_left_out():
    a, b = np.arange(1.0, 9), np.array([-1.0, 2, 3, 4, 5, 6, 7, NAN])
    entries = verdicts.judged([(statement((0.0, INF)), a), (statement((1.0, INF)), b), (statement((-9, 9)), a)])
    adjusted = holm([sign_flip_p_value(a), sign_flip_p_value(b[:7] - 1)])
    assert [entry["p_holm"] for entry in entries] == [*adjusted, None]
    assert [entry["seeds_left_out"] for entry in entries] == [0, 1, 0] and entries[1]["seeds"] == 7
    assert entries[0]["measured"] == 4.5 and entries[1]["measured"] == pytest.approx(26 / 7)
    assert entries[0]["wanted"] == [0.0, None] and entries[0]["verdict"] == "supported"
    assert entries[2]["verdict"] == "supported" and entries[2]["interval"][0] > 0
    assert all(entry["interval"][0] <= entry["measured"] <= entry["interval"][1] for entry in entries)


@pytest.mark.parametrize("values", [[], [NAN, INF], [1.0, 2.0]])
def test_too_few_seeds_are_no_verdict(values):
    (entry,) = verdicts.judged([(statement((0.0, INF)), np.array(values))])
    assert entry["verdict"] == "undecided" and entry["interval"] == [None, None]


# ----- seeds that are left out


def test_lost_and_exploded_seeds_leave_both_sides_and_are_counted():
    # strengths S_j of seed s are size^2 times one or two neurons; 11^2 > 100 has exploded, 9^2 has not
    dense = result()
    pruned = result(PRUNED, sized(1, 11, 9, NAN, 1), diverged=np.array([-1, -1, -1, 7, -1]))
    assert outcomes.broken(pruned).tolist() == [False, False, False, True, False]
    assert outcomes.usable(dense, pruned).tolist() == [0, 2, 4]
    found = outcomes.difference(dense, dense, pruned)
    assert (found["n_seeds"], found["n_diverged"], found["n_exploded"]) == (3, 1, 1)
    assert found["end"]["majority strength"] == pytest.approx(np.median([1.5, 1.5 * 121, 1.5 * 81, 1.5]))
    strength = found["equal steps"]["minority strength"]
    assert strength["n_seeds"] == 3 and strength["estimate"] == pytest.approx((0 + 1.5 * 80 + 0) / 3)
    assert set(found["equal loss"]) == set(outcomes.MEASURES)


def test_a_loss_that_is_not_finite_leaves_the_seed_out():
    loss = np.ones((5, 3))
    loss[2, 1] = INF
    assert outcomes.usable(result(), result(PRUNED, loss=loss)).tolist() == [0, 1, 3, 4]


def test_without_any_seed_there_is_no_difference_but_a_count():
    found = outcomes.difference(result(), result(), result(PRUNED, diverged=3))
    assert found["n_diverged"] == 5 and found["n_seeds"] == 0 and "equal steps" not in found and found["end"] == {}


def test_the_end_difference_is_nan_for_seeds_left_out():
    dense = result()
    pruned = result(PRUNED, sized(1, 11, 1, 1, 1), owners=(0, 2, 2, 2, 3, 3))
    found = outcomes.end_difference(dense, dense, pruned, "minority specialists")
    np.testing.assert_array_equal(found, [2, NAN, 2, 2, 2])


# ----- who is masked


def test_shares_of_masked_neurons_by_hand():
    # norms grow with the neuron; neurons 0 and 1 do not fire and are then no specialists, and silent
    firing = np.array([0, 0, 1, 1, 1, 1])
    one = result(size=np.array([1.0, 2, 3, 4, 5, 6]), firing=firing, n_seeds=1)
    shares = measures.masked_shares(one, [0.5, 0.7]).isel(seed=0, record=0)
    assert shares["neuron_class"].values.tolist() == ["minority", "majority", "none", "silent"]
    # half of six: neurons 0, 1, 2; the only majority specialist left is neuron 2
    np.testing.assert_allclose(shares["masked"].sel(rate=0.5), [0, 1, 1, 1])
    np.testing.assert_allclose(shares["of_masked"].sel(rate=0.5), [0, 1 / 3, 2 / 3, 2 / 3])
    # floor(6 * 0.7) = 4: neuron 3 too, a specialist of minority feature 2
    np.testing.assert_allclose(shares["masked"].sel(rate=0.7), [1 / 3, 1, 1, 1])
    np.testing.assert_allclose(shares["size"], [3 / 6, 1 / 6, 2 / 6, 2 / 6])


def test_a_class_without_members_has_no_share():
    shares = measures.masked_shares(result(n_seeds=1), [0.5])
    assert np.isnan(shares["masked"].sel(neuron_class="none")).all()
    assert (shares["of_masked"].sel(neuron_class="none") == 0).all()


# ----- slopes and end states


def test_slopes_of_lines_are_found():
    x = np.array([0.1, 0.3, 0.5])
    y = np.array([[2.0], [-3.0]]) * x[None, :]
    np.testing.assert_allclose(measures.slope_through_origin(x, y), [2, -3])
    np.testing.assert_allclose(measures.slope(x, y + 7), [2, -3])


def test_end_states_at_several_ratios():
    # minority neurons of size r: the strength ratio is r without pruning, and 1 with it
    ratios = (1.0, 0.5)
    size = {r: np.array([1, 1, 1, r, r, r]) for r in ratios}
    per_ratio = {"data.minority_ratio": 0.0}
    dense, pruned = [], []
    for r in ratios:
        per_ratio["data.minority_ratio"] = r
        dense.append(result(replace(DENSE, **per_ratio), size[r]))
        pruned.append(result(replace(PRUNED, **per_ratio), 1.0))
    found = measures.end_states(dense, pruned)["equal steps"]["strength ratio"]
    assert found.shape == (2, 2, 5)
    slopes = measures.slope(np.log(ratios), found.transpose(0, 2, 1))
    np.testing.assert_allclose(slopes, np.repeat([[1.0], [0.0]], 5, axis=1), atol=1e-12)
    counts = measures.end_states(dense, pruned)["equal steps"]["specialist ratio"]
    np.testing.assert_allclose(counts, np.log(3.5 / 3.5), atol=1e-12)


def test_count_curves_by_hand():
    curves = measures.count_curves(result(owners=(0, 1, 1, 1, 2, 3)), np.array([1, 3]))
    assert curves.sizes["seed"] == 2
    for group, number in (("minority", 2), ("majority", 4)):
        assert (curves.sel(group=group) == number).all()


def test_weights_stay_uniform_until_the_first_change():
    assert measures.uniform_until(result()) == 10.0
    flat = result()
    flat["positive_weight"][:] = np.array([[NAN, 0.1, 0.105]] * 5)
    assert measures.uniform_until(flat) == 20.0


def test_all_measures_are_compared_where_the_pair_differs_in_what_is_named():
    eta = replace(DENSE, **{"optimizer.learning_rate": 1.0})
    found = outcomes.difference(result(), result(), result(eta), ("optimizer.learning_rate",))
    assert set(found["equal steps"]) == set(outcomes.MEASURES) and "equal loss" not in found
    with pytest.raises(ValueError, match=r"optimizer\.learning_rate: wanted equal values in a pair"):
        outcomes.difference(result(), result(), result(eta))
