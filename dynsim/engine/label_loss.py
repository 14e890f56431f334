"""A loss with labels as the loss of a run, in one line:

    from dynsim.engine.label_loss import with_labels
    run = simulate(config, seeds=range(3), loss=with_labels("acl"))

The features are known here, so they are the classes: the class of a sample is the rarest feature that is active in it
(`rarest_feature`). Other rules are `most_frequent_feature`, `own_class` (no two samples alike, so that labels tell
nothing) and any function of one's own. A simulation has no second network, no queue and no classifier, so every loss
has the form that a batch alone allows; `with_labels` says which.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynsim.config.checks import did_you_mean
from dynsim.engine.data import Batch
from dynsim.engine.numbers import Numbers
from dynsim.losses.centres import assigned_in_program, moved_centres, spread_targets
from dynsim.losses.contrastive import LossValue, normalise
from dynsim.losses.label_table import label_loss
from dynsim.losses.labelled_views import Classes, Views
from dynsim.losses.supervised import DRAWS_POSITIVES, lowest_positives


class SampleLabels(NamedTuple):
    """The classes of the samples of a batch."""

    labels: Int[Array, " candidate"]
    """Class of each candidate of the batch; -1 for none: the sample is left out."""
    counts: Float[Array, " class"]
    """Numbers proportional to the sizes of the classes."""


LabelRule = Callable[[Batch, Numbers], SampleLabels]
OWN_OPTIONS = ("labels", "unit_length", "positives")
"""Options of `with_labels` that are no parts of a loss."""


def with_labels(
    name: str,
    *,
    labels: LabelRule | None = None,
    unit_length: bool = True,
    positives: int | None = None,
    **parts: Any,
) -> Callable[..., LossValue]:
    """Return a loss for `simulate(loss=...)`: one of `LABEL_LOSSES` on both views of every sample.

    The temperature is that of the configuration. The other options of its loss are not used: all views are candidates
    of all others, and gradients flow into both. Where a source has more than a batch, this stands for it:

    - BCL and RCL have no prototypes unless centres are given. The centres of ACL are the means of the batch.
    - KCL and TSC take as positives the other view of the sample, and of the others of its class those that come next in
      the batch: its samples are in no order, so these are as good as drawn. There is no queue.
    - The targets of TSC are made by `spread_targets` and assigned anew to the means of every batch.
    - PaCo, GPaCo and the losses of a classifier take as its outputs the similarities with the centres of the classes
      over the temperature; for LDAM, which has a factor of its own, the similarities. The centres are the means of the
      batch, which take no gradient; that of a class without a sample is zero. PaCo is GPaCo without smoothing here.

    Args:
        name: one of `LABEL_LOSSES`.
        labels: (batch, numbers) -> `SampleLabels`; None: `rarest_feature`.
        unit_length: scale embeddings to length one, as the sources do; False: similarities are their inner products, as
            in the theory. Means of classes have length one in both cases.
        positives: KCL and TSC: how many positives there are beside the other view of the sample; None: 6.
        parts: named arguments of the loss, such as `aligned=False`; and, for a loss that uses them, `centres`, an array
            (class, neuron) of fixed centres, which replace those named above.

    Errors: `ValueError` in one line for an unknown loss, for a part that the loss does not have or use, and for
        `positives` with a loss that draws none.
    """
    label_loss(name)
    if positives is not None and name not in DRAWS_POSITIVES:
        raise ValueError(f"positives: wanted one of {', '.join(DRAWS_POSITIVES)} with it, got {name!r}: leave it out")
    _check_parts(name, parts)
    n_drawn = 6 if positives is None else positives
    rule = labels or rarest_feature
    return partial(_loss, name=name, rule=rule, unit_length=unit_length, n_drawn=n_drawn, **parts)


def _check_parts(name: str, parts: dict[str, Any]) -> None:
    """Refuse a part that the loss does not have, or that would change nothing. Errors: `ValueError` in one line."""
    arguments = inspect.signature(label_loss(name).function).parameters.values()
    # which positives are drawn is decided here, for each batch
    known = [one.name for one in arguments if one.kind is one.KEYWORD_ONLY and one.name != "is_drawn"]
    without_centres = name == "acl" and not parts.get("centred", True)
    if _compares_with_centres(name) and not without_centres:
        known.append("centres")
    for part in parts:
        if part not in known:
            loss = f"{name!r}, centred=False" if without_centres else repr(name)
            near = "" if part == "centres" else did_you_mean(part, [*known, *OWN_OPTIONS])
            wanted, advice = ", ".join(known), near or "; leave it out"
            raise ValueError(f"parts: wanted one of {wanted} with {loss}, got {part!r}{advice}")


def _compares_with_centres(name: str) -> bool:
    """Return whether a loss compares with centres of classes, or with outputs of a classifier, which they stand for."""
    row = label_loss(name)
    return row.family == "classifier" or not {"centres", "logits"}.isdisjoint(row.needs)


def rarest_feature(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return the rarest active feature of each sample as its class; among equally rare ones the last.

    A class is as large as its feature is often the rarest one, p_j times the product of 1 - p_i over all i that are
    rarer; so it is for features that are active independently of each other.
    """
    # stable: from the most frequent to the rarest, equally frequent ones in their order
    return _last_active(batch, numbers, jnp.argsort(-numbers.active_probability))


