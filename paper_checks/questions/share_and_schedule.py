"""QPRUNE: how does pruning depend on the masked share and on its schedule?

Question (from the public discussion of the paper, theory 10): Theorem 3.2 has growth linear in the share rho, and a
mask at every step to the end. Share and schedule are left open.

In regime: committed comparisons at default noise (15 to 24 % false firing) and a search at d = 64, r = 0.5 and 1 %
false firing; one to two active features per sample. Runs of the search were compared at equal steps and not all had
settled.

Rival: a mask only frees neurons early on. Then its effect falls again at large shares, and taking it away late costs.

Claim: the gain grows with the share; a mask to the end covers as much as one that is released; starting at the switch
does as much as starting at step 0; the smallest weights are better than random ones at every schedule; the refresh
does not matter. Rows on schedules take the paired settings of the search as the sample, so that intervals are over
settings.

Power: 10 seeds per share; 4 to 12 paired settings with two seeds each.
"""

from collections.abc import Callable

import numpy as np

from dynsim.results.sealed import Json
from paper_checks.check import ABOVE_0, INF, OURS, over_seeds
from paper_checks.committed import SMALL, Found, Quote, difference, interval, quoting
from paper_checks.runs import RARE, Source

MARGIN = 0.0625  # equal coverage within two features of the 32 minority features
SEARCH = f"{RARE}, d = 64, r = 0.5"
SCHEDULE = ("share", "start", "release", "once", "at_random")


def _gain(group: str, label: str) -> Callable[[Source], Found]:
    """Find the gain in minority specialists of one level of a factor."""

    def find(source: Source) -> Found:
        rows = source.committed("pruning_comparison")["details"]["P6"]["rows"][group]
        found = next(one for one in rows if one["label"] == label)
        return interval(found["minority"])

    return find


def _more(group: str, large: str, small: str) -> Callable[[Source], Found]:
    return lambda source: difference(_gain(group, large)(source), _gain(group, small)(source))


def _paired(name: str, first: object, second: object, **fixed: object) -> Callable[[Source], Found]:
    """Find the mean over the settings of the search of coverage at one level of a schedule minus another."""

    def find(source: Source) -> Found:
        cells = {
            tuple(one["schedule"][key] for key in SCHEDULE): one["equal_steps"]["ends"]["minority coverage"]["estimate"]
            for one in source.committed("pruning_recipe")["searched"]
            if _in_search(one) and all(one["schedule"][key] == value for key, value in fixed.items())
        }
        at = SCHEDULE.index(name)
        pairs = [
            (value, cells[(*key[:at], second, *key[at + 1 :])])
            for key, value in cells.items()
            if key[at] == first and (*key[:at], second, *key[at + 1 :]) in cells
        ]
        return Found(*over_seeds(np.array([a - b for a, b in pairs])))

    return find


def _in_search(one: Json) -> bool:
    return (one["shape"], one["noise"], one["ratio"]) == ("wide", "1 percent", 0.5) and one["schedule"] is not None


GAIN = "difference in the gain of minority specialists"
COVERED = "difference in minority coverage, mean over settings of the search"
NOTE = "settings with two seeds each, some still changing"
QUOTES = [
    Quote(
        "the gain grows with the share (weights, one branch: 40 % against 20 %)",
        SMALL,
        GAIN,
        _more("ratio, weights on one branch", "0.4", "0.2"),
        ABOVE_0,
        rival="below 0: too few weights are left",
    ),
    Quote(
        "the gain grows with the share (weights, one branch: 90 % against 40 %)",
        SMALL,
        GAIN,
        _more("ratio, weights on one branch", "0.9", "0.4"),
        ABOVE_0,
        rival="below 0: too few weights are left",
    ),
    Quote(
        "the gain grows with the share (neurons, straight-through: 80 % against 20 %)",
        SMALL,
        GAIN,
        _more("ratio, neurons straight through", "0.8", "0.2"),
        ABOVE_0,
        rival="below 0: too few neurons are left",
    ),
    Quote(
        "a mask of single weights gains more than one of neurons (one branch)",
        SMALL,
        GAIN,
        lambda source: difference(
            _gain("gradient, unit weight", "one branch")(source), _gain("gradient, unit neuron", "one branch")(source)
        ),
        ABOVE_0,
        rival="0: the unit does not matter",
    ),
    Quote(
        "a mask to the end covers as much as one released after 500 steps (smallest weights)",
        SEARCH,
        COVERED,
        _paired("release", None, 500, at_random=False),
        (-MARGIN, INF),
        rival="below: a mask helps early on only",
        note=NOTE,
    ),
    Quote(
        "masking from the switch on covers as much as from step 0 (smallest weights)",
        SEARCH,
        COVERED,
        _paired("start", "switch", "at_step", at_random=False),
        (-MARGIN, INF),
        rival="below: it must start while all neurons grow together",
        note=NOTE,
    ),
    Quote(
        "a mask chosen once covers as much as one chosen at each step (smallest weights)",
        SEARCH,
        COVERED,
        _paired("once", True, False, at_random=False),
        (-MARGIN, INF),
        rival="below: the mask must follow the weights",
        note=NOTE,
    ),
    Quote(
        "masks of the smallest weights cover more than random ones, whatever the schedule",
        SEARCH,
        COVERED,
        _paired("at_random", False, True, once=False),
        ABOVE_0,
        rival="0: any mask does it",
        note=NOTE,
    ),
]

CHECK = quoting(
    QUOTES,
    code="QPRUNE",
    origin=OURS,
    statement="question",
    title="how pruning depends on the share and on the schedule of the mask",
    bottom_line="A larger mask is not always better, and one to the end covers less than one that is released early",
    formula="gain ~ rho (Theorem 3.2), with a mask at every step to the end.",
    rival="a mask frees neurons early on: large shares and long masks harm.",
    power="10 seeds per share; 4 to 12 paired settings with two seeds each.",
    sets=("pruning_comparison", "pruning_recipe"),
    primary="the gain grows with the share",
)
