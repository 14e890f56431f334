"""FREEZE: does a mask computed once do as much as one computed at every step?

Statement (hypothesis of theory 8.5, ours): what helps is that masked weights keep their initial ranking, so that the
others specialise. Then there is no need to compute the mask again.

In regime: settled runs (others are named with their price); 1 %, default and no false firing; about 1.8 active
features per sample. Mask on one branch, 60 % of single weights.

Rival: the mask must follow the weights (Algorithm 1 computes it anew at each step); or a random mask, also fixed, does
as much, so that ranking plays no part.

Claim: |coverage(computed once) - coverage(each step)| is below 0.125, one feature of eight; and a mask of the smallest
initial weights covers more than a fixed random one.

Power: 16 seeds; the difference is known to 0.06 to 0.1.
"""

from paper_checks.check import ABOVE_0, RIVAL
from paper_checks.committed import MARGIN, POINTS, Quote, answer_regime, contrast, quoting, statement

ONCE = "one branch, computed once"
QUOTES = [
    Quote(
        "a mask computed once from the initial weights does as much as one computed at each step",
        answer_regime(noise),
        "difference in minority coverage, computed once - each step",
        statement("FREEZE", noise),
        (-MARGIN, MARGIN),
        predicted=0.0,
        rival="below: the mask must follow the weights",
    )
    for noise in POINTS
]
QUOTES += [
    Quote(
        "a mask computed once from the smallest initial weights covers more than a fixed random one",
        answer_regime(noise),
        "difference in minority coverage, smallest initial weights - random",
        contrast(ONCE, f"{ONCE}, fixed random", noise),
        ABOVE_0,
        rival="0: any fixed mask does it, and the ranking plays no part",
    )
    for noise in POINTS
]

CHECK = quoting(
    QUOTES,
    code="FREEZE",
    origin=RIVAL,
    title="a mask computed once does as much as one computed at every step",
    bottom_line="It is undecided whether a mask computed once does as much as one computed at every step",
    formula="|coverage(computed once) - coverage(each step)| < 0.125.",
    rival="the mask must follow the weights; or any fixed mask does it.",
    sets=("pruning_answer",),
)
