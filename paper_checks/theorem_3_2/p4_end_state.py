"""P4: is the end state of pruned training free of r, with m/d specialists for every feature?

Statement (Theorem 3.2, in our words): without a mask, weights on a rare feature are smaller in proportion to r and its
specialists are few; with the mask neither depends on r, and every rare feature has at least of order m/d specialists.

In regime: runs that have settled (others are named with their price); 1 % and default false firing; about 1.8
active features per sample. Two readings of the mask: single weights on one branch (the one that helps most, 60 %), and
Algorithm 1 taken literally (single weights, gradient at the masked weights).

Rivals: nothing depended on r without the mask either; fewer specialists are larger ones.

Claim: log of the size ratio, and coverage, at small r equal those at r = 1 under the mask; the slope of the log ratio
in log r is 1 without a mask and 0 with it; at least m/d = 4 specialists per minority feature, with our constant 1.

Margins: 0.125 in coverage is one feature of eight, in a log ratio an eighth of the size; slopes are 1 or 0 within a
quarter, half of the distance to the value between them. Power: 16 seeds.
"""

from paper_checks.check import INF, RIVAL
from paper_checks.committed import (
    COVERAGE,
    MARGIN,
    NOISY,
    SMALL,
    Quote,
    answer_regime,
    at_end,
    between_arms,
    compared,
    quoting,
    statement,
)

READINGS = ("one branch", "literal")
PER_FEATURE = "minority specialists per minority feature"
N_MINORITY, WIDTH_OVER_D = 8, 4.0  # at d = 16, m = 64
EQUAL = (-MARGIN, MARGIN)
FREE_ANYWAY = "it did not depend on r without a mask either"
SLOPES = (
    (
        "without a mask sizes fall in proportion to r",
        "Without pruning the minority falls behind in proportion to r.",
        "slope in log r of log strength ratio, equal steps, unpruned",
        1.0,
    ),
    (
        "with the mask sizes do not depend on r (60 % of weights, one branch)",
        "With pruning the end state does not depend on r (lowest 60% of weights, one branch).",
        "slope in log r of log strength ratio, equal steps, pruned",
        0.0,
    ),
    (
        "with the mask specialists do not depend on r (60 % of weights, one branch)",
        "With pruning the end state does not depend on r (lowest 60% of weights, one branch).",
        "slope in log r of log specialist ratio, equal steps, pruned",
        0.0,
    ),
    (
        "with the mask specialists do not depend on r (50 % of neurons, straight-through)",
        "With pruning the end state does not depend on r (lowest 50% of neurons, straight through).",
        "slope in log r of log specialist ratio, equal steps, pruned",
        0.0,
    ),
)
QUOTES = [
    Quote(
        f"{words} coverage of the minority does not depend on r",
        f"{answer_regime(noise)} and 1",
        "minority coverage at this r - at r = 1",
        between_arms((label, None), (label, 1.0), noise, COVERAGE),
        EQUAL,
        predicted=0.0,
        rival=FREE_ANYWAY,
    )
    for label, words in (("one branch", "with the mask (one branch)"), ("no mask", "even without a mask"))
    for noise in NOISY
]
QUOTES += [
    Quote(
        "with the mask, sizes relative to the majority do not depend on r (one branch)",
        f"{answer_regime(noise)} and 1",
        "log size ratio at this r - at r = 1",
        statement("P4", noise),
        EQUAL,
        predicted=0.0,
        rival=FREE_ANYWAY,
    )
    for noise in NOISY
]
QUOTES += [
    Quote(
        f"with the mask, a minority feature has at least m/d specialists ({reading})",
        answer_regime(noise),
        PER_FEATURE,
        at_end(reading, noise, "minority specialists, norm floor 0.1", 1 / N_MINORITY),
        (WIDTH_OVER_D, INF),
        predicted=WIDTH_OVER_D,
        rival="the paper's m d^(-1/r²) without a mask, below 0.001",
        note="the constant 1 before m/d is ours; the paper's is hidden",
    )
    for reading in READINGS
    for noise in NOISY
]
QUOTES += [
    Quote(
        claim,
        f"{SMALL.rsplit(',', 1)[0]}, several r",
        "slope in log r of the log ratio minority over majority",
        compared("P4", quantity, words),
        (slope - 0.25, slope + 0.25),
        predicted=slope,
        rival=FREE_ANYWAY if slope == 0 else "0: sizes at rest hardly depend on frequency",
    )
    for claim, words, quantity, slope in SLOPES
]

CHECK = quoting(
    QUOTES,
    code="P4",
    origins={"even without a mask": RIVAL},
    title="the end state of pruned training does not depend on r",
    bottom_line="With a mask coverage depends on r far less; rare features get fewer specialists than claimed",
    formula="alpha_min / alpha_maj ~ r^0 and at least m/d specialists per feature under the mask; r^1 without it.",
    rival="nothing depended on r without the mask either.",
    sets=("pruning_answer", "pruning_comparison"),
)
