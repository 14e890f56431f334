"""The verdict on a reading: on data in which the answer is planted, on lost seeds, and by hand."""

import re
from pathlib import Path

import numpy as np
import pytest

from dynsim.config.checks import ConfigError
from dynsim.results import load_json
from dynsim.stats import verdicts
from dynsim.stats.intervals import equivalence_p_value, t_interval
from experiments import pruning_answer
from experiments.pruning import answers, arms, plan
from experiments.pruning.answers import DECIDING, Outcome
from experiments.pruning.arms import FADING, KAPPA, LAMBDA, UNMASKED, Arm

MARGIN, N_SEEDS, TRIES = 0.125, 16, 20
ARM = Arm("1 percent", 0.3, "one branch")


def covered(rng, chance, n_seeds=N_SEEDS):
    """Shares of eight features that are covered, each with a chance that scatters from seed to seed."""
    return rng.binomial(8, np.clip(chance + rng.normal(0, 0.08, n_seeds), 0, 1)) / 8


def planted(rng, chances, *, settled=True):
    """Outcomes of the reading, its partner and its placebos with these chances of covering a minority feature."""
    return {arm: Outcome({DECIDING: covered(rng, chance)}, settled, 4000) for arm, chance in chances.items()}


def world(base, magnitude, random, perturbed):
    found = {ARM.partner: base, ARM: magnitude}
    for one in arms.placebos(ARM):
        found[one] = random if one.reading == ARM.reading else perturbed
    return found


def words(chances):
    return [
        answers.reading_verdict(planted(np.random.default_rng(seed), chances), ARM, MARGIN)["verdict"]
        for seed in range(TRIES)
    ]


def test_where_magnitude_helps_it_is_said_to_help_beyond_placebos():
    assert words(world(0.3, 0.9, 0.4, 0.5)).count(verdicts.HELPS_BEYOND) >= 19


def test_where_any_perturbation_helps_it_is_said_to_help_no_more():
    assert words(world(0.3, 0.9, 0.9, 0.9)).count(verdicts.HELPS_ALIKE) >= 19


def test_where_nothing_helps_nothing_is_said_inside_the_margin_only():
    quiet = world(0.99, 0.99, 0.99, 0.99)
    assert words(quiet).count(verdicts.NOTHING_WITHIN) >= 19
    assert verdicts.HELPS_BEYOND not in words(world(0.5, 0.5, 0.5, 0.5))


def test_where_it_harms_it_is_said_to_harm():
    assert words(world(0.8, 0.3, 0.3, 0.8)).count(verdicts.HARMS) >= 19


def test_runs_that_were_still_changing_enter_no_verdict():
    rng = np.random.default_rng(0)
    found = planted(rng, world(0.3, 0.9, 0.4, 0.5))
    found[ARM] = found[ARM]._replace(settled=False)
    assert answers.reading_verdict(found, ARM, MARGIN)["verdict"] == verdicts.NOT_CONVERGED


def test_a_placebo_that_never_settles_is_not_asked_but_is_shown():
    found = planted(np.random.default_rng(0), world(0.3, 0.9, 0.4, 0.9))
    for one in arms.placebos(ARM):
        if one.reading != ARM.reading:
            found[one] = found[one]._replace(settled=False)
    row = answers.reading_verdict(found, ARM, MARGIN)
    assert row["verdict"] == verdicts.HELPS_BEYOND
    assert row["placebos_that_count"] == ["one branch, fixed random", "one branch, redrawn random"]
    assert {FADING, KAPPA, LAMBDA} < set(row["against"])


