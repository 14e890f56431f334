"""How large a difference can a number of seeds show? Power of the paired t-test, for plans made before the data."""

import functools
import math

import numpy as np
from scipy import integrate, optimize, stats

from dynsim.config.checks import number, positive_int, require
from dynsim.stats.intervals import t_paired


def t_test_power(difference: float, scatter: float, n_seeds: int, level: float = 0.05) -> float:
    """Return the chance that a two-sided paired t-test rejects "no difference".

    Args:
        difference: true mean difference between the runs of a pair.
        scatter: standard deviation of the difference over seeds, above 0.
        n_seeds: number of pairs, at least 2.
        level: largest p-value at which it rejects.
    """
    positive_int("n_seeds", n_seeds, 2)
    number("scatter", scatter, 0.0, open_low=True)
    freedom, shift = n_seeds - 1, difference / scatter * math.sqrt(n_seeds)
    cut = float(stats.t.ppf(1 - level / 2, freedom))

    # SciPy's noncentral t gives NaN in its far tail, so the normal law is averaged over the law of the scatter instead
    def rejects(root: float) -> float:
        both = stats.norm.sf(cut * root - shift) + stats.norm.cdf(-cut * root - shift)
        return float(both * stats.chi.pdf(root * math.sqrt(freedom), freedom) * math.sqrt(freedom))

    return float(integrate.quad(rejects, 0.0, math.inf)[0])


def paired_report(differences: np.ndarray) -> dict[str, object]:
    """Return a paired difference over seeds with its interval, and the difference that so many seeds find.

    The smallest detectable difference is that of a two-sided paired t-test at 5 % with 80 % power, for the scatter
    seen. Where there are too few seeds for them, interval, p-value and that difference are None.

    Args:
        differences: finite numbers, shape (seed,).
    """
    scatter = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    detectable = detectable_difference(scatter, len(differences)) if scatter > 0 else None
    return {**t_paired(differences).plain(), "values": differences.tolist(), "detectable": detectable}


def detectable_difference(scatter: float, n_seeds: int, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest difference that a two-sided paired t-test finds with the given chance.

    Args: as for `t_test_power`; power: in (level, 1).
    """
    require(level < power < 1, "power", f"a chance in ({level:g}, 1)", power)
    number("scatter", scatter, 0.0, open_low=True)
    return scatter * _detectable_in_scatters(n_seeds, level, power)


@functools.lru_cache
def _detectable_in_scatters(n_seeds: int, level: float, power: float) -> float:
    """Return that difference for a scatter of 1: only their ratio matters, and finding it takes long."""

    def missing(difference: float) -> float:
        return t_test_power(difference, 1.0, n_seeds, level) - power

    # at this end the mean statistic is six standard deviations beyond the cut
    far = (float(stats.t.ppf(1 - level / 2, n_seeds - 1)) + 6) / math.sqrt(n_seeds)
    return float(optimize.brentq(missing, 0.0, far))
