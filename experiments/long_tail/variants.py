"""Methods of the comparison with one thing changed: parts of a loss, its weight or scale, views of an image, a mask.

Each belongs to a set, which `--methods` takes by its name, and is held against another method of that set.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from dynsim.bridge.options import Masking, Supervised
from dynsim.config.training import MaskKind
from experiments.long_tail.methods import ACL, BALANCED, BCL, LOSS_METHODS, ONE_VIEW, RCL, SUP_CON, Method

ACL_PARTS = {"aligned": "aligned", "reweighted": "reweighted", "centred": "with centres"}
RCL_PARTS = {"averaged": "averaged", "balanced": "balanced"}
RCL_SCALES = (0.75, 1.25, 1.5, 2.0)
LOSS_WEIGHTS = (0.1, 1.0)
VIEW_COUNTS = (1, 2, 3)
MASKED_SHARE = 0.9
MASKED_LOSSES = (SUP_CON, BCL, RCL, ACL)
HIDDEN: dict[MaskKind, str] = {"lowest": "smallest masked", "random_fixed": "random masked"}


class Variant(NamedTuple):
    """A method with one thing changed."""

    method: Method
    base: str
    """The method that it is held against."""


def _changed(base: str, text: str, change: Callable[[Supervised], Supervised]) -> Variant:
    inner = LOSS_METHODS[base].change
    return Variant(Method(text, lambda options: change(inner(options))), base)


def _with_parts(base: str, text: str, **parts: Any) -> Variant:
    def change(options: Supervised) -> Supervised:
        return dataclasses.replace(options, parts=dataclasses.replace(options.parts, **parts))

    return _changed(base, text, change)


def _with(base: str, text: str, weight: float) -> Variant:
    return _changed(base, text, lambda options: dataclasses.replace(options, weight=weight))


def _views(base: str, number: int) -> Variant:
    def change(options: Supervised) -> Supervised:
        return dataclasses.replace(options, views=options.views[:number], view_counts="uniform")

    return _changed(base, f"{LOSS_METHODS[base].text}, {number} of the views of each image", change)


def _masked(base: str, kind: MaskKind, text: str) -> Variant:
    def change(options: Supervised) -> Supervised:
        masking = Masking(kind=kind, rate=MASKED_SHARE)
        return dataclasses.replace(options, masking=masking, network=dataclasses.replace(options.network, norm_sets=2))

    return _changed(base, text, change)


def _parts_of(base: str, names: dict[str, str]) -> dict[str, Variant]:
    """Return the method with every choice of its parts, but for all of them."""
    found = {}
    for number in range(len(names)):
        for kept in itertools.combinations(names, number):
            words = " and ".join(names[part] for part in kept) or "no part"
            text = f"Balanced Softmax and {base}, of its parts: {words}"
            found[f"{base}: {words}"] = _with_parts(base, text, **{part: part in kept for part in names})
    return found


VARIANT_SETS: dict[str, dict[str, Variant]] = {
    "acl-parts": _parts_of(ACL, ACL_PARTS),
    "rcl-parts": _parts_of(RCL, RCL_PARTS)
    | {"RCL, margins": _with_parts(RCL, "RCL with margins against more frequent classes", margin_strength=1.0)},
    "rcl-scale": {
        f"RCL, scale {scale:g}": _with_parts(RCL, f"RCL, embeddings times {scale:g}", feature_scale=scale)
        for scale in RCL_SCALES
    },
    "weights": {
        f"{name}, weight {weight:g}": _with(name, f"{LOSS_METHODS[name].text}, weight {weight:g}", weight)
        for name in (ACL, SUP_CON)
        for weight in LOSS_WEIGHTS
    },
    "views": {
        f"{name}, views: {number}": _views(name, number)
        for name in (BALANCED, SUP_CON, ACL)
        for number in VIEW_COUNTS
        if (name, number) != (BALANCED, 1)  # which is `ONE_VIEW`
    },
    "masks": {
        f"{name}, {words}": _masked(
            name, kind, f"{LOSS_METHODS[name].text}, {words} on the second view, which feeds no classifier"
        )
        for name in MASKED_LOSSES
        for kind, words in HIDDEN.items()
    },
}
"""By the name of the set and of the method. A chosen number of views is the same for all images."""
MASK_PAIRS = tuple((f"{name}, {HIDDEN['lowest']}", f"{name}, {HIDDEN['random_fixed']}") for name in MASKED_LOSSES)
"""The differences that are those of the mask alone: against its base, a masked method has a view of each image less for
the classifier, and batch norms of their own for the masked views."""
PART_PAIRS = tuple(
    (name, one.base) for of in ("acl-parts", "rcl-parts") for name, one in VARIANT_SETS[of].items() if ": " in name
)
"""The loss with some of its parts, and with all of them. RCL's margins are no part that can be left out."""
VARIANTS = {name: one for of in VARIANT_SETS.values() for name, one in of.items()}
KNOWN_METHODS = LOSS_METHODS | {name: one.method for name, one in VARIANTS.items()}


def method_names(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods that these names mean; that of a set means its methods, those that they vary first."""
    found: list[str] = []
    for word in words:
        of = VARIANT_SETS.get(word)
        found += [word] if of is None else [*(one.base for one in of.values()), *of]
        found += [ONE_VIEW] if word == "views" else []
    return tuple(dict.fromkeys(found))