def test_a_quarter_of_the_seeds_may_be_lost_and_no_more():
    found = planted(np.random.default_rng(0), world(0.3, 0.9, 0.4, 0.5))
    values = found[ARM].values[DECIDING].copy()
    values[:4] = np.nan
    found[ARM] = found[ARM]._replace(values={DECIDING: values})
    row = answers.reading_verdict(found, ARM, MARGIN)
    assert row["verdict"] == verdicts.HELPS_BEYOND and row["against"]["no mask"]["n_seeds"] == 12
    assert row["against"]["no mask"]["n_lost"] == 4
    values[4] = np.nan
    found[ARM] = found[ARM]._replace(values={DECIDING: values})
    assert answers.reading_verdict(found, ARM, MARGIN)["verdict"] == verdicts.UNSTABLE


def test_a_difference_by_hand():
    first = Outcome({DECIDING: np.array([0.1, 0.2, 0.3, np.nan])}, True, 1)
    second = Outcome({DECIDING: np.array([0.3, 0.3, 0.4, 0.9])}, True, 1)
    got = answers.paired_contrast(second, first, DECIDING)
    low, high = t_interval(np.array([0.2, 0.1, 0.1]))
    assert (got.interval.n_seeds, got.n_lost) == (3, 1) and got.span == pytest.approx((low, high))
    assert got.interval.estimate == pytest.approx(0.4 / 3)


@pytest.mark.parametrize(
    ("first", "second", "least", "most"),
    [
        (0.3, 0.9, 0.93, 0.97),
        (0.5, 0.5, 0.93, 0.97),
        (0.98, 0.99, 0.88, 0.93),
    ],
)
def test_intervals_of_sixteen_pairs_hold_the_difference_as_often_as_the_plan_says(first, second, least, most):
    rng, held, n = np.random.default_rng(1), 0, 2000
    for _ in range(n):
        low, high = t_interval(rng.binomial(8, second, 16) / 8 - rng.binomial(8, first, 16) / 8)
        held += low <= second - first <= high
    assert least < held / n < most


# ----- statements


def statement(name, wanted, **more):
    sides = {"second": {"reading": "one branch"}, "first": {"reading": "one branch", "kind": "fixed random"}} | more
    return plan.Planned(name, "claim", "us", DECIDING, sides["second"], sides["first"], wanted, MARGIN, "rival", "no")


def small_plan(statements):
    point = plan.PlanPoint("1 percent", 0.3)
    return plan.load_plan()._replace(points=[point], statements=statements, readings=["one branch"])


def judged(chances, *statements, seed=3):
    found = planted(np.random.default_rng(seed), chances)
    return [row["verdict"] for row in answers.judge_statements(small_plan(list(statements)).contrasts(), found)]


@pytest.mark.parametrize("wanted", ["above 0", "within the margin"])
def test_a_statement_whose_seeds_are_all_lost_is_undecided(wanted):
    found = planted(np.random.default_rng(3), world(0.3, 0.9, 0.4, 0.9))
    (contrast,) = small_plan([statement("A", wanted)]).contrasts()
    mine = found[contrast[2]]
    lost = {name: np.full_like(values, np.nan) for name, values in mine.values.items()}
    (row,) = answers.judge_statements([contrast], found | {contrast[2]: mine._replace(values=lost)})
    assert row["verdict"] == verdicts.UNDECIDED and row["p_holm"] == 1


def test_statements_are_judged_with_holm_over_them_alone():
    chances = world(0.3, 0.9, 0.4, 0.9)
    above, within = statement("A", "above 0"), statement("B", "within the margin", first={"reading": FADING})
    assert judged(chances, above, within) == [verdicts.SUPPORTED, verdicts.SUPPORTED]
    found = planted(np.random.default_rng(3), chances)
    one, two = answers.judge_statements(small_plan([above, above._replace(name="C")]).contrasts(), found)
    alone = answers.judge_statements(small_plan([above]).contrasts(), found)[0]
    assert one["p_holm"] == two["p_holm"] == pytest.approx(2 * alone["p_holm"])


def test_a_difference_beyond_the_margin_is_not_as_stated():
    within = statement("B", "within the margin")
    assert judged(world(0.3, 0.9, 0.3, 0.9), within) == [verdicts.UNDECIDED]  # p of the null it denies is large
    assert judged(world(0.3, 0.3, 0.9, 0.9), statement("A", "above 0")) == [verdicts.NOT_SUPPORTED]


