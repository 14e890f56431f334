"""Power of the paired t-test: against simulation, and the difference that it finds."""

import numpy as np
import pytest
from scipy import stats

from dynsim.config.checks import ConfigError
from dynsim.stats.power import detectable_difference, t_test_power


@pytest.mark.parametrize(("difference", "level"), [(0.0, 0.05), (0.1, 0.05), (0.2, 0.01)])
def test_power_is_how_often_the_test_rejects(difference, level):
    rng = np.random.default_rng(0)
    values = rng.normal(difference, 0.15, (20_000, 16))
    rejected = np.mean(stats.ttest_1samp(values, 0.0, axis=1).pvalue <= level)
    assert t_test_power(difference, 0.15, 16, level) == pytest.approx(rejected, abs=0.012)


def test_the_detectable_difference_has_the_power_and_grows_with_the_scatter():
    found = detectable_difference(0.2, 16)
    assert t_test_power(found, 0.2, 16) == pytest.approx(0.8, abs=1e-6)
    assert detectable_difference(0.4, 16) == pytest.approx(2 * found)
    assert detectable_difference(0.2, 16, 0.05 / 33) == pytest.approx(0.242, abs=0.001)  # as the plan says


def test_a_power_below_the_level_is_refused():
    with pytest.raises(ConfigError, match="power: wanted a chance"):
        detectable_difference(0.2, 16, level=0.05, power=0.05)
