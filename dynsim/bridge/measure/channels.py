"""Channels as neurons and classes as features: the terms of the theory for what `responses` has measured (NumPy).

In the theory a neuron is a vector of weights w_i, a feature a direction M_j in the space of its inputs, and everything
is said by the projections <w_i, M_j>, the norm ||w_i|| and the part of w_i outside the span of the features. A channel
deep in a network has no such directions in its input. But it is a function on the images, and so is a class (its
indicator), and functions have inner products: covariances over a class-balanced set of images. The map is:

- Feature j: class c, as its centred indicator (basis classes) or as its concept (basis concepts, see `responses`).
- Frequency eps_j: number of training images of the class. Majority and minority: the classes of the groups many and
  few; medium ones belong to neither.
- Neuron i: channel i, as its centred response; norm ||w_i||: its standard deviation.
- Cosine of w_i with M_j: correlation of the channel with the class. For C classes this is the centred class mean of the
  channel in units of its standard deviation, divided by sqrt(C - 1).
- Part of w_i outside the span: standard deviation of what the classes do not explain, that is, within the classes.
- Dead zone, firing: whether the response is zero, as it is where a rectified layer is silent.

What the map does not keep:

- Classes exclude each other, while features of the theory come together in one sample. So the centred indicators are
  not orthogonal: their cosine is -1/(C - 1), and the squared cosines of a channel with all classes sum to C/(C - 1)
  times the share of its variance that they explain.
- Classes need not be the features that a network learns, least of all without labels: a channel for wheels is no
  specialist of any class.
- A specialist of the theory responds to noise too. This does not lower its purity, which is about weights. In a
  response, variation within a class may be such noise, or another feature that the channel mixes in, and the two cannot
  be told apart. So there are two readings. Relative to the whole variation of a channel (reading whole) all of it
  counts as mixed in, and purity is a lower bound. Relative to its class part (reading class_part), the variation of its
  class means or of its projection on the concepts, none of it does, and purity is an upper bound.
- A class is present or not; it has no sign. A channel that is lowest on a class is no specialist for it: its firing
  counts as 0.
- A channel that is averaged over the places of a map is zero only where all places are. Where this is rare, firing is
  near 1 for every class, and the condition on it asks nothing.
- The scale of a channel means little where the next layer can undo it. So alignments, norms and energies are in units
  of the standard deviation outside the basis. In the whole reading "the energy has grown by the squared norm at the
  start" (T1) thus asks that the classes explain about as much of the channels as they leave open. The theory's floor on
  the norm, a tenth of the largest, is not part of the rule for a specialist here (see `inactive` in
  `curves.LAYER_CURVES`).

A specialist has to be **informed**, in either reading: its largest correlation exceeds those of all channels with
permuted labels (19 permutations: p <= 0.05 over all channels). Without this, a channel that knows nothing would have a
class part, the noise of its class means, and that may well be pure.

With few classes a purity of 0.7 is common: many random mixtures of the channels have it in the reading class_part. So a
specialist is **beyond chance** only if it is purer than all mixtures of 19 sets, each of as many mixtures as there are
channels, or if its class has more specialists than each of these sets (p <= 0.05 over all channels, or per class). The
law Beta(1/2, (d-1)/2) of the theory would hold for mixtures whose class means have no preferred direction; similar
classes make some directions common.
"""

import numpy as np
import xarray as xr

from dynsim.bridge.measure.dataset import BASES, LIVE, PURITY_READINGS
from dynsim.config.checks import require
from dynsim.theory.specialists import FIRING, PURITY, Snapshot, is_specialist

LEAST_UNEXPLAINED = 1e-4
"""Least share of the variance that counts as outside the basis: a channel that is all class has a finite norm."""


def check_reading(basis: str, reading: str) -> None:
    """Refuse a basis or a reading that does not exist. Errors: `ConfigError`."""
    require(basis in BASES, "basis", " or ".join(BASES), repr(basis), "choose one of them")
    require(reading in PURITY_READINGS, "reading", " or ".join(PURITY_READINGS), repr(reading), "choose one of them")


