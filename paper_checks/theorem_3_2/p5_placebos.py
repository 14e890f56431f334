"""P5: does pruning beat training without it, and whatever differs from it as much?

Statement (Theorem 3.2 and the paper's experiments, in our words): masking the smallest weights brings rare features
back. A placebo is a way of training that differs from plain training as much as pruning does, but not in what pruning
is said to work by: a fixed random mask of the same share, a mask drawn anew, a loss weighted by inverse frequency.

In regime: runs that have settled (others are named with their price); 1 % and default false firing; about 1.8
active features per sample; at each noise level the r at which dense runs cover less than half of the minority.

Rival: any mask helps, or any faster or stronger training.

Claim: minority coverage is larger with the mask than without, and than under each placebo. Two readings: Algorithm 1
taken literally, and a mask on one branch; single weights, 60 %.

Power: 16 seeds; differences of 0.04 to 0.15 are seen with a chance of 80 %.
"""

from paper_checks.check import ABOVE_0
from paper_checks.committed import (
    COVERAGE,
    NOISY,
    Quote,
    answer_regime,
    between_arms,
    compared,
    contrast,
    quoting,
)
from paper_checks.runs import DEFAULT

READINGS = {"literal": "Algorithm 1 taken literally", "one branch": "a mask on one branch"}
DIFFERENCE = "difference in minority coverage, masked - other"
OTHERS = {
    "no mask": "than no mask",
    "{}, fixed random": "than a fixed random mask",
    "{}, redrawn random": "than a random mask drawn anew at each step",
}
FASTER = {
    "learning rate x 2": "twice the learning rate",
    "temperature x 2, no prefactor": "twice the temperature",
    "negatives x 3": "three times the negatives",
}
QUOTES = [
    Quote(
        f"{words} covers more of the minority {than}",
        answer_regime(noise),
        DIFFERENCE,
        contrast(reading, label.format(reading), noise),
        ABOVE_0,
        rival="0 or below: what helps is masking, or nothing does",
    )
    for reading, words in READINGS.items()
    for label, than in OTHERS.items()
    for noise in NOISY
]
QUOTES += [
    Quote(
        f"{words} covers more of the minority than a loss weighted by inverse frequency",
        answer_regime(noise),
        DIFFERENCE,
        between_arms((reading, None), ("inverse-frequency loss", None), noise, COVERAGE),
        ABOVE_0,
        rival="0 or below: a simpler method does as much",
        note="the two are compared as independent runs, which widens the interval",
    )
    for reading, words in READINGS.items()
    for noise in NOISY
]
QUOTES += [
    Quote(
        f"a mask on one branch makes more minority specialists than {words}",
        f"{DEFAULT}, d = 16, r = 0.5",
        "difference in the number of minority specialists, masked - other",
        compared(
            "P5",
            "difference in the number of minority specialists at the end",
            f"lowest 60% of weights, one branch, small shape: more minority specialists than with {label}.",
        ),
        ABOVE_0,
        rival="any faster or stronger training does it",
        note="a count, as all of these runs cover the whole minority",
    )
    for label, words in FASTER.items()
]

CHECK = quoting(
    QUOTES,
    code="P5",
    title="pruning covers more of the minority than training without it, and than placebos",
    bottom_line="A mask on one branch covers more than no mask and most placebos; the literal one hardly",
    formula="coverage(masked) - coverage(other) > 0 for no mask and for every placebo.",
    rival="any mask of that size helps, or any faster or stronger training.",
    sets=("pruning_answer", "pruning_comparison"),
)
