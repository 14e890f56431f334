"""Which sentences about pruning are judged? The one table of them: tests P1 to P8 of theory 8.5.

A row says what is claimed, which number decides, in which interval that number is expected, what else would explain it,
and what would refute the claim. The functions of `mechanism` (P1 to P3) and `end_states` (P4 to P8) measure the number
for every seed and look the sentence up here. Words in braces differ from run to run and are filled by `claim`.

A: growth of a feature in one step with a mask over that without it. D: the driver, the part of the gradient that comes
from confusing samples. r: how often a minority feature is active, over how often a majority feature is. d: number of
features. T2: end of the second stage of training. A placebo: training that differs from the unpruned one as much as
pruning does, in another way.
"""

import math

from dynsim.stats.verdicts import Statement

INF = math.inf
ABOVE_0 = (0.0, INF)
FLAT, UNIT = (-0.25, 0.25), (0.75, 1.25)
SMALL_GAIN = 0.1
"""P7: a gain at r = 1 is small within this share of the unpruned number of specialists of that half."""

UNSPECIALISED = "the lowest norms are those of unspecialised neurons, so that the mask changes few logits"
WEAK_LOGITS = "the mask weakens every logit, so that all features gain alike"
BLUR = "a mask of any neurons blurs samples, and so raises every feature's driver"
FEWER_FOR_A_WHILE = "learning with fewer neurons for a while"


def _more(claim: str, difference: str, rival: str) -> Statement:
    """Return a row about more minority specialists in one kind of run than in another; `difference` says which two."""
    quantity = f"minority specialists at the end, {difference}"
    return Statement(claim, quantity, ABOVE_0, rival, "no more minority specialists")


