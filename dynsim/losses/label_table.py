"""All losses that learn from labels: what they compute, where they come from, and the function of each.

    from dynsim.losses.label_table import LABEL_LOSSES, label_loss

Tests, help texts and documents are made from this table. Losses of one family have one signature:

- contrastive: loss(views, classes, temperature, memory), see `labelled_views`. They compare embeddings, and need to
  know for each what class it has and whether it is an anchor; what is known about classes comes in one bundle, of
  which a loss uses what it needs.
- classifier: loss(logits, labels, counts, is_valid), see `classifier`. They look at one sample at a time.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from dynsim.losses import classifier, rebalanced, supervised
from dynsim.losses.contrastive import LossValue


class LabelLoss(NamedTuple):
    """One row of the table."""

    title: str
    family: Literal["contrastive", "classifier"]
    formula: str
    source: str
    function: Callable[..., LossValue]
    needs: tuple[str, ...] = ()  # what it uses beside embeddings or logits and labels: counts, centres, logits
    unknown: tuple[str, ...] = ()  # arguments whose value or form the source leaves open; their defaults are ours


SYMBOLS = """\
i anchor or sample, y its class, p in P its positives (other candidates of class y), n in N its negatives, a any
candidate; s similarity over temperature; c_j centre of class j; n_j training samples of class j, pi_j their share; B_j
candidates of class j in the batch; f logits of a classifier, f_y that of the true class, q its probability. Means over
i throughout. All else (t, u, v, w, g, K, scale, margins) are named arguments of the function."""

LABEL_LOSSES = {
    "sup_con": LabelLoss(
        "SupCon",
        "contrastive",
        "-mean_p log( e^s_ip / sum_a e^s_ia )",
        "Khosla et al. 2020, arXiv 2004.11362 (the form L_out)",
        supervised.sup_con,
    ),
    "kcl": LabelLoss(
        "KCL",
        "contrastive",
        "SupCon, P being the views of the sample and K drawn ones of its class",
        "Kang et al. 2021; code of Li et al. 2022",
        supervised.kcl,
    ),
    "tsc": LabelLoss(
        "TSC",
        "contrastive",
        "-1/(|P|+1) ( sum_p log( e^s_ip / Z ) + w log( e^s_ic / Z ) ), c = c_y a fixed target, "
        "Z = sum_a e^s_ia + sum_j e^s_ij over all targets",
        "Li et al. 2022, arXiv 2111.13998, and their code",
        supervised.tsc,
        needs=("centres",),
    ),
    "paco": LabelLoss(
        "PaCo",
        "contrastive",
        "-( v log(e^(f_y + log pi_y) / Z) + u sum_p log(e^s_ip / Z) ) / (v + u |P|), "
        "Z = sum_j e^(f_j + log pi_j) + sum_a e^s_ia; anchors are queries, keys are in the memory",
        "Cui et al. 2021, arXiv 2107.12028, and their code",
        supervised.paco,
        needs=("counts", "logits"),
    ),
    "gpaco": LabelLoss(
        "GPaCo",
        "contrastive",
        "PaCo; both views are anchors; label smoothing",
        "Cui et al. 2023, arXiv 2209.12400, and their code",
        supervised.gpaco,
        needs=("counts", "logits"),
    ),
    "bcl": LabelLoss(
        "BCL",
        "contrastive",
        "-mean_p log( e^s_ip / sum_j 1/|B_j| sum_(a in B_j) e^s_ia ), prototypes c_j among the candidates",
        "Zhu et al. 2022, arXiv 2207.09052, and their code",
        rebalanced.bcl,
        needs=("centres",),
    ),
    "rcl": LabelLoss(
        "RCL",
        "contrastive",
        "BCL with n_y in the numerator and n_j/|B_j| for 1/|B_j|, s times scale^2, and e^(s_ia + margin_yj) for e^s_ia",
        "arXiv 2312.01753: abstract only, so the form is ours",
        rebalanced.rcl,
        needs=("counts", "centres"),
        unknown=("feature_scale", "margin_strength"),
    ),
    "acl": LabelLoss(
        "ACL",
        "contrastive",
        "-mean_p log( e^s_ip / (e^s_ip + sum_n w_n e^s_in) ), w_n proportional to 1/n_j, centres c_j in P and N",
        "arXiv 2506.01071, equation 9",
        rebalanced.acl,
        needs=("counts", "centres"),
        unknown=("mean_weight",),
    ),
    "cross_entropy": LabelLoss("cross-entropy", "classifier", "-log q", "", classifier.cross_entropy),
    "balanced_softmax": LabelLoss(
        "Balanced Softmax",
        "classifier",
        "cross-entropy of f_j + log n_j",
        "Ren et al. 2020, arXiv 2007.10740",
        classifier.balanced_softmax,
        needs=("counts",),
    ),
    "logit_adjusted": LabelLoss(
        "logit adjustment",
        "classifier",
        "cross-entropy of f_j + t log pi_j; post-hoc: predict with f_j - t log pi_j",
        "Menon et al. 2021, arXiv 2007.07314",
        classifier.logit_adjusted,
        needs=("counts",),
    ),
    "focal": LabelLoss(
        "focal loss", "classifier", "-(1-q)^g log q", "Lin et al. 2017, arXiv 1708.02002", classifier.focal
    ),
    "ldam": LabelLoss(
        "LDAM",
        "classifier",
        "cross-entropy of 30 (f_j - margin_j [j = y]), margin_j = 0.5 (n_min/n_j)^(1/4); DRW: class weights "
        "(1-b)/(1-b^n_j) from epoch 160",
        "Cao et al. 2019, arXiv 1906.07413, and their code",
        classifier.ldam,
        needs=("counts",),
    ),
}


def label_loss(name: str) -> LabelLoss:
    """Return a row of the table. Errors: an unknown name, in one line."""
    if name not in LABEL_LOSSES:
        raise ValueError(f"loss: wanted one of {', '.join(LABEL_LOSSES)}, got {name!r}")
    return LABEL_LOSSES[name]


def label_loss_help() -> str:
    """Return one line per loss, for the help of an option."""
    return "\n".join(f"- {name}: {row.title}, {row.formula}" for name, row in LABEL_LOSSES.items())


def label_loss_markdown() -> str:
    """Return the table of the losses for a document."""
    lines = ["| name | loss | formula | needs | source | what it leaves open |", "|---|---|---|---|---|---|"]
    for name, row in LABEL_LOSSES.items():
        formula = row.formula.replace("|", "\\|")  # a bar would end the cell
        needs, unknown = ", ".join(row.needs), ", ".join(row.unknown)
        lines.append(f"| `{name}` | {row.title} | {formula} | {needs} | {row.source} | {unknown} |")
    return "\n".join(lines)
