"""P1: are the masked neurons those of the minority?

Statement (premise of Theorem 3.2, in our words): a mask of the smallest neurons hides the neurons that have learned
rare features more often than it hides the others. Only then can the loss notice that rare features are missing.

In regime: any run with specialists of both groups. 1 %, default (24 % at d = 16, 15 % at d = 64) and no false firing;
about 1.8 active features per sample. Where no minority specialist is left at r = 0.15, a seed has no number and is
lost.

Rival: the smallest neurons have learned nothing, or are one of many that share a frequent feature; masking them changes
no logit.

Claim: P(masked | minority specialist) exceeds the masked share, and P(masked | majority specialist).

Power: 16 and 10 seeds; a share of masked specialists is known to about 0.04 per seed.
"""

from paper_checks.check import ABOVE_0
from paper_checks.committed import MAIN, POINTS, Quote, answer_regime, compared, quoting, statement

RIVAL = "below 0: the smallest neurons share a frequent feature or have learned nothing"
BEYOND = "masked share of minority specialists over the masked share of neurons, minus 1"
AGAINST = "P(masked | minority specialist) - P(masked | majority specialist)"
QUOTES = [
    Quote(
        "a mask of the 30 % smallest neurons hides minority specialists more often than others",
        answer_regime(noise),
        BEYOND,
        statement("P1", noise),
        ABOVE_0,
        rival=RIVAL,
    )
    for noise in POINTS
] + [
    Quote(
        f"a mask of half of the neurons hides minority specialists more often than majority ones ({words})",
        MAIN,
        AGAINST,
        compared(
            "P1", AGAINST, f"The lowest norms are those of minority neurons (at {when}, 50% of the neurons masked)."
        ),
        ABOVE_0,
        rival=RIVAL,
    )
    for when, words in (("T2", "at T2"), ("end", "at the end"))
]

CHECK = quoting(
    QUOTES,
    code="P1",
    title="masks of the smallest neurons hide the minority's specialists",
    bottom_line="Masks of the smallest neurons spare the specialists of the minority instead of hiding them",
    formula="P(masked | minority specialist) > P(masked | majority specialist).",
    rival="the smallest neurons have learned nothing, or share a frequent feature with many others.",
    sets=("pruning_answer", "pruning_comparison"),
)
