"""P8: does a mask that is taken away early leave its effect behind, and was it the choice of weights?

Statement (theory 8.5, ours): pruning early and training on without a mask brings rare features back, if what counts is
that they are learned at all; and masks of the smallest weights leave more than random ones if the choice counts.

In regime: settled runs; 1 %, default and no false firing at d = 16, 1 % and default at d = 64; about 1.8 active
features per sample. Mask on one branch, single weights.

Rivals: training fewer weights for a while is enough, whichever; a mask must stay to the end.

Claim: coverage(released) is above coverage(no mask), above that of a random mask released at the same step, and above
that of a mask to the end.

Power: 16 seeds; differences of 0.04 to 0.15 are seen with a chance of 80 %. At d = 16 both released masks cover
everything, so that nothing can show between them: d = 64 decides.
"""

from paper_checks.check import ABOVE_0, RIVAL
from paper_checks.committed import (
    COVERAGE,
    POINTS,
    WIDE,
    Quote,
    answer_regime,
    between_arms,
    quoting,
    recipe,
    statement,
)

RELEASED = "one branch, released"
DIFFERENCE = "difference in minority coverage, released mask - other"
QUOTES = [
    Quote(
        f"a mask that is released after 1,000 steps covers more of the minority than {words}",
        answer_regime(noise),
        DIFFERENCE,
        between_arms((RELEASED, None), (label, None), noise, COVERAGE),
        ABOVE_0,
        rival="0 or below: a mask must stay",
        note="the two are compared as independent runs, which widens the interval",
    )
    for label, words in (("no mask", "no mask"), ("one branch", "a mask to the end"))
    for noise in POINTS
]
QUOTES += [
    Quote(
        "a mask that is released after 1,000 steps covers more of the minority than a random one released then",
        answer_regime(noise),
        DIFFERENCE,
        statement("P8", noise),
        ABOVE_0,
        rival="0: training fewer weights for a while is enough, whichever",
        note="both cover nearly everything here, so that a difference could hardly show",
    )
    for noise in POINTS
]
QUOTES += [
    Quote(
        f"a mask of the 70 % smallest weights released after 500 steps covers more of the minority than {words}",
        f"{where}, d = 64, r = 0.3",
        DIFFERENCE,
        recipe(name, noise),
        ABOVE_0,
        rival=rival,
    )
    for name, words, rival in (
        ("EARLY MASK", "no mask", "0: a mask must stay"),
        ("MAGNITUDE", "a random one", "0: any mask does it"),
    )
    for noise, where in WIDE.items()
]

CHECK = quoting(
    QUOTES,
    code="P8",
    origin=RIVAL,
    title="a mask that is released early leaves its effect, and the choice of weights counts",
    bottom_line="A mask that is released early leaves its effect; that it takes the smallest weights matters at d = 64",
    formula="coverage(released) > coverage(no mask), coverage(random, released), coverage(mask to the end).",
    rival="training fewer weights for a while is enough, whichever they are.",
    sets=("pruning_answer", "pruning_recipe"),
)
