"""S1c: do the parts of the weights outside the features only shrink?

Statement (Lemma 3.1, in our words): in stage 1 the projections of a neuron on directions that are no features shrink,
by the decay factor 1 - eta lambda per step. In a finite batch they do so only down to a floor that batch noise feeds:
noise in one view that happens to agree with the other view, of order eta / sqrt(K) times the weights.

In regime: no thresholds (a false-firing rate of 1 by construction), softmax uniform (`linear_growth.softmax_tilt`, at
most 5 %), d1 > d. Noise and active features per sample feed the floor, and are those of the default.

Rivals: no floor, pure decay at any batch size; a floor that falls as 1/K.

Claim: log of the non-feature norm falls by -log(1 - eta lambda) per step (`theory.decay_rate`), tested under strong
decay until T1, when a sixth of the norm should have decayed; what is there beyond the decay has an amplitude of order
K^(-1/2). The order eta of the floor is not tested: no run set varies eta in stage 1.

Power: the rate is known to 1 % with 8 seeds; the margin of 5 % is well above what batch noise adds at K = 256. What
batch noise adds is at K = 1024 known to 15 %, and 60 times as much at K = 16, so that its exponent is known to 0.1.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.config import Config
from paper_checks import drawing, linear_growth, slopes
from paper_checks.check import Check, Row, about, at_points, over_seeds, row
from paper_checks.linear_growth import NEAR_ROOT, NO_THRESHOLDS
from paper_checks.runs import Source

MARGIN = 0.05


def measure(source: Source) -> xr.Dataset:
    """Return mean squared norms outside the features over time, per seed, for all batch sizes and for strong decay."""
    parts = {}
    for decays, name in enumerate(("growth_batches", "growth_decay")):
        points, runs = source.points(name), source.runs(name)
        for point, result in runs.items():
            parts[point._replace(second=decays)] = _of_run(points[point], result, until_t1=bool(decays))
    return at_points(parts)


def _of_run(config: Config, result: xr.Dataset, *, until_t1: bool) -> xr.Dataset:
    end = theory.stage1_end(config, "all") if until_t1 else np.inf
    last = linear_growth.record_from(result, end)
    energy = np.mean(linear_growth.norms(result, "residual_norm")[:, : last + 1] ** 2, axis=2)
    return xr.Dataset(
        {
            "energy": (("seed", "record"), energy / energy[:, :1]),
            "steps": ("record", result["step"].values[: last + 1]),
            "decay": ((), theory.decay_rate(config)),
            "batch": ((), config.data.batch_size),
            "tilt": ((), linear_growth.softmax_tilt(result, last)),
        }
    )


def end_of(point: xr.Dataset) -> tuple[np.ndarray, float]:
    """Return energy relative to the start at the last record, shape (seed,), and what decay alone would leave."""
    last = int(np.sum(np.isfinite(point["steps"].values))) - 1
    remains = 2 * point["steps"].values[last] * np.log1p(-float(point["decay"]))
    return point["energy"].values[:, last], float(np.exp(remains))


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return rows on the rate of decay, on whether the parts shrink at small and large batches, and on the floor."""
    strong = arrays.isel(point=int(np.flatnonzero(arrays["second"].values == 1)[0]))
    left, alone = end_of(strong)
    by_batch = arrays.isel(point=np.flatnonzero(arrays["second"].values == 0)).sortby("batch")
    ends = [end_of(by_batch.isel(point=k)) for k in range(by_batch.sizes["point"])]
    floor = slopes.line(np.log(by_batch["batch"].values), [slopes.log_of_mean(e - alone) / 2 for e, alone in ends])
    rows = [
        row(
            "outside the features weights shrink by the decay alone, until T1",
            "strong decay, no thresholds",
            "log of the norm over that of (1 - eta lambda)^t",
            over_seeds(np.log(left) / np.log(alone)),
            about(1.0, MARGIN),
            predicted=1.0,
            rival="0: no decay",
        )
    ]
    for word, k in (("smallest", 0), ("largest", -1)):
        rows.append(
            row(
                f"outside the features weights only shrink, {word} batch size",
                NO_THRESHOLDS,
                "norm after stage 1 of the minority over that at the start",
                over_seeds(np.sqrt(ends[k][0])),
                (0.0, 1.0),
                predicted=float(np.sqrt(ends[k][1])),
                rival="above 1: batch noise adds more than decay takes",
                note=f"K = {int(by_batch['batch'][k])}",
            )
        )
    rows.append(
        row(
            "what batch noise adds is of order K^(-1/2)",
            NO_THRESHOLDS,
            "exponent in K of the amplitude that is there beyond the decay",
            floor.span,
            NEAR_ROOT,
            predicted=-0.5,
            rival="-1",
            note=slopes.goodness(floor),
        )
    )
    return linear_growth.where_linear(rows, arrays["tilt"].values)


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw the norm over time under strong decay, and what batch noise has added against the batch size."""
    fig, (left, right) = drawing.panels(2)
    strong = arrays.isel(point=int(np.flatnonzero(arrays["second"].values == 1)[0])).dropna("record", how="all")
    steps = strong["steps"].values
    drawing.points(left, steps, np.sqrt(strong["energy"].values), label="strong decay", color="all")
    drawing.predicted(left, steps, (1 - float(strong["decay"])) ** steps, label=r"$(1 - \eta\lambda)^t$")
    drawing.predicted(left, steps, np.ones(len(steps)), label="no decay", kind="rival")
    by_batch = arrays.isel(point=np.flatnonzero(arrays["second"].values == 0)).sortby("batch")
    batch = by_batch["batch"].values.astype(float)
    added = np.array([np.subtract(*end_of(by_batch.isel(point=k))) for k in range(len(batch))]).T
    drawing.points(right, batch, added, label="beyond the decay", color="all", marker="s")
    drawing.predicted(right, batch, np.nanmean(added[:, 0]) * batch[0] / batch, label="$1/K$, fixed at the smallest K")
    drawing.levels(right, batch)
    drawing.log_y(right)
    drawing.words(left, x="step", y="norm outside the features")
    drawing.words(right, x="batch size K", y="squared norm added")
    drawing.legend_below(fig, left, right, columns=3)
    return fig


CHECK = Check(
    code="S1c",
    statement="Lemma 3.1",
    title="do the weights outside the features only shrink?",
    formula="Outside the features a weight is multiplied by 1 - eta lambda per step (`theory.decay_rate`), down to a "
    "floor of batch noise of order eta / sqrt(K).",
    rival="no floor; or a floor of order 1/K.",
    constants="none for the decay; the constant of the floor is not needed for its exponent.",
    power="a margin of 5 % in the decay.",
    sets=("growth_batches", "growth_decay"),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="outside the features weights only shrink",
    caption="Outside the features weights decay as predicted while batch noise is small, and grow where it is not. "
    "Left: norm over time under strong decay, at K = 256. Right: squared norm that is there beyond the decay at the "
    "end of the run, against the batch size; an amplitude of order K^(-1/2) is a square of order 1/K.",
)
