"""Losses that learn from labels, the same loss without labels, and masks on top of it: what pruning_labels compares.

The class of a sample is its rarest active feature, so labels say what the rare features are. Each control changes one
thing: labels that tell nothing, labels of other samples, labels that name the most frequent feature instead.
"""

from typing import Any, NamedTuple

from dynsim import theory
from dynsim.config import Config, replace
from experiments.pruning.arms import ARM_SHAPES, NOISES
from experiments.pruning.probed_runs import OwnLoss
from experiments.pruning.recipes import Schedule

NO_LABELS = "no labels"
FORMS: dict[str, dict[str, Any]] = {
    "inner products": {},
    "unit length": {"loss.temperature": 0.2, "optimizer.learning_rate": 0.1},
}
"""How embeddings are compared: as the theory does, or scaled to length one as the sources of the losses do; and what
else changes with it, the same for all methods."""
EARLY_MASK = Schedule(0.7, release=500)
"""The mask that brought most rare features back in pruning_recipe."""


class LabelMethod(NamedTuple):
    """One way to train."""

    loss: str
    """A name of `LABEL_LOSSES`."""
    labels: str = "rarest feature"
    """A name of `LABEL_RULES`."""
    parts: tuple[tuple[str, Any], ...] = ()
    mask: Schedule | None = None


LABEL_METHODS = {
    NO_LABELS: LabelMethod("sup_con", "own class"),
    "SupCon": LabelMethod("sup_con"),
    "BCL": LabelMethod("bcl"),
    "RCL": LabelMethod("rcl"),
    "ACL": LabelMethod("acl"),
    "ACL, aligned only": LabelMethod("acl", parts=(("reweighted", False), ("centred", False))),
    "ACL, labels of other samples": LabelMethod("acl", "other sample"),
    "ACL, most frequent feature": LabelMethod("acl", "most frequent feature"),
    "early mask": LabelMethod("sup_con", "own class", mask=EARLY_MASK),
    "early random mask": LabelMethod("sup_con", "own class", mask=EARLY_MASK.twin),
    "ACL and early mask": LabelMethod("acl", mask=EARLY_MASK),
}
"""The methods by name. Scale and margins of RCL are off, since its source leaves them open; BCL and RCL are without
prototypes."""


class LabelRun(NamedTuple):
    """The key of one set of runs."""

    form: str
    shape: str
    noise: str
    ratio: float
    method: str

    @property
    def label(self) -> str:
        """The method."""
        return self.method

    @property
    def partner(self) -> "LabelRun":
        """The runs without labels and mask at the same point."""
        return self._replace(method=NO_LABELS)


def label_run_config(run: LabelRun, n_steps: int) -> Config:
    """Return the configuration of a set of runs; its loss is another function (`own_label_loss`)."""
    changes = ARM_SHAPES[run.shape] | FORMS[run.form]
    config = replace(Config(), **changes, **{"data.minority_ratio": run.ratio, "train.n_steps": n_steps})
    rate = NOISES[run.noise]
    config = config if rate is None else theory.with_false_firing_rate(config, rate)
    mask = LABEL_METHODS[run.method].mask
    return config if mask is None else replace(config, **mask.changes())


def own_label_loss(run: LabelRun) -> OwnLoss:
    """Return the loss of a set of runs; its name says what the configuration does not."""
    from dynsim.engine.label_loss import with_labels
    from experiments.pruning.label_rules import LABEL_RULES

    name, labels, parts, _ = LABEL_METHODS[run.method]
    function = with_labels(name, labels=LABEL_RULES[labels], unit_length=run.form == "unit length", **dict(parts))
    words = [name, labels, *(f"{part} {value}" for part, value in parts), run.form]
    return OwnLoss(" ".join(words), function)
