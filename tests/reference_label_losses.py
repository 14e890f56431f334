"""Independent float64 NumPy versions of the losses with labels: plain loops over anchors, candidates and classes.

Written from the formulas of the sources, with exponentials as they stand there. A batch is a dictionary of arrays, see
`batch`; entries that are not valid are left out at the start, so that nothing below knows of padding.
"""

import math
from typing import Any

import numpy as np


def rows(batch: dict[str, Any], centres: bool) -> tuple[list, list]:
    """Anchors and candidates as (place, embedding, class, is centre), places counting views, memory, centres."""
    anchors = [(a, batch["z"][a], batch["y"][a], False) for a in range(len(batch["y"])) if batch["valid"][a]]
    n = len(batch["y"])
    stored = [(n + k, z, y, False) for k, (z, y) in enumerate(zip(batch["m_z"], batch["m_y"], strict=True))]
    stored = [one for one, valid in zip(stored, batch["m_valid"], strict=True) if valid]
    n += len(batch["m_y"])
    own = [(n + j, c, j, True) for j, c in enumerate(batch["centres"]) if centres and batch["has_centre"][j]]
    return anchors, anchors + stored + own


def over_anchors(batch: dict[str, Any], centres: bool, of_anchor: Any) -> float:
    """Mean of of_anchor(i, positives, negatives, similarity) over the anchors for which it is not None."""
    anchors, candidates = rows(batch, centres)
    losses = []
    for i in anchors:
        positives = [c for c in candidates if c[0] != i[0] and c[2] == i[2]]
        negatives = [c for c in candidates if c[2] != i[2]]
        losses.append(of_anchor(i, positives, negatives, lambda c, i=i: float(i[1] @ c[1]) / batch["tau"]))
    losses = [one for one in losses if one is not None]
    return sum(losses) / len(losses) if losses else 0.0


def sup_con(batch: dict[str, Any], base_temperature: float | None = None) -> float:
    """-mean_p log( e^s_p / sum of all others )."""

    def of_anchor(i, positives, negatives, s):
        if not positives:
            return None
        total = sum(math.exp(s(c)) for c in positives + negatives)
        return -sum(math.log(math.exp(s(p)) / total) for p in positives) / len(positives)

    factor = 1.0 if base_temperature is None else batch["tau"] / base_temperature
    return factor * over_anchors(batch, False, of_anchor)


def kcl(batch: dict[str, Any], is_drawn: Any = None, may_compare: Any = None) -> float:
    """SupCon with some of the positives and some of the candidates."""
    return tsc({**batch, "has_centre": np.zeros(len(batch["centres"]), bool)}, is_drawn, may_compare)


def tsc(batch: dict[str, Any], is_drawn: Any = None, may_compare: Any = None, target_weight: float = 0.2) -> float:
    """KCL with targets: each a candidate, that of the class a positive with its own weight."""

    def of_anchor(i, positives, negatives, s):
        def told(mask, c):
            return c[3] or mask is None or mask[i[0]][c[0]]

        shown = [c for c in positives + negatives if told(may_compare, c)]
        drawn = [p for p in positives if told(is_drawn, p) and told(may_compare, p)]
        if not drawn:
            return None
        total = sum(math.exp(s(c)) for c in shown)
        terms = [(target_weight if p[3] else 1.0) * math.log(math.exp(s(p)) / total) for p in drawn]
        return -sum(terms) / len(drawn)

    return over_anchors(batch, True, of_anchor)


def gpaco(batch: dict[str, Any], pair_weight: float = 0.01, class_weight: float = 1.0, smoothing: float = 0.0) -> float:
    """One softmax over classifier outputs plus log pi and all candidates."""
    share = np.array(batch["counts"]) / sum(batch["counts"])
    n_classes = len(share)

    def of_anchor(i, positives, negatives, s):
        outputs = [math.exp(batch["f"][i[0]][j] + math.log(share[j])) for j in range(n_classes)]
        total = sum(outputs) + sum(math.exp(s(c)) for c in positives + negatives)
        wanted = [
            class_weight * (1 - smoothing if j == i[2] else smoothing / (n_classes - 1)) for j in range(n_classes)
        ]
        loss = sum(w * -math.log(output / total) for w, output in zip(wanted, outputs, strict=True))
        loss += sum(pair_weight * -math.log(math.exp(s(p)) / total) for p in positives)
        return loss / (sum(wanted) + pair_weight * len(positives))

    return over_anchors(batch, False, of_anchor)


paco = gpaco  # as a function of what is passed; who is an anchor differs


def bcl(batch: dict[str, Any], count_anchor: bool = False) -> float:
    """-mean_p log( e^s_p / sum over classes of the average of e^s in the class ), with prototypes."""
    _, candidates = rows(batch, True)
    size = {j: sum(c[2] == j for c in candidates) for j in range(len(batch["centres"]))}

    def of_anchor(i, positives, negatives, s):
        if not positives:
            return None
        total = sum(math.exp(s(c)) / size[c[2]] for c in negatives)
        total += sum(math.exp(s(p)) / (size[i[2]] - (0 if count_anchor else 1)) for p in positives)
        return -sum(math.log(math.exp(s(p)) / total) for p in positives) / len(positives)

    return over_anchors(batch, True, of_anchor)


