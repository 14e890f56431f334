"""What the checks of Lemma 3.1 read from runs of stage 1 alone, and whether these are in the linear regime.

The closed forms of stage 1 hold while the softmax weighs all candidates alike and no threshold is on. The runs have no
thresholds (noise and signal fire every neuron alike: a false-firing rate of 1), and codes may have any number of active
features per sample, which the exact second moment takes into account. What can go wrong is the softmax.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from paper_checks.check import Row, out_of_regime

NO_THRESHOLDS = "no thresholds"
TILT_ALLOWED = 0.05
"""Largest relative change of the softmax weight of a query's own key: growth is then off by at most 5 % / (K - 1)."""

NEAR_ROOT = (-0.75, -0.25)
"""Exponents in the batch size that are nearer to -1/2, that of batch noise, than to the rivals 0 and -1."""


def record_from(result: xr.Dataset, step: float) -> int:
    """Return the first record at or after a step, or the last record if there is none."""
    steps = result["step"].values
    return min(int(np.searchsorted(steps, step)), len(steps) - 1)


def projections(result: xr.Dataset) -> np.ndarray:
    """Return <w_i, M_j>, shape (seed, record, neuron, feature), in float64; NaN for runs that diverged."""
    return _of_sound_runs(result, "alignment")


def norms(result: xr.Dataset, name: str = "weight_norm") -> np.ndarray:
    """Return the norms of the neurons, shape (seed, record, neuron), in float64; NaN for runs that diverged."""
    return _of_sound_runs(result, name)


def _of_sound_runs(result: xr.Dataset, name: str) -> np.ndarray:
    values = result[name].values.astype(np.float64)
    values[result["diverged_step"].values >= 0] = np.nan
    return values


def softmax_tilt(result: xr.Dataset, record: int) -> float:
    """Return by which share the mean softmax weight of the own key has changed up to a record, the largest of seeds.

    It is 0 in the linear regime. The first record has no step behind it, so that the second one is the reference.
    """
    weight = _of_sound_runs(result, "positive_weight")
    return float(np.nanmax(np.abs(weight[:, record] / weight[:, 1] - 1)))


def where_linear(rows: Sequence[Row], tilt: np.ndarray) -> list[Row]:
    """Return the rows, or rows out of regime with the same claims where the softmax was not uniform."""
    worst = float(np.max(tilt))
    if worst <= TILT_ALLOWED:
        return list(rows)
    why = (
        f"the softmax weight of a query's own key changed by {worst:.0%} (allowed: {TILT_ALLOWED:.0%}); size plays no "
        f"part: a start that is {np.sqrt(worst / TILT_ALLOWED):.2g} times smaller would be in regime, at the same cost"
    )
    return [out_of_regime(one.claim, one.regime, one.quantity, why) for one in rows]


def majority_end(result: xr.Dataset) -> np.ndarray:
    """Return the measured T1 of the majority, in steps, shape (seed,); NaN where the record ends before it.

    T1 is where the squared projections on majority features have gained what the squared norms were at the start, over
    all neurons. Between two records the logarithm of the squares is taken as a straight line: growth is exponential.
    """
    own = result["group"].values == "majority"
    energy = np.sum(projections(result)[..., own] ** 2, axis=(2, 3))
    wanted = np.log1p(np.sum(norms(result)[:, 0] ** 2, axis=1) / energy[:, 0])
    grown = np.log(energy / energy[:, :1])
    steps = result["step"].values
    return np.array([np.interp(goal, one, steps, right=np.nan) for goal, one in zip(wanted, grown, strict=True)])


def lag(result: xr.Dataset) -> np.ndarray:
    """Return how far minority features have fallen behind, shape (seed, record): 1 at the first record.

    That is the root mean square of <w_i, M_j> over neurons and minority features, divided by that over majority
    features, as `theory.suppression`. What the Gaussian start has by chance is divided out.
    """
    squares, minority = projections(result) ** 2, result["group"].values == "minority"
    ratio = np.sqrt(np.mean(squares[..., minority], axis=(2, 3)) / np.mean(squares[..., ~minority], axis=(2, 3)))
    return np.asarray(ratio / ratio[:, :1])
