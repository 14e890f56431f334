"""P7: does pruning gain little where nothing is rare, and something where imbalance is implicit?

Statement (theory 8.5, ours): what pruning does for rare features it cannot do where there are none, so that at r = 1
the second half of the features gains nothing. Imbalance may also be implicit: equal frequencies, but features that
survive into the second view with a chance of one half. If rareness in pairs is what counts, pruning should help them.

In regime: settled runs; 1 %, default and no false firing; about 1.8 active features per sample.

Rival: a mask acts on all features alike, or harms them all.

Claim: the change in coverage at r = 1 is within 0.125 (one feature of eight), the change in specialists within a tenth;
with implicit imbalance the number of its specialists rises.

Power: 16 and 10 seeds. At r = 1 every run covers everything, so that only a loss could show in coverage: the counts
decide.
"""

from paper_checks.check import ABOVE_0, OURS
from paper_checks.committed import MARGIN, POINTS, Quote, answer_regime, compared, quoting, statement
from paper_checks.runs import DEFAULT

TENTH = (-0.1, 0.1)
RIVAL = "a mask acts on all features alike"
WAYS = {"lowest 50% of neurons, straight through": "half of the neurons, straight-through"}
WAYS["lowest 60% of weights, one branch"] = "60 % of the weights, one branch"
QUOTES = [
    Quote(
        "where all features are equally frequent pruning does not change the coverage of the second half",
        answer_regime(noise, 1.0),
        "difference in coverage, masked - no mask",
        statement("P7", noise),
        (-MARGIN, MARGIN),
        predicted=0.0,
        rival=RIVAL,
        note="nearly every run covers all features, so that only a loss could show",
    )
    for noise in POINTS
]
QUOTES += [
    Quote(
        f"where all features are equally frequent pruning does not change their specialists ({words})",
        f"{DEFAULT}, d = 16, r = 1",
        "change of the number of specialists, as a share",
        compared(
            "P7",
            "difference in specialists of the second half, over their unpruned number",
            f"Where frequencies are equal pruning gains little ({way}).",
        ),
        TENTH,
        predicted=0.0,
        rival=RIVAL,
    )
    for way, words in WAYS.items()
]
QUOTES += [
    Quote(
        f"pruning makes more specialists of features that survive into the second view in half of the pairs ({words})",
        f"{DEFAULT}, d = 16, r = 1",
        "difference in the number of their specialists, masked - no mask",
        compared(
            "P7",
            "difference in the number of minority specialists at the end",
            f"Pruning helps where imbalance is implicit ({way}).",
        ),
        ABOVE_0,
        rival=RIVAL,
    )
    for way, words in WAYS.items()
]

CHECK = quoting(
    QUOTES,
    code="P7",
    origin=OURS,
    title="pruning gains little at r = 1, and something where imbalance is implicit",
    bottom_line="At equal frequencies pruning leaves coverage as it is; of implicit imbalance no gain is resolved",
    formula="coverage(masked) - coverage(no mask) = 0 at r = 1.",
    rival="a mask acts on all features alike.",
    sets=("pruning_answer", "pruning_comparison"),
)