def test_two_one_sided_tests_by_hand():
    """The larger of the p-values of mean > -margin and mean < margin: with mean 0.05 the second decides."""
    from scipy import stats

    x = 0.05 + np.array([-0.02, 0.0, 0.01, 0.01])
    t = (np.mean(x) - 0.1) / (np.std(x, ddof=1) / 2)
    assert equivalence_p_value(x, 0.1) == pytest.approx(stats.t.cdf(t, 3))
    assert equivalence_p_value(np.zeros(5), 0.1) == 0 and equivalence_p_value(np.full(5, 0.2), 0.1) == 1


# ----- arms and plan


def test_every_arm_of_the_plan_is_a_configuration_and_its_partner_comes_first():
    full = plan.load_plan()
    for point in full.points:
        listed = full.arms(point)
        assert len(set(listed)) == len(listed)
        for place, arm in enumerate(listed):
            arms.arm_config(arm, full.shape, 4000)
            assert arm.partner in listed[: place + 1], arm
        labels = [(arm.ratio, arm.label) for arm in listed if arm.kind != UNMASKED]
        assert len(set(labels)) == len(labels)


def test_a_placebo_differs_from_its_reading_in_the_kind_of_mask_alone():
    for name in arms.MASK_READINGS:
        arm = Arm("none", 0.4, name)
        lowest, fixed = (arms.arm_config(one, "base", 100) for one in (arm, arm._replace(kind="fixed random")))
        assert lowest.prune.kind == "lowest" and fixed.prune.kind == "random_fixed"
        assert arms.replace(fixed, **{"prune.kind": "lowest"}) == lowest
        partner = arms.arm_config(arm.partner, "base", 100)
        assert partner.prune.kind == "none" and partner.loss == lowest.loss and partner.data == lowest.data


def test_the_plan_is_held_once_a_study_has_begun(tmp_path):
    first = plan.load_plan()
    plan.hold(tmp_path, first.digest)
    plan.hold(tmp_path, first.digest)
    with pytest.raises(ConfigError, match=r"plan: wanted the one that .* began with .*, got an edited one") as caught:
        plan.hold(tmp_path, "0123456789ab")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [5000, 5016]", "seeds = [4003, 4020]", "seeds: wanted seeds that the search has not seen"),
        ('"masked key",', '"masked keys",', "readings: wanted"),
        ('noise = "none"', 'noise = "much"', "noise: wanted"),
        ('wanted = "within the margin"', 'wanted = "small"', "P3: wanted above 0, within the margin"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_in_one_line(tmp_path, old, new, message):
    text = plan.PLAN.read_text()
    assert old in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        plan.load_plan(path)


def test_no_statement_is_shown_under_the_name_of_a_test_of_the_theory():
    """The file calls eight statements P1 to P8, which are names of other things in theory 8.5."""
    names = [one.name for one in plan.load_plan().statements]
    shown = [plan.title(name) for name in names]
    assert set(plan.TITLES) <= set(names) and len(set(shown)) == len(names)
    label = re.compile(r"\b[SIP]\d")
    assert not [words for words in shown if label.search(words)]
    committed = load_json(Path(__file__).parents[3] / "figures" / "data" / "pruning_answer.json")
    text = pruning_answer.words()[1](committed)
    assert all(f"  {words}: " in text for words in shown)
    assert not label.findall(text)


def test_the_committed_answer_follows_the_committed_plan():
    """A plan edited after its runs would show here."""
    committed = load_json(Path(__file__).parents[3] / "figures" / "data" / "pruning_answer.json")
    held = plan.load_plan()
    assert committed["plan"] == held.digest and committed["seeds"] == list(held.seeds)
    assert len(committed["statements"]) == len(held.statements) * len(held.points)
