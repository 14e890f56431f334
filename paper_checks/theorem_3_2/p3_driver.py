"""P3: what can a mask change at all?

Statement (ours, theory 8.5): a mask changes the growth of feature j only through the driver D_j, the difference between
the code of the key and the code of the negatives, weighted by the softmax. While the softmax is uniform no mask changes
it. Theorem 3.2 needs it to rise for rare features, and more than for frequent ones.

In regime: all runs; 1 %, default and no false firing; about 1.8 active features per sample.

Rival: a mask of any neurons blurs samples, and so raises every feature's driver.

Claim: D_j masked / D_j unmasked is 1 before the thresholds (within 5 %), above 1 at the end for minority features, and
larger than for majority features and than under random masks.

Power: 10 to 16 seeds; before the thresholds the ratio is known to 1e-4.
"""

from paper_checks.check import ABOVE_0, INF, OURS
from paper_checks.committed import MAIN, POINTS, Quote, answer_regime, compared, quoting, statement

RIVAL = "a mask of any neurons raises every driver"
EARLY = (-0.05, 0.05)
"""A change of the driver within 5 % counts as none, far below what amplification by a mask would need."""
AT_END = (
    (
        "at the end the mask raises the driver of minority features",
        "D_j masked over unmasked, minority",
        "D masked / unmasked, minority",
        "At the end the mask raises the driver of minority features.",
        (1.0, INF),
    ),
    (
        "at the end the mask raises the driver of minority features more than that of majority features",
        "difference of two such ratios",
        "minority ratio - majority ratio",
        "It raises the minority's more than the majority's.",
        ABOVE_0,
    ),
    (
        "the smallest neurons raise the minority's driver more than random ones do",
        "difference of two such ratios",
        "ratio lowest - ratio fixed random, minority",
        "The lowest norms raise the minority's more than random neurons do.",
        ABOVE_0,
    ),
)
QUOTES = [
    Quote(
        "before the thresholds come on no mask changes the driver of minority features",
        answer_regime(noise),
        "relative change of D_j by the mask",
        statement("P3", noise),
        EARLY,
        predicted=0.0,
    )
    for noise in POINTS
] + [
    Quote(claim, MAIN, quantity, compared("P3", there, words), wanted, rival=RIVAL)
    for claim, quantity, there, words, wanted in AT_END
]

CHECK = quoting(
    QUOTES,
    code="P3",
    origins={"before the thresholds": OURS},
    title="a mask acts through the driver of a feature, once the softmax is not uniform",
    bottom_line="A mask acts on drivers only once thresholds are on, and then more on those of the majority",
    formula="D_j = E[zhat_Xj (zhat_Yj - sum over V of q_V zhat_Vj) | j active in X].",
    rival="a mask of any neurons blurs samples, and so raises every feature's driver.",
    sets=("pruning_answer", "pruning_comparison"),
)
