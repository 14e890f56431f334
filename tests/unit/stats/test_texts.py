"""Shares and their differences as text."""

from dynsim.stats.texts import percent_and_range, points_text


def test_a_mean_has_half_the_range_and_a_single_seed_has_none():
    assert percent_and_range([0.4, 0.45, 0.6]) == "48.3 +-10.0"
    assert percent_and_range([0.25]) == "25.0"


def test_a_difference_leaves_out_what_too_few_seeds_cannot_give():
    report = {"estimate": -0.026, "low": -0.076, "high": 0.023, "detectable": 0.065}
    assert points_text(report) == "-2.6 [-7.6, 2.3], could see 6.5"
    assert points_text({**report, "low": None, "detectable": None}) == "-2.6"
