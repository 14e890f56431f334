"""P2: does a mask amplify the growth of the minority's neurons, in proportion to the masked share and d times more?

Statement (Theorem 3.2, in our words): at the same weights, a step taken with the mask makes the neurons of a rare
feature grow faster along it than a step without, by an amount that is linear in the masked share; along other features
the gain is smaller by a factor d.

In regime: after thresholds are on, since before no mask changes a gradient (theory 8.5 P3). 1 %, default and no false
firing; about 1.8 active features per sample. Seeds without a minority specialist have no number.

Rival: the mask weakens every logit, so that all features gain, the frequent ones more as they are less confused.

Claim: A_j, the growth along M_j with the mask over that without it, averaged over specialists of j; A_min - 1 grows
linearly in rho with a slope above 0, A_min - A_maj > 0, and the ratio of the slopes, majority over minority, falls as
1/d.

Power: 10 to 16 seeds; slopes in rho scatter by a tenth of themselves.
"""

import math

import numpy as np

from paper_checks.check import ABOVE_0, over_seeds
from paper_checks.committed import MAIN, POINTS, Found, Quote, answer_regime, compared, quoting, statement
from paper_checks.runs import DEFAULT, Source

RIVAL = "the mask weakens every logit, so that all features gain"
PROPORTIONAL = "Masking amplifies the minority's growth, in proportion to the masked share (T2)."
LITERAL = "slope of A - 1, minority, literal"
STRAIGHT = "slope of A - 1, minority, straight through"
GAP = "slope of A - 1, minority - majority"
IN_D = "exponent in d of slope majority / slope minority; no number where a slope is not above 0"


def _ratio_at_largest(source: Source) -> Found:
    """Return slope majority / slope minority at the largest d of the trend."""
    by_d = source.committed("pruning_comparison")["details"]["P2"]["trend_in_d"]
    values = by_d[max(by_d, key=int)]
    return Found(*over_seeds(np.array([math.nan if value is None else value for value in values])))


QUOTES = [
    Quote(
        "a mask amplifies the growth of minority specialists more than that of majority ones",
        answer_regime(noise),
        "A of the minority - A of the majority, at the same weights",
        statement("P2", noise),
        ABOVE_0,
        rival=f"below 0: {RIVAL}",
    )
    for noise in POINTS
] + [
    Quote(
        "a mask amplifies the minority's growth, and a larger one more (straight-through)",
        MAIN,
        "slope of A - 1 in the masked share, at T2",
        compared("P2", STRAIGHT, PROPORTIONAL),
        ABOVE_0,
        rival=RIVAL,
    ),
    Quote(
        "a mask amplifies the minority's growth, and a larger one more (literal)",
        MAIN,
        "slope of A - 1 in the masked share, at T2",
        compared("P2", LITERAL, "The same holds for the literal gradient (T2)."),
        ABOVE_0,
        rival=RIVAL,
    ),
    Quote(
        "the slope of the minority is larger than that of the majority (straight-through)",
        MAIN,
        "slope of A - 1 in the masked share, at T2",
        compared("P2", GAP, "It amplifies the minority more than the majority (T2)."),
        ABOVE_0,
        rival=f"below 0: {RIVAL}",
    ),
    Quote(
        "the majority's slope is the smaller one",
        f"{DEFAULT}, d = 64, r = 0.5",
        "slope of the majority over slope of the minority",
        _ratio_at_largest,
        (-math.inf, 1.0),
        predicted=1 / 64,
        rival="1: all features gain alike",
    ),
    Quote(
        "the majority's slope is smaller by a factor d",
        f"{DEFAULT}, d = 16, 32 and 64, r = 0.5",
        "exponent in d of that ratio",
        compared("P2", IN_D, "The majority's amplification is smaller by a factor d (T2)."),
        (-1.5, -0.5),
        predicted=-1.0,
        rival="0: all features gain alike",
        note="an exponent alone does not make the ratio small: it is far above 1 at all three sizes",
    ),
]

CHECK = quoting(
    QUOTES,
    code="P2",
    title="one masked step amplifies the growth of the minority",
    bottom_line="A masked step amplifies the minority's growth, but the majority's more",
    formula="A_min - 1 is proportional to rho, and (A_maj - 1) / (A_min - 1) is of order 1/d.",
    rival="all features gain, since the mask weakens every logit.",
    sets=("pruning_answer", "pruning_comparison"),
)