def most_frequent_feature(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return the most frequent active feature of each sample as its class; among equally frequent ones the last.

    Class sizes as in `rarest_feature`, with the order turned round.
    """
    return _last_active(batch, numbers, jnp.argsort(numbers.active_probability))


def own_class(batch: Batch, numbers: Numbers) -> SampleLabels:
    """Return a class of its own for each sample, all of one size: a loss with these labels learns nothing from them."""
    n_samples = batch.codes.shape[0]
    return SampleLabels(jnp.arange(n_samples, dtype=jnp.int32), jnp.ones(n_samples, numbers.active_probability.dtype))


def _last_active(batch: Batch, numbers: Numbers, order: Int[Array, " feature"]) -> SampleLabels:
    """Return as class the active feature that comes last in an order, -1 where none is active."""
    frequency = numbers.active_probability
    active = (batch.codes != 0)[:, order]
    place = jnp.where(active, jnp.arange(len(order)), -1).max(axis=1)
    labels = jnp.where(place >= 0, order[jnp.maximum(place, 0)], -1)
    absent = jnp.log1p(-jnp.minimum(frequency[order], 1 - 1e-6))
    later = jnp.cumsum(absent[::-1])[::-1] - absent
    share = frequency[order] * jnp.exp(later)
    return SampleLabels(labels.astype(jnp.int32), jnp.zeros_like(share).at[order].set(share))


def _loss(
    query: Array,
    key: Array,
    batch: Batch,
    numbers: Numbers,
    *,
    name: str,
    rule: LabelRule,
    unit_length: bool,
    n_drawn: int,
    centres: Array | None = None,
    **parts: Any,
) -> LossValue:
    found, row, n_queries = rule(batch, numbers), label_loss(name), len(query)
    labels = jnp.concatenate([found.labels[:n_queries], found.labels])
    embeddings = jnp.concatenate([query, key])
    views = Views(normalise(embeddings) if unit_length else embeddings, jnp.maximum(labels, 0), labels >= 0)
    has_centre, of_classifier = None, row.family == "classifier"
    with_outputs = of_classifier or "logits" in row.needs
    if centres is None and (with_outputs or name == "tsc" or (name == "acl" and parts.get("centred", True))):
        centres = _means(views, len(found.counts))
        if name == "acl":
            has_centre = jnp.any(centres != 0, axis=1)
        elif name == "tsc":
            targets = jnp.asarray(_targets(*centres.shape), centres.dtype)
            centres = assigned_in_program(centres, targets)
    if with_outputs:
        outputs = views.embeddings @ jnp.asarray(centres).T
        outputs = outputs if name == "ldam" else outputs / numbers.temperature
        if of_classifier:
            return row.function(outputs, views.labels, found.counts, views.is_valid, **parts)
        views = views._replace(logits=outputs)
    if name in DRAWS_POSITIVES:
        samples = jnp.concatenate([jnp.arange(n_queries), jnp.arange(len(key))])
        parts |= {"is_drawn": _next_of_class(views, samples, n_drawn)}
    return row.function(views, Classes(found.counts, centres, has_centre), numbers.temperature, **parts)


def _means(views: Views, n_classes: int) -> Float[Array, "class neuron"]:
    """Return the direction of the mean of each class in the batch; zeros for a class that is not in it."""
    start = jnp.zeros((n_classes, views.embeddings.shape[1]), views.embeddings.dtype)
    return moved_centres(start, views, 0.0)  # with no weight on the past


def _next_of_class(views: Views, samples: Int[Array, " view"], n_drawn: int) -> Array:
    """Return the positives of each view: those of its sample, and the `n_drawn` next of its class, in a circle."""
    place = jnp.arange(len(samples))
    ahead = (place[None, :] - place[:, None]) % len(samples)
    is_own = samples[:, None] == samples[None, :]
    return lowest_positives(ahead.astype(jnp.float32) / len(samples), views, None, is_own, n_drawn)


@lru_cache(maxsize=8)
def _targets(n_classes: int, n_neurons: int) -> np.ndarray:
    """Return the targets of TSC: the same for all runs of a size, which may be computed while a program is traced."""
    with jax.ensure_compile_time_eval():
        return spread_targets(n_classes, n_neurons, key=jax.random.key(0))