def total_variance(data: xr.Dataset) -> np.ndarray:
    """Return the variance of each channel over the class-balanced images, (record, channel), in squared responses."""
    mean = data["class_mean"].values.astype(np.float64)
    return mean.var(axis=-1) + data["within_variance"].values.mean(axis=-1, dtype=np.float64)


def class_cosines(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation of each channel with each class, and the share of its variance that the classes explain.

    Both are 0 for a channel that does not vary; shapes (record, channel, class) and (record, channel).
    """
    mean = data["class_mean"].values.astype(np.float64)
    total = total_variance(data)
    still = total <= (LIVE * np.abs(mean).max(axis=-1)) ** 2  # NaN is not still, and stays NaN
    scale = np.where(still, 1.0, total)
    centred = np.where(still[..., None], 0.0, mean - mean.mean(axis=-1, keepdims=True))
    cosine = centred / np.sqrt(scale * (mean.shape[-1] - 1))[..., None]
    return cosine, np.square(centred).mean(axis=-1) / scale


def basis_cosines(data: xr.Dataset, basis: str = "classes") -> tuple[np.ndarray, np.ndarray]:
    """Return the correlations with the functions of a basis and the share of variance in their span, as above."""
    if basis == "classes":
        return class_cosines(data)
    cosine, share = (data[name].values.astype(np.float64) for name in ("concept_cosine", "concept_share"))
    return cosine, share


def channel_snapshot(data: xr.Dataset, basis: str = "classes", reading: str = "whole") -> Snapshot:
    """Return the record of a training in the terms of the theory.

    Args:
        data: a Dataset of `dataset.channel_dataset`.
        basis, reading: see the top of the module.

    Returns:
        Arrays with a leading axis record, with channels as neurons and classes as features. `alignment`, `weight_norm`
        and `residual_norm` in units of the standard deviation of a channel outside the basis; 0 for a channel that
        does not vary. `firing` and `false_firing`: share of the images of the best class, and of all others, on which
        the channel is not zero; 0 for a channel that is lowest on its best class. `threshold`: how far below the mean
        response the edge of the dead zone, zero, lies, in the same unit, negative; NaN without variation. `self_weight`
        is NaN: there is no attention.
    """
    check_reading(basis, reading)
    cosine, share = basis_cosines(data, basis)
    varies = np.abs(cosine).max(axis=-1) > 0
    outside = np.maximum(1.0 - share, LEAST_UNEXPLAINED)  # as a share of the variance
    size = np.where(varies, 1.0 / np.sqrt(outside), 0.0)  # standard deviation in the unit of the alignment
    inside, residual = size * np.sqrt(share), np.where(varies, 1.0, 0.0)
    best = np.abs(cosine).argmax(axis=-1)[..., None]
    active = data["active_share"].values.astype(np.float64)
    upward = np.take_along_axis(cosine, best, axis=-1)[..., 0] > 0
    own = np.take_along_axis(active, best, axis=-1)[..., 0]
    others = (active.sum(axis=-1) - own) / (active.shape[-1] - 1)
    std = np.sqrt(total_variance(data))
    mean = data["class_mean"].values.mean(axis=-1, dtype=np.float64)
    return Snapshot(
        alignment=cosine * size[..., None],
        weight_norm=np.hypot(inside, residual) if reading == "whole" else inside,
        residual_norm=residual if reading == "whole" else np.zeros_like(size),
        threshold=np.where(varies, -mean * size / np.where(std > 0, std, 1.0), np.nan),
        firing=np.where(upward, own, 0.0),
        false_firing=np.where(upward, others, 0.0),
        self_weight=np.full(len(size), np.nan),
    )


def permuted_level(data: xr.Dataset, basis: str = "classes") -> np.ndarray:
    """Return the largest correlation of any channel with any class that permuted labels have given, (record,)."""
    return data["permuted_purity"].sel(basis=basis).values.max(axis=-1).astype(np.float64)


def mixed_level(data: xr.Dataset, basis: str = "classes", reading: str = "whole") -> np.ndarray:
    """Return the largest purity of any random mixture of the channels, (record,)."""
    return data["mixed_purity"].sel(basis=basis, reading=reading).values.max(axis=-1).astype(np.float64)


def mixed_counts(data: xr.Dataset, basis: str = "classes", reading: str = "whole") -> np.ndarray:
    """Return how many random mixtures of the channels are pure (0.7 or more) on each class, (record, set, class)."""
    return data["mixed_specialists"].sel(basis=basis, reading=reading).values


def informed(data: xr.Dataset, basis: str = "classes") -> np.ndarray:
    """Return which channels know more of a class than permuted labels explain, Boolean (record, channel)."""
    cosine, _ = basis_cosines(data, basis)
    return np.abs(cosine).max(axis=-1) > permuted_level(data, basis)[:, None]


def channel_specialists(
    data: xr.Dataset,
    basis: str = "classes",
    reading: str = "whole",
    *,
    min_purity: float = PURITY,
    min_firing: float = FIRING,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which channel is a specialist for which class, and which of these are beyond chance.

    Args:
        min_purity, min_firing: as in `theory.specialists.is_specialist`.

    Returns:
        Two Boolean arrays (record, channel, class).
    """
    snapshot = channel_snapshot(data, basis, reading)
    seen = snapshot.alignment, snapshot.weight_norm, snapshot.firing
    with np.errstate(invalid="ignore"):  # of a diverged training, which has no specialists
        found = is_specialist(*seen, min_purity=min_purity, min_firing=min_firing, norm_floor=0.0)
        found &= informed(data, basis)[..., None]
        cosine = np.abs(snapshot.alignment).max(axis=-1)
        purer = cosine > mixed_level(data, basis, reading)[:, None] * snapshot.weight_norm
    more = found.sum(axis=1) > mixed_counts(data, basis, reading).max(axis=1)
    return found, found & (purer[..., None] | more[:, None, :])


def selectivity(data: xr.Dataset) -> np.ndarray:
    """Return the class selectivity of each channel, (record, channel): (largest - rest) / (largest + rest).

    Largest is the mean response to the class that drives it most, rest the mean over all other classes (the index of
    Morcos et al. 2018). In [0, 1] for a rectified layer; NaN for a channel that is silent or has negative means.
    """
    mean = data["class_mean"].values.astype(np.float64)
    largest = mean.max(axis=-1)
    rest = (mean.sum(axis=-1) - largest) / (mean.shape[-1] - 1)
    fine = (mean.min(axis=-1) >= 0) & (largest > 0)
    return np.where(fine, (largest - rest) / np.where(fine, largest + rest, 1.0), np.nan)


def dead(data: xr.Dataset) -> np.ndarray:
    """Return which channels are zero on all images, Boolean (record, channel): inside the dead zone throughout."""
    return data["active_share"].values.max(axis=-1) == 0


def effective_rank(data: xr.Dataset) -> np.ndarray:
    """Return exp(entropy) of the eigenvalues of the covariance as shares of their sum, (record,); 0 without variation.

    In how many directions the features vary: at most the number of channels, or of images less one.
    """
    values = data["spectrum"].values.astype(np.float64)
    share = values / np.maximum(values.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=-1)
    return np.where(values.sum(axis=-1) == 0, 0.0, np.exp(entropy))


def separation(data: xr.Dataset) -> np.ndarray:
    """Return how far each class lies from the mean of all, over its own spread, (record, class).

    ||m_c - m||^2 / trace of the covariance within class c, for the class means m_c and their mean m. The noise of the
    means, of n images, is taken off: for C classes (1/n)((1 - 2/C) trace of c + mean trace / C). It may be slightly
    negative for a class that lies nowhere; NaN for a class without spread.
    """
    mean = data["class_mean"].values.astype(np.float64)
    n_classes = mean.shape[-1]
    between = np.square(mean - mean.mean(axis=-1, keepdims=True)).sum(axis=-2)
    within = data["within_variance"].values.sum(axis=-2, dtype=np.float64)
    noise = (1 - 2 / n_classes) * within + within.mean(axis=-1, keepdims=True) / n_classes
    # the measured variance has 1/n too little of the true one
    between = between - noise / max(data.attrs["images_per_class"] - 1, 1)
    return np.where(within > 0, between / np.where(within > 0, within, 1.0), np.nan)
