"""The measurements of one training as a labelled Dataset: dimensions record, channel, class, set, basis, reading."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from dynsim.bridge.data import CLASS_GROUPS, DataError

BASES = ("classes", "concepts")
"""What a channel is compared with: the indicators of the classes, or what a linear read-out makes of them."""
LIVE = 1e-5
"""A channel varies if its standard deviation is above this share of its largest response; below, it is rounding."""
PURITY_READINGS = ("whole", "class_part")
"""What the purity of a channel is relative to: its whole variation, or the part of it that the basis explains."""

ARRAYS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "class_mean": (("channel", "class"), "mean response of a channel to the images of a class", "response"),
    "within_variance": (("channel", "class"), "variance of a channel within a class", "response^2"),
    "active_share": (("channel", "class"), "share of the images of a class on which a channel is not zero", "1"),
    "concept_cosine": (("channel", "class"), "correlation of a channel with the concept of a class", "1"),
    "concept_share": (("channel",), "share of a channel's variance that the concepts explain together", "1"),
    "readable": (("class",), "share of a class's variance that a linear read-out of the layer explains", "1"),
    "spectrum": (("channel",), "eigenvalues of the covariance of the channels, ascending", "response^2"),
    "permuted_purity": (("set", "basis"), "largest purity with permuted labels", "1"),
    "permuted_readable": (("set",), "mean of readable with permuted labels", "1"),
    "mixed_specialists": (("set", "basis", "reading", "class"), "number of random mixtures pure on a class", "1"),
    "mixed_purity": (("set", "basis", "reading"), "largest purity of random mixtures of the channels", "1"),
}
"""{array of `responses.measure`: (dimensions after record, what it is, unit)}."""


def channel_dataset(
    arrays: Mapping[str, np.ndarray],
    epochs: Sequence[int] | np.ndarray,
    class_sizes: np.ndarray,
    groups: np.ndarray,
    images_per_class: int,
) -> xr.Dataset:
    """Join what was measured at the records of one training.

    Args:
        arrays: those of `responses.measure`, each with a leading axis record.
        epochs: the number of epochs trained before each record, whole and increasing, shape (record,). Any other whole
            measure of training time serves as well; stage ends are given in it.
        class_sizes: images of each class in the long-tailed training set, shape (class,): its frequency.
        groups: "many", "medium" or "few" for each class, shape (class,) (`bridge.data.groups_by_rank`).
        images_per_class: number of images of each class that were measured.

    Returns:
        A Dataset of the `ARRAYS`, with the coordinates `epoch` (record), `class_size` and `class_group` (class), and
        the attribute `images_per_class`.
    Errors:
        `DataError` in one line for arrays, epochs or classes that do not fit together.
    """
    n_classes = len(class_sizes)
    variables = _variables(arrays, len(epochs), n_classes)
    epochs = np.asarray(epochs)
    if epochs.dtype.kind not in "iu" or np.any(np.diff(epochs) <= 0):
        raise DataError(f"epochs: wanted whole and increasing numbers, got {epochs[:5]}")
    unknown = sorted(set(np.asarray(groups).tolist()) - set(CLASS_GROUPS))
    if unknown or len(groups) != n_classes:
        raise DataError(
            f"groups: wanted one of {', '.join(CLASS_GROUPS)} for each of {n_classes} classes,"
            f" got {len(groups)}{f' with {unknown[0]}' if unknown else ''}"
        )
    coords = {
        "epoch": ("record", epochs.astype(np.int64), {"long_name": "epochs trained", "units": "epochs"}),
        "class_size": ("class", np.asarray(class_sizes, np.int64), {"long_name": "training images", "units": "images"}),
        "class_group": ("class", np.asarray(groups, "U6"), {"long_name": "group of the class", "units": "1"}),
        "basis": ("basis", list(BASES)),
        "reading": ("reading", list(PURITY_READINGS)),
    }
    return xr.Dataset(variables, coords, {"images_per_class": int(images_per_class)})


def _variables(arrays: Mapping[str, np.ndarray], n_records: int, n_classes: int) -> dict[str, xr.Variable]:
    """Return the arrays with their dimensions and labels. Errors: `DataError` for a missing one or another shape."""
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"measurements: wanted those of measure(), got none named {', '.join(missing)}")
    variables = {}
    sizes = {"record": n_records, "class": n_classes, "basis": len(BASES), "reading": len(PURITY_READINGS)}
    for name, (dims, words, unit) in ARRAYS.items():
        values = np.asarray(arrays[name])
        wanted = ("record", *dims)
        given = dict(zip(wanted, values.shape, strict=False))
        if values.ndim != len(wanted) or any(sizes.setdefault(dim, n) != n for dim, n in given.items()):
            shape = ", ".join(f"{dim} {sizes.get(dim, 'any')}" for dim in wanted)
            raise DataError(f"{name}: wanted the shape ({shape}), got {values.shape}; stack one array per record")
        variables[name] = xr.Variable(wanted, values, {"long_name": words, "units": unit})
    return variables


def group_members(data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return {group: its classes, Boolean (class,)} for many, medium and few where they have members, and all."""
    groups = data["class_group"].values
    masks = {name: groups == name for name in CLASS_GROUPS}
    return {name: mask for name, mask in masks.items() if mask.any()} | {"all": np.ones(len(groups), bool)}
