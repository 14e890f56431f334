"""MAGNITUDE: is it the smallest weights that must be masked?

Statement (the paper's mechanism, as hypothesis of theory 8.5): only masks of the lowest magnitudes help, since these
are said to be the weights on rare features.

In regime: settled runs (others are named with their price); 1 %, default and no false firing at d = 16, 1 % and
default at d = 64; about 1.8 active features per sample.

Rival: any mask of that size does it (difference 0), or a random one does more.

Claim: coverage(smallest masked) - coverage(as many fixed at random) > 0, for a mask on one branch, for Algorithm 1
taken literally (60 % of single weights), and for an early mask at d = 64.

Power: 16 seeds; the difference is known to 0.09.
"""

from paper_checks.check import ABOVE_0
from paper_checks.committed import POINTS, WIDE, Quote, answer_regime, contrast, quoting, recipe, statement

DIFFERENCE = "difference in minority coverage, smallest masked - fixed random mask"
QUOTES = [
    Quote(
        "on one branch a mask of the smallest weights covers more of the minority than a random one",
        answer_regime(noise),
        DIFFERENCE,
        statement("MAGNITUDE", noise),
        ABOVE_0,
        rival="0: any mask of that size does it",
    )
    for noise in POINTS
]
QUOTES += [
    Quote(
        "taken literally, a mask of the smallest weights covers more of the minority than a random one",
        answer_regime(noise),
        DIFFERENCE,
        contrast("literal", "literal, fixed random", noise),
        ABOVE_0,
        rival="below 0: masked weights get no gradient, and the smallest are those of rare features",
    )
    for noise in POINTS
]
QUOTES += [
    Quote(
        "an early mask of the smallest weights covers more of the minority than a random one",
        f"{where}, d = 64, r = 0.3",
        DIFFERENCE,
        recipe("MAGNITUDE", noise),
        ABOVE_0,
        rival="0: any mask of that size does it",
    )
    for noise, where in WIDE.items()
]

CHECK = quoting(
    QUOTES,
    code="MAGNITUDE",
    title="it is the smallest weights that must be masked",
    bottom_line="On one branch masks of the smallest weights do better than random ones; taken literally, "
    "random ones do better",
    formula="coverage(smallest masked) - coverage(as many at random) > 0.",
    rival="any mask of that size does it.",
    sets=("pruning_answer", "pruning_recipe"),
)