CLAIMS: dict[str, dict[str, Statement]] = {
    "P1": {
        "lowest norms": Statement(
            claim="The lowest norms are those of minority neurons (at {moment}, {rate:.0%} of the neurons masked).",
            quantity="P(masked | minority specialist) - P(masked | majority specialist)",
            wanted=ABOVE_0,
            rival=UNSPECIALISED,
            refuted_by="a difference of at most 0",
        ),
        "most masked": Statement(
            claim="Most masked neurons are minority specialists (at {moment}, {rate:.0%} of the neurons masked).",
            quantity="share of the masked neurons that are minority specialists",
            wanted=(0.5, INF),
            rival=UNSPECIALISED,
            refuted_by="a share below one half",
        ),
    },
    "P2": {
        "before thresholds": Statement(
            claim="Before the thresholds the mask amplifies nothing, as the softmax weights are uniform.",
            quantity="slope of A - 1 in the masked share, minority, stage 1",
            wanted=(-0.1, 0.1),
            rival="none",
            refuted_by="a slope beyond 0.1",
        ),
        "in proportion": Statement(
            claim="Masking amplifies the minority's growth, in proportion to the masked share ({moment}).",
            quantity="slope of A - 1, minority, straight through",
            wanted=ABOVE_0,
            rival=WEAK_LOGITS,
            refuted_by="a slope of at most 0",
        ),
        "more than majority": Statement(
            claim="It amplifies the minority more than the majority ({moment}).",
            quantity="slope of A - 1, minority - majority",
            wanted=ABOVE_0,
            rival=WEAK_LOGITS,
            refuted_by="no larger slope",
        ),
        "more than random": Statement(
            claim="Masking the lowest norms amplifies the minority more than random neurons do ({moment}).",
            quantity="slope of A - 1, minority, lowest - fixed random",
            wanted=ABOVE_0,
            rival="fewer neurons, whichever",
            refuted_by="no larger slope",
        ),
        "literal gradient": Statement(
            claim="The same holds for the literal gradient ({moment}).",
            quantity="slope of A - 1, minority, literal",
            wanted=ABOVE_0,
            rival=WEAK_LOGITS,
            refuted_by="a slope of at most 0",
        ),
        "factor d": Statement(
            claim="The majority's amplification is smaller by a factor d (T2).",
            quantity="exponent in d of slope majority / slope minority; no number where a slope is not above 0",
            wanted=(-1.5, -0.5),
            rival=WEAK_LOGITS,
            refuted_by="an exponent outside -1.5 to -0.5",
        ),
    },
    "P3": {
        "uniform": Statement(
            claim="While the softmax weights are uniform, no mask changes the driver.",
            quantity="D masked / unmasked, minority, mean over these records",
            wanted=(0.95, 1.05),
            rival="none",
            refuted_by="a change of more than 5 %",
        ),
        "raised": Statement(
            claim="At the end the mask raises the driver of minority features.",
            quantity="D masked / unmasked, minority",
            wanted=(1.0, INF),
            rival=BLUR,
            refuted_by="a ratio of at most 1",
        ),
        "more than majority": Statement(
            claim="It raises the minority's more than the majority's.",
            quantity="minority ratio - majority ratio",
            wanted=ABOVE_0,
            rival=BLUR,
            refuted_by="no larger ratio",
        ),
        "more than random": Statement(
            claim="The lowest norms raise the minority's more than random neurons do.",
            quantity="ratio lowest - ratio fixed random, minority",
            wanted=ABOVE_0,
            rival=BLUR,
            refuted_by="no larger ratio",
        ),
    },
    "P4": {
        "unpruned": Statement(
            claim="Without pruning the minority falls behind in proportion to r.",
            quantity="slope in log r of log {quantity}, {moment}, unpruned",
            wanted=UNIT,
            rival="saturation hides r",
            refuted_by="a slope outside 0.75 to 1.25",
        ),
        "pruned": Statement(
            claim="With pruning the end state does not depend on r ({pruning}).",
            quantity="slope in log r of log {quantity}, {moment}, pruned",
            wanted=FLAT,
            rival="it did not without pruning either",
            refuted_by="a slope outside -0.25 to 0.25",
        ),
        "smaller": Statement(
            claim="Pruning makes the dependence on r smaller ({pruning}).",
            quantity="slope unpruned - slope pruned of log {quantity}, {moment}",
            wanted=ABOVE_0,
            rival="all features grow alike, so that ratios stay what they were",
            refuted_by="no smaller slope",
        ),
    },
    "P5": {
        "more than none": _more(
            "Pruning gives more minority specialists than none ({pruning}, {shape} shape).",
            "pruned - unpruned",
            rival="fewer neurons, whichever, or a larger step",
        ),
        "more than masks": _more(
            "{pruning}, {shape} shape: more minority specialists than under its placebo, {placebo}.",
            "pruned - placebo",
            rival="what helps is masking, not whom it masks",
        ),
        "more than others": _more(
            "{pruning}, small shape: more minority specialists than with {placebo}.",
            "pruned - placebo",
            rival="any faster or stronger training does it",
        ),
    },
    "P6": {
        "whatever": Statement(
            claim="Pruning gives more minority specialists whatever its share, gradient, refresh and start.",
            quantity="settings with more, of all settings with three seeds left (intervals apart from 0)",
            wanted=ABOVE_0,  # for the difference of each setting; the number above counts settings
            rival="one lucky setting",
            refuted_by="a setting with fewer minority specialists than without pruning",
        ),
    },
    "P7": {
        "implicit": _more(
            "Pruning helps where imbalance is implicit ({pruning}).",
            "pruned - unpruned",
            rival="it raises all features alike",
        ),
        "equal": Statement(
            claim="Where frequencies are equal pruning gains little ({pruning}).",
            quantity="difference in specialists of the second half, over their unpruned number",
            wanted=(-SMALL_GAIN, SMALL_GAIN),
            rival="it acts on all features alike",
            refuted_by="a change of more than a tenth",
        ),
    },
    "P8": {
        "more than none": _more(
            "A released mask leaves more minority specialists ({pruning}).",
            "released - unpruned",
            rival=FEWER_FOR_A_WHILE,
        ),
        "more than random": _more(
            "More than a fixed random mask that is released ({pruning}).",
            "released - released random",
            rival=FEWER_FOR_A_WHILE,
        ),
        "fewer than kept": _more(
            "Fewer than with a mask to the end ({pruning}).",
            "masked to the end - released",
            rival="what counts is decided early",
        ),
    },
}
"""{test: {short name: the row}}."""


def claim(test: str, name: str, **words: str | float) -> Statement:
    """Return one row of the table with its words in braces filled in; a word that is missing is a `KeyError`."""
    row = CLAIMS[test][name]
    return row._replace(claim=row.claim.format(**words), quantity=row.quantity.format(**words))