def rcl(
    batch: dict[str, Any],
    averaged: bool = True,
    balanced: bool = True,
    feature_scale: float = 1.0,
    margin_strength: float = 0.0,
) -> float:
    """-mean_p log( n_y e^{S_p} / sum_j n_j average_j e^{S + margin} ), S with scaled embeddings."""
    n = batch["counts"]

    def of_anchor(i, positives, negatives, s):
        if not positives:
            return None
        y, total = i[2], 0.0
        for j in range(len(n)):
            members = [c for c in positives + negatives if c[2] == j]
            margin = margin_strength * max(0.0, math.log(n[j] / n[y]))
            part = sum(math.exp(feature_scale * feature_scale * s(c) + margin) for c in members)
            part = part / len(members) if averaged and members else part
            total += (n[j] if balanced else 1) * part
        front = n[y] if balanced else 1
        tops = [front * math.exp(feature_scale**2 * s(p)) for p in positives]
        return -sum(math.log(top / total) for top in tops) / len(positives)

    return over_anchors(batch, True, of_anchor)


def acl(
    batch: dict[str, Any],
    aligned: bool = True,
    reweighted: bool = True,
    centred: bool = True,
    mean_weight: float = 1.0,
) -> float:
    """-1/(|P|+1) sum over positives and the centre of log( e^s / (e^s + sum_n w_n e^s_n) )."""
    inverse = [1 / n for n in batch["counts"]]
    weights = [mean_weight * len(inverse) * one / sum(inverse) if reweighted else 1.0 for one in inverse]

    def of_anchor(i, positives, negatives, s):
        if not positives:
            return None
        against = sum(weights[c[2]] * math.exp(s(c)) for c in negatives)
        everyone = sum(math.exp(s(p)) for p in positives)
        ratios = [math.exp(s(p)) / ((math.exp(s(p)) if aligned else everyone) + against) for p in positives]
        return -sum(math.log(one) for one in ratios) / len(positives)

    return over_anchors(batch, centred, of_anchor)


def probabilities(scores: list[float]) -> list[float]:
    """Softmax by its definition."""
    return [math.exp(one) / sum(math.exp(other) for other in scores) for one in scores]


def over_samples(batch: dict[str, Any], class_weights: Any, of_sample: Any) -> float:
    """Mean of of_sample(logits, label), weighted by the weights of the classes."""
    top = bottom = 0.0
    for logits, label, valid in zip(batch["f"], batch["y"], batch["valid"], strict=True):
        if valid:
            weight = 1.0 if class_weights is None else class_weights[label]
            top, bottom = top + weight * of_sample(list(logits), label), bottom + weight
    return top / bottom if bottom else 0.0


def cross_entropy(batch: dict[str, Any], class_weights: Any = None) -> float:
    """-log q."""
    return over_samples(batch, class_weights, lambda f, y: -math.log(probabilities(f)[y]))


def balanced_softmax(batch: dict[str, Any], class_weights: Any = None) -> float:
    """-log( n_y e^f_y / sum_j n_j e^f_j )."""

    def of_sample(f, y):
        parts = [n * math.exp(one) for n, one in zip(batch["counts"], f, strict=True)]
        return -math.log(parts[y] / sum(parts))

    return over_samples(batch, class_weights, of_sample)


def logit_adjusted(batch: dict[str, Any], class_weights: Any = None, strength: float = 1.0) -> float:
    """-log( pi_y^t e^f_y / sum_j pi_j^t e^f_j )."""
    share = np.array(batch["counts"]) / sum(batch["counts"])

    def of_sample(f, y):
        parts = [pi**strength * math.exp(one) for pi, one in zip(share, f, strict=True)]
        return -math.log(parts[y] / sum(parts))

    return over_samples(batch, class_weights, of_sample)


def focal(batch: dict[str, Any], class_weights: Any = None, focus: float = 1.0) -> float:
    """-(1-q)^g log q."""

    def of_sample(f, y):
        q = probabilities(f)[y]
        return -((1 - q) ** focus) * math.log(q)

    return over_samples(batch, class_weights, of_sample)


def ldam(batch: dict[str, Any], class_weights: Any = None, largest_margin: float = 0.5, scale: float = 30.0) -> float:
    """Cross-entropy of scaled logits with a margin of the size n^(-1/4) below the true one."""
    margins = [1 / n**0.25 for n in batch["counts"]]
    margins = [largest_margin * one / max(margins) for one in margins]

    def of_sample(f, y):
        return -math.log(probabilities([scale * (one - margins[y] * (j == y)) for j, one in enumerate(f)])[y])

    return over_samples(batch, class_weights, of_sample)


def moved_centres(batch: dict[str, Any], momentum: float) -> np.ndarray:
    """Running means of length one; classes without a view stay."""
    out = np.array(batch["centres"])
    for j in range(len(out)):
        own = [z for z, y, valid in zip(batch["z"], batch["y"], batch["valid"], strict=True) if valid and y == j]
        if own:
            mean = sum(own) / len(own)
            moved = momentum * out[j] + (1 - momentum) * mean / math.sqrt(mean @ mean)
            out[j] = moved / math.sqrt(moved @ moved)
    return out
